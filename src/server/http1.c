/* SPDX-License-Identifier: MIT */
/*
 * The HTTP/1 protocol: makes requests of bytes, and connections ready for the next one.
 *
 *   IDLE -> HEAD -> BODY -> RUNNING -> WRITING -> IDLE
 *     \________________________/  \________________/ \-> LINGER -> closed
 *
 * docs/internals/reactor.md names the function that makes each transition.
 *
 * Sockets are edge-triggered: conn->readable remembers that there may be more to read than was
 * read. A recv(2) that fills less than its buffer has emptied the socket; the next bytes bring a
 * new event.
 *
 * One request at a time: bytes behind it wait in its buffer, then in the connection's stash, until
 * its response has left. So pipelined responses are in order, and a client cannot make us hold many
 * of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/socket.h"
#include "server/access_log.h"
#include "server/canned.h"
#include "server/conn.h"
#include "server/health.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/reactor.h"
#include "server/response_impl.h"
#include "server/shed.h"

enum {
    READ_TURN = 1 << 18,    /* body bytes of one connection in one turn */
    LINGER_BYTES = 1 << 20, /* thrown away at most after the last response */
    OUTPUT_TURN = 1 << 20,
};

#define LINGER_TIME (2 * MP_NSEC_PER_SEC)
/* How long a worker that drains waits for the rest of a head. */
#define DRAIN_HEAD (1 * MP_NSEC_PER_SEC)

static void on_event(struct mp_thread *thread, struct mp_conn *conn, uint32_t events, int64_t now);

static struct mp_server *server_of(const struct mp_conn *conn)
{
    return conn->reactor->server;
}

/* ---- the end of a connection --------------------------------------------------------------- */

static int64_t linger_time(const struct mp_conn *conn)
{
    return conn->reactor->draining ? server_of(conn)->options->drain_idle : LINGER_TIME;
}

/*
 * Closes our side. What the client has sent and we have not read would make the kernel answer with
 * a reset, which can overtake our last response: so it is read and thrown away for a while (RFC
 * 9112 section 9.6).
 */
static void close_gracefully(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    bool unread = conn->readable || conn->stash;
    bool lost = mp_socket_shutdown_write(conn->fd) < 0;
    if (lost || !unread) {
        mp_conn_close(thread, conn);
        return;
    }
    conn->state = MP_CONN_LINGER;
    mp_reactor_set_deadline(conn, now, linger_time(conn));
    conn->lingered = 0;
    on_event(thread, conn, MP_POLL_IN, now);
}

static void linger(struct mp_thread *thread, struct mp_conn *conn)
{
    for (;;) {
        ssize_t r = mp_socket_recv(conn->fd, thread->scratch, MP_SCRATCH);
        if (r == -EAGAIN)
            return;
        conn->lingered += r > 0 ? (uint64_t)r : 0;
        if (r <= 0 || conn->lingered > LINGER_BYTES) {
            mp_conn_close(thread, conn);
            return;
        }
    }
}

/* ---- sending ----------------------------------------------------------------------------- */

static void next_request(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

static void after_response(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    if (conn->close_after) {
        close_gracefully(thread, conn, now);
        return;
    }
    conn->state = MP_CONN_IDLE;
    conn->phase_start = now;
    mp_reactor_set_deadline(conn, now, server_of(conn)->options->keep_alive);
    if (conn->stash || conn->readable)
        next_request(thread, conn, now);
}

/* Gives the connection to itself: the leader comes back to it in its next turn. */
static void again(struct mp_conn *conn)
{
    atomic_store_explicit(&conn->gate, MP_GATE_THREAD, memory_order_relaxed);
    mp_reactor_return(conn);
}

static void send_more(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    uint64_t sent = 0;
    int r = mp_output_send(&conn->output, conn->fd, NULL, 0, OUTPUT_TURN, &sent, &thread->litter);
    if (sent > 0)
        mp_reactor_set_deadline(conn, now, server_of(conn)->options->write_timeout);
    if (r == 0)
        after_response(thread, conn, now);
    else if (r == -EBUSY)
        again(conn);
    else if (r != -EAGAIN)
        mp_conn_close(thread, conn);
}

static void push(struct mp_thread *thread, struct mp_conn *conn)
{
    uint64_t sent = 0;
    int r = 0;
    (void)thread;
    /* Said before the lock is tried: the handler asks after it has let go, so one of us sends. */
    atomic_store_explicit(&conn->push_missed, true, memory_order_seq_cst);
    if (pthread_mutex_trylock(&conn->output_lock) != 0)
        return;
    atomic_store_explicit(&conn->push_missed, false, memory_order_relaxed);
    if (atomic_load_explicit(&conn->streaming, memory_order_relaxed)) {
        r = mp_output_send(&conn->output, conn->fd, NULL, 0, OUTPUT_TURN, &sent, &conn->litter);
        if (r < 0 && r != -EAGAIN && r != -EBUSY)
            atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&conn->output_lock);
    if (r == -EBUSY)
        mp_conn_rearm(conn); /* the socket is not full: it would not call again by itself */
}

static void log_refused(const struct mp_conn *conn, int status, int64_t now)
{
    struct mp_access_log *log = server_of(conn)->access_log;
    struct mp_request *request = conn->request;
    if (!log)
        return;
    if (!request || request->head_size == 0) {
        mp_access_log_refused(log, conn, status);
        return;
    }
    request->ready_at = conn->phase_start;
    mp_access_log_answered(log, request, status, 0, now);
}

/* Has an answer take the place of the request, if there is one. False: the connection is closed. */
static bool queue_canned(struct mp_thread *thread, struct mp_conn *conn,
                         const struct mp_canned *canned, int64_t now)
{
    char text[MP_CANNED_SIZE];
    if (conn->request)
        mp_pool_request_free(conn->reactor, conn->request, true);
    conn->request = NULL;
    conn->state = MP_CONN_WRITING;
    mp_reactor_set_deadline(conn, now, server_of(conn)->options->write_timeout);
    bool queued = mp_output_copy(&conn->output, text, mp_canned_make(text, canned)) == 0;
    if (!queued)
        mp_conn_close(thread, conn);
    return queued;
}

/* The event core's own answer to a request that no handler shall see; the connection ends with it.
 */
static void refuse(struct mp_thread *thread, struct mp_conn *conn, int status, const char *reason,
                   int64_t now)
{
    struct mp_server *server = server_of(conn);
    const struct mp_canned canned = {.status = status};
    char peer[MP_SOCKADDR_TEXT];
    mp_sockaddr_host(&conn->peer, peer, sizeof(peer));
    mp_log(server->log, MP_LOG_DEBUG, "refused a request from %s: %d, %s",
           peer[0] ? peer : "a UNIX socket", status, reason);
    atomic_fetch_add_explicit(&server->slot->bad_requests, 1, memory_order_relaxed);
    log_refused(conn, status, now);
    conn->close_after = true;
    conn->readable = true; /* there may be more of it: linger */
    if (queue_canned(thread, conn, &canned, now))
        send_more(thread, conn, now);
}

static enum mp_canned_connection after_answer(const struct mp_conn *conn)
{
    if (conn->close_after || conn->reactor->draining || server_of(conn)->options->keep_alive == 0)
        return MP_CANNED_CLOSE;
    return conn->request->head.minor == 0 ? MP_CANNED_SAY_KEEP : MP_CANNED_KEEP;
}

/*
 * The event core's own answer to a request that is whole; others may follow on the connection. What
 * is there of them waits for the leader's next turn: a client that sends many of them at once shall
 * neither be served in one go nor make us call ourselves.
 */
static void answer(struct mp_thread *thread, struct mp_conn *conn, struct mp_canned *canned,
                   int64_t now)
{
    canned->head_only = conn->request->head.method == MP_HTTP_HEAD;
    canned->connection = after_answer(conn);
    conn->close_after = canned->connection == MP_CANNED_CLOSE;
    if (!queue_canned(thread, conn, canned, now))
        return;
    if (conn->stash || conn->readable)
        again(conn);
    else
        send_more(thread, conn, now);
}

static void answer_health(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    static const char *const words[] = {[MP_HEALTH_OK] = "ok",
                                        [MP_HEALTH_SATURATED] = "saturated",
                                        [MP_HEALTH_DRAINING] = "draining"};
    struct mp_server *server = server_of(conn);
    enum mp_health health = mp_health_of_pool(server, now);
    struct mp_canned canned = {
        .status = health == MP_HEALTH_OK ? 200 : 503,
        .text = words[health],
        .retry_after = health == MP_HEALTH_OK ? 0 : 1,
        .no_store = true,
    };
    atomic_fetch_add_explicit(&server->slot->health, 1, memory_order_relaxed);
    answer(thread, conn, &canned, now);
}

/* Out of the FIFO again, so that the leader owns what belonged to whoever would run it. */
static void shed(struct mp_thread *thread, struct mp_request *request, int64_t now)
{
    struct mp_conn *conn = request->conn;
    struct mp_server *server = server_of(conn);
    struct mp_canned canned = {.status = 503, .retry_after = mp_shed_retry_after(server)};
    bool gone = atomic_load_explicit(&conn->gone, memory_order_relaxed);
    mp_reactor_own(conn);
    if (server->access_log)
        mp_access_log_answered(server->access_log, request, gone ? MP_STATUS_CLIENT_GONE : 503, 0,
                               now);
    if (gone)
        mp_conn_close(thread, conn);
    else
        answer(thread, conn, &canned, now);
}

/* ---- receiving --------------------------------------------------------------------------- */

enum progress {
    PROGRESS_MORE, /* goes on when more bytes are there */
    PROGRESS_DONE, /* the request is on its way, or the connection is closed: hands off */
};

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
    if (mp_health_is_check(server_of(conn), request)) {
        answer_health(thread, conn, now);
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
    const struct mp_worker_options *options = server_of(conn)->options;
    return (struct mp_body_limits){.memory = options->body_memory, .dir = options->tmp_dir};
}

static enum progress body_failed(struct mp_thread *thread, struct mp_conn *conn, int error,
                                 int64_t now)
{
    mp_log(server_of(conn)->log, MP_LOG_ERROR, "cannot keep a request's body: %s",
           strerror(-error));
    refuse(thread, conn, error == -ENOSPC ? 507 : 503, "no room for the body", now);
    return PROGRESS_DONE;
}

/* Decodes n bytes of a chunked body. */
static enum progress feed_chunked(struct mp_thread *thread, struct mp_conn *conn, const char *in,
                                  size_t n, int64_t now)
{
    struct mp_request *request = conn->request;
    struct mp_body_limits limits = body_limits(conn);
    uint64_t max = server_of(conn)->options->body_max;
    while (n > 0) {
        struct mp_http_span data = {0, 0};
        size_t used = 0;
        enum mp_http_outcome outcome = mp_http_chunked_next(&request->chunked, in, n, &used, &data);
        if (outcome == MP_HTTP_BAD) {
            refuse(thread, conn, request->chunked.status, request->chunked.reason, now);
            return PROGRESS_DONE;
        }
        if (max > 0 && request->chunked.body > max) {
            refuse(thread, conn, 413, "body above --limit-request-body", now);
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
    const struct mp_worker_options *options = server_of(conn)->options;
    const struct mp_http_head *head = &request->head;
    struct mp_body_limits limits = body_limits(conn);
    if (head->has_length && options->body_max > 0 && head->content_length > options->body_max) {
        refuse(thread, conn, 413, "body above --limit-request-body", now);
        return PROGRESS_DONE;
    }
    if (head->has_length && head->content_length <= n) {
        size_t size = (size_t)head->content_length;
        mp_body_in_place(&request->body, in, size);
        return make_ready(thread, conn, in + size, n - size, now);
    }
    conn->state = MP_CONN_BODY;
    conn->phase_start = now;
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

/* Looks at the bytes of a head that are there. */
static enum progress advance_head(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    struct mp_request *request = conn->request;
    const struct mp_worker_options *options = server_of(conn)->options;
    size_t size = 0;
    if (conn->state == MP_CONN_IDLE) {
        conn->state = MP_CONN_HEAD;
        conn->phase_start = now;
        mp_reactor_set_deadline(conn, now, options->header_timeout);
    }
    switch (mp_http_head_parse(&conn->scan, request->text, request->size, &options->limits,
                               &request->head, &size)) {
    case MP_HTTP_MORE:
        return PROGRESS_MORE;
    case MP_HTTP_BAD:
        refuse(thread, conn, request->head.status, request->head.reason, now);
        return PROGRESS_DONE;
    case MP_HTTP_DONE:
        break;
    }
    request->head_size = size;
    conn->scan = (struct mp_http_scan){0};
    if (!request->head.keep_alive)
        conn->close_after = true;
    if (request->head.method == MP_HTTP_CONNECT) {
        refuse(thread, conn, 501, "CONNECT", now);
        return PROGRESS_DONE;
    }
    const char *rest = request->text + size;
    size_t n = request->size - size;
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
    size_t max = (size_t)server_of(conn)->options->limits.head + MP_REQUEST_INLINE + n;
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
            refuse(thread, conn, r == -E2BIG ? 431 : 503, "head too large", now);
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

/* Reads until the socket is empty, the request is complete, or others shall have their turn. */
static void read_more(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    unsigned turns = READ_TURN / MP_SCRATCH;
    enum progress progress = PROGRESS_MORE;
    while (progress == PROGRESS_MORE && conn->readable) {
        if (turns-- == 0) {
            again(conn);
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
    if (progress == PROGRESS_MORE && conn->state != MP_CONN_BODY && conn->request &&
        put_request_away(conn) < 0)
        mp_conn_close(thread, conn);
}

/* The connection is idle: looks at bytes that came with the last request, then at the socket. */
static void next_request(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    if (conn->stash && conn->state == MP_CONN_IDLE) {
        if (take_request(conn) < 0) {
            mp_conn_close(thread, conn);
            return;
        }
        if (advance_head(thread, conn, now) == PROGRESS_DONE)
            return;
    }
    read_more(thread, conn, now);
}

/* ---- what happens ------------------------------------------------------------------------ */

static int take(struct mp_thread *thread, const struct mp_listen_socket *listener, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_sockaddr peer;
    struct mp_conn *conn;
    int fd = mp_socket_accept(listener->fd, &peer);
    if (fd < 0)
        return fd;
    if (peer.any.sa_family != AF_UNIX)
        mp_socket_set_nodelay(fd);
    int r = mp_conn_new(reactor, fd, &peer, listener, now, &conn);
    if (r < 0)
        return r;
    r = mp_conn_watch(conn, MP_CONN_EVERYTHING, server_of(conn)->options->header_timeout, now);
    if (r < 0)
        mp_conn_close(thread, conn);
    return r;
}

static void on_event(struct mp_thread *thread, struct mp_conn *conn, uint32_t events, int64_t now)
{
    if (events & (MP_POLL_HUP | MP_POLL_ERR)) {
        mp_conn_close(thread, conn);
        return;
    }
    if (events & (MP_POLL_IN | MP_POLL_RDHUP))
        conn->readable = true;
    switch ((enum mp_conn_state)conn->state) {
    case MP_CONN_IDLE:
    case MP_CONN_HEAD:
    case MP_CONN_BODY:
        read_more(thread, conn, now);
        break;
    case MP_CONN_WRITING:
        if (events & MP_POLL_OUT)
            send_more(thread, conn, now);
        break;
    case MP_CONN_LINGER:
        linger(thread, conn);
        break;
    case MP_CONN_RUNNING:
        mp_assert(false); /* its gate was closed */
    }
}

static void resume(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    if (atomic_load_explicit(&conn->gone, memory_order_relaxed)) {
        mp_conn_close(thread, conn);
        return;
    }
    switch ((enum mp_conn_state)conn->state) {
    case MP_CONN_WRITING:
        send_more(thread, conn, now);
        break;
    case MP_CONN_LINGER:
        linger(thread, conn);
        break;
    case MP_CONN_IDLE:
        if (conn->close_after) {
            close_gracefully(thread, conn, now);
            break;
        }
        next_request(thread, conn, now);
        break;
    default:
        read_more(thread, conn, now);
    }
}

/* A body has to come at a rate on average, after its grace: true when it does. */
static bool body_is_fast_enough(struct mp_conn *conn, int64_t now)
{
    const struct mp_worker_options *options = server_of(conn)->options;
    const struct mp_request *request = conn->request;
    uint64_t seconds = (uint64_t)((now - conn->phase_start) / MP_NSEC_PER_SEC) + 1;
    if (options->body_rate == 0 || request->body.length / seconds < options->body_rate)
        return false;
    mp_reactor_set_deadline(conn, now, MP_NSEC_PER_SEC);
    return true;
}

static bool on_timeout(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    uint16_t generation = conn->generation;
    switch ((enum mp_conn_state)conn->state) {
    case MP_CONN_BODY:
        if (body_is_fast_enough(conn, now))
            return false;
        refuse(thread, conn, 408, "the body came too slowly", now);
        break;
    case MP_CONN_HEAD:
        refuse(thread, conn, 408, "the head came too slowly", now);
        break;
    case MP_CONN_IDLE:
        close_gracefully(thread, conn, now);
        break;
    default:
        mp_conn_close(thread, conn);
    }
    return conn->fd < 0 || conn->generation != generation;
}

/* Idle connections are to be closed soon. Half a head is no request yet; but the other half may be
 * in the next packet. */
static void on_drain(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    int64_t limit = now + server_of(conn)->options->drain_idle;
    int64_t head_limit = now + DRAIN_HEAD;
    (void)thread;
    if (conn->state == MP_CONN_IDLE)
        atomic_store_explicit(&conn->deadline, limit, memory_order_relaxed);
    if (conn->state == MP_CONN_HEAD &&
        head_limit < atomic_load_explicit(&conn->deadline, memory_order_relaxed))
        atomic_store_explicit(&conn->deadline, head_limit, memory_order_relaxed);
}

/* ---- the end of a handler ------------------------------------------------------------------ */

/* Makes the connection ready for what comes next, still as its owner. True when the leader has to
 * act. */
static bool settle(struct mp_conn *conn, struct mp_request *request, int result, bool leading,
                   int64_t now)
{
    struct mp_server *server = server_of(conn);
    if (request->response.failed)
        conn->close_after = true;
    conn->request = NULL;
    mp_pool_request_free(conn->reactor, request, leading);
    if (result == -EAGAIN || result == -EBUSY) {
        conn->state = MP_CONN_WRITING;
        mp_reactor_set_deadline(conn, now, server->options->write_timeout);
        return result == -EBUSY;
    }
    if (result < 0)
        atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    conn->state = MP_CONN_IDLE;
    conn->phase_start = now;
    mp_reactor_set_deadline(conn, now, server->options->keep_alive);
    return result < 0 || conn->close_after || conn->stash || conn->readable;
}

static void finish(struct mp_thread *thread, struct mp_request *request, bool leading, int64_t now)
{
    struct mp_conn *conn = request->conn;
    struct mp_server *server = server_of(conn);
    int result = mp_response_send(thread, request);
    if (server->access_log && !request->timed_out)
        mp_access_log_add(server->access_log, request, now);
    bool busy = settle(conn, request, result, leading, now);
    /*
     * Release: the leader that finds the gate open sees everything written above. When it has left
     * an event behind meanwhile, or there is something to do at once, it is told.
     */
    uint32_t gate = MP_GATE_THREAD;
    if (!busy &&
        atomic_compare_exchange_strong_explicit(&conn->gate, &gate, MP_GATE_REACTOR,
                                                memory_order_release, memory_order_relaxed))
        return;
    if (!leading) {
        mp_reactor_return(conn);
        return;
    }
    mp_reactor_own(conn);
    resume(thread, conn, now);
}

/* ---- what others see of a request ---------------------------------------------------------- */

static void show(struct mp_thread *thread, const struct mp_request *request, int64_t now)
{
    const struct mp_http_head *head = &request->head;
    mp_protocol_show(thread, request, request->text + head->method_name.at, head->method_name.len,
                     request->text + head->target.at, head->target.len, now);
}

static void describe(const struct mp_request *request, char *text, size_t size)
{
    const struct mp_http_head *head = &request->head;
    snprintf(text, size, "%.*s %.*s", (int)head->method_name.len,
             request->text + head->method_name.at, (int)head->target.len,
             request->text + head->target.at);
}

static const char *time_out(struct mp_server *server, struct mp_request *request)
{
    bool answered = mp_response_time_out(request);
    request->timed_out = true;
    if (server->access_log)
        mp_access_log_answered(server->access_log, request, 504, 0, mp_clock_now());
    return answered ? "client answered 504" : "connection cut";
}

const struct mp_protocol mp_protocol_http1 = {
    .take = take,
    .on_event = on_event,
    .resume = resume,
    .shed = shed,
    .on_timeout = on_timeout,
    .on_drain = on_drain,
    .push = push,
    .show = show,
    .finish = finish,
    .time_out = time_out,
    .describe = describe,
};
