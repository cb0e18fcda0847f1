/* SPDX-License-Identifier: MIT */
/* How many threads: the policy alone, told what was seen. */
#include <string.h>

#include "runner.h"
#include "server/sizing.h"

#define MS INT64_C(1000000)

/* A worker whose handlers do what the test says. */
struct load {
    struct mp_thread_sizing sizing;
    struct mp_thread_seen seen;
    unsigned demand; /* requests that want to run at once */
    bool computes;   /* handlers compute, all of the time */
};

static void begin(struct load *load, unsigned least, unsigned most, int64_t idle)
{
    memset(load, 0, sizeof(*load));
    mp_thread_sizing_init(&load->sizing, least, most, 1, idle, 0);
    load->seen.threads = least;
}

/* A millisecond passes. Returns the change. */
static int step(struct load *load)
{
    struct mp_thread_seen *seen = &load->seen;
    seen->now += MS;
    seen->handlers = load->demand < seen->threads ? load->demand : seen->threads;
    seen->computing = load->computes ? seen->handlers : 0;
    seen->waiting = load->demand - seen->handlers;
    seen->starved = seen->waiting > 0;
    seen->peak = seen->handlers;
    if (load->computes)
        seen->cpu += MS;
    int change = mp_thread_sizing_step(&load->sizing, seen);
    seen->threads = (unsigned)((int)seen->threads + change);
    CHECK(seen->threads >= load->sizing.least && seen->threads <= load->sizing.most);
    return change;
}

static void run(struct load *load, unsigned demand, int64_t ms)
{
    load->demand = demand;
    for (int64_t i = 0; i < ms; i++)
        step(load);
}

TEST(nothing_to_decide_where_the_number_is_fixed)
{
    struct mp_thread_sizing sizing;
    mp_thread_sizing_init(&sizing, 4, 4, 1, MP_THREADS_IDLE, 0);
    CHECK(!mp_thread_sizing_is_open(&sizing));
    mp_thread_sizing_init(&sizing, 4, 5, 1, MP_THREADS_IDLE, 0);
    CHECK(mp_thread_sizing_is_open(&sizing));
}

TEST(blocked_handlers_bring_threads_at_once)
{
    struct load load;
    begin(&load, 4, 128, MP_THREADS_IDLE);
    run(&load, 100, 10); /* 4, 8, 16, 32, 64, 100 */
    CHECK_EQ(load.seen.threads, 100);
}

TEST(never_beyond_the_bound)
{
    struct load load;
    begin(&load, 1, 10, MP_THREADS_IDLE);
    run(&load, 500, 100);
    CHECK_EQ(load.seen.threads, 10);
}

TEST(computing_handlers_bring_none)
{
    struct load load;
    begin(&load, 4, 128, MP_THREADS_IDLE);
    load.computes = true;
    run(&load, 100, 3000);
    CHECK_EQ(load.seen.threads, 4);
}

/* Handlers that wait for each other look blocked; the CPU clock tells. */
TEST(none_while_the_cpu_is_used_up)
{
    struct load load;
    begin(&load, 4, 128, MP_THREADS_IDLE);
    for (int i = 0; i < 400; i++) {
        load.seen.cpu += MS;
        load.demand = i < 60 ? 2 : 100; /* the first window is seen before anybody waits */
        step(&load);
    }
    CHECK_EQ(load.seen.threads, 4);
}

/* Handlers that are known to wait, and sleep in a lock instead. */
TEST(none_when_a_closer_look_finds_handlers_in_a_lock_or_running)
{
    struct load load;
    begin(&load, 4, 128, MP_THREADS_IDLE);
    load.seen.looked = 4;
    load.seen.locked = 4;
    for (int i = 0; i < 400; i++) {
        load.seen.cpu += MS / 2; /* while the process computes */
        load.demand = i < 60 ? 2 : 100;
        step(&load);
    }
    CHECK_EQ(load.seen.threads, 4);
    begin(&load, 4, 128, MP_THREADS_IDLE);
    load.seen.looked = 4;
    for (int i = 0; i < 100; i++) { /* they run */
        load.demand = 100;
        step(&load);
    }
    CHECK_EQ(load.seen.threads, 4);
}

TEST(some_when_they_sleep_or_the_process_is_idle)
{
    struct load load;
    begin(&load, 4, 128, MP_THREADS_IDLE);
    load.seen.looked = 8;
    load.seen.asleep = 4;
    run(&load, 100, 10);
    CHECK_EQ(load.seen.threads, 100);
    begin(&load, 4, 128, MP_THREADS_IDLE);
    load.seen.looked = 8;
    load.seen.locked = 8;
    run(&load, 100, 10);
    CHECK_EQ(load.seen.threads, 100);
}

TEST(none_while_some_are_coming)
{
    struct load load;
    begin(&load, 4, 128, MP_THREADS_IDLE);
    load.demand = 100;
    load.seen.coming = 1;
    CHECK_EQ(step(&load), 0);
    load.seen.coming = 0;
    CHECK_EQ(step(&load), 4);
}

TEST(what_is_not_needed_goes_within_the_idle_time)
{
    struct load load;
    begin(&load, 4, 128, 1000 * MS);
    run(&load, 100, 50);
    CHECK_EQ(load.seen.threads, 100);
    run(&load, 2, 400);
    CHECK_EQ(load.seen.threads, 100); /* not yet */
    run(&load, 2, 1000);
    CHECK_EQ(load.seen.threads, 4);
}

TEST(a_quiet_moment_is_no_reason)
{
    struct load load;
    begin(&load, 4, 128, 1000 * MS);
    for (int i = 0; i < 20; i++) { /* bursts, and less than half of the idle time between them */
        run(&load, 100, 50);
        CHECK_EQ(load.seen.threads, 100);
        run(&load, 0, 300);
    }
    CHECK(load.seen.threads >= 100);
}

TEST(a_slow_fall_is_followed)
{
    struct load load;
    begin(&load, 4, 128, 1000 * MS);
    run(&load, 100, 50);
    run(&load, 40, 3000);
    CHECK(load.seen.threads >= 40 && load.seen.threads <= 46); /* and an eighth more */
    run(&load, 0, 3000);
    CHECK_EQ(load.seen.threads, 4);
}
