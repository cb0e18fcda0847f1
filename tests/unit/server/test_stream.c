/* SPDX-License-Identifier: MIT */
/* The stream protocol: handlers that are given the connection itself. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "lines.h"

enum { MANY = 40 };

static void start(struct harness *h, unsigned threads, enum mp_admission admission)
{
    harness_init(h, true);
    lines_init(h, MP_PROTOCOL_STREAM);
    h->options.threads = threads;
    h->options.admission = admission;
    harness_start(h);
}

static void stop(struct harness *h)
{
    harness_drain(h);
    harness_done(h);
}

static bool none_connected(struct harness *h)
{
    return atomic_load(&harness_slot(h)->connections) == 0;
}

static void await_inside(struct harness *h, unsigned count)
{
    for (int i = 0; i < 5000 && atomic_load(&h->testapp.inside) != count; i++)
        harness_sleep_ms(1);
    CHECK_EQ(h->testapp.inside, count);
}

TEST(handlers_have_the_connection)
{
    struct harness h;
    start(&h, 2, MP_ADMISSION_CONNECT);
    for (int i = 0; i < 20; i++)
        lines_exchange(&h, "echo 1", "echo 1\n");
    CHECK(harness_await(none_connected, &h, 2000));
    CHECK_EQ(h.testapp.handled, 20);
    CHECK_EQ(harness_slot(&h)->accepted, 20);
    stop(&h);
}

TEST(the_same_when_they_have_said_something)
{
    struct harness h;
    start(&h, 2, MP_ADMISSION_READABLE);
    for (int i = 0; i < 20; i++)
        lines_exchange(&h, "echo 1", "echo 1\n");
    int fd = harness_connect(&h, 0); /* is watched, then speaks */
    harness_sleep_ms(30);
    CHECK_EQ(h.testapp.handled, 20);
    CHECK_EQ(send(fd, "echo 2\n", 7, 0), 7);
    lines_expect(fd, "echo 2\n");
    CHECK(harness_await(none_connected, &h, 2000));
    CHECK_EQ(h.testapp.handled, 21);
    stop(&h);
}

TEST(as_many_at_once_as_there_are_threads)
{
    struct harness h;
    int fds[MANY];
    start(&h, 7, MP_ADMISSION_CONNECT);
    for (int i = 0; i < MANY; i++)
        fds[i] = lines_ask(&h, "sleep 5000");
    for (int i = 0; i < MANY; i++)
        lines_expect(fds[i], "done");
    CHECK_EQ(h.testapp.most_inside, 7);
    stop(&h);
}

TEST(connections_without_a_thread_stay_with_the_kernel)
{
    struct harness h;
    int fds[MANY];
    start(&h, 3, MP_ADMISSION_CONNECT);
    for (int i = 0; i < 3; i++)
        fds[i] = lines_ask(&h, "never");
    await_inside(&h, 3);
    for (int i = 3; i < 10; i++)
        fds[i] = lines_ask(&h, "echo");
    harness_sleep_ms(50);
    CHECK_EQ(harness_slot(&h)->accepted, 3);
    CHECK_EQ(harness_slot(&h)->connections, 3);
    close(fds[0]); /* one thread is enough for those that wait */
    for (int i = 3; i < 10; i++)
        lines_expect(fds[i], "echo\n");
    close(fds[1]);
    close(fds[2]);
    stop(&h);
}

TEST(silent_clients_take_no_thread)
{
    struct harness h;
    int silent[MANY];
    start(&h, 2, MP_ADMISSION_READABLE);
    for (int i = 0; i < MANY; i++)
        silent[i] = harness_connect(&h, 0);
    for (int i = 0; i < 5; i++)
        lines_exchange(&h, "echo", "echo\n");
    CHECK(atomic_load(&harness_slot(&h)->connections) >= MANY);
    for (int i = 0; i < MANY; i += 2) { /* half of them speak after all, the others leave */
        CHECK_EQ(send(silent[i], "echo\n", 5, 0), 5);
        lines_expect(silent[i], "echo\n");
        close(silent[i + 1]);
    }
    CHECK(harness_await(none_connected, &h, 5000));
    stop(&h);
}

TEST(a_client_that_ends_without_a_word_is_handled)
{
    struct harness h;
    start(&h, 2, MP_ADMISSION_READABLE);
    int fd = harness_connect(&h, 0);
    harness_sleep_ms(20);
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    lines_expect(fd, "");
    CHECK(harness_await(none_connected, &h, 5000));
    CHECK_EQ(h.testapp.handled, 1);
    stop(&h);
}

TEST(a_client_that_resets_without_a_word_is_not)
{
    struct harness h;
    struct linger now = {.l_onoff = 1};
    start(&h, 2, MP_ADMISSION_READABLE);
    int fd = harness_connect(&h, 0);
    harness_sleep_ms(20);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    CHECK(harness_await(none_connected, &h, 5000));
    CHECK_EQ(h.testapp.handled, 0);
    stop(&h);
}

/* Its end is reported together with its bytes. */
TEST(what_a_client_sends_just_before_it_goes_is_handled)
{
    enum { COUNT = 50 };
    for (int admission = 0; admission < 2; admission++) {
        struct harness h;
        harness_init(&h, true);
        lines_init(&h, MP_PROTOCOL_STREAM);
        h.options.admission = admission ? MP_ADMISSION_READABLE : MP_ADMISSION_CONNECT;
        close(h.listeners[0].fd);
        h.listener_count = 0;
        harness_listen(&h, "unix:@mp-test-stream-goes");
        harness_start(&h);
        for (int i = 0; i < COUNT; i++) {
            int fd = harness_connect(&h, 0);
            if (i % 2)
                harness_sleep_ms(2);
            CHECK_EQ(send(fd, "echo\n", 5, 0), 5);
            close(fd);
        }
        for (int i = 0; i < 2000 && atomic_load(&h.testapp.handled) < COUNT; i++)
            harness_sleep_ms(1);
        CHECK_EQ(h.testapp.handled, COUNT);
        stop(&h);
    }
}

/* One that has come a moment before the drain has its handler, whoever speaks first. */
TEST(a_newcomer_at_a_drain_is_handled)
{
    for (int i = 0; i < 30; i++) {
        struct harness h;
        start(&h, 2, MP_ADMISSION_CONNECT);
        int fd = harness_connect(&h, 0);
        while (atomic_load(&harness_slot(&h)->accepted) == 0)
            sched_yield();
        harness_tell(&h, MP_WORKER_DRAIN, 1);
        harness_sleep_ms(5);
        CHECK_EQ(send(fd, "echo\n", 5, MSG_NOSIGNAL), 5);
        lines_expect(fd, "echo\n");
        CHECK_EQ(harness_join(&h), 0);
        CHECK_EQ(h.testapp.handled, 1);
        harness_done(&h);
    }
}

TEST(silence_has_a_deadline)
{
    struct harness h;
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.options.admission = MP_ADMISSION_READABLE;
    h.options.readable_timeout = 150 * MP_NSEC_PER_MSEC;
    harness_start(&h);
    int64_t before = mp_clock_now();
    lines_expect(harness_connect(&h, 0), "");
    int64_t took = mp_clock_now() - before;
    CHECK(took >= 140 * MP_NSEC_PER_MSEC);
    CHECK_EQ(h.testapp.handled, 0);
    lines_exchange(&h, "sleep 300000", "done"); /* it is not the handler's */
    stop(&h);
}

TEST(a_socket_outlives_its_handler)
{
    struct harness h;
    int fd;
    int left;
    start(&h, 2, MP_ADMISSION_CONNECT);
    fd = lines_ask(&h, "keep");
    while ((left = lines_kept()) < 0)
        harness_sleep_ms(1);
    CHECK(harness_await(none_connected, &h, 5000));
    lines_exchange(&h, "echo", "echo\n");
    CHECK_EQ(send(left, "late", 4, 0), 4);
    close(left);
    lines_expect(fd, "late");
    stop(&h);
}

TEST(a_socket_that_nobody_takes_is_closed)
{
    struct harness h;
    harness_init(&h, true);
    lines_init_untaken(&h);
    harness_start(&h);
    lines_expect(harness_connect(&h, 0), "");
    CHECK_EQ(h.testapp.handled, 1);
    stop(&h);
}

static bool none_stuck(struct harness *h)
{
    return atomic_load(&harness_slot(h)->stuck) == 0;
}

static bool says_that_it_was_cut(struct harness *h)
{
    return harness_logged(h, "a connection from 127.0.0.1:") >= 1 &&
           harness_logged(h, "exceeded 0.2 s: connection cut") == 1;
}

/* What one handler does not give back in time is cut; the others go on. */
TEST(a_handler_that_never_ends_is_cut)
{
    struct harness h;
    struct mp_worker_message message;
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.options.request_timeout = 200 * MP_NSEC_PER_MSEC;
    h.options.stuck_grace = 100 * MP_NSEC_PER_MSEC;
    harness_start(&h);
    int fd = lines_ask(&h, "never");
    lines_exchange(&h, "sleep 20000", "done");
    lines_expect(fd, "");
    CHECK(harness_await(says_that_it_was_cut, &h, 5000));
    CHECK(harness_await(none_stuck, &h, 5000)); /* it waits for the end of its connection */
    lines_exchange(&h, "echo", "echo\n");
    CHECK(!harness_message(&h, 200, &message));
    stop(&h);
}

TEST(a_drain_ends_silence_and_waits_for_handlers)
{
    struct harness h;
    start(&h, 2, MP_ADMISSION_READABLE);
    int silent = harness_connect(&h, 0);
    int busy = lines_ask(&h, "sleep 600000");
    await_inside(&h, 1);
    harness_tell(&h, MP_WORKER_DRAIN, 1);
    lines_expect(silent, "");
    CHECK(harness_slot(&h)->handlers == 1);
    lines_expect(busy, "done");
    CHECK_EQ(harness_join(&h), 0);
    harness_done(&h);
}

TEST(a_worker_asks_to_be_replaced)
{
    struct harness h;
    struct mp_worker_message message;
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.options.max_requests = 10;
    h.options.max_requests_jitter = 3;
    harness_start(&h);
    for (int i = 0; i < 9; i++)
        lines_exchange(&h, "echo", "echo\n");
    CHECK(!harness_message(&h, 700, &message));
    for (int i = 0; i < 4; i++)
        lines_exchange(&h, "echo", "echo\n");
    CHECK(harness_message(&h, 5000, &message));
    CHECK_EQ(message.verb, MP_WORKER_RETIRE);
    CHECK_EQ(message.value, MP_RETIRE_MAX_REQUESTS);
    lines_exchange(&h, "echo", "echo\n");       /* until it is told to drain */
    CHECK(!harness_message(&h, 700, &message)); /* once */
    stop(&h);
}

TEST(a_handler_asks_for_the_end)
{
    struct harness h;
    struct mp_worker_message message;
    start(&h, 2, MP_ADMISSION_CONNECT);
    CHECK_OK(mp_worker_ask_stop(&h.context));
    CHECK(harness_message(&h, 5000, &message));
    CHECK_EQ(message.verb, MP_WORKER_STOP);
    stop(&h);
}

/* Long handlers that wait, known from the first ones, do not hold up those that come. */
TEST(waiting_handlers_are_known_before_they_end)
{
    struct harness h;
    int fds[MANY];
    start(&h, MANY + 2, MP_ADMISSION_CONNECT);
    for (int i = 0; i < MANY / 4; i++)
        fds[i] = lines_ask(&h, "never");
    await_inside(&h, MANY / 4);
    uint64_t before = atomic_load(&harness_slot(&h)->handovers);
    for (int i = MANY / 4; i < MANY; i++) {
        fds[i] = lines_ask(&h, "never");
        await_inside(&h, (unsigned)i + 1);
    }
    CHECK_EQ(atomic_load(&harness_slot(&h)->handovers), before + MANY - MANY / 4);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    stop(&h);
}
