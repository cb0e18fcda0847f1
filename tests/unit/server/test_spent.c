/* SPDX-License-Identifier: MIT */
/* How a handler has spent its time: the formula, and real threads. */
#include <time.h>

#include "os/clock.h"
#include "runner.h"
#include "server/spent.h"

#define MS INT64_C(1000000)

static int64_t estimate(int64_t wall, int64_t cpu, int64_t delay, int64_t process_cpu, bool shared)
{
    const struct mp_spent gained = {
        .sleeps = 3, .cpu = cpu, .delay = delay, .process_cpu = process_cpu};
    return mp_spent_estimate(wall, &gained, shared);
}

TEST(waiting_is_not_computing)
{
    CHECK_EQ(estimate(10 * MS, MS, 0, MS, true), MS);
    CHECK_EQ(estimate(10 * MS, MS, -1, MS, true), MS); /* the delay is not known */
    CHECK_EQ(estimate(10 * MS, 0, 0, 0, true), 0);
}

TEST(waiting_for_a_cpu_is)
{
    CHECK_EQ(estimate(10 * MS, 2 * MS, 8 * MS, 2 * MS, true), 10 * MS);
}

TEST(waiting_for_the_interpreter_is)
{
    /* Ten handlers of one millisecond each, taking turns. */
    CHECK_EQ(estimate(10 * MS, MS, 0, 10 * MS, true), 10 * MS);
    /* With a CPU that is not always there: all but what the others have waited for it. */
    CHECK_EQ(estimate(20 * MS, MS, 6 * MS, 10 * MS, true), 16 * MS);
    /* Where each has an interpreter of its own the others are no reason. */
    CHECK_EQ(estimate(10 * MS, MS, 0, 10 * MS, false), MS);
}

TEST(waiting_beside_others_that_compute_a_little_is_still_waiting)
{
    CHECK_EQ(estimate(10 * MS, MS / 10, 0, 3 * MS, true), 3 * MS);
}

TEST(never_more_than_all_of_it)
{
    CHECK_EQ(estimate(10 * MS, MS, 0, 100 * MS, true), 10 * MS);
    CHECK_EQ(estimate(MS, 1, 1000 * MS, 100 * MS, true), MS);
    CHECK_EQ(estimate(0, MS, MS, MS, true), 0);
}

TEST(a_thread_that_sleeps)
{
    const struct timespec time = {.tv_nsec = 30 * MS};
    struct mp_spent begin;
    int64_t start = mp_clock_now();
    mp_spent_begin(&begin);
    nanosleep(&time, NULL);
    int64_t wall = mp_clock_now() - start;
    CHECK(mp_spent_computing(&begin, wall, true) < wall / 2);
}

TEST(a_thread_that_computes)
{
    struct mp_spent begin;
    int64_t start = mp_clock_now();
    mp_spent_begin(&begin);
    int64_t end = mp_clock_thread_cpu() + 20 * MS;
    while (mp_clock_thread_cpu() < end)
        ;
    int64_t wall = mp_clock_now() - start;
    CHECK(mp_spent_computing(&begin, wall, true) > wall * 3 / 4);
}
