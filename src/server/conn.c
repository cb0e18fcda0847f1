/* SPDX-License-Identifier: MIT */
/* Connections; see conn.h. */
#include "server/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/fd.h"
#include "server/listener.h"
#include "server/parked.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/reactor.h"
#include "server/stuck.h"

enum { POINTER_BITS = 48 };

static uint64_t event_data(const struct mp_conn *conn)
{
    return (uint64_t)(uintptr_t)conn | (uint64_t)conn->generation << POINTER_BITS;
}

struct mp_conn *mp_conn_of_event(uint64_t data)
{
    uint64_t mask = (UINT64_C(1) << POINTER_BITS) - 1;
    struct mp_conn *conn = (struct mp_conn *)(uintptr_t)(data & mask);
    return conn->generation == (uint16_t)(data >> POINTER_BITS) && conn->fd >= 0 ? conn : NULL;
}

static struct mp_conn *conn_take(struct mp_reactor *reactor)
{
    struct mp_list *node = mp_list_pop(&reactor->spare_conns);
    if (node)
        return mp_list_entry(node, struct mp_conn, link);
    struct mp_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    mp_list_init(&conn->link);
    pthread_mutex_init(&conn->output_lock, NULL);
    return conn;
}

static void conn_reset(struct mp_conn *conn, struct mp_reactor *reactor, int fd)
{
    conn->generation++;
    conn->fd = fd;
    conn->reactor = reactor;
    conn->state = MP_CONN_IDLE;
    conn->readable = false;
    conn->ended = false;
    conn->close_after = false;
    conn->watched = false;
    conn->taken = false;
    conn->awaits_proxy = false;
    conn->hidden = false;
    conn->requests = 0;
    conn->pipelined = 0;
    conn->expires = 0;
    conn->request = NULL;
    conn->parked = NULL;
    conn->stash = NULL;
    conn->stash_size = 0;
    conn->scan = (struct mp_http_scan){0};
    atomic_store_explicit(&conn->gate, MP_GATE_REACTOR, memory_order_relaxed);
    atomic_store_explicit(&conn->gone, false, memory_order_relaxed);
    atomic_store_explicit(&conn->streaming, false, memory_order_relaxed);
    atomic_store_explicit(&conn->push_missed, false, memory_order_relaxed);
    mp_output_init(&conn->output);
    mp_wheel_entry_init(&conn->timer);
}

int mp_conn_new(struct mp_reactor *reactor, int fd, const struct mp_sockaddr *peer,
                const struct mp_listen_socket *listener, int64_t now, struct mp_conn **ret_conn)
{
    struct mp_conn *conn = conn_take(reactor);
    if (!conn) {
        mp_fd_close(&fd);
        return -ENOMEM;
    }
    conn_reset(conn, reactor, fd);
    conn->peer = *peer;
    conn->listener = listener;
    conn->phase_start = now;
    mp_list_append(&reactor->conns, &conn->link);
    reactor->conn_count++;
    reactor->unheard++;
    atomic_store_explicit(&reactor->server->slot->connections, reactor->conn_count,
                          memory_order_relaxed);
    *ret_conn = conn;
    return 0;
}

int mp_conn_watch_briefly(struct mp_conn *conn, uint32_t events, int64_t now)
{
    mp_reactor_set_deadline(conn, now, 0);
    int r =
        mp_poller_add(&conn->reactor->poller, conn->fd, events | MP_POLL_EDGE, event_data(conn));
    conn->watched = r == 0;
    return r;
}

int mp_conn_watch(struct mp_conn *conn, uint32_t events, int64_t timeout, int64_t now)
{
    struct mp_reactor *reactor = conn->reactor;
    int r = mp_conn_watch_briefly(conn, events, now);
    if (r < 0)
        return r;
    mp_reactor_set_deadline(conn, now, timeout);
    int64_t deadline = atomic_load_explicit(&conn->deadline, memory_order_relaxed);
    int64_t look = now + reactor->look;
    atomic_store_explicit(&conn->timer.deadline, deadline < look ? deadline : look,
                          memory_order_relaxed);
    mp_wheel_place(&reactor->wheel, &conn->timer);
    return 0;
}

void mp_conn_unwatch(struct mp_conn *conn)
{
    if (conn->watched)
        mp_poller_remove(&conn->reactor->poller, conn->fd);
    conn->watched = false;
    mp_wheel_remove(&conn->reactor->wheel, &conn->timer);
    conn->generation++;
}

void mp_conn_rearm(struct mp_conn *conn)
{
    /* It is registered, so that this takes no memory and cannot fail. */
    mp_poller_modify(&conn->reactor->poller, conn->fd, MP_CONN_EVERYTHING | MP_POLL_EDGE,
                     event_data(conn));
}

static void release_memory(struct mp_conn *conn, struct mp_litter *litter)
{
    if (conn->request)
        mp_pool_request_free(conn->reactor, conn->request, true);
    conn->request = NULL;
    mp_parked_free(conn->parked);
    conn->parked = NULL;
    free(conn->stash);
    conn->stash = NULL;
    mp_output_done(&conn->output, litter);
}

void mp_conn_close(struct mp_thread *thread, struct mp_conn *conn)
{
    struct mp_reactor *reactor = conn->reactor;
    release_memory(conn, &thread->litter);
    mp_wheel_remove(&reactor->wheel, &conn->timer);
    mp_fd_close(&conn->fd);
    mp_list_remove(&conn->link);
    mp_list_insert(&reactor->spare_conns, &conn->link);
    reactor->conn_count--;
    reactor->unheard -= conn->requests == 0;
    reactor->closed = true;
    atomic_store_explicit(&reactor->server->slot->connections, reactor->conn_count,
                          memory_order_relaxed);
}

int mp_conn_stash(struct mp_conn *conn, const char *data, size_t n)
{
    char *copy = NULL;
    if (n > 0) {
        copy = malloc(n);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, data, n);
    }
    free(conn->stash);
    conn->stash = copy;
    conn->stash_size = n;
    return 0;
}

/*
 * A socket says that it can be written to when a third of its buffer is free, which at a client's
 * pace may be long after the client has last taken something: so the kernel is asked.
 */
uint64_t mp_conn_taken(const struct mp_conn *conn)
{
    int64_t unsent = mp_socket_unsent(conn->fd);
    if (unsent <= 0)
        return conn->output.sent;
    return conn->output.sent > (uint64_t)unsent ? conn->output.sent - (uint64_t)unsent : 0;
}

/* ---- draining ---------------------------------------------------------------------------- */

/* Connections that the reactor has are told; all are looked at more often from now on. */
static void begin_drain(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    int64_t look = now + reactor->server->options->drain_idle;
    mp_list_foreach_safe (node, &reactor->conns) {
        struct mp_conn *conn = mp_list_entry(node, struct mp_conn, link);
        atomic_store_explicit(&conn->timer.deadline, look, memory_order_relaxed);
        mp_wheel_place(&reactor->wheel, &conn->timer);
        if (atomic_load_explicit(&conn->gate, memory_order_acquire) == MP_GATE_REACTOR)
            reactor->protocol->on_drain(thread, conn, now);
    }
}

void mp_conn_drain(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_server *server = reactor->server;
    uint32_t wanted = atomic_load_explicit(&server->draining, memory_order_seq_cst);
    if (wanted == 0)
        return;
    if (reactor->draining != wanted) {
        reactor->draining = wanted;
        mp_listener_close(thread, wanted > 1, now);
        reactor->look = server->options->drain_idle + MP_WHEEL_TICK_NS;
        begin_drain(thread, now);
    }
    /* Those of stuck handlers are answered, and not waited for. It may cease to be so: when such a
     * handler ends, or when the drain of a worker becomes that of the pool, and takes the backlog.
     */
    uint32_t drained = reactor->conn_count <= mp_stuck_count(server) ? wanted : 0;
    if (drained == atomic_load_explicit(&server->drained, memory_order_relaxed))
        return;
    /* Release: the control thread finds what was done for it. */
    atomic_store_explicit(&server->drained, drained, memory_order_release);
    if (drained != 0)
        mp_wakeup_signal(&server->watcher);
}

void mp_conn_done_all(struct mp_reactor *reactor)
{
    struct mp_list *node;
    struct mp_litter litter = {0};
    void *refs[16];
    while ((node = mp_list_pop(&reactor->conns))) {
        struct mp_conn *conn = mp_list_entry(node, struct mp_conn, link);
        release_memory(conn, &litter);
        mp_fd_close(&conn->fd);
        mp_list_append(&reactor->spare_conns, &conn->link);
    }
    reactor->conn_count = 0;
    reactor->unheard = 0;
    if (reactor->server->slot)
        atomic_store_explicit(&reactor->server->slot->connections, 0, memory_order_relaxed);
    while ((node = mp_list_pop(&reactor->spare_conns))) {
        struct mp_conn *conn = mp_list_entry(node, struct mp_conn, link);
        pthread_mutex_destroy(&conn->output_lock);
        free(conn);
    }
    /* The application's threads are gone: its references end with the process. */
    mp_litter_merge(&litter, &reactor->pool.litter);
    while (mp_litter_take(&litter, refs, mp_array_size(refs)) > 0)
        ;
}
