/* SPDX-License-Identifier: MIT */
/*
 * The reactor; see reactor.h. One turn of the leader:
 *
 *   connections given back -> events -> deadlines -> ready handlers (pool.c)
 *
 * The array of events is used up before any handler runs, because in a handler the token can be
 * lost, and with it the right to touch what the events refer to.
 *
 * Falling asleep. The leader says so (sleeping = true), then looks once more whether connections
 * were given back, then waits. Who gives one back pushes it first, then looks whether the leader
 * sleeps. Both sides are sequentially consistent, so at least one sees the other: no connection is
 * left lying while the leader sleeps.
 */
#include "server/reactor.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "os/clock.h"
#include "server/conn.h"
#include "server/listener.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/shed.h"
#include "server/token.h"

/* A leader with nothing to do looks around that often all the same; see listener.c. */
enum { IDLE_LOOK_MS = 500, FULL_LOOK_MS = 50 };

int mp_reactor_init(struct mp_reactor *reactor, struct mp_server *server, unsigned handlers)
{
    memset(reactor, 0, sizeof(*reactor));
    reactor->server = server;
    reactor->protocol = mp_protocol_of(server->options);
    reactor->poller.fd = -1;
    reactor->wakeup.fd = -1;
    mp_list_init(&reactor->conns);
    mp_list_init(&reactor->spare_conns);
    mp_list_init(&reactor->spare_requests);
    mp_list_init(&reactor->fresh);
    mp_list_init(&reactor->newcomers);
    mp_wheel_init(&reactor->wheel, mp_clock_now());
    int r = mp_pool_init(reactor, handlers);
    if (r == 0)
        r = mp_poller_init(&reactor->poller);
    if (r == 0)
        r = mp_wakeup_init(&reactor->wakeup);
    if (r == 0)
        r = mp_poller_add(&reactor->poller, reactor->wakeup.fd, MP_POLL_IN | MP_POLL_EDGE,
                          MP_POLL_DATA_WAKEUP);
    return r;
}

void mp_reactor_done(struct mp_reactor *reactor)
{
    mp_conn_done_all(reactor);
    mp_wakeup_done(&reactor->wakeup);
    mp_poller_done(&reactor->poller);
    mp_pool_done(reactor);
}

void mp_reactor_wake(struct mp_reactor *reactor)
{
    /* One signal is enough: who finds it false knows that the leader is awake or about to be. */
    if (atomic_load_explicit(&reactor->sleeping, memory_order_seq_cst) &&
        atomic_exchange_explicit(&reactor->sleeping, false, memory_order_seq_cst))
        mp_wakeup_signal(&reactor->wakeup);
}

void mp_reactor_wake_watcher(struct mp_reactor *reactor)
{
    struct mp_server *server = reactor->server;
    /* The other half of the handshake is in control.c: asleep = true, then a look at the token. */
    if (mp_unlikely(atomic_load_explicit(&server->watcher_asleep, memory_order_seq_cst)) &&
        atomic_exchange_explicit(&server->watcher_asleep, false, memory_order_seq_cst))
        mp_wakeup_signal(&server->watcher);
}

static void push_returned(struct mp_reactor *reactor, struct mp_conn *conn)
{
    /* Relaxed: only the value that the exchange below confirms matters. */
    struct mp_conn *head = atomic_load_explicit(&reactor->returned, memory_order_relaxed);
    do {
        conn->returned_next = head;
    } while (!atomic_compare_exchange_weak_explicit(&reactor->returned, &head, conn,
                                                    memory_order_seq_cst, memory_order_relaxed));
}

void mp_reactor_return(struct mp_conn *conn)
{
    struct mp_reactor *reactor = conn->reactor;
    push_returned(reactor, conn);
    mp_reactor_wake(reactor);
}

void mp_reactor_return_idly(struct mp_conn *conn)
{
    struct mp_reactor *reactor = conn->reactor;
    push_returned(reactor, conn);
    /* Relaxed: as of a moment ago. Sequentially consistent: with the leader, who says that it is
     * eager before it looks for the last time. */
    if (atomic_load_explicit(&reactor->server->slot->fifo_depth, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&reactor->eager, memory_order_seq_cst))
        mp_reactor_wake(reactor);
}

void mp_reactor_stop_leader(struct mp_reactor *reactor)
{
    atomic_store_explicit(&reactor->stop, true, memory_order_seq_cst);
    mp_reactor_wake(reactor);
}

void mp_reactor_set_deadline(struct mp_conn *conn, int64_t now, int64_t timeout)
{
    int64_t deadline = timeout > 0 ? now + timeout : MP_WHEEL_NEVER;
    /* What runs or lingers has bounds of its own. */
    if (conn->expires > 0 && deadline > conn->expires && conn->state < MP_CONN_RUNNING)
        deadline = conn->expires;
    /* Relaxed: read by the leader, who is told of the connection by its gate, or reads it late. */
    atomic_store_explicit(&conn->deadline, deadline, memory_order_relaxed);
}

/* ---- deadlines --------------------------------------------------------------------------- */

static void look_again(struct mp_conn *conn, int64_t now)
{
    int64_t look = now + conn->reactor->look;
    int64_t deadline = atomic_load_explicit(&conn->deadline, memory_order_relaxed);
    atomic_store_explicit(&conn->timer.deadline, deadline < look ? deadline : look,
                          memory_order_relaxed);
    mp_wheel_place(&conn->reactor->wheel, &conn->timer);
}

/* Connections that were busy when the drain began, and whose clients expect them to be kept. */
static void shorten_when_draining(struct mp_conn *conn, int64_t now)
{
    int64_t limit = now + conn->reactor->server->options->drain_idle;
    if (conn->reactor->draining && conn->state == MP_CONN_IDLE &&
        atomic_load_explicit(&conn->deadline, memory_order_relaxed) > limit)
        atomic_store_explicit(&conn->deadline, limit, memory_order_relaxed);
}

static void on_look(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    bool ours = atomic_load_explicit(&conn->gate, memory_order_acquire) == MP_GATE_REACTOR;
    int64_t deadline = atomic_load_explicit(&conn->deadline, memory_order_relaxed);
    if (ours && now >= deadline && conn->reactor->protocol->on_timeout(thread, conn, now))
        return; /* closed */
    if (ours)
        shorten_when_draining(conn, now);
    look_again(conn, now);
}

static void run_timers(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_list due;
    struct mp_list *node;
    mp_list_init(&due);
    if (mp_wheel_advance(&reactor->wheel, now, &due) == 0)
        return;
    while ((node = mp_list_pop(&due))) {
        struct mp_wheel_entry *entry = mp_list_entry(node, struct mp_wheel_entry, link);
        on_look(thread, mp_container_of(entry, struct mp_conn, timer), now);
    }
}

/* ---- events ------------------------------------------------------------------------------ */

/* True when the leader may handle events of conn; else leaves word of them for its owner. */
static bool pass_gate(struct mp_conn *conn)
{
    uint32_t gate = atomic_load_explicit(&conn->gate, memory_order_acquire);
    while (gate != MP_GATE_REACTOR) {
        /* Release: what was written to conn->gone before is seen by who finds the event. */
        if (atomic_compare_exchange_weak_explicit(&conn->gate, &gate, gate | MP_GATE_EVENT,
                                                  memory_order_acq_rel, memory_order_acquire))
            return false;
    }
    return true;
}

static void on_conn(struct mp_thread *thread, const struct epoll_event *event, int64_t now)
{
    struct mp_conn *conn = mp_conn_of_event(event->data.u64);
    if (!conn)
        return; /* of a connection that is no more */
    if (event->events & (MP_POLL_HUP | MP_POLL_ERR))
        atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    if (event->events & MP_POLL_RDHUP)
        conn->ended = true; /* the leader's own, whoever has the connection: this edge comes once */
    if (pass_gate(conn))
        conn->reactor->protocol->on_event(thread, conn, event->events, now);
    else if (atomic_load_explicit(&conn->streaming, memory_order_acquire))
        conn->reactor->protocol->push(thread, conn);
}

static void on_event(struct mp_thread *thread, const struct epoll_event *event, int64_t now)
{
    uint64_t data = event->data.u64;
    if (data == MP_POLL_DATA_WAKEUP)
        mp_wakeup_clear(&thread->reactor->wakeup);
    else if (data & MP_POLL_DATA_LISTENER)
        mp_listener_on_event(thread, (unsigned)(data >> 2), now);
    else
        on_conn(thread, event, now);
}

void mp_reactor_own(struct mp_conn *conn)
{
    uint32_t gate = atomic_exchange_explicit(&conn->gate, MP_GATE_REACTOR, memory_order_acquire);
    if (gate & MP_GATE_EVENT)
        conn->readable = true; /* perhaps it was that: recv will tell */
}

static void take_returned(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    if (!atomic_load_explicit(&reactor->returned, memory_order_relaxed))
        return;
    struct mp_conn *conn = atomic_exchange_explicit(&reactor->returned, NULL, memory_order_acquire);
    while (conn) {
        struct mp_conn *next = conn->returned_next;
        mp_reactor_own(conn);
        reactor->protocol->resume(thread, conn, now);
        conn = next;
    }
}

/* ---- the loop ---------------------------------------------------------------------------- */

static int wait_events(struct mp_reactor *reactor, struct epoll_event *events, int timeout)
{
    if (timeout != 0) {
        bool eager = !reactor->accepting || reactor->draining;
        if (eager != atomic_load_explicit(&reactor->eager, memory_order_relaxed))
            atomic_store_explicit(&reactor->eager, eager, memory_order_seq_cst);
        atomic_store_explicit(&reactor->sleeping, true, memory_order_seq_cst);
        if (atomic_load_explicit(&reactor->returned, memory_order_seq_cst) ||
            atomic_load_explicit(&reactor->stop, memory_order_seq_cst) ||
            atomic_load_explicit(&reactor->server->draining, memory_order_seq_cst) !=
                reactor->draining)
            timeout = 0;
    }
    int n = mp_poller_wait(&reactor->poller, events, MP_POLL_BATCH, timeout);
    if (atomic_load_explicit(&reactor->sleeping, memory_order_relaxed))
        atomic_store_explicit(&reactor->sleeping, false, memory_order_relaxed);
    return n;
}

static int sleep_time(struct mp_reactor *reactor, int64_t now)
{
    int timeout = mp_wheel_timeout_ms(&reactor->wheel, now);
    if (!mp_list_empty(&reactor->newcomers))
        return 1;
    if (timeout < 0 || timeout > IDLE_LOOK_MS)
        timeout = IDLE_LOOK_MS;
    if (!reactor->accepting && reactor->leaving_since > 0 && timeout > FULL_LOOK_MS)
        timeout = FULL_LOOK_MS;
    int64_t shed = mp_shed_next(reactor);
    if (shed < now + timeout * MP_NSEC_PER_MSEC)
        timeout = shed > now ? (int)((shed - now) / MP_NSEC_PER_MSEC) + 1 : 0;
    return timeout;
}

/* Waits for events, at most timeout_ms, and handles them. Returns the time. */
static int64_t turn(struct mp_thread *thread, int timeout_ms)
{
    struct mp_reactor *reactor = thread->reactor;
    struct epoll_event events[MP_POLL_BATCH];
    int n = wait_events(reactor, events, timeout_ms);
    int64_t now = mp_clock_now();
    take_returned(thread, now);
    for (int i = 0; i < n; i++)
        on_event(thread, &events[i], now);
    run_timers(thread, now);
    if (!mp_list_empty(&reactor->newcomers))
        reactor->protocol->on_turn(thread, now);
    reactor->closed = false;
    mp_listener_update(thread, now, n == 0);
    mp_conn_drain(thread, now);
    return now;
}

bool mp_reactor_lead(struct mp_thread *thread)
{
    struct mp_reactor *reactor = thread->reactor;
    /* A new leader looks first: events may have waited while the token was being taken. */
    enum mp_turn next = MP_TURN_AGAIN;
    int64_t now = 0;
    while (!atomic_load_explicit(&reactor->stop, memory_order_acquire)) {
        int timeout = 0;
        if (next == MP_TURN_DRY) {
            if (!mp_pool_sweep_as_leader(thread))
                return false;
            if (reactor->waiting > 0)
                mp_reactor_wake_watcher(reactor);
            if (!mp_list_empty(&reactor->newcomers))
                reactor->protocol->on_rest(thread, now);
            timeout = sleep_time(reactor, now);
            /* Closed behind a handler: the one that the drain or the next client has waited for? */
            if (reactor->closed && (reactor->draining || !reactor->accepting))
                timeout = 0;
        }
        now = turn(thread, timeout);
        next = mp_pool_run_ready(thread, now);
        if (next == MP_TURN_LOST || next == MP_TURN_RETIRED)
            return next == MP_TURN_RETIRED;
    }
    pthread_mutex_lock(&reactor->pool.lock);
    mp_token_give(reactor, NULL);
    pthread_mutex_unlock(&reactor->pool.lock);
    return false;
}
