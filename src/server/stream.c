/* SPDX-License-Identifier: MIT */
/*
 * The stream protocol: connections, handed to handlers as they are.
 *
 *   accept --> IDLE until there are bytes, or their end --> RUNNING --> closed
 *
 * With admission "readable" it is IDLE for as long as it takes. With "connect" for a moment at
 * most, and only if nothing else waits: most clients speak first, and at once, and a handler that
 * finds their bytes does not have to sleep in its first read, which under a GIL costs several
 * switches between threads. Where that moment is found to pass in vain, because the server speaks
 * first or the clients are far away, it is left out, and tried again now and then. While the leader
 * has other things to do it looks at newcomers once a turn; only when it is about to sleep are they
 * put into the poller, which costs three system calls and not one.
 *
 * A handler takes the socket and does with it what it wants, also close it, and its number may be
 * another connection's by the time the handler ends. So nothing here touches the descriptor again
 * once it has been taken, and a connection is unwatched before its request becomes ready. Only
 * where handlers have a deadline, the worker keeps a descriptor of its own, which the control
 * thread shuts down when that has passed.
 */
#include "server/stream.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/fd.h"
#include "server/conn.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/reactor.h"

/* How long a newcomer is given; the leader looks at them every millisecond, if not more often. */
#define MOMENT (1 * MP_NSEC_PER_MSEC)

enum {
    IN_VAIN_MOST = 8, /* moments in a row, before they are left out */
    TRY_AGAIN = 256,  /* ... but for every so many connections */
};

/* What says that a client has sent something, or will send nothing more. */
#define FIRST_BYTES (MP_POLL_IN | MP_POLL_RDHUP)

static const struct mp_worker_options *options_of(const struct mp_conn *conn)
{
    return conn->reactor->server->options;
}

/* ---- from accept to the handler ------------------------------------------------------------ */

/* The connection is its thread's from here on. 0 or -ENOMEM. */
static int make_ready(struct mp_conn *conn, int64_t now)
{
    conn->request = mp_pool_request_new(conn->reactor);
    if (!conn->request)
        return -ENOMEM;
    mp_protocol_ready_once(conn, now);
    return 0;
}

static int accept_one(struct mp_reactor *reactor, const struct mp_listen_socket *listener,
                      int64_t now, struct mp_conn **ret_conn)
{
    struct mp_sockaddr peer;
    int fd = mp_socket_accept_blocking(listener->fd, &peer);
    if (fd < 0)
        return fd;
    return mp_conn_new(reactor, fd, &peer, listener, now, ret_conn);
}

/* Many clients have sent something by the time they are accepted: no need to watch those. */
static int take_readable(struct mp_thread *thread, const struct mp_listen_socket *listener,
                         int64_t now)
{
    struct mp_conn *conn;
    int r = accept_one(thread->reactor, listener, now, &conn);
    if (r < 0)
        return r;
    r = mp_socket_peek(conn->fd);
    if (r >= 0)
        r = make_ready(conn, now);
    else if (r == -EAGAIN)
        r = mp_conn_watch(conn, FIRST_BYTES, options_of(conn)->readable_timeout, now);
    else
        r = -ECONNABORTED; /* reset before it was looked at */
    if (r < 0)
        mp_conn_close(thread, conn);
    return r;
}

/* Whether a connection that has just come is given its moment. Who waits in the FIFO has time
 * enough, and its thread has others to run. */
static bool gets_a_moment(struct mp_reactor *reactor)
{
    uint64_t count = atomic_load_explicit(&reactor->server->slot->accepted, memory_order_relaxed);
    if (reactor->waiting > 0 || reactor->fresh_size > 0)
        return false;
    return reactor->in_vain < IN_VAIN_MOST || count % TRY_AGAIN == 0;
}

static int take(struct mp_thread *thread, const struct mp_listen_socket *listener, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_conn *conn;
    int r = accept_one(reactor, listener, now, &conn);
    if (r < 0)
        return r;
    if (gets_a_moment(reactor) && mp_socket_peek(conn->fd) == -EAGAIN)
        mp_list_append(&reactor->newcomers, &conn->timer.link);
    else
        r = make_ready(conn, now);
    if (r < 0)
        mp_conn_close(thread, conn);
    return r;
}

/* A connection that was watched, or looked at, has a thread from now on. */
static void begin(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    mp_conn_unwatch(conn);
    if (make_ready(conn, now) < 0)
        mp_conn_close(thread, conn);
}

/* What a client has sent before it went is still to be handled; it is not "gone" then. */
static void begin_if_whole(struct mp_thread *thread, struct mp_conn *conn, int peeked, int64_t now)
{
    if (peeked < 0) {
        mp_conn_close(thread, conn);
        return;
    }
    atomic_store_explicit(&conn->gone, false, memory_order_relaxed);
    begin(thread, conn, now);
}

static struct mp_conn *newcomer_of(struct mp_list *node)
{
    return mp_list_entry(node, struct mp_conn, timer.link);
}

/* Newcomers that have spoken, and those whose moment is over, have a thread now, as all connections
 * of admission "connect". Those that have come in this turn were just looked at. */
static void on_turn(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    mp_list_foreach_safe (node, &reactor->newcomers) {
        struct mp_conn *conn = newcomer_of(node);
        if (conn->phase_start == now)
            return;
        int peeked = conn->watched ? -EAGAIN : mp_socket_peek(conn->fd);
        if (peeked != -EAGAIN) {
            reactor->in_vain = 0;
            begin_if_whole(thread, conn, peeked, now);
        } else if (now - conn->phase_start >= MOMENT) {
            reactor->in_vain++;
            begin(thread, conn, now);
        }
    }
}

/* Where there is no room in the poller, a newcomer waits for the next look. */
static void on_rest(struct mp_thread *thread, int64_t now)
{
    mp_list_foreach_safe (node, &thread->reactor->newcomers) {
        struct mp_conn *conn = newcomer_of(node);
        if (!conn->watched)
            (void)mp_conn_watch_briefly(conn, FIRST_BYTES, now);
    }
}

static void on_event(struct mp_thread *thread, struct mp_conn *conn, uint32_t events, int64_t now)
{
    bool ended = events & (MP_POLL_HUP | MP_POLL_ERR);
    mp_assert(conn->state == MP_CONN_IDLE);
    conn->reactor->in_vain = 0;
    begin_if_whole(thread, conn, ended ? mp_socket_peek(conn->fd) : 0, now);
}

static bool on_timeout(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    (void)now;
    mp_conn_close(thread, conn);
    return true;
}

static void on_drain(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    if (options_of(conn)->admission == MP_ADMISSION_READABLE)
        mp_reactor_set_deadline(conn, now, options_of(conn)->drain_idle);
    else
        begin(thread, conn, now);
}

/* ---- the handler's ----------------------------------------------------------------------- */

int mp_request_take_socket(struct mp_request *request)
{
    struct mp_conn *conn = request->conn;
    int fd = conn->fd;
    if (fd < 0 || conn->taken)
        return -EBADF;
    if (options_of(conn)->request_timeout > 0)
        fd = mp_fd_dup(fd);
    else
        conn->fd = -1;
    conn->taken = fd >= 0;
    return fd;
}

/* ---- what others see of it ----------------------------------------------------------------- */

static bool is_unix(const struct mp_request *request)
{
    return request->conn->listener->addr.any.sa_family == AF_UNIX;
}

static void show(struct mp_thread *thread, const struct mp_request *request, int64_t now)
{
    const char *method = is_unix(request) ? "UNIX" : "TCP";
    mp_protocol_show(thread, request, method, strlen(method), "", 0, now);
}

static void describe(const struct mp_request *request, char *text, size_t size)
{
    mp_protocol_describe(request, "connection", text, size);
}

/* Who waits for the client is woken by that, and finds the connection at its end. */
static const char *time_out(struct mp_server *server, struct mp_request *request)
{
    (void)server;
    mp_socket_shutdown(request->conn->fd);
    return "connection cut";
}

#define COMMON                                                                                     \
    .route = MP_ROUTE_ONLY, .on_event = on_event, .resume = mp_protocol_close,                     \
    .shed = mp_protocol_shed_once, .on_timeout = on_timeout, .on_drain = on_drain, .show = show,   \
    .finish = mp_protocol_finish_once, .time_out = time_out, .describe = describe

const struct mp_protocol mp_protocol_stream = {
    .whole = true, .take = take, .on_turn = on_turn, .on_rest = on_rest, COMMON};
const struct mp_protocol mp_protocol_stream_readable = {.take = take_readable, COMMON};
