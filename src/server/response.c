/* SPDX-License-Identifier: MIT */
/*
 * The response: head, framing, queueing; see response.h for what the handler may do.
 *
 * The usual small answer costs no allocation: its head is written into the thread's head buffer,
 * its one body block is copied behind it, and both leave by one send(2) after the handler has
 * returned. Everything else goes through the connection's output queue, which the head precedes.
 */
#include "server/response.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http/response.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "server/canned.h"
#include "server/conn.h"
#include "server/response_impl.h"

enum {
    HEAD_RESERVE = 512, /* for the fields that the server adds itself */
    FILE_BUDGET = 1 << 20,
};

/* ---- the head ---------------------------------------------------------------------------- */

static struct mp_http_out head_out(struct mp_request *request, size_t reserve)
{
    return (struct mp_http_out){
        .buf = request->thread->head,
        .cap = MP_THREAD_HEAD - reserve,
        .len = request->response.head_size,
    };
}

static int head_done(struct mp_request *request, const struct mp_http_out *out, int r)
{
    if (r == 0)
        request->response.head_size = out->len;
    return r == -ENOSPC ? -E2BIG : r;
}

int mp_response_begin(struct mp_request *request, int status, const char *reason, size_t reason_len)
{
    struct mp_response *response = &request->response;
    if (response->begun || response->ended)
        return -EALREADY;
    if (status < 200 || status > 599)
        return -EINVAL;
    struct mp_http_out out = head_out(request, HEAD_RESERVE);
    int r = mp_http_out_status(&out, status, reason, reason_len);
    if (r == 0) {
        response->begun = true;
        response->status = status;
        response->bodyless = request->head.method == MP_HTTP_HEAD ||
                             mp_http_status_bodyless(status) || status == 205;
    }
    return head_done(request, &out, r);
}

static bool is_name(const char *name, size_t len, const char *known)
{
    return strncasecmp(name, known, len) == 0;
}

/* Digits only, below 2^63: 0 or -EINVAL. */
static int parse_length(const char *value, size_t len, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (len == 0 || len > 18)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -EINVAL;
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    *ret_length = length;
    return 0;
}

/* Content-Length is written by commit(), so that it stands once whatever the handler does. */
static int declare_length(struct mp_response *response, const char *value, size_t len)
{
    uint64_t length = 0;
    int r = parse_length(value, len, &length);
    if (r == 0 && response->has_length && response->length != length)
        return -EINVAL;
    if (r == 0) {
        response->has_length = true;
        response->length = length;
    }
    return r;
}

int mp_response_field(struct mp_request *request, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    struct mp_response *response = &request->response;
    if (mp_response_committed(request) || response->ended || !response->begun)
        return -EALREADY;
    if (mp_http_is_hop_by_hop(name, name_len))
        return -EPERM;
    if (name_len == 14 && is_name(name, name_len, "Content-Length"))
        return declare_length(response, value, value_len);
    struct mp_http_out out = head_out(request, HEAD_RESERVE);
    int r = mp_http_out_field(&out, name, name_len, value, value_len);
    if (r == 0 && name_len == 4 && is_name(name, name_len, "Date"))
        response->has_date = true;
    if (r == 0 && name_len == 6 && is_name(name, name_len, "Server"))
        response->has_server = true;
    return head_done(request, &out, r);
}

/* A flush may run without the interpreter: a reference then waits for the next call that has it. A
 * flush meets one at most, that of the first block. */
static void drop_ref(struct mp_request *request, void *ref)
{
    const struct mp_app *app = request->conn->reactor->server->app;
    if (request->response.flushing && ref) {
        mp_assert(!request->response.orphan);
        request->response.orphan = ref;
        return;
    }
    if (ref && app->release)
        app->release(app->data, request->thread->app_thread, &ref, 1);
}

static void drop_orphan(struct mp_request *request)
{
    void *ref = request->response.orphan;
    request->response.orphan = NULL;
    drop_ref(request, ref);
}

int mp_response_reset(struct mp_request *request)
{
    struct mp_response *response = &request->response;
    if (response->committed || response->ended || response->first)
        return -EALREADY;
    *response = (struct mp_response){0};
    return 0;
}

bool mp_response_committed(const struct mp_request *request)
{
    return request->response.committed || request->response.first;
}

bool mp_response_begun(const struct mp_request *request)
{
    return request->response.begun;
}

bool mp_response_ended(const struct mp_request *request)
{
    return request->response.ended;
}

static int add_date(struct mp_thread *thread, struct mp_http_out *out)
{
    int64_t second = mp_clock_wall_seconds();
    if (second != thread->io_date) {
        mp_http_date_format(thread->date, second);
        thread->io_date = second;
    }
    return mp_http_out_date(out, thread->date);
}

/* Decides how the body is delimited (RFC 9112 section 6). final: all of it is known. */
static int add_framing(struct mp_request *request, struct mp_http_out *out, bool final)
{
    struct mp_response *response = &request->response;
    if (response->status == 205) /* has no content, and has to say so (RFC 9110 section 15.3.6) */
        return mp_http_out_number(out, "Content-Length", 14, 0);
    bool no_length = response->status == 204 || (response->status == 304 && !response->has_length);
    if (final && !response->has_length && !(response->bodyless && response->written == 0)) {
        response->has_length = true;
        response->length = response->written;
    }
    if (no_length || (response->bodyless && !response->has_length))
        return 0;
    if (response->has_length)
        return mp_http_out_number(out, "Content-Length", 14, response->length);
    if (request->head.minor >= 1) {
        response->chunked = true;
        return MP_HTTP_OUT_LINES(out, "Transfer-Encoding: chunked\r\n");
    }
    response->close = true;
    return 0;
}

static int add_connection(struct mp_request *request, struct mp_http_out *out)
{
    struct mp_response *response = &request->response;
    struct mp_conn *conn = request->conn;
    const struct mp_server *server = conn->reactor->server;
    if (atomic_load_explicit(&server->draining, memory_order_relaxed) != 0 ||
        server->options->keep_alive == 0)
        response->close = true;
    if (response->close)
        conn->close_after = true;
    if (conn->close_after)
        return MP_HTTP_OUT_LINES(out, "Connection: close\r\n");
    if (request->head.minor == 0)
        return MP_HTTP_OUT_LINES(out, "Connection: keep-alive\r\n");
    return 0;
}

/* Completes the head. From now on it stands. The reserve makes running out of room impossible. */
static void commit(struct mp_request *request, bool final)
{
    struct mp_response *response = &request->response;
    struct mp_http_out out = head_out(request, 0);
    int r = 0;
    if (!response->has_date)
        r |= add_date(request->thread, &out);
    if (!response->has_server)
        r |= MP_HTTP_OUT_LINES(&out, "Server: millpond\r\n");
    r |= add_framing(request, &out, final);
    r |= add_connection(request, &out);
    r |= mp_http_out_end(&out);
    mp_assert(r == 0);
    response->head_size = out.len;
    response->committed = true;
}

/* ---- the body ---------------------------------------------------------------------------- */

/* A copy costs less than a segment of its own up to this size. */
enum { COPY_MAX = 4096 };

static int queue_block(struct mp_request *request, const void *data, size_t n, void *ref)
{
    struct mp_output *output = &request->conn->output;
    if (!ref || n <= COPY_MAX) {
        int r = mp_output_copy(output, data, n);
        drop_ref(request, ref);
        return r;
    }
    int r = mp_output_keep(output, data, n, ref);
    if (r < 0)
        drop_ref(request, ref);
    return r;
}

/* Queues body bytes as the framing wants them. The ref is consumed. */
static int queue_framed(struct mp_request *request, const void *data, size_t n, void *ref)
{
    struct mp_output *output = &request->conn->output;
    char line[MP_HTTP_CHUNK_HEAD_MAX];
    if (!request->response.chunked)
        return queue_block(request, data, n, ref);
    int r = mp_output_copy(output, line, mp_http_chunk_head(line, n));
    if (r < 0) {
        drop_ref(request, ref);
        return r;
    }
    r = queue_block(request, data, n, ref);
    if (r == 0)
        r = mp_output_copy(output, MP_HTTP_CHUNK_END, 2);
    return r;
}

/* Queues the block that waited to learn whether it is the only one. */
static int queue_first(struct mp_request *request)
{
    struct mp_response *response = &request->response;
    if (!response->first)
        return 0;
    const void *data = response->first;
    response->first = NULL;
    return queue_framed(request, data, response->first_size, response->first_ref);
}

/* Keeps the first block until there is a second, a flush, or the end. */
static int hold_first(struct mp_request *request, const void *data, size_t n, void *ref)
{
    struct mp_response *response = &request->response;
    char *copy = request->thread->head + MP_THREAD_HEAD;
    if (!ref && n > MP_RESPONSE_COPY) {
        commit(request, false);
        return queue_framed(request, data, n, NULL);
    }
    if (!ref) {
        memcpy(copy, data, n);
        data = copy;
    }
    response->first = data;
    response->first_size = n;
    response->first_ref = ref;
    return 0;
}

/* While the leader may send too, the queue is shared. */
static bool lock_output(struct mp_conn *conn)
{
    bool shared = atomic_load_explicit(&conn->streaming, memory_order_relaxed);
    if (shared)
        pthread_mutex_lock(&conn->output_lock);
    return shared;
}

static void unlock_output(struct mp_conn *conn, bool locked)
{
    if (locked)
        pthread_mutex_unlock(&conn->output_lock);
}

static int write_block(struct mp_request *request, const void *data, size_t n, void *ref)
{
    struct mp_response *response = &request->response;
    if (!response->committed && !response->first)
        return hold_first(request, data, n, ref);
    bool locked = lock_output(request->conn);
    int r = 0;
    if (!response->committed)
        commit(request, false);
    r = queue_first(request);
    if (r == 0)
        r = queue_framed(request, data, n, ref);
    else
        drop_ref(request, ref);
    unlock_output(request->conn, locked);
    return r;
}

/* A handler that streams for long leaves sent references behind: they go while it is entered. */
static void sweep_own(struct mp_request *request)
{
    struct mp_thread *thread = request->thread;
    const struct mp_app *app = thread->reactor->server->app;
    struct mp_conn *conn = request->conn;
    void *refs[16];
    size_t n;
    bool locked = lock_output(conn);
    mp_litter_merge(&thread->litter, &conn->litter);
    unlock_output(conn, locked);
    while ((n = mp_litter_take(&thread->litter, refs, mp_array_size(refs))) > 0) {
        if (app->release)
            app->release(app->data, thread->app_thread, refs, n);
    }
}

/* Bytes that were counted, or announced by a chunk's head, will be missing: nothing may follow
 * them. */
static int broken(struct mp_response *response, int error)
{
    response->failed = true;
    return error;
}

int mp_response_write(struct mp_request *request, const void *data, size_t n, void *ref)
{
    struct mp_response *response = &request->response;
    int result = 0;
    if (atomic_load_explicit(&request->conn->streaming, memory_order_relaxed))
        sweep_own(request);
    drop_orphan(request);
    if (!response->begun || response->ended)
        result = response->ended ? -EALREADY : -EINVAL;
    else if (atomic_load_explicit(&request->conn->gone, memory_order_relaxed))
        result = -EPIPE;
    if (result < 0 || n == 0) {
        drop_ref(request, ref);
        return result;
    }
    if (response->has_length && n > response->length - response->written) {
        n = (size_t)(response->length - response->written);
        response->truncated = true;
        result = -EMSGSIZE;
    }
    response->written += n;
    if (response->bodyless || n == 0) {
        drop_ref(request, ref);
        return result;
    }
    int r = write_block(request, data, n, ref);
    return r < 0 ? broken(response, r) : result;
}

static int write_file(struct mp_request *request, int fd, uint64_t offset, uint64_t n)
{
    struct mp_response *response = &request->response;
    struct mp_output *output = &request->conn->output;
    char line[MP_HTTP_CHUNK_HEAD_MAX];
    if (!response->committed)
        commit(request, false);
    int r = queue_first(request);
    if (r == 0 && response->chunked)
        r = mp_output_copy(output, line, mp_http_chunk_head(line, n));
    if (r < 0) {
        mp_fd_close(&fd);
        return r;
    }
    r = mp_output_file(output, fd, offset, n);
    if (r == 0 && response->chunked)
        r = mp_output_copy(output, MP_HTTP_CHUNK_END, 2);
    return r;
}

int mp_response_sendfile(struct mp_request *request, int fd, uint64_t offset, uint64_t n)
{
    struct mp_response *response = &request->response;
    int result = 0;
    if (!response->begun || response->ended)
        result = response->ended ? -EALREADY : -EINVAL;
    if (result < 0) {
        mp_fd_close(&fd);
        return result;
    }
    if (!response->has_length && response->written == 0) {
        response->has_length = true;
        response->length = n;
    }
    if (response->has_length && n > response->length - response->written) {
        n = response->length - response->written;
        response->truncated = true;
        result = -EMSGSIZE;
    }
    response->written += n;
    if (response->bodyless || n == 0) {
        mp_fd_close(&fd);
        return result;
    }
    bool locked = lock_output(request->conn);
    int r = write_file(request, fd, offset, n);
    unlock_output(request->conn, locked);
    return r < 0 ? broken(response, r) : result;
}

/* ---- sending ----------------------------------------------------------------------------- */

/* Sends head bytes that have not been queued, and the queue. Under the output lock when streaming.
 */
static int send_now(struct mp_thread *thread, struct mp_request *request)
{
    struct mp_conn *conn = request->conn;
    struct mp_response *response = &request->response;
    uint64_t sent = 0;
    size_t head = response->head_size;
    response->head_size = 0;
    return mp_output_send(&conn->output, conn->fd, thread->head, head, FILE_BUDGET, &sent,
                          &thread->litter);
}

/* Only a socket that is full says when it takes more again: whatever the budget, it has to be
 * filled. */
static int send_until_full(struct mp_thread *thread, struct mp_request *request)
{
    int r;
    do
        r = send_now(thread, request);
    while (r == -EBUSY);
    return r;
}

/* Waits until the socket takes bytes. 0, or -EPIPE when its client takes them too slowly. */
static int wait_writable(const struct mp_conn *conn)
{
    const struct mp_worker_options *options = conn->reactor->server->options;
    int64_t timeout = options->write_timeout;
    int ms = timeout > 0 ? (int)(timeout / MP_NSEC_PER_MSEC) : -1;
    struct mp_pace pace;
    int r;
    mp_pace_begin(&pace, mp_clock_now(), mp_conn_taken(conn));
    do
        r = mp_fd_writable(conn->fd, ms);
    while (r == 0 && mp_pace_kept(&pace, mp_clock_now(), mp_conn_taken(conn), options->write_rate));
    return r > 0 ? 0 : -EPIPE;
}

/* What is held in memory goes to the file. False: it cannot, or not all of it. */
static bool spill(struct mp_conn *conn, struct mp_litter *litter)
{
    struct mp_server *server = conn->reactor->server;
    int r = mp_output_spill(&conn->output, &server->spool, litter);
    if (r < 0 && mp_spool_report_due(&server->spool, mp_clock_now()))
        mp_log(server->log, MP_LOG_WARNING,
               "no temporary file for an answer: %s. Its handler waits for its client",
               mp_spool_error(r));
    return r == 0;
}

/* Keeps the memory of a response within bounds: to the file, or by waiting for the client. */
static int bound_memory(struct mp_thread *thread, struct mp_request *request)
{
    struct mp_conn *conn = request->conn;
    const struct mp_worker_options *options = conn->reactor->server->options;
    struct mp_output *output = &conn->output;
    bool spool = true;
    int r = 0;
    /* Files that the application has given cost neither. */
    while (r == 0 && (output->memory > options->output_memory ||
                      output->memory + output->spooled > options->output_file)) {
        if (spool && output->memory + output->spooled <= options->output_file) {
            spool = spill(conn, &thread->litter);
            continue;
        }
        r = wait_writable(conn);
        if (r == 0)
            r = send_until_full(thread, request);
        if (r == -EAGAIN)
            r = 0;
    }
    return r;
}

static int flush_locked(struct mp_request *request)
{
    struct mp_thread *thread = request->thread;
    struct mp_response *response = &request->response;
    struct mp_conn *conn = request->conn;
    int r = -EPIPE;
    pthread_mutex_lock(&conn->output_lock);
    if (!atomic_load_explicit(&conn->gone, memory_order_relaxed)) {
        /* Under the lock: the control thread's 504 goes out before this, or never. */
        atomic_store_explicit(&conn->streaming, true, memory_order_release);
        if (!response->committed)
            commit(request, false);
        r = queue_first(request);
        if (r == 0)
            r = send_until_full(thread, request);
        if (r == -EAGAIN)
            r = bound_memory(thread, request);
        if (r < 0)
            atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&conn->output_lock);
    return r < 0 && r != -ENOMEM ? -EPIPE : r;
}

int mp_response_flush(struct mp_request *request)
{
    struct mp_conn *conn = request->conn;
    int r;
    if (!request->response.begun || request->response.ended || request->response.written == 0)
        return 0;
    request->response.flushing = true;
    /* The leader may have found the socket ready and the lock taken: the event was for us then. */
    do
        r = flush_locked(request);
    while (r == 0 && atomic_exchange_explicit(&conn->push_missed, false, memory_order_seq_cst));
    request->response.flushing = false;
    return r;
}

/* The one body block of a small answer goes behind the head: both leave by one send. */
static int end_small(struct mp_request *request)
{
    struct mp_response *response = &request->response;
    if (response->first_size > MP_RESPONSE_COPY)
        return queue_first(request);
    char *at = request->thread->head + response->head_size;
    memmove(at, response->first, response->first_size); /* it may be in the same buffer */
    response->head_size += response->first_size;
    response->first = NULL;
    drop_ref(request, response->first_ref);
    return 0;
}

int mp_response_end(struct mp_request *request)
{
    struct mp_response *response = &request->response;
    struct mp_conn *conn = request->conn;
    drop_orphan(request);
    if (!response->begun || response->ended)
        return response->ended ? -EALREADY : -EINVAL;
    int r = 0;
    bool locked = lock_output(conn);
    if (!response->committed) {
        commit(request, true);
        if (response->first)
            r = end_small(request);
    }
    if (r == 0 && response->chunked && !response->bodyless)
        r = mp_output_copy(&conn->output, MP_HTTP_CHUNK_LAST, 5);
    unlock_output(conn, locked);
    response->ended = true;
    bool complete =
        response->bodyless || !response->has_length || response->written == response->length;
    if (r < 0 || !complete)
        response->failed = true;
    return r < 0 ? r : complete ? 0 : -ENODATA;
}

static const char failure_text[] = "Internal Server Error\n";

void mp_response_fail(struct mp_request *request)
{
    struct mp_response *response = &request->response;
    drop_orphan(request);
    if (response->ended)
        return;
    if (response->committed) {
        response->failed = true;
        response->ended = true;
        return;
    }
    if (response->first)
        drop_ref(request, response->first_ref);
    *response = (struct mp_response){0};
    mp_response_reply(request, 500, "text/plain; charset=utf-8", failure_text,
                      sizeof(failure_text) - 1);
}

int mp_response_reply(struct mp_request *request, int status, const char *content_type,
                      const char *body, size_t n)
{
    int r = mp_response_begin(request, status, NULL, 0);
    if (r == 0 && content_type)
        r = mp_response_field(request, "Content-Type", 12, content_type, strlen(content_type));
    if (r == 0) {
        request->response.has_length = true;
        request->response.length = n;
        r = mp_response_write(request, body, n, NULL);
    }
    return r == 0 ? mp_response_end(request) : r;
}

/* ---- the server's side ------------------------------------------------------------------- */

int mp_response_send(struct mp_thread *thread, struct mp_request *request)
{
    struct mp_conn *conn = request->conn;
    bool locked = lock_output(conn);
    int r = -EPIPE;
    if (!atomic_load_explicit(&conn->gone, memory_order_relaxed))
        r = send_now(thread, request);
    if (locked) {
        mp_litter_merge(&thread->litter, &conn->litter);
        atomic_store_explicit(&conn->streaming, false, memory_order_release);
        pthread_mutex_unlock(&conn->output_lock);
    }
    return r;
}

bool mp_response_time_out(struct mp_request *request)
{
    struct mp_conn *conn = request->conn;
    const struct mp_canned canned = {.status = 504,
                                     .head_only = request->head.method == MP_HTTP_HEAD};
    char text[MP_CANNED_SIZE];
    bool sent = false;
    /* Who holds the lock streams, and may wait for a slow client with it: nobody waits for that
     * here. */
    bool locked = pthread_mutex_trylock(&conn->output_lock) == 0;
    bool streaming = !locked || atomic_load_explicit(&conn->streaming, memory_order_acquire);
    if (!streaming && !atomic_load_explicit(&conn->gone, memory_order_relaxed)) {
        size_t n = mp_canned_make(text, &canned);
        sent = mp_socket_send(conn->fd, text, n, false) == (ssize_t)n;
    }
    atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    if (locked)
        pthread_mutex_unlock(&conn->output_lock);
    mp_socket_shutdown_write(conn->fd);
    return sent;
}
