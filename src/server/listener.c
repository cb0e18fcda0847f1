/* SPDX-License-Identifier: MIT */
/* Accepting connections; see listener.h. */
#include "server/listener.h"

#include <errno.h>
#include <string.h>

#include "os/clock.h"
#include "os/fd.h"
#include "server/conn.h"
#include "server/health.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/stuck.h"

enum {
    ACCEPT_ALONE = 64,     /* connections at a time when there are no siblings */
    ACCEPT_SHARED = 4,     /* ... and when there are: the others are waking up */
    ENOUGH_TO_COMPUTE = 8, /* requests at once, under a GIL, when handlers compute */
    IMBALANCE_MIN = 16,    /* connections more than a sibling that are no reason to stop */
};

/* A worker that has all the requests that it can run leaves further connections for so long to
 * workers that the master may start; then it takes them all the same, and lets them wait. */
#define ACCEPT_FOR_OTHERS (500 * MP_NSEC_PER_MSEC)

#define ACCEPT_PAUSE (250 * MP_NSEC_PER_MSEC)
#define FULL_PAUSE (10 * MP_NSEC_PER_SEC) /* between two lines in the log */

/* Whether the master may start another worker. */
static bool may_get_sibling(const struct mp_reactor *reactor)
{
    return reactor->siblings + 1 < reactor->server->options->workers_most;
}

static bool shared(const struct mp_reactor *reactor)
{
    return reactor->siblings > 0 || may_get_sibling(reactor);
}

static bool out_of_resources(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
           error == -ENOSPC; /* of the poller: too many watches of this user */
}

/* No descriptor or memory: trying at once again would only burn the CPU, since the socket stays
 * readable. */
static void pause_accepting(struct mp_reactor *reactor, int error, int64_t now)
{
    reactor->accept_pause_until = now + ACCEPT_PAUSE;
    if (reactor->accept_reported)
        return;
    reactor->accept_reported = true;
    const char *cure =
        error == -EMFILE || error == -ENFILE
            ? ". Raise the limit of open files (ulimit -n) or lower --worker-connections"
            : "";
    mp_log(reactor->server->log, MP_LOG_ERROR,
           "cannot accept connections: %s; trying again every 0.25 s%s", strerror(-error), cure);
}

/* Of a protocol whose connections all want a thread: how many may be here at once. While threads
 * can still be started, some more: that they wait is what starts them. (All that have come, when
 * the pool stops: then nobody else takes them.) */
static unsigned thread_limit(const struct mp_reactor *reactor)
{
    const struct mp_server *server = reactor->server;
    if (mp_thread_sizing_is_open(&reactor->pool.staff.sizing))
        return server->options->threads;
    return atomic_load_explicit(&server->slot->threads, memory_order_relaxed);
}

/* Full, or nobody here can get at the interpreter: others may have what comes. The connections of
 * stuck handlers have threads that are not missed. */
static bool is_full(const struct mp_reactor *reactor)
{
    const struct mp_server *server = reactor->server;
    if (reactor->conn_count >= server->options->connections)
        return true;
    if (reactor->draining)
        return false;
    /* Relaxed: seen a turn late. */
    if (atomic_load_explicit(&server->held, memory_order_relaxed))
        return true;
    return reactor->protocol->whole &&
           reactor->conn_count >= thread_limit(reactor) + mp_stuck_count(server);
}

static void report_full(struct mp_reactor *reactor, int64_t now)
{
    const struct mp_server *server = reactor->server;
    if (reactor->conn_count < server->options->connections || now < reactor->full_report_at)
        return;
    reactor->full_report_at = now + FULL_PAUSE;
    mp_log(server->log, MP_LOG_WARNING,
           "worker %u: as many connections as --worker-connections allows, %u. Further ones wait "
           "in the kernel, or get another worker",
           server->context->slot + 1, server->options->connections);
}

/* The error is one client's, not the socket's. */
static bool concerns_one(int error)
{
    return error == -ECONNABORTED || error == -EPROTO || error == -EPERM || error == -ECONNREFUSED;
}

/* Accepts at most max. 0 when more may be waiting, or -errno of the last accept. */
static int accept_some(struct mp_thread *thread, const struct mp_listen_socket *listener,
                       unsigned max, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_server *server = reactor->server;
    for (unsigned i = 0; i < max; i++) {
        if (is_full(reactor))
            return -EAGAIN;
        int r = reactor->protocol->take(thread, listener, now);
        if (concerns_one(r))
            continue;
        if (r < 0) {
            if (out_of_resources(r))
                pause_accepting(reactor, r, now);
            return r;
        }
        uint64_t n = atomic_load_explicit(&server->slot->accepted, memory_order_relaxed);
        atomic_store_explicit(&server->slot->accepted, n + 1, memory_order_relaxed);
        reactor->accept_reported = false;
    }
    return 0;
}

static void accept_all(struct mp_thread *thread, unsigned max, int64_t now)
{
    const struct mp_worker_context *context = thread->reactor->server->context;
    for (size_t i = 0; i < context->listener_count; i++) {
        if (context->listeners[i].fd >= 0)
            accept_some(thread, &context->listeners[i], max, now);
    }
}

void mp_listener_on_event(struct mp_thread *thread, unsigned index, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    if (!reactor->accepting)
        return; /* it was taken out after the event */
    unsigned max = shared(reactor) ? ACCEPT_SHARED : ACCEPT_ALONE;
    accept_some(thread, &reactor->server->context->listeners[index], max, now);
}

/* Counts the siblings that serve; whether one of them should rather have the next connection. */
static bool sibling_is_better(struct mp_reactor *reactor, bool busy, int64_t now)
{
    const struct mp_worker_context *context = reactor->server->context;
    unsigned count = mp_scoreboard_workers(context->board);
    bool better = false;
    reactor->siblings = 0;
    for (unsigned i = 0; i < count; i++) {
        struct mp_sb_worker *slot = mp_scoreboard_worker(context->board, i);
        /* Relaxed throughout: a view that is a little old costs a little balance. */
        if (i == context->slot || !mp_health_serves(slot, now))
            continue;
        reactor->siblings++;
        unsigned depth = atomic_load_explicit(&slot->fifo_depth, memory_order_relaxed);
        unsigned handlers = atomic_load_explicit(&slot->handlers, memory_order_relaxed);
        unsigned conns = atomic_load_explicit(&slot->connections, memory_order_relaxed);
        /* By what it may have: one that is short of threads gets more of them. */
        if (depth > 0 &&
            (handlers >= reactor->server->options->threads || reactor->protocol->whole))
            continue; /* has no room either */
        if (busy || reactor->conn_count > conns + conns / 8 + IMBALANCE_MIN)
            better = true;
    }
    return better;
}

/* Handlers that may run here at once: threads may still come, if the bound on all workers leaves
 * any. */
static unsigned places(const struct mp_reactor *reactor)
{
    const struct mp_server *server = reactor->server;
    if (atomic_load_explicit(&reactor->pool.bounded, memory_order_relaxed))
        return atomic_load_explicit(&server->slot->threads, memory_order_relaxed);
    return server->options->threads;
}

/* So many requests at once are all that this worker can do anything for. */
static unsigned enough_requests(const struct mp_reactor *reactor, unsigned handlers)
{
    const struct mp_server *server = reactor->server;
    unsigned computing = atomic_load_explicit(&server->slot->computing, memory_order_relaxed);
    unsigned threads = places(reactor);
    if (server->app->max_computing > 0 && computing * 2 >= handlers && threads > ENOUGH_TO_COMPUTE)
        return ENOUGH_TO_COMPUTE;
    return threads;
}

/* Whether connections are to be left to a sibling that does not exist yet. requests: also those
 * that connections have not brought yet. */
static bool waits_for_sibling(struct mp_reactor *reactor, unsigned requests, unsigned handlers,
                              int64_t now)
{
    unsigned enough = enough_requests(reactor, handlers);
    /* Once it is so, moments in which many handlers end do not count. */
    if (reactor->leaving_since > 0)
        enough /= 2;
    if (requests < enough || reactor->protocol->whole || !may_get_sibling(reactor)) {
        reactor->leaving_since = 0;
        return false;
    }
    if (reactor->leaving_since == 0)
        reactor->leaving_since = now;
    return now - reactor->leaving_since < ACCEPT_FOR_OTHERS;
}

static bool has_room(struct mp_reactor *reactor, int64_t now)
{
    struct mp_server *server = reactor->server;
    if (is_full(reactor) || now < reactor->accept_pause_until)
        return false;
    /* Relaxed: as of the last time that somebody chose what to run, which is good enough. */
    unsigned depth = atomic_load_explicit(&server->slot->fifo_depth, memory_order_relaxed);
    unsigned handlers = atomic_load_explicit(&server->slot->handlers, memory_order_relaxed);
    unsigned most = server->options->threads + mp_stuck_count(server);
    bool busy = depth > 0 && (handlers >= most || reactor->protocol->whole);
    if (sibling_is_better(reactor, busy, now))
        return false;
    return !waits_for_sibling(reactor, handlers + depth + reactor->unheard, handlers, now);
}

static void stop_accepting(struct mp_reactor *reactor)
{
    const struct mp_worker_context *context = reactor->server->context;
    for (size_t i = 0; i < context->listener_count; i++)
        mp_poller_remove(&reactor->poller, context->listeners[i].fd);
    reactor->accepting = false;
}

/* All of them, or none for a while: the poller may have no room. */
static void start_accepting(struct mp_reactor *reactor, int64_t now)
{
    const struct mp_worker_context *context = reactor->server->context;
    uint32_t events = MP_POLL_IN | MP_POLL_EXCLUSIVE;
    for (size_t i = 0; i < context->listener_count; i++) {
        int r = mp_poller_add(&reactor->poller, context->listeners[i].fd, events,
                              (uint64_t)i << 2 | MP_POLL_DATA_LISTENER);
        if (r < 0) {
            stop_accepting(reactor);
            pause_accepting(reactor, r, now);
            return;
        }
    }
    reactor->accepting = true;
}

void mp_listener_update(struct mp_thread *thread, int64_t now, bool quiet)
{
    struct mp_reactor *reactor = thread->reactor;
    if (reactor->draining)
        return;
    bool room = has_room(reactor, now);
    if (room && !reactor->accepting) {
        start_accepting(reactor, now);
    } else if (!room && reactor->accepting) {
        /* Out of the poller first: from now on wake-ups go to others; then what came with earlier
         * ones. */
        stop_accepting(reactor);
        report_full(reactor, now);
        bool leaves = reactor->leaving_since > 0 && reactor->siblings == 0;
        if (now >= reactor->accept_pause_until && !leaves)
            accept_all(thread, ACCEPT_ALONE, now);
    } else if (room && quiet && shared(reactor)) {
        accept_all(thread, ACCEPT_SHARED, now);
    }
}

static void close_listeners(const struct mp_worker_context *context)
{
    for (size_t i = 0; i < context->listener_count; i++)
        mp_fd_close(&context->listeners[i].fd);
}

void mp_listener_close(struct mp_thread *thread, bool all, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    if (reactor->accepting)
        stop_accepting(reactor);
    if (all)
        accept_all(thread, reactor->server->options->connections, now);
    /* At once: while any process has the socket the kernel lets clients in, and who comes after the
     * last accept would be reset when the last process closes it. */
    if (reactor->server->options->protocol != MP_PROTOCOL_DATAGRAM)
        close_listeners(reactor->server->context);
}
