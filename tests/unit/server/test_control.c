/* SPDX-License-Identifier: MIT */
/* The control thread: drain, quit, the end of its master, deadlines of handlers, heartbeat. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "os/fd.h"
#include "os/sigaction.h"
#include "server/request.h"
#include "server/response.h"

static int64_t elapsed_ms(int64_t since)
{
    return (mp_clock_now() - since) / MP_NSEC_PER_MSEC;
}

static bool one_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 1;
}

static bool logged_twice(struct harness *h)
{
    return harness_logged(h, "GET /never exceeded 0.3 s") == 2;
}

/* Asked of the kernel: the descriptor's own number belongs to the worker's threads. */
static bool listener_is_closed(struct harness *h)
{
    const struct mp_sockaddr *addr = &h->listeners[0].addr;
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused;
    CHECK(fd >= 0);
    refused = connect(fd, &addr->any, addr->len) == -1 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool none_stuck(struct harness *h)
{
    return atomic_load(&harness_slot(h)->stuck) == 0;
}

static bool none_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 0;
}

TEST(drain_without_connections_is_immediate)
{
    struct harness h;
    harness_init(&h, true);
    harness_start(&h);
    int64_t since = mp_clock_now();
    harness_drain(&h);
    CHECK(elapsed_ms(since) < 400);
    harness_done(&h);
}

TEST(drain_closes_idle_connections_soon)
{
    struct harness h;
    struct client clients[5];
    harness_init(&h, true);
    harness_start(&h);
    for (int i = 0; i < 5; i++) {
        struct reply reply;
        harness_open(&h, &clients[i]);
        client_get(&clients[i], "/");
        CHECK(client_reply(&clients[i], false, &reply));
        reply_done(&reply);
    }
    int64_t since = mp_clock_now();
    harness_drain(&h);
    CHECK(elapsed_ms(since) < 2000); /* keep-alive is 5 s */
    for (int i = 0; i < 5; i++) {
        CHECK(client_at_end(&clients[i], 0));
        client_done(&clients[i]);
    }
    harness_done(&h);
}

TEST(drain_waits_for_handlers_and_tells_the_client)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/never");
    CHECK(harness_await(one_inside, &h, 5000));
    harness_tell(&h, MP_WORKER_DRAIN, 1);
    harness_sleep_ms(500);
    CHECK_EQ(h.testapp.inside, 1);
    int64_t since = mp_clock_now();
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_STR(reply_field(&reply, "Connection"), "close");
    reply_done(&reply);
    CHECK_EQ(harness_join(&h), 0);
    CHECK(elapsed_ms(since) < 1000);
    client_done(&client);
    harness_done(&h);
}

static void stream_until_released(struct testapp *testapp, struct mp_request *request)
{
    mp_response_begin(request, 200, NULL, 0);
    mp_response_field(request, "Content-Length", 14, "6", 1);
    mp_response_write(request, "one", 3, NULL);
    mp_response_flush(request);
    while (!atomic_load(&testapp->release_stuck))
        testapp_nap(testapp, MP_NSEC_PER_MSEC);
    mp_response_write(request, "two", 3, NULL);
    mp_response_end(request);
}

/* Its client was told that the connection would be kept. */
TEST(drain_closes_a_connection_that_becomes_idle_later)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.testapp.custom = stream_until_released;
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/custom");
    CHECK(harness_await(one_inside, &h, 5000));
    harness_sleep_ms(50);
    harness_tell(&h, MP_WORKER_DRAIN, 1);
    harness_sleep_ms(100);
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(client_reply(&client, false, &reply));
    CHECK_STR(reply.body, "onetwo");
    reply_done(&reply);
    int64_t since = mp_clock_now();
    CHECK_EQ(harness_join(&h), 0);
    CHECK(elapsed_ms(since) < 2500);
    client_done(&client);
    harness_done(&h);
}

TEST(drain_serves_what_is_half_received_and_what_is_in_the_backlog)
{
    struct harness h;
    struct client half;
    struct client idle;
    struct client clients[8];
    struct reply reply;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &half);
    harness_open(&h, &idle);
    client_puts(&half, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    harness_sleep_ms(50);
    for (int i = 0; i < 8; i++) {
        harness_open(&h, &clients[i]);
        client_get(&clients[i], "/");
    }
    harness_tell(&h, MP_WORKER_DRAIN, 1);
    for (int i = 0; i < 8; i++) {
        CHECK(client_reply(&clients[i], false, &reply));
        CHECK_EQ(reply.status, 200);
        reply_done(&reply);
        client_done(&clients[i]);
    }
    CHECK(client_at_end(&idle, 5000)); /* so it has begun */
    client_done(&idle);
    client_puts(&half, "cde");
    CHECK(client_reply(&half, false, &reply));
    CHECK_STR(reply.body, "abcde");
    CHECK_STR(reply_field(&reply, "Connection"), "close");
    reply_done(&reply);
    CHECK_EQ(harness_join(&h), 0);
    client_done(&half);
    harness_done(&h);
}

TEST(drain_for_a_reload_leaves_the_backlog_to_others)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    harness_tell(&h, MP_WORKER_DRAIN, 0);
    CHECK_EQ(harness_join(&h), 0);
    harness_open(&h, &client); /* the socket still listens */
    client_get(&client, "/");
    CHECK(client_silent(&client, 100));
    client_done(&client);
    harness_done(&h);
}

/* The last to have the socket: whoever comes after the backlog was taken is refused, not left
 * waiting until the handlers have ended, to be reset then. */
TEST(drain_for_good_closes_the_socket_before_handlers_end)
{
    struct harness h;
    struct client busy;
    struct reply reply;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &busy);
    client_get(&busy, "/never");
    CHECK(harness_await(one_inside, &h, 5000));
    mp_fd_close(&h.listeners[0].fd); /* the master's */
    harness_tell(&h, MP_WORKER_DRAIN, 1);
    CHECK(harness_await(listener_is_closed, &h, 5000));
    CHECK_EQ(atomic_load(&h.testapp.inside), 1);
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(client_reply(&busy, false, &reply));
    CHECK_EQ(reply.status, 200);
    reply_done(&reply);
    client_done(&busy);
    CHECK_EQ(harness_join(&h), 0);
    harness_done(&h);
}

TEST(quit_when_idle_ends_everything)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    client_puts(&client, "GET / HT");
    harness_sleep_ms(20);
    harness_tell(&h, MP_WORKER_QUIT, 0);
    CHECK_EQ(harness_join(&h), 0);
    CHECK(client_at_end(&client, 1000));
    client_done(&client);
    harness_done(&h);
}

TEST(end_of_the_master_ends_the_worker)
{
    struct harness h;
    harness_init(&h, true);
    harness_start(&h);
    close(h.control);
    h.control = -1;
    CHECK_EQ(harness_join(&h), 0);
    harness_done(&h);
}

/* Its threads are still there then: the process has to end, as a worker's does. */
static void quit_during_a_handler(bool by_message)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct harness h;
        struct client client;
        harness_init(&h, true);
        harness_start(&h);
        harness_open(&h, &client);
        client_get(&client, "/never");
        CHECK(harness_await(one_inside, &h, 5000));
        if (by_message)
            harness_tell(&h, MP_WORKER_QUIT, 0);
        else
            close(h.control);
        pthread_join(h.thread, NULL);
        _exit(h.status);
    }
    int status;
    int64_t since = mp_clock_now();
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), MP_WORKER_EXIT_QUIT);
    CHECK(elapsed_ms(since) < 5000);
}

TEST(quit_does_not_wait_for_handlers)
{
    quit_during_a_handler(true);
    quit_during_a_handler(false);
}

TEST(signals_of_the_relay)
{
    struct harness h;
    int ends[2];
    unsigned char byte = SIGTERM;
    harness_init(&h, true);
    CHECK_OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    h.context.signals = ends[0];
    harness_start(&h);
    CHECK_EQ(write(ends[1], &byte, 1), 1);
    CHECK_EQ(harness_join(&h), 0);
    h.testapp.release_stuck = false;
    h.context.signals = ends[0];
    harness_start(&h);
    byte = SIGQUIT;
    CHECK_EQ(write(ends[1], &byte, 1), 1);
    CHECK_EQ(harness_join(&h), 0);
    close(ends[0]);
    close(ends[1]);
    harness_done(&h);
}

/* ---- deadlines --------------------------------------------------------------------------- */

static void check_retire(struct harness *h)
{
    struct mp_worker_message message;
    CHECK(harness_message(h, 5000, &message));
    CHECK_EQ(message.verb, MP_WORKER_RETIRE);
    CHECK_EQ(message.value, MP_RETIRE_STUCK);
}

TEST(handler_past_its_deadline_is_answered_504_and_may_come_back)
{
    struct harness h;
    struct client client;
    struct reply reply;
    struct mp_worker_message message;
    harness_init(&h, true);
    h.options.request_timeout = 300 * MP_NSEC_PER_MSEC;
    h.options.stuck_grace = 100 * MP_NSEC_PER_MSEC;
    harness_start(&h);
    for (int i = 0; i < 2; i++) {
        atomic_store(&h.testapp.release_stuck, false);
        harness_open(&h, &client);
        int64_t since = mp_clock_now();
        client_get(&client, "/never");
        CHECK(client_reply(&client, false, &reply));
        CHECK_EQ(reply.status, 504);
        CHECK_STR(reply_field(&reply, "Connection"), "close");
        CHECK(elapsed_ms(since) >= 300);
        CHECK(elapsed_ms(since) < 3000);
        CHECK(client_at_end(&client, 1000)); /* while the handler still runs */
        reply_done(&reply);
        if (i == 0)
            check_retire(&h);
        harness_get(&h, "/", 200);
        atomic_store(&h.testapp.release_stuck, true);
        CHECK(harness_await(none_inside, &h, 5000));
        client_done(&client);
    }
    CHECK(!harness_message(&h, 50, &message)); /* said once */
    CHECK(harness_await(logged_twice, &h, 5000));
    CHECK(harness_await(none_stuck, &h, 5000));
    harness_drain(&h);
    harness_done(&h);
}

TEST(handler_that_has_streamed_is_cut)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.options.request_timeout = 300 * MP_NSEC_PER_MSEC;
    h.options.stuck_grace = 100 * MP_NSEC_PER_MSEC;
    h.testapp.custom = stream_until_released;
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/custom");
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK(!reply.complete);
    CHECK_STR(reply.body, "one");
    check_retire(&h);
    atomic_store(&h.testapp.release_stuck, true);
    reply_done(&reply);
    client_done(&client);
    CHECK(harness_await(none_inside, &h, 5000));
    CHECK(harness_await(none_stuck, &h, 5000));
    harness_drain(&h);
    harness_done(&h);
}

static void stream_for_ever(struct testapp *testapp, struct mp_request *request)
{
    static char block[20000];
    mp_response_begin(request, 200, NULL, 0);
    int r = 0;
    while (r == 0) {
        r = mp_response_write(request, block, sizeof(block), NULL);
        testapp_leave(testapp);
        if (r == 0)
            r = mp_response_flush(request);
        testapp_enter(testapp);
    }
    mp_response_end(request);
}

/* The handler waits in flush for its client, with the output's lock: the control thread must not.
 */
TEST(deadline_of_a_handler_that_waits_for_its_client)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.request_timeout = 400 * MP_NSEC_PER_MSEC;
    h.options.output_memory = 20000;
    h.options.output_file = 100000;
    h.testapp.custom = stream_for_ever;
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/custom");
    CHECK(harness_await(one_inside, &h, 5000));
    int64_t since = mp_clock_now();
    CHECK(harness_await(none_inside, &h, 5000));
    CHECK(elapsed_ms(since) < 3000);
    harness_get(&h, "/", 200);
    client_done(&client);
    harness_drain(&h);
    harness_done(&h);
}

/* The next beat after one; 0 is before the first, which comes right after READY. */
static int64_t beat_after(struct harness *h, int64_t last)
{
    int64_t since = mp_clock_now();
    int64_t beat;
    while ((beat = atomic_load(&harness_slot(h)->heartbeat)) <= last) {
        CHECK(elapsed_ms(since) < 5000);
        harness_sleep_ms(2);
    }
    return beat;
}

TEST(heartbeat)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    int64_t since = mp_clock_now();
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/never");
    CHECK(harness_await(one_inside, &h, 5000));
    int64_t last = beat_after(&h, 0);
    int64_t shortest = INT64_MAX;
    CHECK(last >= since && last <= mp_clock_now());
    for (int i = 0; i < 4; i++) {
        int64_t beat = beat_after(&h, last);
        CHECK(beat <= mp_clock_now());
        shortest = beat - last < shortest ? beat - last : shortest;
        last = beat;
    }
    CHECK_EQ(h.testapp.inside, 1);
    CHECK(shortest < 800 * MP_NSEC_PER_MSEC); /* the others may have come late on a busy machine */
    atomic_store(&h.testapp.release_stuck, true);
    client_done(&client);
    harness_drain(&h);
    harness_done(&h);
}
