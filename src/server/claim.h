/* SPDX-License-Identifier: MIT */
/*
 * Holding a handler's end off, so that another thread may use its request, its connection and what
 * the application knows of its thread. The word is thread->started_at:
 *
 *   0 --begin--> started --claim--> CLAIMED --unclaim--> started --end--> 0
 *                                      |
 *                                      +--end: 0, and waits for claim_over--> goes on
 *
 * Claimers are the control thread and the inspector (inspector.h); the control thread claims no
 * handler that it has given to the inspector, so that there is one at a time. A claim is short: who
 * has one neither waits for the interpreter nor runs code of the application, since the handler's
 * thread may hold the interpreter while it waits for the claim's end.
 *
 * Orders: claim acquires what begin has released (the request, the thread's own words); unclaim
 * releases what the claimer has done to the handler that ends or goes on. A weaker order: the end
 * of a handler would not see that an exception was raised in it, and the next handler would get it.
 */
#ifndef MP_SERVER_CLAIM_H
#define MP_SERVER_CLAIM_H

#include <sched.h>

#include "base/compiler.h"
#include "server/internal.h"

/* The handler that began then; false: it is over. */
static inline bool mp_claim(struct mp_thread *thread, int64_t started)
{
    int64_t expected = started;
    return atomic_compare_exchange_strong_explicit(&thread->started_at, &expected,
                                                   MP_STARTED_CLAIMED, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static inline void mp_unclaim(struct mp_thread *thread, int64_t started)
{
    int64_t expected = MP_STARTED_CLAIMED;
    if (!atomic_compare_exchange_strong_explicit(&thread->started_at, &expected, started,
                                                 memory_order_release, memory_order_relaxed))
        atomic_store_explicit(&thread->claim_over, 1, memory_order_release);
}

/* The handler's thread: it begins. What a claimer needs is set before. */
static inline void mp_claim_begin(struct mp_thread *thread, int64_t started)
{
    atomic_store_explicit(&thread->started_at, started, memory_order_release);
}

/* The handler's thread: it is over. Afterwards nobody claims it any more. */
static inline void mp_claim_end(struct mp_thread *thread)
{
    int64_t before = atomic_exchange_explicit(&thread->started_at, 0, memory_order_acq_rel);
    if (mp_likely(before != MP_STARTED_CLAIMED))
        return;
    while (atomic_load_explicit(&thread->claim_over, memory_order_acquire) == 0)
        sched_yield();
    atomic_store_explicit(&thread->claim_over, 0, memory_order_relaxed);
}

#endif
