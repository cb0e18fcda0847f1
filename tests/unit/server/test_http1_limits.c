/* SPDX-License-Identifier: MIT */
/* What a client may cost on a connection: deadlines, rates, numbers, memory, temporary files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static int64_t elapsed_ms(int64_t since)
{
    return (mp_clock_now() - since) / MP_NSEC_PER_MSEC;
}

/* ---- deadlines and rates ----------------------------------------------------------------- */

TEST(slow_head_is_answered_408)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.header_timeout = 500 * MP_NSEC_PER_MSEC;
    harness_begin(&h, &client);
    int64_t since = mp_clock_now();
    client_puts(&client, "GET / HTTP/1.1\r\nX: ");
    while (client_silent(&client, 50))
        client_try_send(&client, "x", 1); /* each byte is progress, the head is not complete */
    CHECK(elapsed_ms(since) >= 490);
    CHECK(elapsed_ms(since) < 3000);
    client_refused(&client, 408);
    harness_finish(&h, &client);
}

TEST(connection_without_a_byte_is_closed_silently)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.header_timeout = 300 * MP_NSEC_PER_MSEC;
    harness_begin(&h, &client);
    CHECK(client_at_end(&client, 5000));
    harness_finish(&h, &client);
}

static void drip_body(struct client *client, size_t n, int pause_ms, int times)
{
    char block[1000];
    memset(block, 'b', sizeof(block));
    for (int i = 0; i < times && client_silent(client, pause_ms); i++)
        client_try_send(client, block, n);
}

TEST(slow_body_is_answered_408)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.body_timeout = 500 * MP_NSEC_PER_MSEC;
    h.options.body_rate = 1000;
    harness_begin(&h, &client);
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    drip_body(&client, 1, 50, 200);
    client_refused(&client, 408);
    CHECK_EQ(h.testapp.handled, 0);
    harness_finish(&h, &client);
}

TEST(body_that_keeps_the_rate_is_not_cut)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.body_timeout = 200 * MP_NSEC_PER_MSEC;
    h.options.body_rate = 2000;
    harness_begin(&h, &client);
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n");
    drip_body(&client, 1000, 50, 40);
    struct reply reply;
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_EQ(reply.size, 40000);
    reply_done(&reply);
    harness_finish(&h, &client);
}

static void expect_cut_body(uint64_t rate, int pause_ms)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.body_timeout = 300 * MP_NSEC_PER_MSEC;
    h.options.body_rate = rate;
    harness_begin(&h, &client);
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    drip_body(&client, 1000, pause_ms, 500);
    int64_t since = mp_clock_now();
    client_refused(&client, 408);
    CHECK(elapsed_ms(since) < 5000);
    harness_finish(&h, &client);
}

/* What came in an earlier period is not saved up: at 1000 bytes a second on average it would have
 * 500 seconds. */
TEST(body_that_was_fast_and_stops_is_cut)
{
    expect_cut_body(1000, 1);
}

TEST(body_without_a_rate_has_to_be_complete_in_time)
{
    expect_cut_body(0, 20);
}

/* ---- a body that comes slowly is folded up between its pieces ----------------------------- */

static void expect_pieces(const char *framing, const char *const *pieces, size_t count,
                          const char *body)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_begin(&h, &client);
    client_puts(&client, "POST /echo?id=5 HTTP/1.1\r\nHost: h\r\n");
    client_puts(&client, framing);
    for (size_t i = 0; i < count; i++) {
        harness_sleep_ms(20);
        client_puts(&client, pieces[i]);
    }
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_EQ(reply.size, strlen(body));
    CHECK_MEM(reply.body, body, reply.size);
    CHECK_STR(reply_field(&reply, "X-Id"), "5"); /* of the head, which was parsed again */
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(counted_body_in_slow_pieces)
{
    static const char *const pieces[] = {"a", "bc", "", "defg", "h"};
    expect_pieces("Content-Length: 8\r\n\r\n", pieces, 5, "abcdefgh");
}

TEST(chunked_body_in_slow_pieces)
{
    static const char *const pieces[] = {"3",     ";x=y\r",        "\na",      "bc\r\n5",
                                         "\r\nd", "efgh\r\n0\r\n", "T: u\r\n", "\r\n"};
    expect_pieces("Transfer-Encoding: chunked\r\n\r\n", pieces, 8, "abcdefgh");
}

/* Slow, then fast, then slow, across the bound beyond which a body goes to a file. */
TEST(body_that_changes_its_pace)
{
    enum { SIZE = 300000 };
    struct harness h;
    struct client client;
    struct reply reply;
    char head[4096];
    char *body = malloc(SIZE);
    CHECK(body != NULL);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)(i * 7 + i / 251);
    harness_init(&h, true);
    h.options.body_memory = 100000;
    harness_begin(&h, &client);
    /* A long head: it has to come back whole. */
    int n = snprintf(head, sizeof(head),
                     "POST /echo HTTP/1.1\r\nHost: h\r\nX: %03000d\r\nContent-Length: %d\r\n\r\n",
                     7, SIZE);
    client_send(&client, head, (size_t)n);
    size_t at = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 5; i++) {
            client_send(&client, body + at, 100);
            at += 100;
            harness_sleep_ms(5);
        }
        size_t part = round == 9 ? SIZE - at : 29000;
        client_send(&client, body + at, part);
        at += part;
    }
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_EQ(reply.size, SIZE);
    CHECK_MEM(reply.body, body, SIZE);
    reply_done(&reply);
    free(body);
    harness_finish(&h, &client);
}

TEST(folded_requests_are_given_up_with_their_connections)
{
    struct harness h;
    struct client clients[20];
    harness_init(&h, true);
    h.options.body_memory = 500;
    h.options.body_timeout = 1 * MP_NSEC_PER_SEC;
    h.options.body_rate = 1000000;
    harness_start(&h);
    for (int i = 0; i < 20; i++) {
        harness_open(&h, &clients[i]);
        client_puts(&clients[i], "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n");
        harness_sleep_ms(2);
        for (int k = 0; k < i; k++)
            client_puts(&clients[i], "some of the body, some of it, some of it, some of it");
    }
    for (int i = 0; i < 10; i++)
        client_reset(&clients[i]);
    harness_get(&h, "/", 200);
    for (int i = 10; i < 20; i++)
        client_refused(&clients[i], 408);
    for (int i = 10; i < 20; i++)
        client_done(&clients[i]);
    harness_drain(&h);
    CHECK_EQ(h.testapp.handled, 1);
    harness_done(&h);
}

/* ---- numbers ------------------------------------------------------------------------------ */

static void send_chunks(struct client *client, int count)
{
    client_puts(client, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < count; i++)
        client_try_send(client, "1\r\nx\r\n", 6);
    client_try_send(client, "0\r\n\r\n", 5);
}

TEST(number_of_chunks_is_bounded)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.options.chunks_max = 10;
    harness_begin(&h, &client);
    send_chunks(&client, 10);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_EQ(reply.size, 10);
    reply_done(&reply);
    send_chunks(&client, 11);
    client_refused(&client, 413);
    CHECK_EQ(h.testapp.handled, 1);
    CHECK_EQ(harness_logged(&h, "--limit-request-chunks"), 1);
    harness_finish(&h, &client);
}

/* How many of count requests, sent at once, are answered; the last of them says that it is. */
static int count_answers(struct client *client, int count)
{
    int answers = 0;
    bool last = false;
    struct reply reply;
    for (int i = 0; i < count; i++)
        client_try_send(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27);
    while (answers < count && client_reply(client, false, &reply)) {
        CHECK_EQ(reply.status, 200);
        CHECK(!last);
        last = reply_field(&reply, "Connection") != NULL;
        answers++;
        reply_done(&reply);
    }
    CHECK(answers == count || last);
    return answers;
}

TEST(requests_sent_ahead_are_bounded)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.pipelined_max = 10;
    harness_begin(&h, &client);
    /* One is not ahead of anything. */
    CHECK_EQ(count_answers(&client, 10), 10);
    harness_sleep_ms(20);
    CHECK_EQ(count_answers(&client, 10), 10); /* it has waited for its answers: counted anew */
    harness_sleep_ms(20);
    int answers = count_answers(&client, 1000);
    CHECK(answers >= 11 && answers < 1000);
    CHECK_EQ(harness_logged(&h, "--limit-pipelined-requests"), 1);
    harness_finish(&h, &client);
}

TEST(requests_on_a_connection_are_bounded)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.keep_alive_max = 3;
    harness_begin(&h, &client);
    for (int i = 0; i < 3; i++) {
        struct reply reply;
        client_exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
        const char *connection = reply_field(&reply, "Connection");
        CHECK_EQ(connection != NULL, i == 2);
        reply_done(&reply);
    }
    CHECK(client_at_end(&client, 2000));
    harness_finish(&h, &client);
}

TEST(connection_that_is_too_old_ends)
{
    struct harness h;
    struct client idle;
    struct client busy;
    struct client dripping;
    struct reply reply;
    harness_init(&h, true);
    h.options.connection_timeout = 500 * MP_NSEC_PER_MSEC;
    harness_begin(&h, &idle);
    harness_open(&h, &busy);
    harness_open(&h, &dripping);
    int64_t since = mp_clock_now();
    client_puts(&dripping, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    unsigned answers = 0;
    bool last = false;
    while (!last) {
        client_exchange(&busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
        last = reply_field(&reply, "Connection") != NULL;
        reply_done(&reply);
        answers++;
        client_try_send(&dripping, "bbbbbbbbbb", 10);
        harness_sleep_ms(10);
        CHECK(mp_clock_now() - since < 5 * MP_NSEC_PER_SEC);
    }
    CHECK(answers > 1);
    CHECK(mp_clock_now() - since >= 490 * MP_NSEC_PER_MSEC);
    client_refused(&dripping, 408);
    CHECK(client_at_end(&idle, 5000));
    client_done(&busy);
    client_done(&dripping);
    harness_finish(&h, &idle);
}

/* ---- temporary files ---------------------------------------------------------------------- */

TEST(bodies_beyond_the_bound_of_temporary_files_are_refused)
{
    enum { SIZE = 20000 };
    struct harness h;
    struct client first;
    struct client second;
    static char body[SIZE];
    harness_init(&h, true);
    h.options.body_memory = 1000;
    h.options.temp_size = 30000;
    harness_begin(&h, &first);
    client_puts(&first, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    client_send(&first, body, SIZE - 1);
    harness_sleep_ms(50);
    harness_open(&h, &second);
    client_puts(&second, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    client_try_send(&second, body, SIZE);
    client_refused(&second, 507);
    CHECK_EQ(harness_logged(&h, "--limit-temp-size"), 1);
    client_send(&first, body, 1); /* whoever was there first is served */
    struct reply reply;
    CHECK(client_reply(&first, false, &reply));
    CHECK_EQ(reply.size, SIZE);
    reply_done(&reply);
    client_done(&second);
    harness_finish(&h, &first);
}

TEST(number_of_temporary_files_is_bounded)
{
    struct harness h;
    struct client client;
    static char body[20000];
    harness_init(&h, true);
    h.options.body_memory = 1000;
    h.options.temp_files = 1;
    harness_begin(&h, &client);
    struct client other;
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    client_send(&client, body, 10000);
    harness_sleep_ms(50);
    harness_open(&h, &other);
    client_puts(&other, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    client_try_send(&other, body, 10000);
    client_refused(&other, 507);
    client_reset(&client); /* makes room */
    harness_sleep_ms(50);
    client_done(&other);
    harness_open(&h, &client);
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    client_send(&client, body, 20000);
    struct reply reply;
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    reply_done(&reply);
    harness_finish(&h, &client);
}

/* ---- the end ------------------------------------------------------------------------------ */

/* Much more than sockets hold comes behind the refused head: the answer is read all the same. */
TEST(refusal_reaches_a_client_that_goes_on_sending)
{
    struct harness h;
    struct client client;
    struct reply reply;
    static char block[1 << 20];
    harness_init(&h, true);
    h.options.body_max = 1000;
    harness_begin(&h, &client);
    client_puts(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 16777216\r\n\r\n");
    for (int i = 0; i < 16; i++)
        CHECK(client_try_send(&client, block, sizeof(block)));
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 413);
    reply_done(&reply);
    harness_finish(&h, &client);
}
