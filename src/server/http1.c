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
#include "server/http1.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "server/access_log.h"
#include "server/conn.h"
#include "server/parked.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/reactor.h"
#include "server/response_impl.h"
#include "server/trust.h"

/* How long a worker that drains waits for the rest of a head. */
#define DRAIN_HEAD (1 * MP_NSEC_PER_SEC)

static int take(struct mp_thread *thread, const struct mp_listen_socket *listener, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    const struct mp_worker_options *options = reactor->server->options;
    struct mp_sockaddr peer;
    struct mp_conn *conn;
    int fd = mp_socket_accept(listener->fd, &peer);
    if (fd < 0)
        return fd;
    if (!mp_trust_may_connect(reactor->server, &peer)) {
        mp_fd_close(&fd);
        return -ECONNABORTED; /* this one's matter, not the socket's */
    }
    if (peer.any.sa_family != AF_UNIX)
        mp_socket_set_nodelay(fd);
    int r = mp_conn_new(reactor, fd, &peer, listener, now, &conn);
    if (r < 0)
        return r;
    conn->awaits_proxy = options->proxy_versions != 0;
    if (options->connection_timeout > 0)
        conn->expires = now + options->connection_timeout;
    r = mp_conn_watch(conn, MP_CONN_EVERYTHING, options->header_timeout, now);
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
        conn->pipelined = 0; /* it was at rest */
        mp_http1_read(thread, conn, now);
        break;
    case MP_CONN_HEAD:
    case MP_CONN_BODY:
        mp_http1_read(thread, conn, now);
        break;
    case MP_CONN_WRITING:
        if (events & MP_POLL_OUT)
            mp_http1_send(thread, conn, now);
        break;
    case MP_CONN_LINGER:
        mp_http1_linger(thread, conn, now);
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
        mp_http1_send(thread, conn, now);
        break;
    case MP_CONN_LINGER:
        mp_http1_linger(thread, conn, now);
        break;
    case MP_CONN_IDLE:
        if (conn->close_after) {
            mp_http1_close(thread, conn, now);
            break;
        }
        mp_http1_next(thread, conn, now);
        break;
    default:
        mp_http1_read(thread, conn, now);
    }
}

static bool expired(const struct mp_conn *conn, int64_t now)
{
    return conn->expires > 0 && now >= conn->expires;
}

/* At the end of a period: true when the body came fast enough, and may have another. */
static bool body_keeps_pace(struct mp_conn *conn, int64_t now)
{
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    uint64_t length =
        conn->parked ? mp_parked_body_length(conn->parked) : conn->request->body.length;
    if (options->body_rate == 0 || expired(conn, now) ||
        !mp_pace_kept(&conn->pace, now, length, options->body_rate))
        return false;
    mp_reactor_set_deadline(conn, now, options->body_timeout);
    return true;
}

/* The same of a client that takes its response. */
static bool client_keeps_pace(struct mp_conn *conn, int64_t now)
{
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    if (expired(conn, now) ||
        !mp_pace_kept(&conn->pace, now, mp_conn_taken(conn), options->write_rate))
        return false;
    mp_reactor_set_deadline(conn, now, options->write_timeout);
    return true;
}

static void refuse_late(struct mp_thread *thread, struct mp_conn *conn, const char *reason,
                        int64_t now)
{
    if (expired(conn, now))
        reason = "the connection is older than --connection-timeout";
    if (mp_parked_take(conn) < 0) /* for the access log */
        mp_conn_close(thread, conn);
    else
        mp_http1_refuse(thread, conn, 408, reason, now);
}

static bool on_timeout(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    uint16_t generation = conn->generation;
    switch ((enum mp_conn_state)conn->state) {
    case MP_CONN_BODY:
        if (body_keeps_pace(conn, now))
            return false;
        refuse_late(thread, conn, "the body came too slowly", now);
        break;
    case MP_CONN_HEAD:
        refuse_late(thread, conn, "the head came too slowly", now);
        break;
    case MP_CONN_IDLE:
        mp_http1_close(thread, conn, now);
        break;
    case MP_CONN_WRITING:
        if (client_keeps_pace(conn, now))
            return false;
        mp_http1_report(conn, now, "cut off, it took its answer too slowly");
        mp_conn_close(thread, conn);
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
    int64_t limit = now + mp_http1_server(conn)->options->drain_idle;
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
    struct mp_server *server = mp_http1_server(conn);
    if (request->response.failed)
        conn->close_after = true;
    conn->request = NULL;
    mp_pool_request_free(conn->reactor, request, leading);
    if (result == -EAGAIN || result == -EBUSY) {
        mp_http1_begin_writing(conn, now);
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
    struct mp_server *server = mp_http1_server(conn);
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
    .shed = mp_http1_shed,
    .on_timeout = on_timeout,
    .on_drain = on_drain,
    .push = mp_http1_push,
    .show = show,
    .finish = finish,
    .time_out = time_out,
    .describe = describe,
};
