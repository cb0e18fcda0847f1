/* SPDX-License-Identifier: MIT */
/* A worker whose number of threads is left open: threads come and go while it serves. */
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "lines.h"
#include "scoreboard/seats.h"

enum { MANY = 60 };

static void start(struct harness *h, unsigned least, unsigned most)
{
    harness_init(h, true);
    lines_init(h, MP_PROTOCOL_STREAM);
    h->options.threads_min = least;
    h->options.threads = most;
    h->options.threads_idle = 400 * MP_NSEC_PER_MSEC;
    harness_start(h);
}

static bool back_at_the_least(struct harness *h)
{
    return atomic_load(&h->testapp.threads) == h->options.threads_min + 1 &&
           atomic_load(&harness_slot(h)->threads) == h->options.threads_min;
}

static void all_at_once(struct harness *h, const char *line)
{
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = lines_ask(h, line);
    for (int i = 0; i < MANY; i++)
        lines_expect(fds[i], "done");
}

TEST(it_begins_with_the_least)
{
    struct harness h;
    start(&h, 2, 64);
    CHECK(harness_await(back_at_the_least, &h, 5000));
    lines_exchange(&h, "echo", "echo\n");
    CHECK_EQ(h.testapp.threads, 3);
    harness_drain(&h);
    harness_done(&h);
}

TEST(threads_come_while_handlers_wait_and_go_afterwards)
{
    struct harness h;
    TEST_BUDGET(60);
    start(&h, 2, 128);
    for (int round = 0; round < 3; round++) {
        all_at_once(&h, "sleep 300000");
        CHECK(h.testapp.most_inside > MANY / 2);
        CHECK(harness_await(back_at_the_least, &h, 10000));
        lines_exchange(&h, "echo", "echo\n");
    }
    harness_drain(&h);
    CHECK_EQ(h.testapp.handled, 3 * (MANY + 1));
    harness_done(&h);
}

TEST(never_beyond_the_bound)
{
    struct harness h;
    TEST_BUDGET(60);
    start(&h, 1, 5);
    all_at_once(&h, "sleep 10000");
    CHECK_EQ(h.testapp.most_inside, 5);
    CHECK(h.testapp.threads <= 6);
    harness_drain(&h);
    harness_done(&h);
}

TEST(a_drain_meets_threads_that_come_and_go)
{
    TEST_BUDGET(120);
    for (int i = 0; i < 20; i++) {
        struct harness h;
        int fds[MANY];
        start(&h, 1, 40);
        for (int k = 0; k < MANY / 2; k++)
            fds[k] = lines_ask(&h, "sleep 20000");
        harness_sleep_ms(i * 2);
        harness_tell(&h, MP_WORKER_DRAIN, 1);
        for (int k = 0; k < MANY / 2; k++)
            close(fds[k]);
        CHECK_EQ(harness_join(&h), 0);
        harness_done(&h);
    }
}

static int fails_late(void *data, unsigned index, void **ret_thread)
{
    struct testapp *testapp = data;
    if (index > 1)
        return -12;
    *ret_thread = testapp;
    atomic_fetch_add(&testapp->threads, 1);
    return 0;
}

/* An application that cannot prepare another thread: the worker goes on with those it has. */
TEST(threads_that_cannot_be_prepared)
{
    struct harness h;
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.options.threads_min = 1;
    h.options.threads = 8;
    h.testapp.app.thread_init = fails_late;
    harness_start(&h);
    int fds[6];
    for (int i = 0; i < 6; i++)
        fds[i] = lines_ask(&h, "sleep 20000");
    for (int i = 0; i < 6; i++)
        lines_expect(fds[i], "done");
    CHECK_EQ(h.testapp.most_inside, 1);
    CHECK(harness_logged(&h, "cannot start another thread") >= 1);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- the bound on the handlers of all workers ------------------------------------------------ */

TEST(no_more_than_there_are_seats)
{
    struct harness h;
    TEST_BUDGET(60);
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.options.threads_min = 2;
    h.options.threads = 64;
    h.options.max_concurrency = 6;
    CHECK_OK(mp_scoreboard_new(1, 65, &h.board));
    mp_seats_set(h.board, 0, 2); /* as the master does before the fork */
    harness_start(&h);
    all_at_once(&h, "sleep 20000");
    CHECK_EQ(h.testapp.most_inside, 6);
    CHECK(mp_seats_of(h.board, 0) <= 6);
    harness_drain(&h);
    CHECK_EQ(mp_seats_of(h.board, 0), 0);
    harness_done(&h);
}

static bool has_all(struct harness *h)
{
    return atomic_load(&harness_slot(h)->threads) == 4 && mp_seats_of(h->board, 0) == 4;
}

TEST(it_begins_with_what_is_left_and_comes_to_its_least)
{
    struct harness h;
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.options.threads = 4;
    h.options.max_concurrency = 4;
    CHECK_OK(mp_scoreboard_new(2, 5, &h.board));
    mp_seats_set(h.board, 0, 1);
    mp_seats_set(h.board, 1, 3); /* another worker's */
    harness_start(&h);
    all_at_once(&h, "sleep 1000");
    CHECK_EQ(h.testapp.most_inside, 1);
    mp_seats_set(h.board, 1, 0);
    CHECK(harness_await(has_all, &h, 10000));
    all_at_once(&h, "sleep 20000");
    CHECK_EQ(h.testapp.most_inside, 4);
    harness_drain(&h);
    harness_done(&h);
}
