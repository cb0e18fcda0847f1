/* SPDX-License-Identifier: MIT */
#include "os/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "support/runner.h"

TEST(monotonic_time_does_not_fall_and_measures_a_sleep)
{
    int64_t start = mp_clock_now();
    int64_t before = start;

    for (int i = 0; i < 10000; i++) {
        int64_t now = mp_clock_now();

        CHECK(now >= before);
        before = now;
    }
    usleep(20000);
    CHECK(mp_clock_now() - start >= 20 * MP_NSEC_PER_MSEC);
}

/* That of the boot runs while the machine sleeps, so it is never behind. */
TEST(the_clock_of_the_boot_goes_on_too)
{
    int64_t start = mp_clock_boot();

    CHECK(start >= mp_clock_now() - MP_NSEC_PER_SEC);
    usleep(20000);
    CHECK(mp_clock_boot() - start >= 20 * MP_NSEC_PER_MSEC);
}

TEST(wall_clocks_agree_with_time)
{
    time_t before = time(NULL);
    int64_t wall = mp_clock_wall();
    int64_t seconds = mp_clock_wall_seconds();

    CHECK(wall / MP_NSEC_PER_SEC >= before);
    CHECK(wall / MP_NSEC_PER_SEC <= before + 10);
    /* The coarse clock is behind by a tick of the kernel at most. */
    CHECK(seconds >= before - 1);
    CHECK(seconds <= before + 10);
}

static void compute(int64_t how_long)
{
    volatile unsigned x = 0;
    int64_t end = mp_clock_thread_cpu() + how_long;

    while (mp_clock_thread_cpu() < end)
        x++;
}

TEST(cpu_clocks_count_work_and_not_sleep)
{
    int64_t thread_start = mp_clock_thread_cpu();
    int64_t process_start = mp_clock_process_cpu();
    int64_t slept;

    usleep(100000);
    slept = mp_clock_thread_cpu() - thread_start;
    CHECK(slept < 50 * MP_NSEC_PER_MSEC);
    compute(20 * MP_NSEC_PER_MSEC);
    CHECK(mp_clock_thread_cpu() - thread_start >= 20 * MP_NSEC_PER_MSEC);
    CHECK(mp_clock_process_cpu() - process_start >= 20 * MP_NSEC_PER_MSEC);
}

struct worker {
    _Atomic int step;
};

static void wait_for_step(struct worker *worker, int step)
{
    while (atomic_load(&worker->step) != step)
        usleep(1000);
}

static void *work_then_wait(void *argument)
{
    struct worker *worker = argument;

    compute(20 * MP_NSEC_PER_MSEC);
    atomic_store(&worker->step, 1);
    wait_for_step(worker, 2);
    return NULL;
}

TEST(other_threads_cpu_time_is_seen_and_its_end_is_an_error)
{
    struct worker worker = {0};
    pthread_t thread;
    int64_t own = mp_clock_thread_cpu();
    int64_t other;

    CHECK_OK(pthread_create(&thread, NULL, work_then_wait, &worker));
    wait_for_step(&worker, 1);
    other = mp_clock_other_thread_cpu(thread);
    CHECK(other >= 20 * MP_NSEC_PER_MSEC);
    CHECK(other < 10 * MP_NSEC_PER_SEC);
    CHECK(mp_clock_other_thread_cpu(pthread_self()) >= own);
    atomic_store(&worker.step, 2);
    /* Ended, and not joined: what the control thread may find. */
    for (int i = 0; i < 5000 && mp_clock_other_thread_cpu(thread) >= 0; i++)
        usleep(1000);
    CHECK_EQ(mp_clock_other_thread_cpu(thread), -ESRCH);
    CHECK_OK(pthread_join(thread, NULL));
}

TEST(time_on_run_queues_grows)
{
    int64_t before = mp_clock_thread_delay();

    CHECK(before >= -1); /* -1: a kernel without schedstat */
    for (int i = 0; i < 100; i++)
        usleep(100);
    CHECK(mp_clock_thread_delay() >= before);
    CHECK(mp_clock_thread_delay() < before + 60 * MP_NSEC_PER_SEC);
}
