/* SPDX-License-Identifier: MIT */
/*
 * What the scoreboard costs a request: all that is written there for one, again and again, in this
 * process's own memory. Prints nanoseconds for each, the least of several rounds. Compiled by
 * scoreboard.py with the sources that it measures.
 *
 * It is more than a request costs in truth: the state of the leader and the wait for the
 * interpreter are written once for all requests of a turn, and are counted for each here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "scoreboard/scoreboard.h"

enum { ROUNDS = 20, REQUESTS = 200000 };

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void count(_Atomic uint64_t *counter)
{
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

/* As pool.c and admission.c do it. */
static void one(struct mp_sb_worker *worker, struct mp_sb_thread *thread, int64_t at)
{
    static const char path[] = "/";
    static const unsigned char address[4] = {127, 0, 0, 1};
    mp_sb_thread_begin(thread, at, "GET", 3, path, sizeof(path) - 1, address, sizeof(address),
                       (uint16_t)(at & 0xffff));
    count(&worker->requests);
    mp_hist_record(&worker->queue_wait, (uint64_t)(at & 0xfffff));
    mp_hist_record(&worker->handler_time, (uint64_t)(at & 0x3ffff));
    mp_hist_record(&worker->enter_wait, (uint64_t)(at & 0x3ff));
    atomic_store_explicit(&worker->fifo_depth, (uint32_t)at & 63, memory_order_relaxed);
    atomic_store_explicit(&worker->handlers, 1, memory_order_relaxed);
    atomic_store_explicit(&worker->computing, 1, memory_order_relaxed);
    atomic_store_explicit(&worker->waiting_since, at, memory_order_relaxed);
    if (atomic_load_explicit(&worker->full_since, memory_order_relaxed) != 0)
        atomic_store_explicit(&worker->full_since, 0, memory_order_relaxed);
    mp_sb_thread_set_state(thread, MP_SB_THREAD_LEADING, at);
}

int main(void)
{
    struct mp_sb_worker *worker = aligned_alloc(64, sizeof(*worker));
    struct mp_sb_thread *thread = aligned_alloc(64, sizeof(*thread));
    int64_t least = INT64_MAX;
    if (!worker || !thread)
        return 1;
    for (size_t i = 0; i < sizeof(*worker); i++)
        ((char *)worker)[i] = 0;
    for (size_t i = 0; i < sizeof(*thread); i++)
        ((char *)thread)[i] = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = now();
        for (int i = 0; i < REQUESTS; i++)
            one(worker, thread, start + i * INT64_C(6133));
        int64_t took = now() - start;
        if (took < least)
            least = took;
    }
    printf("%.2f\n", (double)least / REQUESTS);
    free(worker);
    free(thread);
    return 0;
}
