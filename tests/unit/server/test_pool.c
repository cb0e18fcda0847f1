/* SPDX-License-Identifier: MIT */
/* The pool: how many handlers run at once, who may compute, take-over, hand-over, the scoreboard.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "server/request.h"
#include "server/response.h"

enum { MANY = 24 };

static int64_t elapsed_ms(int64_t since)
{
    return (mp_clock_now() - since) / MP_NSEC_PER_MSEC;
}

static void ask_all(struct harness *h, struct client *clients, int count, const char *path)
{
    for (int i = 0; i < count; i++) {
        harness_open(h, &clients[i]);
        client_get(&clients[i], path);
    }
}

static void expect_all(struct client *clients, int count)
{
    for (int i = 0; i < count; i++) {
        struct reply reply;
        CHECK(client_reply(&clients[i], false, &reply));
        CHECK_EQ(reply.status, 200);
        reply_done(&reply);
        client_done(&clients[i]);
    }
}

static void at_most(unsigned threads, bool locking)
{
    struct harness h;
    struct client clients[MANY];
    harness_init(&h, locking);
    h.options.threads = threads;
    harness_start(&h);
    for (int i = 0; i < 3; i++) {
        ask_all(&h, clients, MANY, "/sleep/5000");
        expect_all(clients, MANY);
    }
    CHECK(h.testapp.most_inside <= threads);
    CHECK_EQ(h.testapp.most_inside, threads < MANY ? threads : MANY);
    harness_drain(&h);
    harness_done(&h);
}

TEST(at_most_as_many_handlers_as_threads)
{
    TEST_BUDGET(60);
    at_most(1, true);
    at_most(2, true);
    at_most(7, true);
    at_most(7, false);
}

TEST(request_of_a_client_that_has_gone_is_not_run)
{
    struct harness h;
    struct client slow;
    struct client gone;
    struct client last;
    harness_init(&h, true);
    h.options.threads = 1;
    harness_start(&h);
    harness_open(&h, &slow);
    harness_open(&h, &gone);
    harness_open(&h, &last);
    client_get(&slow, "/sleep/300000");
    harness_sleep_ms(50);
    client_get(&gone, "/");
    harness_sleep_ms(50);
    client_get(&last, "/");
    client_reset(&gone);
    expect_all(&slow, 1);
    expect_all(&last, 1);
    CHECK_EQ(h.testapp.handled, 2);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- take-over --------------------------------------------------------------------------- */

TEST(fast_request_beside_a_handler_that_stays)
{
    struct harness h;
    struct client stuck;
    harness_init(&h, true);
    harness_start(&h);
    harness_get(&h, "/", 200);
    harness_open(&h, &stuck);
    client_get(&stuck, "/never"); /* never seen before: the leader runs it itself */
    int64_t since = mp_clock_now();
    harness_get(&h, "/", 200);
    CHECK(elapsed_ms(since) < 1000);
    CHECK_EQ(h.testapp.inside, 1);
    CHECK_EQ(harness_slot(&h)->takeovers, 1);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(&stuck, 1);
    harness_drain(&h);
    harness_done(&h);
}

/* The leader's route is known to be short, and then it is not: the watcher must notice all the
 * same. */
static void stay_when_told(struct testapp *testapp, struct mp_request *request)
{
    bool *told = testapp->custom_data;
    const struct mp_http_head *head = mp_request_head(request);
    (void)told;
    if (head->query.len > 0) {
        while (!atomic_load(&testapp->release_stuck))
            testapp_nap(testapp, MP_NSEC_PER_MSEC);
    }
    mp_response_reply(request, 200, "text/plain", "x", 1);
}

TEST(route_known_as_fast_that_stays)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.testapp.custom = stay_when_told;
    harness_start(&h);
    for (int i = 0; i < 20; i++)
        harness_get(&h, "/custom", 200);
    harness_sleep_ms(700); /* the watcher falls asleep */
    harness_open(&h, &client);
    client_get(&client, "/custom?stay");
    int64_t since = mp_clock_now();
    harness_get(&h, "/", 200);
    CHECK(elapsed_ms(since) < 1000);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(&client, 1);
    harness_drain(&h);
    harness_done(&h);
}

TEST(all_but_one_thread_stuck)
{
    struct harness h;
    struct client stuck[15];
    struct client fast;
    harness_init(&h, true);
    h.options.threads = 16;
    harness_start(&h);
    ask_all(&h, stuck, 15, "/never");
    for (int i = 0; i < 500 && h.testapp.inside < 15; i++)
        harness_sleep_ms(10);
    CHECK_EQ(h.testapp.inside, 15);
    harness_open(&h, &fast);
    int64_t since = mp_clock_now();
    for (int i = 0; i < 100; i++) {
        struct reply reply;
        client_get(&fast, "/");
        CHECK(client_reply(&fast, false, &reply));
        reply_done(&reply);
    }
    CHECK(elapsed_ms(since) < 5000);
    client_done(&fast);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(stuck, 15);
    harness_drain(&h);
    harness_done(&h);
}

TEST(all_threads_stuck_and_the_event_core_lives)
{
    struct harness h;
    struct client stuck[2];
    struct client waiting;
    struct client bad;
    struct reply reply;
    harness_init(&h, true);
    h.options.threads = 2;
    harness_start(&h);
    ask_all(&h, stuck, 2, "/never");
    for (int i = 0; i < 500 && h.testapp.inside < 2; i++)
        harness_sleep_ms(10);
    harness_open(&h, &waiting);
    client_get(&waiting, "/");
    CHECK(client_silent(&waiting, 100));
    harness_open(&h, &bad);
    client_exchange(&bad, "nonsense\r\n\r\n", 400, &reply); /* needs no handler */
    reply_done(&reply);
    client_done(&bad);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(&waiting, 1);
    expect_all(stuck, 2);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- hand-over --------------------------------------------------------------------------- */

static uint64_t takeovers_of(struct harness *h, struct client *client, int count)
{
    uint64_t before = harness_slot(h)->takeovers;
    for (int i = 0; i < count; i++) {
        struct reply reply;
        client_get(client, "/sleep/4000");
        CHECK(client_reply(client, false, &reply));
        reply_done(&reply);
    }
    return harness_slot(h)->takeovers - before;
}

TEST(takeovers_stop_when_the_route_is_learned)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    CHECK(takeovers_of(&h, &client, 10) >= 1);
    CHECK_EQ(takeovers_of(&h, &client, 50), 0);
    CHECK(harness_slot(&h)->handovers >= 50);
    client_done(&client);
    harness_drain(&h);
    harness_done(&h);
}

TEST(fast_route_is_never_handed_over)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    for (int i = 0; i < 500; i++) {
        struct reply reply;
        client_get(&client, "/");
        CHECK(client_reply(&client, false, &reply));
        reply_done(&reply);
    }
    /* A run that was preempted may be taken for a wait once in a while. */
    CHECK(harness_slot(&h)->handovers < 50);
    client_done(&client);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- admission --------------------------------------------------------------------------- */

/* Who computes at this moment, and whether another one was let in beside it without reason. */
struct floor {
    pthread_mutex_t lock;
    pthread_t who;
    int64_t since;
    int64_t cpu;
    unsigned present;
    unsigned together;
    unsigned unjustified;
};

/* The one inside has been there for less than the 10 ms after which a second may start, and used
 * the CPU for most of it, so that nobody can have thought that it waits. */
static bool computes_briefly(const struct floor *floor)
{
    int64_t wall = mp_clock_now() - floor->since;
    int64_t cpu = mp_clock_other_thread_cpu(floor->who) - floor->cpu;
    return wall < 8 * MP_NSEC_PER_MSEC && cpu * 2 > wall;
}

static void compute_on_floor(struct testapp *testapp, struct mp_request *request)
{
    struct floor *floor = testapp->custom_data;
    pthread_mutex_lock(&floor->lock);
    if (floor->present++ > 0) {
        floor->together++;
        floor->unjustified += computes_briefly(floor);
    }
    floor->who = pthread_self();
    floor->since = mp_clock_now();
    floor->cpu = mp_clock_thread_cpu();
    int64_t end = floor->cpu + 2 * MP_NSEC_PER_MSEC;
    pthread_mutex_unlock(&floor->lock);
    while (mp_clock_thread_cpu() < end)
        ;
    pthread_mutex_lock(&floor->lock);
    floor->present--;
    pthread_mutex_unlock(&floor->lock);
    mp_response_reply(request, 200, "text/plain", "x", 1);
}

TEST(one_computes_at_a_time)
{
    struct harness h;
    struct client clients[MANY];
    struct floor floor = {.lock = PTHREAD_MUTEX_INITIALIZER};
    TEST_BUDGET(60);
    harness_init(&h, false);
    h.testapp.app.max_computing = 1; /* without a lock that would keep them apart by itself */
    h.testapp.custom = compute_on_floor;
    h.testapp.custom_data = &floor;
    h.options.threads = 8;
    harness_start(&h);
    for (int i = 0; i < 10; i++) {
        ask_all(&h, clients, MANY, "/custom");
        expect_all(clients, MANY);
    }
    fprintf(stderr, "      %u of 240 together, %u without reason, %u handed over\n", floor.together,
            floor.unjustified, (unsigned)harness_slot(&h)->handovers);
    CHECK(floor.unjustified <= 24); /* on a busy machine a few are taken for waiting */
    harness_drain(&h);
    harness_done(&h);
}

FAIL_TEST(without_admission_they_compute_together)
{
    struct harness h;
    struct client clients[MANY];
    struct floor floor = {.lock = PTHREAD_MUTEX_INITIALIZER};
    TEST_BUDGET(60);
    harness_init(&h, false);
    h.testapp.custom = compute_on_floor;
    h.testapp.custom_data = &floor;
    h.options.threads = 8;
    harness_start(&h);
    for (int i = 0; i < 10; i++) {
        ask_all(&h, clients, MANY, "/custom");
        expect_all(clients, MANY);
    }
    harness_drain(&h);
    CHECK(floor.unjustified <= 24); /* on a busy machine a few are taken for waiting */
}

/* Short handlers, so that leaders retire; now and then one that is not short at all. */
static void compute_or_sleep(struct testapp *testapp, struct mp_request *request)
{
    _Atomic bool *sleep_now = testapp->custom_data;
    int64_t end = mp_clock_thread_cpu() + 100 * MP_NSEC_PER_USEC;
    if (atomic_exchange(sleep_now, false))
        testapp_nap(testapp, 400 * MP_NSEC_PER_MSEC);
    while (mp_clock_thread_cpu() < end)
        ;
    mp_response_reply(request, 200, "text/plain", "x", 1);
}

TEST(somebody_leads_though_the_leader_has_retired)
{
    struct harness h;
    struct client clients[MANY];
    _Atomic bool sleep_now = false;
    TEST_BUDGET(60);
    harness_init(&h, true);
    h.testapp.custom = compute_or_sleep;
    h.testapp.custom_data = (void *)&sleep_now;
    h.options.threads = 3;
    harness_start(&h);
    for (int i = 0; i < 20; i++) { /* the route is known to be short */
        ask_all(&h, clients, MANY, "/custom");
        expect_all(clients, MANY);
    }
    for (int i = 0; i < 5; i++) {
        int64_t start = mp_clock_now();
        int quick = 0;
        atomic_store(&sleep_now, true);
        ask_all(&h, clients, MANY, "/custom");
        for (int k = MANY - 1; k >= 0; k--) { /* the first to ask has met the one that sleeps */
            struct reply reply;
            CHECK(client_reply(&clients[k], false, &reply));
            quick += elapsed_ms(start) < 300;
            reply_done(&reply);
            client_done(&clients[k]);
        }
        CHECK(elapsed_ms(start) >= 400);
        CHECK(quick >= MANY / 2 || mp_test_is_sanitized());
    }
    harness_drain(&h);
    harness_done(&h);
}

TEST(those_that_wait_do_not_count_as_computing)
{
    struct harness h;
    struct client waiting[6];
    struct client computing;
    harness_init(&h, true);
    h.options.threads = 8;
    harness_start(&h);
    ask_all(&h, waiting, 6, "/never");
    for (int i = 0; i < 500 && h.testapp.inside < 6; i++)
        harness_sleep_ms(10);
    CHECK_EQ(h.testapp.inside, 6); /* all of them, though one at most may compute */
    harness_open(&h, &computing);
    client_get(&computing, "/cpu/3000");
    expect_all(&computing, 1);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(waiting, 6);
    harness_drain(&h);
    harness_done(&h);
}

static void compute_for_long(struct testapp *testapp, struct mp_request *request)
{
    while (!atomic_load(&testapp->release_stuck))
        ;
    mp_response_reply(request, 200, "text/plain", "x", 1);
}

TEST(one_that_computes_for_long_does_not_stop_the_others)
{
    struct harness h;
    struct client busy;
    harness_init(&h, false);
    h.testapp.app.max_computing = 1;
    h.testapp.custom = compute_for_long;
    harness_start(&h);
    harness_open(&h, &busy);
    client_get(&busy, "/custom");
    for (int i = 0; i < 20; i++)
        harness_get(&h, "/", 200);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(&busy, 1);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- what others see --------------------------------------------------------------------- */

static unsigned threads_in(struct harness *h, enum mp_sb_thread_state state)
{
    unsigned count = 0;
    for (unsigned i = 0; i <= h->options.threads; i++) {
        struct mp_sb_thread_view view;
        mp_sb_thread_read(mp_scoreboard_thread(h->board, 0, i), &view);
        count += view.state == state;
    }
    return count;
}

TEST(scoreboard_shows_who_does_what)
{
    struct harness h;
    struct client stuck;
    harness_init(&h, true);
    harness_start(&h);
    for (int i = 0; i < 10; i++)
        harness_get(&h, "/", 200);
    harness_sleep_ms(50);
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_WORKING), 0); /* the leader is idle, and shown so */
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_LEADING), 1);
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_READY), 4);
    harness_open(&h, &stuck);
    client_get(&stuck, "/never");
    harness_sleep_ms(100);
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_WORKING), 1);
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_LEADING), 1);
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(&stuck, 1);
    harness_sleep_ms(50);
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_WORKING), 0);
    CHECK_EQ(harness_slot(&h)->requests, 11);
    harness_drain(&h);
    CHECK_EQ(threads_in(&h, MP_SB_THREAD_NONE), 5);
    harness_done(&h);
}

TEST(idle_worker_sleeps)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    harness_get(&h, "/", 200);
    harness_open(&h, &client);
    client_get(&client, "/never");
    harness_sleep_ms(300);
    int64_t cpu = mp_clock_process_cpu();
    harness_sleep_ms(1000);
    cpu = mp_clock_process_cpu() - cpu; /* a handler that waits costs next to nothing */
    CHECK(cpu < 150 * MP_NSEC_PER_MSEC * (mp_test_is_sanitized() ? 4 : 1));
    atomic_store(&h.testapp.release_stuck, true);
    expect_all(&client, 1);
    harness_drain(&h);
    harness_done(&h);
}
