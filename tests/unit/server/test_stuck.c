/* SPDX-License-Identifier: MIT */
/* Handlers that take long: the slow log, deadlines and their extension, threads that stand in, an
 * interpreter that is not given back, a drain that leaves stuck handlers behind. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "server/budget.h"
#include "server/request.h"
#include "server/response.h"

#define MS MP_NSEC_PER_MSEC

static int64_t elapsed_ms(int64_t since)
{
    return (mp_clock_now() - since) / MP_NSEC_PER_MSEC;
}

static bool none_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 0;
}

static bool one_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 1;
}

static bool none_stuck(struct harness *h)
{
    return atomic_load(&harness_slot(h)->stuck) == 0;
}

static bool one_stuck(struct harness *h)
{
    return atomic_load(&harness_slot(h)->stuck) == 1;
}

static bool has_three_threads(struct harness *h)
{
    return atomic_load(&h->testapp.threads) == 3;
}

static void expect_status(struct client *client, int status)
{
    struct reply reply;
    CHECK(client_reply(client, false, &reply));
    CHECK_EQ(reply.status, status);
    reply_done(&reply);
    client_done(client);
}

/* Records come a little later than what they are about. */
static void await_logged(struct harness *h, const char *text, unsigned times)
{
    for (int i = 0; i < 500 && harness_logged(h, text) < times; i++)
        harness_sleep_ms(10);
    CHECK_EQ(harness_logged(h, text), times);
}

static void ask(struct harness *h, struct client *client, const char *path)
{
    harness_open(h, client);
    client_get(client, path);
}

static void end(struct harness *h)
{
    atomic_store(&h->testapp.release_stuck, true);
    CHECK(harness_await(none_inside, h, 5000));
    CHECK(harness_await(none_stuck, h, 5000));
    harness_drain(h);
    CHECK_EQ(h->testapp.innocent, 0);
    CHECK_EQ(h->testapp.raises, h->testapp.interrupted + h->testapp.calmed);
    harness_done(h);
}

static void stay_asleep(struct testapp *testapp, struct mp_request *request)
{
    while (!atomic_load(&testapp->release_stuck))
        testapp_nap(testapp, 100 * MS);
    mp_response_reply(request, 200, "text/plain", "late\n", 5);
}

/* ---- deadlines --------------------------------------------------------------------------- */

TEST(a_stuck_handler_is_interrupted_and_its_thread_is_used_again)
{
    struct harness h;
    struct client client;
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.threads = 2;
    h.options.request_timeout = 200 * MS;
    harness_start(&h);
    int64_t since = mp_clock_now();
    ask(&h, &client, "/work/30000000");
    expect_status(&client, 504);
    CHECK(elapsed_ms(since) < 3000);
    CHECK(harness_await(none_inside, &h, 5000));
    CHECK(harness_await(none_stuck, &h, 5000));
    CHECK(elapsed_ms(since) < 15000); /* not thirty seconds */
    CHECK_EQ(h.testapp.interrupted, 1);
    await_logged(&h,
                 "GET /work/30000000 exceeded 0.2 s: client answered 504, thread "
                 "replaced (2 of 2 usable), ",
                 1);
    /* "waiting", or "computing": it wakes every now and then. */
    await_logged(&h, "ing in:\n    File \"testapp.c\", line 1, in work\n", 1);
    await_logged(&h, "GET /work/30000000 has ended after", 1);
    CHECK(harness_await(has_three_threads, &h, 5000)); /* the one that stood in has left */
    CHECK(!harness_message(&h, 50, &message));
    harness_get(&h, "/", 200);
    end(&h);
}

TEST(stuck_threads_are_not_missed)
{
    struct harness h;
    struct client stuck[2];
    struct client clients[2];
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.threads = 2;
    h.options.request_timeout = 300 * MS;
    h.options.stuck_grace = 600 * MP_NSEC_PER_SEC;
    harness_start(&h);
    for (int i = 0; i < 2; i++)
        ask(&h, &stuck[i], "/never");
    for (int i = 0; i < 2; i++)
        expect_status(&stuck[i], 504);
    /* Two at once, as before: one alone would take twice as long as the deadline. */
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            ask(&h, &clients[i], "/work/160000");
        for (int i = 0; i < 2; i++)
            expect_status(&clients[i], 200);
    }
    CHECK_EQ(harness_slot(&h)->stuck, 2);
    CHECK_EQ(h.testapp.threads, 5);
    CHECK(!harness_message(&h, 10, &message));
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(harness_await(none_stuck, &h, 5000));
    CHECK(harness_await(has_three_threads, &h, 5000));
    CHECK_EQ(h.testapp.raises, 2); /* in vain */
    CHECK_EQ(h.testapp.calmed, 2);
    end(&h);
}

TEST(a_stuck_handler_costs_no_cpu)
{
    struct harness h;
    struct client stuck;
    harness_init(&h, true);
    h.testapp.custom = stay_asleep;
    h.options.threads = 2;
    h.options.request_timeout = 100 * MS;
    h.options.stuck_grace = 600 * MP_NSEC_PER_SEC;
    harness_start(&h);
    ask(&h, &stuck, "/custom");
    expect_status(&stuck, 504);
    CHECK(harness_await(one_stuck, &h, 5000));
    harness_sleep_ms(100);
    int64_t before = mp_clock_process_cpu();
    harness_sleep_ms(1500);
    CHECK(mp_clock_process_cpu() - before < 500 * MS);
    end(&h);
}

/* More than there are places for. */
TEST(all_places_taken)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.threads = 1;
    h.options.request_timeout = 100 * MS;
    h.options.stuck_grace = 600 * MP_NSEC_PER_SEC;
    harness_start(&h);
    ask(&h, &client, "/never");
    expect_status(&client, 504);
    ask(&h, &client, "/never"); /* on the thread that stands in */
    expect_status(&client, 504);
    await_logged(&h, "thread replaced (1 of 1 usable)", 1);
    await_logged(&h, "thread lost (0 of 1 usable)", 1);
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(harness_await(none_stuck, &h, 5000));
    harness_get(&h, "/", 200);
    end(&h);
}

TEST(what_goes_on_after_the_grace_has_the_worker_replaced)
{
    struct harness h;
    struct client client;
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.request_timeout = 100 * MS;
    h.options.stuck_grace = 400 * MS;
    harness_start(&h);
    int64_t since = mp_clock_now();
    ask(&h, &client, "/never");
    expect_status(&client, 504);
    CHECK(harness_message(&h, 5000, &message));
    CHECK(elapsed_ms(since) >= 500);
    CHECK_EQ(message.verb, MP_WORKER_RETIRE);
    CHECK_EQ(message.value, MP_RETIRE_STUCK);
    await_logged(&h, "s after its deadline: the worker will be replaced", 1);
    end(&h);
}

/* The threads are still there then: the process has to end, as a worker's does. */
TEST(a_drain_leaves_stuck_handlers_behind_and_nobody_else)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct harness h;
        struct client stuck;
        struct client client;
        harness_init(&h, true);
        h.options.request_timeout = 200 * MS;
        h.options.stuck_grace = 100 * MS;
        harness_start(&h);
        ask(&h, &stuck, "/never");
        expect_status(&stuck, 504);
        CHECK(harness_await(one_stuck, &h, 5000));
        ask(&h, &client, "/work/150000");
        harness_sleep_ms(20);
        harness_tell(&h, MP_WORKER_DRAIN, 0);
        expect_status(&client, 200);
        pthread_join(h.thread, NULL);
        await_logged(&h, "leaves, with 1 handlers stuck", 1);
        _exit(h.status);
    }
    int status;
    int64_t since = mp_clock_now();
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), MP_WORKER_EXIT_QUIT);
    CHECK(elapsed_ms(since) < 10000);
}

TEST(a_drain_gives_stuck_handlers_their_grace)
{
    struct harness h;
    struct client stuck;
    harness_init(&h, true);
    h.options.request_timeout = 100 * MS;
    h.options.stuck_grace = 600 * MP_NSEC_PER_SEC;
    harness_start(&h);
    ask(&h, &stuck, "/never");
    expect_status(&stuck, 504);
    harness_tell(&h, MP_WORKER_DRAIN, 1);
    harness_sleep_ms(500);
    CHECK_EQ(h.testapp.inside, 1);
    atomic_store(&h.testapp.release_stuck, true);
    CHECK_EQ(harness_join(&h), 0);
    harness_done(&h);
}

/* ---- extending --------------------------------------------------------------------------- */

static void extend_thrice(struct testapp *testapp, struct mp_request *request)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(mp_request_extend_deadline(request, 300 * MS), 0);
        testapp_nap(testapp, 180 * MS);
    }
    mp_response_reply(request, 200, "text/plain", "done\n", 5);
}

static void extend_too_late(struct testapp *testapp, struct mp_request *request)
{
    int *result = testapp->custom_data;
    testapp_nap(testapp, 600 * MS);
    *result = mp_request_extend_deadline(request, MP_NSEC_PER_SEC);
    mp_response_reply(request, 200, "text/plain", "done\n", 5);
}

static void shorten(struct testapp *testapp, struct mp_request *request)
{
    CHECK_EQ(mp_request_extend_deadline(request, 10 * MS), 0);
    while (!atomic_load(&testapp->release_stuck))
        testapp_nap(testapp, MS);
    mp_response_reply(request, 200, "text/plain", "done\n", 5);
}

TEST(a_deadline_can_be_moved)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.request_timeout = 300 * MS;
    h.testapp.custom = extend_thrice;
    harness_start(&h);
    ask(&h, &client, "/custom");
    expect_status(&client, 200);
    CHECK_EQ(harness_logged(&h, "exceeded"), 0);
    /* The next handler of the thread has the usual one. */
    ask(&h, &client, "/never");
    expect_status(&client, 504);
    await_logged(&h, "GET /never exceeded 0.3 s", 1);
    end(&h);
}

TEST(a_deadline_can_be_moved_nearer)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.request_timeout = 600 * MP_NSEC_PER_SEC;
    h.testapp.custom = shorten;
    harness_start(&h);
    ask(&h, &client, "/custom");
    expect_status(&client, 504);
    CHECK(harness_await(one_stuck, &h, 5000));
    await_logged(&h, "GET /custom exceeded its extended deadline: client answered 504", 1);
    end(&h);
}

TEST(a_deadline_that_has_passed_cannot_be_moved)
{
    struct harness h;
    struct client client;
    int result = 1;
    harness_init(&h, true);
    h.options.request_timeout = 100 * MS;
    h.testapp.custom = extend_too_late;
    h.testapp.custom_data = &result;
    harness_start(&h);
    ask(&h, &client, "/custom");
    expect_status(&client, 504);
    CHECK(harness_await(none_inside, &h, 5000));
    CHECK_EQ(result, -ETIME);
    end(&h);
}

/* ---- the slow log ------------------------------------------------------------------------ */

TEST(a_slow_handler_is_logged_once_and_left_alone)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.slow_log = 100 * MS;
    harness_start(&h);
    ask(&h, &client, "/work/600000");
    expect_status(&client, 200);
    await_logged(&h, "GET /work/600000 has run for 0.", 1);
    await_logged(&h, "ing in:\n    File \"testapp.c\", line 1, in work\n", 1);
    await_logged(&h, "WARNING", 1);
    harness_get(&h, "/", 200);
    ask(&h, &client, "/work/600000");
    expect_status(&client, 200);
    await_logged(&h, "has run for", 2);
    CHECK_EQ(h.testapp.raises, 0);
    end(&h);
}

static bool says_how_many_more(struct harness *h)
{
    return harness_logged(h, "worker 1: 20 more requests were slow") == 1;
}

TEST(many_slow_handlers_do_not_flood_the_log)
{
    struct harness h;
    struct client clients[40];
    harness_init(&h, true);
    h.options.threads = 40;
    h.options.slow_log = 200 * MS;
    harness_start(&h);
    for (int i = 0; i < 40; i++)
        ask(&h, &clients[i], "/never");
    CHECK(harness_await(says_how_many_more, &h, 15000));
    await_logged(&h, "GET /never has run for", 20);
    atomic_store(&h.testapp.release_stuck, true);
    for (int i = 0; i < 40; i++)
        expect_status(&clients[i], 200);
    end(&h);
}

TEST(budgets_fill_up_again)
{
    struct mp_budget budget;
    mp_budget_init(&budget, 3, 100);
    for (int i = 0; i < 3; i++)
        CHECK(mp_budget_take(&budget, 1000));
    CHECK(!mp_budget_take(&budget, 1000));
    CHECK(!mp_budget_take(&budget, 1099));
    CHECK_EQ(mp_budget_left_out(&budget, 1099), 0);
    CHECK(mp_budget_take(&budget, 1100));
    CHECK_EQ(mp_budget_left_out(&budget, 1199), 0);
    CHECK_EQ(mp_budget_left_out(&budget, 1200), 2);
    CHECK_EQ(mp_budget_left_out(&budget, 9000), 0);
    for (int i = 0; i < 3; i++)
        CHECK(mp_budget_take(&budget, 9000));
    CHECK(!mp_budget_take(&budget, 9000));
}

/* ---- an interpreter that is held ----------------------------------------------------------- */

TEST(a_handler_that_holds_the_interpreter_is_seen_and_answered_for)
{
    struct harness h;
    struct client client;
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.request_timeout = 200 * MS;
    h.options.stuck_grace = 600 * MP_NSEC_PER_SEC;
    h.options.hang_timeout = 0;
    harness_start(&h);
    ask(&h, &client, "/hold");
    expect_status(&client, 504);
    harness_sleep_ms(1200); /* the exception is tried again and again */
    await_logged(&h, "GET /hold exceeded 0.2 s: client answered 504", 1);
    await_logged(&h,
                 "the interpreter is held; it says itself that it is in:\n    by "
                 "thread ",
                 1);
    CHECK_EQ(h.testapp.raises, 0);
    CHECK(!harness_message(&h, 10, &message));
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(harness_await(none_stuck, &h, 5000));
    harness_get(&h, "/", 200);
    end(&h);
}

TEST(a_worker_whose_interpreter_is_not_given_back_asks_to_be_replaced)
{
    struct harness h;
    struct client client;
    struct client waiting;
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.request_timeout = 0;
    h.options.hang_timeout = 300 * MS;
    harness_start(&h);
    ask(&h, &client, "/hold");
    CHECK(harness_await(one_inside, &h, 5000));
    ask(&h, &waiting, "/");
    CHECK(harness_message(&h, 10000, &message));
    CHECK_EQ(message.verb, MP_WORKER_RETIRE);
    CHECK_EQ(message.value, MP_RETIRE_HANGS);
    harness_sleep_ms(300);
    await_logged(&h, "hangs: the interpreter has not been given back for", 1);
    await_logged(&h, "most likely by thread ", 1);
    await_logged(&h, ", in:\n    by thread ", 1);
    atomic_store(&h.testapp.release_stuck, true);
    expect_status(&client, 200);
    expect_status(&waiting, 200);
    end(&h);
}

/* Siblings may have them. */
TEST(while_the_interpreter_is_held_connections_are_left_to_others)
{
    struct harness h;
    struct client client;
    struct client waiting;
    harness_init(&h, true);
    h.options.request_timeout = 0;
    h.options.hang_timeout = 600 * MP_NSEC_PER_SEC;
    harness_start(&h);
    ask(&h, &client, "/hold");
    CHECK(harness_await(one_inside, &h, 5000));
    harness_sleep_ms(3000);
    ask(&h, &waiting, "/");
    harness_sleep_ms(200);
    CHECK_EQ(harness_slot(&h)->connections, 1);
    atomic_store(&h.testapp.release_stuck, true);
    expect_status(&client, 200);
    expect_status(&waiting, 200);
    end(&h);
}

TEST(handlers_that_only_wait_do_not_hang)
{
    struct harness h;
    struct client client;
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.request_timeout = 0;
    h.options.hang_timeout = 300 * MS;
    harness_start(&h);
    ask(&h, &client, "/never");
    CHECK(!harness_message(&h, 3000, &message));
    atomic_store(&h.testapp.release_stuck, true);
    expect_status(&client, 200);
    CHECK_EQ(harness_logged(&h, "hangs"), 0);
    end(&h);
}
