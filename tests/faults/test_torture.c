/* SPDX-License-Identifier: MIT */
/*
 * A worker whose calls fail, one after the other: the first, then the second, and so on, until none
 * is left in what is done here. After each the worker must serve as before. What it leaves behind
 * is the runner's to find, and the sanitizers'.
 *
 * This thread, which is the clients', is exempt.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "mpfault.h"

enum { MOST = 600, DENSE = 40, CROWD = 6, BODY = 5000, PIECES = 3000 };

static void check_body(const struct reply *reply, unsigned id)
{
    for (size_t i = 0; i < reply->size; i++)
        CHECK_EQ((unsigned char)reply->body[i], (unsigned char)testapp_byte(id, i));
}

/* Reads an answer. One that is whole must be the right one; that it fails is allowed. */
static void take_answer(struct client *client, unsigned id, size_t size)
{
    struct reply reply;
    if (!client_reply(client, false, &reply))
        return;
    if (reply.status == 200) {
        char text[16];
        snprintf(text, sizeof(text), "%u", id);
        CHECK_STR(reply_field(&reply, "X-Id"), text);
        CHECK(!reply.complete || reply.until_close || reply.size == size);
        check_body(&reply, id);
    } else {
        CHECK(reply.status == 503 || reply.status == 507 || reply.status == 500);
    }
    reply_done(&reply);
}

static void fetch(const struct harness *h, const char *path, unsigned id, size_t size)
{
    struct client client;
    char text[200];
    harness_open(h, &client);
    snprintf(text, sizeof(text), "GET %s?id=%u HTTP/1.1\r\nHost: h\r\n\r\n", path, id);
    client_try_send(&client, text, strlen(text));
    take_answer(&client, id, size);
    client_done(&client);
}

/* A body in pieces: what comes back must be what was sent. */
static void post(const struct harness *h, size_t piece, unsigned id)
{
    struct client client;
    struct reply reply;
    char head[120];
    char body[BODY];
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)(id + i * 7 + i / 253);
    harness_open(h, &client);
    snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
             BODY);
    client_try_send(&client, head, strlen(head));
    for (size_t at = 0; at < BODY; at += piece) {
        client_try_send(&client, body + at, piece < BODY - at ? piece : BODY - at);
        harness_sleep_ms(1);
    }
    if (client_reply(&client, false, &reply)) {
        if (reply.status == 200 && reply.complete) {
            CHECK_EQ(reply.size, BODY);
            CHECK_MEM(reply.body, body, BODY);
        }
        reply_done(&reply);
    }
    client_done(&client);
}

/* More at once than there are threads at first. */
static void crowd(const struct harness *h)
{
    struct client clients[CROWD];
    struct reply reply;
    for (int i = 0; i < CROWD; i++) {
        harness_open(h, &clients[i]);
        client_try_send(&clients[i], "GET /sleep/5000 HTTP/1.1\r\nHost: h\r\n\r\n", 38);
    }
    for (int i = 0; i < CROWD; i++) {
        if (client_reply(&clients[i], false, &reply))
            reply_done(&reply);
        client_done(&clients[i]);
    }
}

static void scenario(const struct harness *h, unsigned id)
{
    fetch(h, "/big/13", id, 13);
    fetch(h, "/big/400000", id + 1, 400000);
    fetch(h, "/file/100000", id + 2, 100000);
    post(h, 900, id);
    post(h, 2500, id + 1);
    crowd(h);
}

#ifndef __SANITIZE_ADDRESS__
/* With clients that are behind, so that answers go to the file: of what is sent after the drop,
 * nothing is looked at. */
static void slow_reader(const struct harness *h, unsigned id)
{
    struct client client;
    char text[100];
    size_t size = 0;
    harness_open(h, &client);
    snprintf(text, sizeof(text), "GET /stream/%d?id=%u HTTP/1.1\r\nHost: h\r\n\r\n", PIECES, id);
    client_try_send(&client, text, strlen(text));
    harness_sleep_ms(30);
    for (unsigned i = 0; i < PIECES; i++)
        size += testapp_piece(i);
    take_answer(&client, id, size);
    client_done(&client);
}
#endif

static void torture(enum mpfault_function function, void (*run)(const struct harness *, unsigned))
{
    struct mpfault *fault = mpfault_get();
    struct mpfault_of *of = &fault->of[function];
    struct harness h;
    uint64_t before;
    unsigned n = 0;
    TEST_BUDGET(200);
    mpfault_exempt(1);
    harness_init(&h, true);
    h.testapp.protect = mpfault_exempt;
    h.options.threads = 8;
    h.options.threads_min = 2;
    h.options.threads_idle = 50 * MP_NSEC_PER_MSEC;
    h.options.body_memory = 2000;
    h.options.output_memory = 100000;
    h.options.body_timeout = MP_NSEC_PER_SEC;
    harness_start(&h);
    fault->seed = (uint64_t)function;
    do {
        before = of->injected;
        n += 1 + n / DENSE; /* all of the first ones, then some of the many that are alike */
        atomic_store(&of->nth, n);
        atomic_store(&fault->on, 1);
        run(&h, n);
        atomic_store(&fault->on, 0);
        harness_get(&h, "/", 200);
    } while (of->injected > before && n < MOST);
    CHECK(of->injected >= 1); /* else nothing was tried */
    printf("      %u calls failed\n", (unsigned)of->injected);
    harness_drain(&h);
    harness_done(&h);
}

TEST(every_malloc_fails_once)
{
    torture(MPFAULT_MALLOC, scenario);
}

TEST(every_accept_fails_once)
{
    torture(MPFAULT_ACCEPT, scenario);
}

TEST(every_recv_fails_once)
{
    torture(MPFAULT_RECV, scenario);
}

TEST(every_send_fails_once)
{
    torture(MPFAULT_SEND, scenario);
}

TEST(every_sendfile_fails_once)
{
    torture(MPFAULT_SENDFILE, scenario);
}

TEST(every_epoll_ctl_fails_once)
{
    torture(MPFAULT_EPOLL_CTL, scenario);
}

static bool is_full(struct harness *h)
{
    return harness_logged(h, "--worker-connections allows") == 1;
}

static bool refused_once(struct harness *h)
{
    (void)h;
    return mpfault_get()->of[MPFAULT_EPOLL_CTL].injected == 1;
}

/* A worker that is full takes its sockets out of the poller. They come back. */
TEST(a_poller_without_room_for_the_listener)
{
    struct mpfault *fault = mpfault_get();
    struct harness h;
    struct client clients[2];
    struct reply reply;
    mpfault_exempt(1);
    harness_init(&h, true);
    h.testapp.protect = mpfault_exempt;
    h.options.connections = 1;
    h.options.keep_alive = 60 * MP_NSEC_PER_SEC;
    harness_start(&h);
    harness_open(&h, &clients[0]);
    client_exchange(&clients[0], "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
    reply_done(&reply);
    CHECK(harness_await(is_full, &h, 5000));
    atomic_store(&fault->of[MPFAULT_EPOLL_CTL].nth, 1);
    atomic_store(&fault->on, 1);
    harness_open(&h, &clients[1]);
    client_get(&clients[1], "/");
    client_done(&clients[0]);
    CHECK(harness_await(refused_once, &h, 5000));
    CHECK(client_reply(&clients[1], false, &reply));
    CHECK_EQ(reply.status, 200);
    atomic_store(&fault->on, 0);
    reply_done(&reply);
    client_done(&clients[1]);
    CHECK_EQ(harness_logged(&h, "cannot accept connections"), 1);
    harness_drain(&h);
    harness_done(&h);
}

TEST(every_open_fails_once)
{
    torture(MPFAULT_OPEN, scenario);
}

TEST(every_pwrite_of_a_body_fails_once)
{
    torture(MPFAULT_PWRITE, scenario);
}

TEST(every_pread_of_a_body_fails_once)
{
    torture(MPFAULT_PREAD, scenario);
}

TEST(every_thread_that_is_started_fails_once)
{
    torture(MPFAULT_THREAD, scenario);
}

#ifndef __SANITIZE_ADDRESS__ /* many MiB through a slow client: minutes with it */
TEST(every_open_fails_once_with_slow_readers)
{
    torture(MPFAULT_OPEN, slow_reader);
}

TEST(every_pwrite_fails_once_with_slow_readers)
{
    torture(MPFAULT_PWRITE, slow_reader);
}

TEST(every_pread_fails_once_with_slow_readers)
{
    torture(MPFAULT_PREAD, slow_reader);
}

#endif

/* The test of the tests: a call that never comes makes them fail. */
FAIL_TEST(nothing_fails_where_nothing_is_called)
{
    torture(MPFAULT_FORK, scenario);
}
