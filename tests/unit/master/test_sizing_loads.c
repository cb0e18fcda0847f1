/* SPDX-License-Identifier: MIT */
/* Both sizing policies together, on a pool of numbers (sim.h), under loads that pools meet. */
#include <stdio.h>

#include "runner.h"
#include "sim.h"

enum { IDLE = 2000 }; /* ms */

static struct sim sim;

static const struct sim_kind nobody = {0};

static struct sim_kind waiting(unsigned clients, unsigned ms)
{
    return (struct sim_kind){.clients = clients, .compute_us = 100, .wait_ms = ms};
}

static struct sim_kind computing(unsigned clients, unsigned us)
{
    return (struct sim_kind){.clients = clients, .compute_us = us};
}

static bool all_run(const struct sim *at)
{
    return sim_handlers(at) >= at->kinds[0].clients * 95 / 100;
}

static bool two_workers(const struct sim *at)
{
    return sim_workers(at) == 2;
}

static bool at_the_least(const struct sim *at)
{
    return sim_workers(at) == at->crew.least &&
           sim_threads(at) == at->crew.least * at->threads_least;
}

static bool is_dry(const struct sim *at)
{
    return sim_handlers(at) == 0 && at->asked[0] + at->asked[1] == 0;
}

/* The load is over: the least is back within the idle time (and two spans). */
static void check_the_end(void)
{
    sim.kinds[0] = sim.kinds[1] = nobody;
    CHECK(sim_until(&sim, is_dry, 60000) >= 0);
    CHECK(sim_until(&sim, at_the_least, IDLE * 6 / 5) >= 0);
}

/* ---- steps -------------------------------------------------------------------------------- */

TEST(a_step_of_handlers_that_wait_has_all_its_capacity_at_once)
{
    sim_init(&sim, 1, 2, 4, 128, 2, IDLE);
    sim_run(&sim, 1000);
    sim.kinds[0] = waiting(200, 100);
    int64_t took = sim_until(&sim, all_run, 1000);
    fprintf(stderr, "      190 of 200 after %d ms\n", (int)took);
    CHECK(took >= 0 && took <= 250);
    sim_run(&sim, 5000);
    CHECK(all_run(&sim));
    CHECK(sim.thread_turns.turns <= 1); /* when the two share the load */
    check_the_end();
    CHECK_EQ(sim.worker_turns.turns, 1);
    CHECK(sim.thread_turns.turns <= 1);
}

TEST(a_step_of_handlers_that_compute_brings_a_worker_and_no_threads)
{
    sim_init(&sim, 1, 2, 4, 128, 2, IDLE);
    sim_run(&sim, 1000);
    sim.kinds[0] = computing(200, 100000);
    int64_t took = sim_until(&sim, two_workers, 1000);
    CHECK(took >= 0 && took <= 250);
    sim_run(&sim, 10000);
    CHECK_EQ(sim_threads(&sim), 2 * 4);
    check_the_end();
    CHECK_EQ(sim.worker_turns.turns, 1);
}

TEST(steps_of_every_size_end_at_what_they_need)
{
    for (unsigned clients = 1; clients <= 100; clients += 9) {
        sim_init(&sim, 1, 1, 1, 128, 2, IDLE);
        sim.kinds[0] = waiting(clients, 50);
        CHECK(sim_until(&sim, all_run, 250) >= 0);
        sim_run(&sim, 3000);
        CHECK(sim_threads(&sim) >= clients && sim_threads(&sim) <= clients + clients / 8 + 1);
        CHECK_EQ(sim.thread_turns.turns, 0);
        check_the_end();
    }
}

/* ---- what changes all the time ------------------------------------------------------------ */

static void sawtooth(int64_t period, unsigned top, int64_t ms)
{
    for (int64_t t = 0; t < ms; t += 10) {
        sim.kinds[0] = waiting((unsigned)(t % period * top / period), 20);
        sim_run(&sim, 10);
    }
}

TEST(a_quick_sawtooth_is_not_followed_down)
{
    sim_init(&sim, 1, 2, 4, 128, 2, IDLE);
    sawtooth(IDLE / 2, 100, 30000);
    CHECK(sim_threads(&sim) >= 95);
    CHECK_EQ(sim.thread_turns.turns, 0);
    CHECK_EQ(sim.worker_turns.turns, 0);
    check_the_end();
}

TEST(a_slow_sawtooth_is_followed_once_each_way)
{
    enum { PERIODS = 6 };
    sim_init(&sim, 1, 1, 4, 128, 2, IDLE);
    sawtooth(IDLE * 10, 100, IDLE * 10 * PERIODS);
    CHECK(sim.thread_turns.turns >= PERIODS - 1); /* down after each */
    CHECK(sim.thread_turns.turns <= 2 * PERIODS);
    check_the_end();
}

/* Requests that come by chance, and compute for half of what one interpreter can. */
TEST(noise_below_capacity_brings_no_worker)
{
    uint32_t chance = 1;
    unsigned most = 0;
    sim_init(&sim, 1, 4, 4, 64, 4, IDLE);
    for (int i = 0; i < 60000; i++) {
        sim.kinds[0] = computing(sim.asked[0] + (sim_random(&chance, 100) < 50), 1000);
        sim_run(&sim, 1);
        sim.kinds[0].clients = 0; /* each asks once */
        most = sim.target > most ? sim.target : most;
    }
    CHECK_EQ(most, 1);
    CHECK_EQ(sim_threads(&sim), 4);
    CHECK(sim.answered > 25000);
}

TEST(noise_around_a_level_is_no_reason_to_turn)
{
    uint32_t chance = 2;
    sim_init(&sim, 1, 2, 4, 128, 2, IDLE);
    for (int i = 0; i < 6000; i++) {
        sim.kinds[0] = waiting(40 + sim_random(&chance, 20), 30);
        sim_run(&sim, 10);
    }
    CHECK(sim_threads(&sim) >= 50 && sim_threads(&sim) <= 70);
    CHECK(sim.thread_turns.turns <= 2);
    CHECK_EQ(sim.worker_turns.turns, 0);
    check_the_end();
}

TEST(spikes_further_apart_than_the_idle_time_cost_one_turn_each)
{
    enum { SPIKES = 5 };
    sim_init(&sim, 1, 4, 4, 32, 4, IDLE);
    for (int i = 0; i < SPIKES; i++) {
        sim.kinds[0] = computing(60, 20000);
        sim_run(&sim, 1000);
        CHECK_EQ(sim_workers(&sim), 4);
        check_the_end();
    }
    CHECK(sim.worker_turns.turns <= 2 * SPIKES);
}

/* ---- mixtures ----------------------------------------------------------------------------- */

/* A database that has become slow: those that need it wait for it, the others do not wait for
 * them. */
TEST(one_slow_dependency_takes_threads_and_not_workers)
{
    sim_init(&sim, 1, 4, 4, 64, 4, IDLE);
    sim.kinds[0] = (struct sim_kind){.clients = 2, .compute_us = 500, .wait_ms = 5};
    sim_run(&sim, 5000);
    CHECK_EQ(sim.target, 1);
    uint64_t before = sim.answered;
    sim_run(&sim, 5000);
    uint64_t usual = sim.answered - before;
    sim.kinds[1] = waiting(40, 5000);
    sim_run(&sim, 1000);
    before = sim.answered;
    sim_run(&sim, 5000);
    CHECK(sim.answered - before >= usual * 95 / 100);
    CHECK_EQ(sim.target, 1);
    CHECK(sim_threads(&sim) >= 42 && sim_threads(&sim) <= 52);
    CHECK_EQ(sim.thread_turns.turns, 0);
    check_the_end();
}

TEST(more_that_wait_than_one_worker_has_threads_for)
{
    sim_init(&sim, 1, 4, 4, 16, 2, IDLE);
    sim.kinds[0] = waiting(60, 1000);
    sim_run(&sim, 5000);
    CHECK_EQ(sim_workers(&sim), 4); /* whatever the CPUs */
    CHECK(sim_handlers(&sim) >= 57);
    check_the_end();
}

TEST(saturation_ends_at_the_cpus)
{
    sim_init(&sim, 1, 8, 4, 64, 3, IDLE);
    sim.kinds[0] = computing(100, 5000);
    sim_run(&sim, 20000);
    CHECK_EQ(sim_workers(&sim), 3);
    CHECK_EQ(sim_threads(&sim), 3 * 4);
    CHECK_EQ(sim.worker_turns.turns, 0);
    uint64_t before = sim.answered;
    sim_run(&sim, 1000);
    CHECK(sim.answered - before >= 3 * 200 * 9 / 10);
    check_the_end();
}

/* Handlers that compute 30 % of their time and wait for the rest. */
TEST(both_at_once_uses_the_interpreter_before_it_takes_another)
{
    sim_init(&sim, 1, 2, 4, 64, 2, IDLE);
    sim.kinds[0] = (struct sim_kind){.clients = 40, .compute_us = 3000, .wait_ms = 30};
    sim_run(&sim, 20000);
    CHECK(sim_threads(&sim) <= 2 * 48);
    uint64_t before = sim.answered;
    sim_run(&sim, 1000);
    fprintf(stderr, "      %u workers, %u threads, %d requests/s\n", sim_workers(&sim),
            sim_threads(&sim), (int)(sim.answered - before));
    CHECK(sim.answered - before >= 270); /* of the 333 that one interpreter can */
    CHECK(sim.thread_turns.turns <= 3);
    CHECK(sim.worker_turns.turns <= 1);
    check_the_end();
}

/* ---- what was recorded -------------------------------------------------------------------- */

/* Clients in each second of a shop's morning, with a sale at the 40th second. */
TEST(a_morning)
{
    static const unsigned char clients[] = {
        2,  3,  2,  4,  5,  4,  6,  5,  7,  9,  8,  10, 9,  12, 11, 13, 12, 15, 14, 16,
        15, 17, 18, 16, 19, 20, 18, 22, 21, 23, 22, 25, 24, 26, 25, 28, 27, 29, 30, 28,
        95, 99, 97, 90, 92, 85, 70, 60, 45, 40, 35, 33, 30, 31, 29, 30, 28, 27, 28, 26,
        25, 24, 25, 23, 22, 20, 21, 19, 18, 17, 15, 16, 14, 12, 10, 9,  7,  6,  4,  2};
    sim_init(&sim, 1, 2, 4, 64, 2, IDLE);
    for (unsigned i = 0; i < sizeof(clients); i++) {
        sim.kinds[0] = waiting(clients[i], 40);
        sim_run(&sim, 1000);
        CHECK(sim_threads(&sim) >= clients[i] || sim_threads(&sim) >= 90);
    }
    fprintf(stderr, "      %u turns of the threads\n", sim.thread_turns.turns);
    CHECK(sim.thread_turns.turns <= 12); /* in 80 s of ever other loads */
    CHECK(sim.worker_turns.turns <= 2);
    check_the_end();
}
