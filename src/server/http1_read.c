/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1: bytes to heads, bodies and whole requests; see http1.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/socket.h"
#include "server/conn.h"
#include "server/health.h"
#include "server/http1.h"
#include "server/parked.h"
#include "server/pool.h"
#include "server/reactor.h"
#include "server/trust.h"

enum {
    READ_TURN = 1 << 18, /* body bytes of one connection in one turn */
    PARK_BELOW = 1024,   /* body bytes in a turn, fewer of which make it a slow one */
};

enum progress {
    PROGRESS_MORE, /* goes on when more bytes are there */
    PROGRESS_DONE, /* the request is on its way, or the connection is closed: hands off */
};

/* Whether the connection ends with this request, whatever its client wants. */
static bool is_last(const struct mp_conn *conn, int64_t now)
{
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    if (options->pipelined_max > 0 && conn->pipelined >= options->pipelined_max) {
        mp_http1_report(conn, now,
                        "more requests sent ahead than --limit-pipelined-requests: its "
                        "connection ends with this answer");
        return true;
    }
    return (options->keep_alive_max > 0 && conn->requests >= options->keep_alive_max) ||
           (conn->expires > 0 && now >= conn->expires);
}

/* The request is complete: to the FIFO with it, where its connection is its thread's. */
static enum progress make_ready(struct mp_thread *thread, struct mp_conn *conn, const char *rest,
                                size_t rest_size, int64_t now)
{
    struct mp_request *request = conn->request;
    const struct mp_http_head *head = &request->head;
    if (mp_conn_stash(conn, rest, rest_size) < 0)
        conn->close_after = true; /* what comes behind is lost: this answer is the last */
    request->ready_at = now;
    conn->reactor->unheard -= conn->requests == 0;
    conn->requests++;
    if (is_last(conn, now))
        conn->close_after = true;
    if (mp_health_is_check(mp_http1_server(conn), request)) {
        mp_http1_answer_health(thread, conn, now);
        return PROGRESS_DONE;
    }
    request->route = mp_route_hash(request->text + head->method_name.at, head->method_name.len,
                                   request->text + head->path.at, head->path.len);
    conn->state = MP_CONN_RUNNING;
    mp_reactor_set_deadline(conn, now, 0);
    /* Release: who finds the gate closed leaves the rest alone; the FIFO's lock publishes the rest.
     */
    atomic_store_explicit(&conn->gate, MP_GATE_THREAD, memory_order_release);
    mp_pool_push(conn->reactor, request);
    return PROGRESS_DONE;
}

static struct mp_body_limits body_limits(const struct mp_conn *conn)
{
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    return (struct mp_body_limits){.memory = options->body_memory,
                                   .spool = &mp_http1_server(conn)->spool};
}

static enum progress body_failed(struct mp_thread *thread, struct mp_conn *conn, int error,
                                 int64_t now)
{
    struct mp_server *server = mp_http1_server(conn);
    bool full = error == -ENOSPC || error == -EDQUOT;
    if (mp_spool_report_due(&server->spool, now))
        mp_log(server->log, MP_LOG_ERROR, "cannot keep a request's body: %s",
               mp_spool_error(error));
    mp_http1_refuse(thread, conn, full ? 507 : 503, "no room for the body", now);
    return PROGRESS_DONE;
}

/* What there is too much of in a chunked body, or NULL. */
static const char *chunked_excess(const struct mp_conn *conn)
{
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    const struct mp_http_chunked *chunked = &conn->request->chunked;
    if (options->body_max > 0 && chunked->body > options->body_max)
        return "body above --limit-request-body";
    if (options->chunks_max > 0 && chunked->chunks > options->chunks_max)
        return "more chunks than --limit-request-chunks";
    return NULL;
}

/* Decodes n bytes of a chunked body. */
static enum progress feed_chunked(struct mp_thread *thread, struct mp_conn *conn, const char *in,
                                  size_t n, int64_t now)
{
    struct mp_request *request = conn->request;
    struct mp_body_limits limits = body_limits(conn);
    while (n > 0) {
        struct mp_http_span data = {0, 0};
        size_t used = 0;
        enum mp_http_outcome outcome = mp_http_chunked_next(&request->chunked, in, n, &used, &data);
        if (outcome == MP_HTTP_BAD) {
            mp_http1_refuse(thread, conn, request->chunked.status, request->chunked.reason, now);
            return PROGRESS_DONE;
        }
        const char *excess = chunked_excess(conn);
        if (excess) {
            mp_http1_refuse(thread, conn, 413, excess, now);
            return PROGRESS_DONE;
        }
        int r = mp_body_append(&request->body, in + data.at, data.len, &limits);
        if (r < 0)
            return body_failed(thread, conn, r, now);
        in += used;
        n -= used;
        if (outcome == MP_HTTP_DONE)
            return make_ready(thread, conn, in, n, now);
    }
    return PROGRESS_MORE;
}

/* n bytes of a body of known length have been received, somewhere else than in the body itself. */
static enum progress feed_counted(struct mp_thread *thread, struct mp_conn *conn, const char *in,
                                  size_t n, int64_t now)
{
    struct mp_request *request = conn->request;
    struct mp_body_limits limits = body_limits(conn);
    uint64_t left = request->head.content_length - request->body.length;
    size_t part = n < left ? n : (size_t)left;
    int r = mp_body_append(&request->body, in, part, &limits);
    if (r < 0)
        return body_failed(thread, conn, r, now);
    if (part == left)
        return make_ready(thread, conn, in + part, n - part, now);
    return PROGRESS_MORE;
}

static enum progress feed_body(struct mp_thread *thread, struct mp_conn *conn, const char *in,
                               size_t n, int64_t now)
{
    if (conn->request->head.chunked)
        return feed_chunked(thread, conn, in, n, now);
    return feed_counted(thread, conn, in, n, now);
}

/* "100 Continue" when the client waits for it (RFC 9110 section 10.1.1). */
static int send_continue(struct mp_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    ssize_t r = mp_socket_send(conn->fd, text, sizeof(text) - 1, false);
    return r == (ssize_t)(sizeof(text) - 1) ? 0 : -EPIPE;
}

/* The head is complete and announces a body, of which n bytes are here already. */
static enum progress begin_body(struct mp_thread *thread, struct mp_conn *conn, const char *in,
                                size_t n, int64_t now)
{
    struct mp_request *request = conn->request;
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    const struct mp_http_head *head = &request->head;
    struct mp_body_limits limits = body_limits(conn);
    if (head->has_length && options->body_max > 0 && head->content_length > options->body_max) {
        mp_http1_refuse(thread, conn, 413, "body above --limit-request-body", now);
        return PROGRESS_DONE;
    }
    if (head->has_length && head->content_length <= n) {
        size_t size = (size_t)head->content_length;
        mp_body_in_place(&request->body, in, size);
        return make_ready(thread, conn, in + size, n - size, now);
    }
    conn->state = MP_CONN_BODY;
    conn->phase_start = now;
    mp_pace_begin(&conn->pace, now, 0);
    mp_reactor_set_deadline(conn, now, options->body_timeout);
    if (head->expect_continue && n == 0 && send_continue(conn) < 0) {
        mp_conn_close(thread, conn);
        return PROGRESS_DONE;
    }
    int r = 0;
    if (head->chunked)
        mp_http_chunked_init(&request->chunked, &options->limits);
    else
        r = mp_body_prepare(&request->body, head->content_length, &limits);
    if (r < 0)
        return body_failed(thread, conn, r, now);
    return feed_body(thread, conn, in, n, now);
}

/* Whether a target of the https scheme is at its place here (RFC 9110 section 7.4): who comes
 * through a UNIX socket is a gateway of this machine, and a proxy that is trusted may say so. */
static bool is_secured(const struct mp_conn *conn)
{
    return conn->request->forwarded.scheme == MP_HTTP_SCHEME_HTTPS ||
           (conn->peer.any.sa_family == AF_UNIX && !conn->hidden);
}

/* Looks at what there is of a PROXY header, where one is awaited, and of the head. BAD has status
 * and reason in the head. */
static enum mp_http_outcome parse(struct mp_conn *conn)
{
    struct mp_request *request = conn->request;
    enum mp_http_outcome outcome = MP_HTTP_DONE;
    if (conn->awaits_proxy)
        outcome = mp_trust_read_proxy(conn);
    if (outcome == MP_HTTP_DONE)
        outcome = mp_http_head_parse(&conn->scan, request->text, request->size,
                                     &mp_http1_server(conn)->options->limits, &request->head,
                                     &request->head_size);
    if (outcome == MP_HTTP_DONE && mp_unlikely(request->head.forwarding != 0) &&
        !mp_trust_read_forwarded(conn))
        outcome = MP_HTTP_BAD;
    return outcome;
}

/* Looks at the bytes of a head that are there. */
static enum progress advance_head(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    struct mp_request *request = conn->request;
    if (conn->state == MP_CONN_IDLE) {
        conn->state = MP_CONN_HEAD;
        conn->phase_start = now;
        mp_reactor_set_deadline(conn, now, mp_http1_server(conn)->options->header_timeout);
    }
    switch (parse(conn)) {
    case MP_HTTP_MORE:
        return PROGRESS_MORE;
    case MP_HTTP_BAD:
        mp_http1_refuse(thread, conn, request->head.status, request->head.reason, now);
        return PROGRESS_DONE;
    case MP_HTTP_DONE:
        break;
    }
    conn->scan = (struct mp_http_scan){0};
    if (!request->head.keep_alive)
        conn->close_after = true;
    if (request->head.method == MP_HTTP_CONNECT) {
        mp_http1_refuse(thread, conn, 501, "CONNECT", now);
        return PROGRESS_DONE;
    }
    if (request->head.https && !is_secured(conn)) {
        mp_http1_refuse(thread, conn, 421, "a target of the https scheme", now);
        return PROGRESS_DONE;
    }
    const char *rest = request->text + request->head_size;
    size_t n = request->size - request->head_size;
    if (request->head.chunked || request->head.content_length > 0)
        return begin_body(thread, conn, rest, n, now);
    return make_ready(thread, conn, rest, n, now);
}

/* Doubles the buffer of a head that does not fit. 0 or -errno. */
static int grow_text(struct mp_request *request, size_t max)
{
    size_t capacity = request->capacity * 2 < max ? request->capacity * 2 : max;
    if (capacity <= request->capacity)
        return -E2BIG;
    bool inlined = request->text == request->inline_text;
    char *text = realloc(inlined ? NULL : request->text, capacity);
    if (!text)
        return -ENOMEM;
    if (inlined)
        memcpy(text, request->inline_text, request->size);
    request->text = text;
    request->capacity = capacity;
    return 0;
}

static int make_room(const struct mp_conn *conn, size_t n)
{
    struct mp_request *request = conn->request;
    size_t max = (size_t)mp_http1_server(conn)->options->limits.head + MP_REQUEST_INLINE + n;
    int r = 0;
    while (r == 0 && request->capacity - request->size < n)
        r = grow_text(request, max);
    return r;
}

/* A request to hold the next bytes, with those that were stashed. 0 or -errno. */
static int take_request(struct mp_conn *conn)
{
    if (conn->request)
        return 0;
    conn->request = mp_pool_request_new(conn->reactor);
    if (!conn->request)
        return -ENOMEM;
    conn->request->conn = conn;
    if (!conn->stash)
        return 0;
    int r = make_room(conn, conn->stash_size);
    if (r < 0)
        return r;
    memcpy(conn->request->text, conn->stash, conn->stash_size);
    conn->request->size = conn->stash_size;
    return mp_conn_stash(conn, NULL, 0);
}

/* A client that sends its head in pieces costs only the bytes it has sent. */
static int put_request_away(struct mp_conn *conn)
{
    struct mp_request *request = conn->request;
    int r = mp_conn_stash(conn, request->text, request->size);
    if (r == 0) {
        conn->request = NULL;
        mp_pool_request_free(conn->reactor, request, true);
    }
    return r;
}

/* What recv returned: true when there were bytes; else the connection may be closed. */
static bool received(struct mp_thread *thread, struct mp_conn *conn, ssize_t r, size_t asked)
{
    if (r > 0) {
        if ((size_t)r < asked)
            conn->readable = conn->ended;
        return true;
    }
    conn->readable = false;
    if (r != -EAGAIN)
        mp_conn_close(thread, conn);
    return false;
}

/* Receives part of a head. */
static enum progress read_head(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    struct mp_request *request = conn->request;
    if (request->size == request->capacity) {
        int r = make_room(conn, 1);
        if (r < 0) {
            mp_http1_refuse(thread, conn, r == -E2BIG ? 431 : 503, "head too large", now);
            return PROGRESS_DONE;
        }
    }
    size_t room = request->capacity - request->size;
    ssize_t r = mp_socket_recv(conn->fd, request->text + request->size, room);
    if (!received(thread, conn, r, room))
        return r == -EAGAIN ? PROGRESS_MORE : PROGRESS_DONE;
    request->size += (size_t)r;
    return advance_head(thread, conn, now);
}

/* Receives part of a body: straight into its memory where that is possible. */
static enum progress read_body(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    struct mp_request *request = conn->request;
    size_t room = 0;
    char *into = request->head.chunked ? NULL : mp_body_room(&request->body, &room);
    size_t asked = into ? room : MP_SCRATCH;
    ssize_t r = mp_socket_recv(conn->fd, into ? into : thread->scratch, asked);
    if (!received(thread, conn, r, asked))
        return r == -EAGAIN ? PROGRESS_MORE : PROGRESS_DONE;
    if (!into)
        return feed_body(thread, conn, thread->scratch, (size_t)r, now);
    mp_body_received(&request->body, (size_t)r);
    if (request->body.length == request->head.content_length)
        return make_ready(thread, conn, NULL, 0, now);
    return PROGRESS_MORE;
}

/* The socket is empty, and the request not complete: gives back what need not be kept until more
 * comes, which may be long. */
static void rest(struct mp_thread *thread, struct mp_conn *conn, size_t came)
{
    if (conn->state == MP_CONN_BODY) {
        if (came < PARK_BELOW)
            mp_parked_put(conn);
    } else if (conn->request && put_request_away(conn) < 0) {
        mp_conn_close(thread, conn);
    }
}

/* Bytes of the body at hand; 0 while there is none. */
static uint64_t body_length(const struct mp_conn *conn)
{
    return conn->state == MP_CONN_BODY ? conn->request->body.length : 0;
}

/* Reads until the socket is empty, the request is complete, or others shall have their turn. */
void mp_http1_read(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    unsigned turns = READ_TURN / MP_SCRATCH;
    enum progress progress = PROGRESS_MORE;
    if (mp_parked_take(conn) < 0) {
        mp_conn_close(thread, conn);
        return;
    }
    uint64_t before = body_length(conn);
    while (progress == PROGRESS_MORE && conn->readable) {
        if (turns-- == 0) {
            mp_http1_again(conn);
            return;
        }
        if (conn->state == MP_CONN_BODY) {
            progress = read_body(thread, conn, now);
        } else if (take_request(conn) < 0) {
            mp_conn_close(thread, conn);
            return;
        } else {
            progress = read_head(thread, conn, now);
        }
    }
    if (progress == PROGRESS_MORE)
        rest(thread, conn, (size_t)(body_length(conn) - before));
}

/* The connection is idle: looks at bytes that came with the last request, then at the socket. */
void mp_http1_next(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    if (conn->stash && conn->state == MP_CONN_IDLE) {
        conn->pipelined++;
        if (take_request(conn) < 0) {
            mp_conn_close(thread, conn);
            return;
        }
        if (advance_head(thread, conn, now) == PROGRESS_DONE)
            return;
    }
    mp_http1_read(thread, conn, now);
}
