/* SPDX-License-Identifier: MIT */
/* MP_WORKER_DUMP: what is said of each thread, when the interpreter is free and when it is not. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static bool three_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 3;
}

static bool one_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 1;
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

TEST(an_idle_worker_has_nothing_to_show)
{
    struct harness h;
    harness_init(&h, true);
    h.options.threads = 3;
    harness_start(&h);
    char *text = harness_read_dump(harness_dump(&h));
    CHECK(strstr(text, "worker 1 (pid ") == text);
    CHECK(strstr(text, "): 0 threads in handlers, 4 not\n") != NULL);
    CHECK_EQ(count(text, "\n"), 1);
    free(text);
    harness_drain(&h);
    harness_done(&h);
}

TEST(each_handler_is_shown_with_its_request)
{
    struct harness h;
    struct client clients[3];
    harness_init(&h, true);
    harness_start(&h);
    for (int i = 0; i < 3; i++) {
        harness_open(&h, &clients[i]);
        client_get(&clients[i], "/never");
    }
    CHECK(harness_await(three_inside, &h, 5000));
    for (int round = 0; round < 3; round++) {
        char *text = harness_read_dump(harness_dump(&h));
        CHECK(strstr(text, "3 threads in handlers") != NULL);
        CHECK_EQ(count(text, " s on GET /never, from 127.0.0.1:"), 3);
        CHECK_EQ(count(text, "\n    File \"testapp.c\", line 1, in stay\n"), 3);
        free(text);
    }
    atomic_store(&h.testapp.release_stuck, true);
    for (int i = 0; i < 3; i++) {
        struct reply reply;
        CHECK(client_reply(&clients[i], false, &reply));
        CHECK_EQ(reply.status, 200);
        reply_done(&reply);
        client_done(&clients[i]);
    }
    CHECK_EQ(h.testapp.raises, 0);
    harness_drain(&h);
    harness_done(&h);
}

TEST(a_handler_that_keeps_the_interpreter_speaks_for_itself)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/hold");
    CHECK(harness_await(one_inside, &h, 5000));
    for (int round = 0; round < 2; round++) { /* the second finds the inspector waiting */
        char *text = harness_read_dump(harness_dump(&h));
        CHECK(strstr(text, "GET /hold") != NULL);
        CHECK(strstr(text, "(the interpreter is held") != NULL);
        CHECK(strstr(text, "\n    by thread ") != NULL);
        free(text);
    }
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(client_reply(&client, false, &reply));
    reply_done(&reply);
    client_done(&client);
    char *text = harness_read_dump(harness_dump(&h));
    CHECK(strstr(text, "0 threads in handlers") != NULL);
    free(text);
    harness_drain(&h);
    harness_done(&h);
}

TEST(dumps_that_are_asked_for_together_all_come)
{
    struct harness h;
    int fds[5];
    harness_init(&h, false);
    harness_start(&h);
    for (int i = 0; i < 5; i++)
        fds[i] = harness_dump(&h);
    for (int i = 0; i < 5; i++) {
        char *text = harness_read_dump(fds[i]);
        CHECK(strstr(text, "0 threads in handlers") != NULL);
        free(text);
    }
    harness_drain(&h);
    harness_done(&h);
}

TEST(readers_that_have_gone_or_do_not_read_hold_up_nobody)
{
    struct harness h;
    harness_init(&h, true);
    harness_start(&h);
    close(harness_dump(&h));
    int fd = harness_dump(&h); /* not read */
    harness_get(&h, "/", 200);
    char *text = harness_read_dump(harness_dump(&h));
    CHECK(strstr(text, "0 threads in handlers") != NULL);
    free(text);
    close(fd);
    harness_drain(&h);
    harness_done(&h);
}

TEST(a_dump_under_way_does_not_outlive_the_worker)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/hold");
    CHECK(harness_await(one_inside, &h, 5000));
    int fd = harness_dump(&h);
    harness_sleep_ms(20);
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(client_reply(&client, false, &reply));
    reply_done(&reply);
    client_done(&client);
    harness_drain(&h);
    free(harness_read_dump(fd));
    harness_done(&h);
}
