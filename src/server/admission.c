/* SPDX-License-Identifier: MIT */
/* Which request may start, on which thread; see admission.h. */
#include "server/admission.h"

#include "os/clock.h"
#include "server/protocol.h"
#include "server/reactor.h"

/* See admission.h: when another computing handler may start beside those that count. */
#define AGING (10 * MP_NSEC_PER_MSEC)
#define AGING_MOST (20 * MP_NSEC_PER_MSEC)

bool mp_admission_may_compute(const struct mp_reactor *reactor, int64_t now)
{
    const struct mp_pool *pool = &reactor->pool;
    unsigned limit = reactor->server->app->max_computing;
    if (limit == 0 || pool->computing < limit)
        return true;
    int64_t over = (int64_t)(pool->computing - limit) + 1;
    int64_t patience = AGING * over * over;
    /* Where handlers may go on for ever, those that wait must not do so as well. */
    if (reactor->protocol->route != 0 && patience > AGING_MOST)
        patience = AGING_MOST;
    return now - pool->admitted_at >= patience;
}

bool mp_admission_next_blocks(const struct mp_pool *pool)
{
    const struct mp_request *next = mp_list_entry(pool->fifo.next, struct mp_request, link);
    return mp_routes_blocks(pool->routes, next->route);
}

struct mp_request *mp_admission_pick(struct mp_reactor *reactor, struct mp_thread *thread,
                                     int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    if (mp_list_empty(&pool->fifo) || pool->handlers + 1 >= pool->alive || pool->stopping)
        return NULL;
    struct mp_request *request = mp_list_entry(pool->fifo.next, struct mp_request, link);
    bool blocks = mp_admission_next_blocks(pool);
    if (!blocks && !mp_admission_may_compute(reactor, now))
        return NULL;
    mp_list_remove(&request->link);
    pool->fifo_size--;
    pool->handlers++;
    if (pool->handlers > pool->peak)
        pool->peak = pool->handlers;
    thread->route = request->route;
    thread->counted = !blocks;
    if (!blocks) {
        thread->brief = mp_routes_is_short(pool->routes, request->route);
        pool->computing++;
        pool->brief += thread->brief;
        pool->admitted_at = now;
    }
    return request;
}

void mp_admission_discount(struct mp_pool *pool, struct mp_thread *thread)
{
    pool->computing--;
    pool->brief -= thread->brief;
    thread->counted = false;
    thread->brief = false;
}

void mp_admission_account(struct mp_reactor *reactor, struct mp_thread *thread)
{
    struct mp_pool *pool = &reactor->pool;
    struct mp_sb_worker *slot = reactor->server->slot;
    int64_t waited = thread->ended_waited;
    int64_t ran = thread->ended_ran;
    if (!thread->ended)
        return;
    thread->ended = false;
    pool->handlers--;
    if (thread->counted)
        mp_admission_discount(pool, thread);
    uint64_t requests = atomic_load_explicit(&slot->requests, memory_order_relaxed);
    atomic_store_explicit(&slot->requests, requests + 1, memory_order_relaxed);
    if (mp_unlikely(requests + 1 == reactor->server->requests_max))
        mp_reactor_wake_watcher(reactor);
    mp_hist_record(&slot->queue_wait, (uint64_t)(waited > 0 ? waited : 0));
    mp_hist_record(&slot->handler_time, (uint64_t)(ran > 0 ? ran : 0));
    if (thread->asked >= 0)
        mp_hist_record(&slot->enter_wait, (uint64_t)thread->asked);
    thread->asked = -1;
}

/* No place for another handler, and no thread will make one. */
static bool is_full(const struct mp_reactor *reactor)
{
    const struct mp_pool *pool = &reactor->pool;
    return pool->handlers + 1 >= pool->alive &&
           (pool->alive > reactor->server->options->threads ||
            atomic_load_explicit(&pool->bounded, memory_order_relaxed));
}

/* Relaxed: whoever reads it wants to know since when, to the second. */
static void publish_full(struct mp_reactor *reactor, int64_t now)
{
    _Atomic int64_t *since = &reactor->server->slot->full_since;
    bool full = is_full(reactor);
    if (full != (atomic_load_explicit(since, memory_order_relaxed) != 0))
        atomic_store_explicit(since, full ? now : 0, memory_order_relaxed);
}

void mp_admission_publish(struct mp_reactor *reactor, int64_t now)
{
    const struct mp_pool *pool = &reactor->pool;
    struct mp_sb_worker *slot = reactor->server->slot;
    int64_t waiting_since = 0;
    if (!mp_list_empty(&pool->fifo))
        waiting_since = mp_list_entry(pool->fifo.next, struct mp_request, link)->ready_at;
    atomic_store_explicit(&slot->waiting_since, waiting_since, memory_order_relaxed);
    publish_full(reactor, now);
    atomic_store_explicit(&slot->fifo_depth, pool->fifo_size, memory_order_relaxed);
    atomic_store_explicit(&slot->handlers, pool->handlers, memory_order_relaxed);
    atomic_store_explicit(&slot->computing, pool->computing, memory_order_relaxed);
}

struct mp_thread *mp_admission_pop_parked(struct mp_pool *pool)
{
    struct mp_list *node = mp_list_pop(&pool->parked);
    return node ? mp_list_entry(node, struct mp_thread, link) : NULL;
}
