/* SPDX-License-Identifier: MIT */
/* The protocol on real connections: requests in any pieces, pipelining, bodies, refusals, ends of
 * connections of every kind, and deadlines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static void expect_echo(struct client *client, const char *body, size_t n)
{
    struct reply reply;
    CHECK(client_reply(client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK(reply.complete);
    CHECK_EQ(reply.size, n);
    CHECK_MEM(reply.body, body, n);
    reply_done(&reply);
}

TEST(bytes_one_at_a_time)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_begin(&h, &client);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        client_send(&client, text + i, 1);
        if (i % 8 == 0)
            harness_sleep_ms(1);
    }
    expect_echo(&client, "hello", 5);
    expect_echo(&client, "abcde", 5);
    expect_echo(&client, "Hello, pond.\n", 13);
    harness_finish(&h, &client);
}

TEST(two_pieces_at_every_place)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n";
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_begin(&h, &client);
    for (size_t i = 1; i < sizeof(text) - 1; i++) {
        client_send(&client, text, i);
        harness_sleep_ms(1);
        client_send(&client, text + i, sizeof(text) - 1 - i);
        expect_echo(&client, "hello", 5);
    }
    harness_finish(&h, &client);
}

TEST(pipelined_requests_are_answered_in_order)
{
    enum { COUNT = 200 };
    struct harness h;
    struct client client;
    char text[COUNT * 100] = "";
    char *at = text;
    harness_init(&h, true);
    harness_begin(&h, &client);
    for (int i = 0; i < COUNT; i++) {
        const char *path = i % 5 == 0 ? "sleep/2000" : i % 5 == 1 ? "big/20000" : "cpu/10";
        at += sprintf(at, "GET /%s?id=%d HTTP/1.1\r\nHost: h\r\n\r\n", path, i);
    }
    client_puts(&client, text);
    for (int i = 0; i < COUNT; i++) {
        struct reply reply;
        CHECK(client_reply(&client, false, &reply));
        CHECK_EQ(reply.status, 200);
        CHECK_EQ(strtol(reply_field(&reply, "X-Id"), NULL, 10), i);
        reply_done(&reply);
    }
    harness_finish(&h, &client);
}

/* The next request arrives while a long answer is being written: its event meets a closed gate. */
TEST(request_during_a_long_answer_is_not_forgotten)
{
    struct harness h;
    struct client client;
    struct reply reply;
    const char *paths[] = {"/big/5000000?id=1", "/file/5000000?id=1", "/stream/300?id=1",
                           "/sleep/30000?id=1"};
    harness_init(&h, true);
    h.options.keep_alive = 60 * MP_NSEC_PER_SEC;
    harness_begin(&h, &client);
    for (int i = 0; i < 40; i++) {
        client_get(&client, paths[i % 4]);
        harness_sleep_ms(i % 7);
        client_get(&client, "/?id=2");
        CHECK(client_reply(&client, false, &reply));
        CHECK_STR(reply_field(&reply, "X-Id"), "1");
        reply_done(&reply);
        CHECK(client_reply(&client, false, &reply));
        CHECK_STR(reply_field(&reply, "X-Id"), "2");
        reply_done(&reply);
    }
    harness_finish(&h, &client);
}

static char *pattern(size_t n)
{
    char *bytes = malloc(n);
    testapp_fill(bytes, n, 9, 0);
    return bytes;
}

TEST(bodies_of_all_sizes)
{
    const size_t sizes[] = {0, 1, 4000, 4096, 5000, 65535, 65536, 70000, 262144, 300000, 3000000};
    struct harness h;
    struct client client;
    char head[200];
    char *body = pattern(3000000);
    harness_init(&h, true);
    h.options.body_memory = 262144;
    harness_begin(&h, &client);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        snprintf(head, sizeof(head),
                 "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        client_puts(&client, head);
        client_send(&client, body, sizes[i]);
        client_puts(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect_echo(&client, body, sizes[i]);
        expect_echo(&client, "Hello, pond.\n", 13);
    }
    free(body);
    harness_finish(&h, &client);
}

TEST(chunked_bodies_of_all_sizes)
{
    const size_t sizes[] = {1, 100, 10000, 100000, 1000000};
    struct harness h;
    struct client client;
    char line[64];
    char *body = pattern(1000000);
    harness_init(&h, true);
    h.options.body_memory = 50000;
    harness_begin(&h, &client);
    for (size_t i = 0; i < 5; i++) {
        size_t step = sizes[i] < 7777 ? 3 : 7777;
        client_puts(&client,
                    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0; at < sizes[i]; at += step) {
            size_t n = sizes[i] - at < step ? sizes[i] - at : step;
            snprintf(line, sizeof(line), "%zx\r\n", n);
            client_puts(&client, line);
            client_send(&client, body + at, n);
            client_puts(&client, "\r\n");
        }
        client_puts(&client, "0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect_echo(&client, body, sizes[i]);
        expect_echo(&client, "Hello, pond.\n", 13);
    }
    free(body);
    harness_finish(&h, &client);
}

TEST(expect_100_continue)
{
    static const char head[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.options.body_max = 1000;
    harness_begin(&h, &client);
    client_puts(&client, head);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 100);
    reply_done(&reply);
    CHECK(client_silent(&client, 20));
    client_puts(&client, "hello");
    expect_echo(&client, "hello", 5);
    /* Not when the body is there already. */
    client_puts(&client, head);
    client_puts(&client, "");
    CHECK(client_reply(&client, false, &reply));
    reply_done(&reply);
    client_puts(&client, "hello");
    expect_echo(&client, "hello", 5);
    /* Not when it will be refused. */
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                         "Content-Length: 5000\r\n\r\n");
    client_refused(&client, 413);
    harness_finish(&h, &client);
}

/* ---- refusals ---------------------------------------------------------------------------- */

static void refused(const char *request, int status)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.body_max = 1000;
    harness_begin(&h, &client);
    client_puts(&client, request);
    client_refused(&client, status);
    CHECK_EQ(h.testapp.handled, 0);
    CHECK_EQ(harness_slot(&h)->bad_requests, 1);
    harness_finish(&h, &client);
}

TEST(refusals)
{
    TEST_BUDGET(60);
    refused("nonsense\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505);
    refused("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", 501);
    refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501);
    refused("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 421);
    refused("POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417);
    refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", 413);
    refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400);
    refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413);
    refused("\x16\x03\x01\x02", 400);
}

/* Whatever is wrong with it, and however it came: a HEAD request has no content in its answer. */
static void refused_head(const char *first, const char *second, int status)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_begin(&h, &client);
    client_puts(&client, first);
    if (second) {
        CHECK(client_silent(&client, 100));
        client_puts(&client, second);
    }
    CHECK(client_reply(&client, true, &reply));
    CHECK_EQ(reply.status, status);
    CHECK(client_at_end(&client, 5000));
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(refused_head_requests_get_no_content)
{
    TEST_BUDGET(60);
    refused_head("HEAD / HTTP/1.1\r\n\r\n", NULL, 400);
    refused_head("\r\nHEAD / HTTP/1.1\r\n\r\n", NULL, 400);
    refused_head("HEAD / HTTP/3.0\r\n\r\n", NULL, 505);
    refused_head("HEAD / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", NULL, 417);
    refused_head("HEAD /pieces-that-come-slowly-and-are-long HTTP/1.1\r\nHo", "st : h\r\n\r\n",
                 400);
    refused_head("HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx", NULL, 400);
}

static void refused_long(const char *before, size_t n, int status)
{
    size_t len = strlen(before);
    char *text = malloc(len + n + 1);
    memcpy(text, before, len);
    memset(text + len, 'x', n);
    text[len + n] = '\0';
    refused(text, status);
    free(text);
}

TEST(too_long)
{
    refused_long("GET /", 9000, 414);
    refused_long("GET / HTTP/1.1\r\nHost: h\r\nX: ", 9000, 431);
}

TEST(too_many_fields_and_too_large_a_head)
{
    char *text = malloc(200000);
    char *at = text + sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 150; i++)
        at += sprintf(at, "X-%d: y\r\n", i);
    refused(text, 431);
    at = text + sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 10; i++)
        at += sprintf(at, "X-%d: %08000d\r\n", i, 1);
    refused(text, 431);
    free(text);
}

TEST(nothing_behind_a_refused_request_is_run)
{
    refused("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n"
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            413);
}

TEST(large_head_that_is_allowed)
{
    struct harness h;
    struct client client;
    char *text = malloc(100000);
    char *at = text + sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
    harness_init(&h, true);
    harness_begin(&h, &client);
    for (int i = 0; i < 7; i++)
        at += sprintf(at, "X-%d: %08000d\r\n", i, 1);
    strcpy(at, "\r\n");
    for (int i = 0; i < 3; i++) {
        client_puts(&client, text);
        expect_echo(&client, "Hello, pond.\n", 13);
    }
    free(text);
    harness_finish(&h, &client);
}

/* ---- ends -------------------------------------------------------------------------------- */

TEST(refusal_reaches_a_client_that_is_still_sending)
{
    struct harness h;
    struct client client;
    char *body = pattern(600000);
    harness_init(&h, true);
    h.options.body_max = 1000;
    for (int half = 0; half < 2; half++) {
        if (half == 0)
            harness_start(&h);
        harness_open(&h, &client);
        client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n");
        client_try_send(&client, body, 600000);
        if (half)
            shutdown(client.fd, SHUT_WR);
        client_refused(&client, 413);
        client_done(&client);
    }
    free(body);
    harness_drain(&h);
    harness_done(&h);
}

/* The bytes behind the refused head and the client's end are there already when it is refused. */
TEST(refusal_of_a_half_closed_client_ends_without_a_reset)
{
    struct harness h;
    struct client client;
    struct reply reply;
    char *body = pattern(100000);
    char byte;
    harness_init(&h, true);
    h.options.body_max = 1000;
    harness_begin(&h, &client);
    client_get(&client, "/sleep/100000");
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    client_send(&client, body, 100000);
    shutdown(client.fd, SHUT_WR);
    CHECK(client_reply(&client, false, &reply));
    reply_done(&reply);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 413);
    reply_done(&reply);
    CHECK_EQ(recv(client.fd, &byte, 1, 0), 0);
    free(body);
    harness_finish(&h, &client);
}

TEST(close_is_obeyed_and_what_follows_is_no_request)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_begin(&h, &client);
    client_puts(&client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
                         "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(client_reply(&client, false, &reply));
    CHECK_STR(reply_field(&reply, "Connection"), "close");
    CHECK(client_at_end(&client, 5000));
    reply_done(&reply);
    CHECK_EQ(h.testapp.handled, 1);
    harness_finish(&h, &client);
}

TEST(half_closed_clients_get_their_answers_and_an_end)
{
    struct harness h;
    struct client client;
    const char *paths[] = {"/?id=1", "/sleep/20000", "/big/3000000", "/stream/50"};
    harness_init(&h, true);
    h.options.keep_alive = 60 * MP_NSEC_PER_SEC;
    harness_start(&h);
    for (int i = 0; i < 16; i++) {
        struct reply reply;
        harness_open(&h, &client);
        client_get(&client, paths[i % 4]);
        if (i >= 8)
            harness_sleep_ms(5); /* the end comes during the handler, or after it */
        client_get(&client, "/?id=2");
        shutdown(client.fd, SHUT_WR);
        CHECK(client_reply(&client, false, &reply));
        reply_done(&reply);
        CHECK(client_reply(&client, false, &reply));
        CHECK_STR(reply_field(&reply, "X-Id"), "2");
        reply_done(&reply);
        CHECK(client_at_end(&client, 2000));
        client_done(&client);
    }
    harness_drain(&h);
    harness_done(&h);
}

TEST(half_a_request_and_the_end)
{
    const char *parts[] = {
        "", "G", "GET / HTTP/1.1\r\nHost:",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"};
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    for (size_t i = 0; i < 15; i++) {
        harness_open(&h, &client);
        if (i >= 10)
            client_get(&client, "/sleep/5000"); /* the end comes during the handler */
        client_puts(&client, parts[i % 5]);
        if (i % 10 >= 5)
            harness_sleep_ms(2);
        shutdown(client.fd, SHUT_WR);
        if (i >= 10) {
            struct reply reply;
            CHECK(client_reply(&client, false, &reply));
            reply_done(&reply);
        }
        CHECK(client_at_end(&client, 2000));
        client_done(&client);
    }
    CHECK_EQ(h.testapp.handled, 5);
    harness_drain(&h);
    harness_done(&h);
}

TEST(clients_that_vanish_at_any_point)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef"
        "GET /sleep/3000 HTTP/1.1\r\nHost: h\r\n\r\nGET /big/500000 HTTP/1.1\r\nHost: h\r\n\r\n";
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    for (size_t i = 0; i < sizeof(text); i += 3) {
        harness_open(&h, &client);
        client_send(&client, text, i);
        if (i % 4 == 0)
            harness_sleep_ms(1);
        if (i % 2)
            client_reset(&client);
        else
            client_done(&client);
    }
    harness_get(&h, "/", 200);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- deadlines --------------------------------------------------------------------------- */

static int64_t elapsed_ms(int64_t since)
{
    return (mp_clock_now() - since) / MP_NSEC_PER_MSEC;
}

TEST(idle_connections_are_closed_after_keep_alive)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.options.keep_alive = 400 * MP_NSEC_PER_MSEC;
    harness_begin(&h, &client);
    client_exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
    reply_done(&reply);
    int64_t since = mp_clock_now();
    CHECK(client_at_end(&client, 5000));
    CHECK(elapsed_ms(since) >= 390);
    CHECK(elapsed_ms(since) < 3000);
    harness_finish(&h, &client);
}

TEST(keep_alive_of_zero_closes_after_each_answer)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.options.keep_alive = 0;
    harness_begin(&h, &client);
    client_exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
    CHECK_STR(reply_field(&reply, "Connection"), "close");
    CHECK(client_at_end(&client, 2000));
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(no_directory_for_bodies)
{
    struct harness h;
    struct client client;
    static const char body[1500];
    harness_init(&h, true);
    h.options.tmp_dir = "/nonexistent/dir";
    h.options.body_memory = 1000;
    harness_begin(&h, &client);
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n");
    client_send(&client, body, sizeof(body));
    client_refused(&client, 503);
    harness_get(&h, "/", 200);
    harness_finish(&h, &client);
}

TEST(unix_socket)
{
    struct harness h;
    struct client client;
    struct reply reply;
    char address[64];
    harness_init(&h, true);
    snprintf(address, sizeof(address), "unix:@mp-test-%d", (int)getpid());
    harness_listen(&h, address);
    harness_start(&h);
    client_init(&client, harness_connect(&h, 1));
    client_exchange(&client, "GET /big/1000000?id=1 HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
    CHECK_EQ(reply.size, 1000000);
    reply_done(&reply);
    harness_finish(&h, &client);
}
