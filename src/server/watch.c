/* SPDX-License-Identifier: MIT */
/* What the control thread does for the pool at every tick; see watch.h. */
#include "server/watch.h"

#include "os/clock.h"
#include "os/process.h"
#include "server/admission.h"
#include "server/protocol.h"
#include "server/token.h"

/* A handler that sleeps for so long, for each one that computes, while the process is idle, does
 * not wait for the interpreter: nobody keeps that for much longer than 5 ms while others want it.
 */
#define LOCKED_LONG (12 * MP_NSEC_PER_MSEC)

/* Threads that are looked at in one tick: each costs some system calls, and the pool's lock is held
 * meanwhile. Without a GIL all handlers may count as computing. */
enum { LOOKS_MOST = 8 };

/* Under the lock: gives the token, if it still is as it was seen, to a parked thread. */
static struct mp_thread *put_in(struct mp_reactor *reactor, uint64_t seen)
{
    struct mp_thread *next = mp_admission_pop_parked(&reactor->pool);
    if (!next)
        return NULL;
    bool done = mp_token_mode(seen) == MP_TOKEN_VACANT ? mp_token_claim(reactor, next)
                                                       : mp_token_steal(reactor, seen, next);
    if (done)
        return next;
    mp_list_insert(&reactor->pool.parked, &next->link);
    return NULL;
}

/* Takes the token from a leader that has been in one handler since the last tick, or up where it
 * has been vacant since then. True when the token was in such a state. */
static bool take_over(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    struct mp_sb_worker *slot = reactor->server->slot;
    uint64_t token = atomic_load_explicit(&reactor->token, memory_order_acquire);
    bool stays = mp_token_mode(token) != MP_TOKEN_IO && token == reactor->last_token;
    reactor->last_token = token;
    if (!stays)
        return false;
    pthread_mutex_lock(&pool->lock);
    struct mp_thread *next = put_in(reactor, token);
    pthread_mutex_unlock(&pool->lock);
    if (next) {
        mp_park_post(&next->park, MP_PARK_LEAD);
        atomic_fetch_add_explicit(&slot->takeovers, 1, memory_order_relaxed);
    }
    return next || mp_token_mode(token) == MP_TOKEN_HANDLER;
}

/* A handler has been seen waiting for a while. */
static void learn_early(const struct mp_thread *thread, int64_t elapsed, int64_t cpu)
{
    const struct mp_reactor *reactor = thread->reactor;
    const struct mp_route_sample sample = {.wall = elapsed, .computing = cpu};
    if (reactor->protocol->route != 0)
        mp_routes_learn(reactor->pool.routes, reactor->protocol->route, &sample);
    else
        mp_routes_suspect(reactor->pool.routes, thread->route);
}

/*
 * Whether a handler that has hardly used the CPU lately waits for something, rather than for a CPU
 * or for the interpreter. What sleeps in a futex may wait for the interpreter, unless nobody else
 * can have it, or the whole process has been idle for longer than one has it at a time. Or unless
 * it has not used the CPU at all for so long: who waits for the interpreter wakes every 5 ms to ask
 * for it.
 */
static bool waits(const struct mp_pool *pool, const struct mp_thread *thread, int64_t elapsed,
                  int64_t cpu, int64_t process_cpu)
{
    bool long_ago = elapsed >= LOCKED_LONG * pool->computing;
    switch (mp_thread_look(thread->tid)) {
    case MP_THREAD_RUNS:
        return false;
    case MP_THREAD_WAITS:
        return true;
    case MP_THREAD_UNKNOWN: /* then the CPU clock is all there is */
        return pool->computing == 1 || long_ago;
    case MP_THREAD_LOCKED:
        break;
    }
    return pool->handlers == 1 || (long_ago && (cpu == 0 || process_cpu < elapsed / 8));
}

/* Under the lock: a handler that counts, but does not use the CPU although it could, waits. False
 * when there was nothing to look at. */
static bool sample_one(struct mp_pool *pool, struct mp_thread *thread, int64_t now)
{
    int64_t started = atomic_load_explicit(&thread->started_at, memory_order_acquire);
    if (started <= 0 || !thread->counted)
        return false;
    int64_t elapsed = now - thread->cpu_seen_at;
    if (thread->cpu_seen_for == started && elapsed < MP_TICK_NS / 2)
        return false;
    int64_t cpu = mp_clock_other_thread_cpu(thread->id);
    int64_t process_cpu = mp_clock_process_cpu();
    if (cpu < 0)
        return true;
    if (thread->cpu_seen_for == started &&
        (cpu - thread->cpu_seen) * pool->computing < elapsed / 8) {
        int64_t gain = cpu - thread->cpu_seen;
        if (waits(pool, thread, elapsed, gain, process_cpu - thread->cpu_seen_of_process)) {
            mp_admission_discount(pool, thread);
            learn_early(thread, elapsed, gain);
        } else if (elapsed < LOCKED_LONG * pool->computing) {
            return true; /* so far: look back to the same moment again */
        }
    }
    thread->cpu_seen_for = started;
    thread->cpu_seen = cpu;
    thread->cpu_seen_of_process = process_cpu;
    thread->cpu_seen_at = now;
    return true;
}

/* Under the lock: goes on where the last tick has stopped. */
static void sample_some(struct mp_pool *pool, int64_t now)
{
    unsigned looks = 0;
    for (unsigned i = 0; i < pool->thread_count && looks < LOOKS_MOST && pool->computing > 0; i++) {
        pool->sample_at = pool->sample_at + 1 < pool->thread_count ? pool->sample_at + 1 : 0;
        looks += sample_one(pool, &pool->threads[pool->sample_at], now);
    }
}

/* Without the lock: what is old by now is one of several that are asked. */
void mp_watch_look(struct mp_reactor *reactor, struct mp_thread_seen *seen)
{
    struct mp_pool *pool = &reactor->pool;
    for (unsigned i = 0; i < pool->thread_count && seen->looked < LOOKS_MOST; i++) {
        struct mp_thread *thread = &pool->threads[i];
        if (atomic_load_explicit(&thread->started_at, memory_order_acquire) == 0)
            continue;
        enum mp_thread_doing doing = mp_thread_look(thread->tid);
        seen->looked += doing != MP_THREAD_UNKNOWN;
        seen->asleep += doing == MP_THREAD_WAITS;
        seen->locked += doing == MP_THREAD_LOCKED;
    }
}

/* Under the lock: starts what may start on threads that are parked. */
static void dispatch(struct mp_reactor *reactor, int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    while (!mp_list_empty(&pool->parked)) {
        struct mp_thread *thread = mp_list_entry(pool->parked.next, struct mp_thread, link);
        struct mp_request *request = mp_admission_pick(reactor, thread, now);
        if (!request)
            return;
        mp_list_remove(&thread->link);
        thread->assigned = request;
        mp_park_post(&thread->park, MP_PARK_RUN);
    }
}

/* Samples and dispatches. Returns whether requests wait. */
static bool help_waiting(struct mp_reactor *reactor, int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    pthread_mutex_lock(&pool->lock);
    bool waiting = pool->fifo_size > 0;
    if (waiting) {
        sample_some(pool, now);
        /* Without a handler anywhere the leader itself is about to start one. */
        if (pool->handlers > 0)
            dispatch(reactor, now);
        mp_admission_publish(reactor, now);
    }
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}

enum mp_tick mp_watch_tick(struct mp_reactor *reactor, int64_t now)
{
    bool taken = take_over(reactor);
    bool waiting = help_waiting(reactor, now);
    bool unsure = atomic_load_explicit(&reactor->unsure, memory_order_relaxed);
    if (unsure)
        atomic_store_explicit(&reactor->unsure, false, memory_order_relaxed);
    if (taken || waiting || unsure)
        return MP_TICK_TENSE;
    return mp_token_mode(reactor->last_token) == MP_TOKEN_IO ? MP_TICK_QUIET : MP_TICK_BUSY;
}
