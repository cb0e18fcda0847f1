/* SPDX-License-Identifier: MIT */
/* Includes the file under test, to count how often it asks the kernel what a thread does. */
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/process.h"

static unsigned asked;
static unsigned looked_at[64];

static enum mp_thread_doing counting_look(pid_t tid)
{
    asked++;
    looked_at[tid]++;
    return MP_THREAD_RUNS;
}

#define mp_thread_look counting_look
#include "server/watch.c"
#undef mp_thread_look

#include "runner.h"

enum { MANY = 64 };

/* A pool of threads that are all in handlers, count as computing, and do not use the CPU. */
static struct mp_pool *make_pool(struct mp_reactor *reactor, int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    memset(reactor, 0, sizeof(*reactor));
    pool->threads = calloc(MANY, sizeof(*pool->threads));
    pool->thread_count = MANY;
    pool->handlers = MANY;
    pool->computing = MANY;
    for (unsigned i = 0; i < MANY; i++) {
        struct mp_thread *thread = &pool->threads[i];
        thread->reactor = reactor;
        thread->id = pthread_self();
        thread->tid = (pid_t)i;
        thread->counted = true;
        thread->cpu_seen = mp_clock_thread_cpu();
        thread->cpu_seen_for = now;
        atomic_store(&thread->started_at, now);
    }
    return pool;
}

TEST(few_looks_in_each_tick_and_all_in_turn)
{
    static struct mp_reactor reactor;
    int64_t now = mp_clock_now();
    struct mp_pool *pool = make_pool(&reactor, now);
    int64_t later = now + 60 * MP_NSEC_PER_SEC; /* so that no CPU time of this test counts */
    for (unsigned tick = 1; tick <= MANY / LOOKS_MOST; tick++) {
        sample_some(pool, later);
        CHECK_EQ(asked, tick * LOOKS_MOST);
    }
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(looked_at[i], 1);
    free(pool->threads);
}

TEST(one_that_counts_is_found_among_many_that_do_not)
{
    static struct mp_reactor reactor;
    int64_t now = mp_clock_now();
    struct mp_pool *pool = make_pool(&reactor, now);
    pool->computing = 1;
    for (unsigned i = 0; i < MANY; i++)
        pool->threads[i].counted = i == 50;
    sample_some(pool, now + 60 * MP_NSEC_PER_SEC);
    CHECK_EQ(asked, 1);
    CHECK_EQ(looked_at[50], 1);
    free(pool->threads);
}
