/* SPDX-License-Identifier: MIT */
/* Responses as they arrive at a client: framing of every kind, what is refused, reset and failure
 * before and after the commitment, streams. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "server/request.h"
#include "server/response.h"

/* ---- handlers, found by the rest of the path ----------------------------------------------- */

static void begin(struct mp_request *request, int status)
{
    CHECK_OK(mp_response_begin(request, status, NULL, 0));
}

static int field(struct mp_request *request, const char *name, const char *value)
{
    return mp_response_field(request, name, strlen(name), value, strlen(value));
}

static int put(struct mp_request *request, const char *text)
{
    return mp_response_write(request, text, strlen(text), NULL);
}

static int put_ref(struct testapp *testapp, struct mp_request *request, size_t n)
{
    void *ref;
    char *block = testapp_block(testapp, n, &ref);
    memset(block, 'r', n);
    return mp_response_write(request, block, n, ref);
}

static void on_one(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 200);
    CHECK(mp_response_begun(request) && !mp_response_committed(request));
    CHECK_OK(put(request, "one"));
    if (mp_request_head(request)->method ==
        MP_HTTP_HEAD) { /* nothing was sent or kept: not committed */
        mp_response_end(request);
        return;
    }
    CHECK(mp_response_committed(request));
    CHECK_EQ(field(request, "X-Late", "1"), -EALREADY);
    CHECK_EQ(field(request, "Content-Length", "1"), -EALREADY);
    CHECK_EQ(mp_response_reset(request), -EALREADY);
    CHECK_OK(mp_response_end(request));
    CHECK_EQ(mp_response_end(request), -EALREADY);
    CHECK_EQ(put(request, "more"), -EALREADY);
}

static void on_two(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 200);
    put(request, "one");
    put(request, "");
    put(request, "two");
    mp_response_end(request);
}

static void on_declared(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 200);
    field(request, "content-length", "10006");
    put(request, "one");
    put_ref(testapp, request, 10000);
    put(request, "two");
    CHECK_OK(mp_response_end(request));
}

static void on_empty(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 200);
    mp_response_end(request);
}

static void on_none(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 204);
    CHECK_OK(put(request, "this must not be sent"));
    mp_response_end(request);
}

static void on_reset_content(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 205);
    field(request, "Content-Length", "9000");
    put_ref(testapp, request, 9000);
    CHECK_OK(mp_response_end(request));
}

static void on_not_modified(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 304);
    field(request, "ETag", "\"x\"");
    put_ref(testapp, request, 9000);
    mp_response_end(request);
}

static void on_long(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 200);
    field(request, "Content-Length", "5");
    CHECK_OK(put(request, "123"));
    CHECK_EQ(put(request, "45678"), -EMSGSIZE);
    CHECK_EQ(put_ref(testapp, request, 8000), -EMSGSIZE);
    CHECK_OK(mp_response_end(request));
}

static void on_short(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 200);
    field(request, "Content-Length", "50");
    put(request, "123");
    CHECK_EQ(mp_response_end(request), -ENODATA);
}

static void on_reset(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    begin(request, 200);
    field(request, "X-First", "1");
    field(request, "Content-Length", "100");
    CHECK_EQ(mp_response_begin(request, 200, NULL, 0), -EALREADY);
    CHECK_OK(mp_response_reset(request));
    CHECK(!mp_response_begun(request));
    begin(request, 404);
    field(request, "X-Second", "2");
    put(request, "second");
    mp_response_end(request);
}

static void on_fail_before(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 200);
    field(request, "X-Lost", "1");
    put_ref(testapp, request, 6000);
    mp_response_fail(request);
}

static void on_fail_after(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 200);
    put_ref(testapp, request, 6000);
    put_ref(testapp, request, 6000);
    mp_response_fail(request);
}

static void on_unended(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 200);
    put_ref(testapp, request, 6000);
}

static void on_refused(struct testapp *testapp, struct mp_request *request)
{
    const char *bad_names[] = {"", "a b", "a:", "a\r\n", "\x80"};
    const char *own[] = {"Connection", "keep-alive", "TRANSFER-ENCODING", "Upgrade",
                         "TE",         "Trailer",    "Proxy-Connection"};
    (void)testapp;
    CHECK_EQ(put(request, "early"), -EINVAL);
    CHECK_EQ(field(request, "A", "b"), -EALREADY);
    CHECK_EQ(mp_response_end(request), -EINVAL);
    CHECK_EQ(mp_response_begin(request, 100, NULL, 0), -EINVAL);
    CHECK_EQ(mp_response_begin(request, 199, NULL, 0), -EINVAL);
    CHECK_EQ(mp_response_begin(request, 600, NULL, 0), -EINVAL);
    CHECK_EQ(mp_response_begin(request, 200, "OK\r\nX: y", 8), -EINVAL);
    CHECK_OK(mp_response_begin(request, 299, "All Right", 9));
    for (size_t i = 0; i < 5; i++)
        CHECK_EQ(field(request, bad_names[i], "v"), -EINVAL);
    for (size_t i = 0; i < 7; i++)
        CHECK_EQ(field(request, own[i], "v"), -EPERM);
    CHECK_EQ(field(request, "A", "b\r\nC: d"), -EINVAL);
    CHECK_EQ(field(request, "A", "b\n"), -EINVAL);
    CHECK_EQ(mp_response_field(request, "A", 1, "b\0c", 3), -EINVAL);
    const char *bad_lengths[] = {"", "+1", "-1", "1 ", "0x1", "1e3", "9999999999999999999", "1,1"};
    for (size_t i = 0; i < 8; i++)
        CHECK_EQ(field(request, "Content-Length", bad_lengths[i]), -EINVAL);
    CHECK_OK(field(request, "Content-Length", "4"));
    CHECK_OK(field(request, "Content-Length", "4"));
    CHECK_EQ(field(request, "Content-Length", "5"), -EINVAL);
    CHECK_OK(field(request, "Date", "today"));
    CHECK_OK(field(request, "Server", "mine"));
    put(request, "good");
    mp_response_end(request);
}

static void on_heavy(struct testapp *testapp, struct mp_request *request)
{
    char value[1000];
    unsigned count = 0;
    int r;
    (void)testapp;
    memset(value, 'v', sizeof(value));
    begin(request, 200);
    while ((r = mp_response_field(request, "X-Heavy", 7, value, sizeof(value))) == 0)
        count++;
    CHECK_EQ(r, -E2BIG);
    CHECK(count >= 60 && count <= 65);
    CHECK_OK(mp_response_reset(request));
    mp_response_reply(request, 200, "text/plain", "heavy", 5);
}

static void on_flush(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 200);
    CHECK_OK(mp_response_flush(request)); /* nothing of the body yet: not committed */
    CHECK(!mp_response_committed(request));
    field(request, "X-After", "flush");
    put(request, "one");
    CHECK_OK(mp_response_flush(request));
    while (!atomic_load(&testapp->release_stuck))
        testapp_nap(testapp, MP_NSEC_PER_MSEC);
    put_ref(testapp, request, 10000);
    CHECK_OK(mp_response_flush(request));
    mp_response_end(request);
}

static int content(const char *text)
{
    int fd = memfd_create("content", MFD_CLOEXEC);
    CHECK_EQ(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

static void on_file(struct testapp *testapp, struct mp_request *request)
{
    (void)testapp;
    CHECK_EQ(mp_response_sendfile(request, content("x"), 0, 1), -EINVAL);
    begin(request, 200);
    CHECK_OK(mp_response_sendfile(request, content("0123456789"), 2, 5));
    mp_response_end(request);
    CHECK_EQ(mp_response_sendfile(request, content("x"), 0, 1), -EALREADY);
}

static void on_mixed(struct testapp *testapp, struct mp_request *request)
{
    begin(request, 200);
    put(request, "<");
    CHECK_OK(mp_response_sendfile(request, content("0123456789"), 0, 10));
    put_ref(testapp, request, 5000);
    CHECK_OK(mp_response_sendfile(request, content(""), 0, 0));
    put(request, ">");
    mp_response_end(request);
}

/* More than is sent of a file at a time, and then nothing for a while: nobody will call again. */
static void on_file_flush(struct testapp *testapp, struct mp_request *request)
{
    enum { SIZE = 5000000 };
    int fd = memfd_create("content", MFD_CLOEXEC);
    CHECK_OK(ftruncate(fd, SIZE));
    begin(request, 200);
    CHECK_OK(mp_response_sendfile(request, fd, 0, SIZE));
    CHECK_OK(mp_response_flush(request));
    while (!atomic_load(&testapp->release_stuck))
        testapp_nap(testapp, MP_NSEC_PER_MSEC);
    mp_response_end(request);
}

static void on_large(struct testapp *testapp, struct mp_request *request)
{
    /* Without a reference, beyond what is copied behind a head. */
    char *block = malloc(100000);
    (void)testapp;
    memset(block, 'l', 100000);
    mp_response_reply(request, 200, "text/plain", block, 100000);
    free(block);
}

struct script {
    const char *name;
    void (*run)(struct testapp *testapp, struct mp_request *request);
};

static const struct script scripts[] = {
    {"one", on_one},
    {"two", on_two},
    {"declared", on_declared},
    {"empty", on_empty},
    {"none", on_none},
    {"reset-content", on_reset_content},
    {"not-modified", on_not_modified},
    {"long", on_long},
    {"short", on_short},
    {"reset", on_reset},
    {"fail-before", on_fail_before},
    {"fail-after", on_fail_after},
    {"unended", on_unended},
    {"refused", on_refused},
    {"heavy", on_heavy},
    {"flush", on_flush},
    {"file", on_file},
    {"mixed", on_mixed},
    {"large", on_large},
    {"file-flush", on_file_flush},
};

static void custom(struct testapp *testapp, struct mp_request *request)
{
    const struct mp_http_head *head = mp_request_head(request);
    const char *path = mp_request_text(request) + head->path.at + 8; /* "/custom/" */
    size_t n = head->path.len - 8;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        if (strlen(scripts[i].name) == n && memcmp(scripts[i].name, path, n) == 0) {
            scripts[i].run(testapp, request);
            return;
        }
    }
    TEST_FAIL("no such script");
}

/* ---- the client's side --------------------------------------------------------------------- */

static void start(struct harness *h, struct client *client)
{
    harness_init(h, true);
    h->testapp.custom = custom;
    harness_begin(h, client);
}

static void ask(struct client *client, const char *method, const char *name, unsigned minor,
                struct reply *reply)
{
    char text[256];
    snprintf(text, sizeof(text), "%s /custom/%s HTTP/1.%u\r\nHost: h\r\n\r\n", method, name, minor);
    client_puts(client, text);
    CHECK(client_reply(client, strcmp(method, "HEAD") == 0, reply));
}

/* The usual fields are there once, and the connection is told to be kept or not. */
static void check_head(const struct reply *reply, bool kept, unsigned minor)
{
    const char *connection = reply_field(reply, "Connection");
    CHECK(strstr(reply->head, "\r\nDate: "));
    CHECK(!strstr(strstr(reply->head, "\r\nDate: ") + 2, "\r\nDate: "));
    if (!kept)
        CHECK_STR(connection, "close");
    else if (minor == 0)
        CHECK_STR(connection, "keep-alive");
    else
        CHECK(connection == NULL);
}

struct expectation {
    const char *name;
    int status;
    long length; /* Content-Length, -1: none */
    bool chunked;
    size_t size;
};

static const struct expectation whole[] = {
    {"one", 200, 3, false, 3},
    {"two", 200, -1, true, 6},
    {"declared", 200, 10006, false, 10006},
    {"empty", 200, 0, false, 0},
    {"none", 204, -1, false, 0},
    {"reset-content", 205, 0, false, 0},
    {"not-modified", 304, -1, false, 0},
    {"long", 200, 5, false, 5},
    {"reset", 404, 6, false, 6},
    {"fail-before", 500, 22, false, 22},
    {"unended", 500, 22, false, 22},
    {"refused", 299, 4, false, 4},
    {"heavy", 200, 5, false, 5},
    {"file", 200, 5, false, 5},
    {"mixed", 200, -1, true, 5012},
    {"large", 200, 100000, false, 100000},
};

enum { WHOLE = sizeof(whole) / sizeof(whole[0]) };

static void check_reply(const struct expectation *e, const struct reply *reply, bool head_only)
{
    char number[32];
    snprintf(number, sizeof(number), "%ld", e->length);
    CHECK_EQ(reply->status, e->status);
    CHECK(reply->complete);
    if (e->length >= 0)
        CHECK_STR(reply_field(reply, "Content-Length"), number);
    else
        CHECK(!reply_field(reply, "Content-Length"));
    if (!head_only)
        CHECK_EQ(reply->size, e->size);
}

TEST(framing_in_http11_on_one_connection)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    for (int i = 0; i < 2 * WHOLE; i++) {
        ask(&client, "GET", whole[i % WHOLE].name, 1, &reply);
        check_reply(&whole[i % WHOLE], &reply, false);
        CHECK_EQ(reply.chunked, whole[i % WHOLE].chunked);
        check_head(&reply, true, 1);
        reply_done(&reply);
    }
    CHECK(client_silent(&client, 20));
    harness_finish(&h, &client);
}

TEST(head_has_the_same_fields_and_no_body)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    for (int i = 0; i < WHOLE; i++) {
        ask(&client, "HEAD", whole[i].name, 1, &reply);
        CHECK_EQ(reply.status, whole[i].status);
        if (whole[i].length > 0)
            CHECK_EQ(strtol(reply_field(&reply, "Content-Length"), NULL, 10), whole[i].length);
        check_head(&reply, true, 1);
        reply_done(&reply);
        CHECK(client_silent(&client, 5));
    }
    harness_finish(&h, &client);
}

TEST(http10_without_keep_alive_closes)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    client_done(&client);
    for (int i = 0; i < WHOLE; i++) {
        harness_open(&h, &client);
        ask(&client, "GET", whole[i].name, 0, &reply);
        CHECK(!reply.chunked);
        CHECK_EQ(reply.size, whole[i].size);
        check_head(&reply, false, 0);
        CHECK(client_at_end(&client, 5000));
        reply_done(&reply);
        client_done(&client);
    }
    harness_finish(&h, &client);
}

TEST(http10_keep_alive_is_kept_when_the_length_is_known)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    for (int i = 0; i < 3; i++) {
        client_exchange(&client, "GET /custom/one HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200,
                        &reply);
        check_head(&reply, true, 0);
        CHECK_STR(reply.body, "one");
        reply_done(&reply);
    }
    client_exchange(&client, "GET /custom/two HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200,
                    &reply);
    check_head(&reply, false, 0);
    CHECK(reply.until_close);
    CHECK_STR(reply.body, "onetwo");
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(fields_of_the_handler_replace_the_servers_own)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    ask(&client, "GET", "refused", 1, &reply);
    CHECK(strncmp(reply.head, "HTTP/1.1 299 All Right\r\n", 24) == 0);
    CHECK_STR(reply_field(&reply, "Date"), "today");
    CHECK_STR(reply_field(&reply, "Server"), "mine");
    CHECK(!strstr(reply.head, "millpond"));
    reply_done(&reply);
    ask(&client, "GET", "reset", 1, &reply);
    CHECK(!reply_field(&reply, "X-First"));
    CHECK_STR(reply_field(&reply, "X-Second"), "2");
    CHECK_STR(reply_field(&reply, "Server"), "millpond");
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(too_little_cuts_the_connection)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    ask(&client, "GET", "short", 1, &reply);
    CHECK_EQ(reply.status, 200);
    CHECK(!reply.complete);
    CHECK_EQ(reply.size, 3);
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(failure_after_the_commitment_cuts_the_connection)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    ask(&client, "GET", "fail-after", 1, &reply);
    CHECK(reply.chunked);
    CHECK(!reply.complete);
    CHECK_EQ(reply.size, 12000);
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(failure_text_has_nothing_of_the_handler)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    ask(&client, "GET", "fail-before", 1, &reply);
    CHECK(!reply_field(&reply, "X-Lost"));
    CHECK_STR(reply.body, "Internal Server Error\n");
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(flush_lets_bytes_leave_while_the_handler_runs)
{
    struct harness h;
    struct client client;
    struct reply reply;
    char bytes[4096];
    start(&h, &client);
    client_get(&client, "/custom/flush");
    ssize_t n = 0;
    while (n < (ssize_t)sizeof(bytes) - 1) {
        ssize_t r = recv(client.fd, bytes, sizeof(bytes) - 1, MSG_PEEK);
        CHECK(r > 0);
        n = r;
        bytes[n] = '\0';
        if (strstr(bytes, "3\r\none\r\n"))
            break;
    }
    CHECK_EQ(h.testapp.inside, 1);
    CHECK(strstr(bytes, "X-After: flush\r\n"));
    atomic_store(&h.testapp.release_stuck, true);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.size, 10003);
    CHECK(reply.complete);
    reply_done(&reply);
    harness_finish(&h, &client);
}

TEST(flush_leaves_nothing_behind_that_no_event_would_send)
{
    struct harness h;
    struct client client;
    struct reply reply;
    start(&h, &client);
    for (int i = 0; i < 3; i++) {
        atomic_store(&h.testapp.release_stuck, false);
        client_get(&client, "/custom/file-flush");
        harness_sleep_ms(i * 30);
        CHECK(client_reply(&client, false, &reply));
        CHECK_EQ(reply.size, 5000000);
        CHECK_EQ(h.testapp.inside, 1);
        reply_done(&reply);
        atomic_store(&h.testapp.release_stuck, true);
        while (h.testapp.inside > 0)
            harness_sleep_ms(1);
    }
    harness_finish(&h, &client);
}

static void check_pattern(const struct reply *reply, uint64_t id)
{
    for (size_t i = 0; i < reply->size; i++)
        CHECK_EQ(reply->body[i], testapp_byte(id, i));
}

static void fetch_slowly(const struct harness *h, const char *path, size_t size)
{
    struct client client;
    struct reply reply;
    harness_open(h, &client);
    int small = 65536;
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_get(&client, path);
    harness_sleep_ms(50);
    CHECK(client_reply(&client, false, &reply));
    CHECK(reply.complete);
    CHECK_EQ(reply.size, size);
    check_pattern(&reply, 5);
    reply_done(&reply);
    client_done(&client);
}

static size_t stream_size(unsigned pieces)
{
    size_t n = 0;
    for (unsigned i = 0; i < pieces; i++)
        n += testapp_piece(i);
    return n;
}

TEST(large_answers_reach_slow_readers_whole)
{
    struct harness h;
    harness_init(&h, true);
    h.options.output_memory = 50000;
    harness_start(&h);
    fetch_slowly(&h, "/big/3000000?id=5", 3000000);
    fetch_slowly(&h, "/file/6000000?id=5", 6000000);
    fetch_slowly(&h, "/stream/800?id=5", stream_size(800));
    harness_drain(&h);
    harness_done(&h);
}

TEST(handler_waits_when_memory_and_file_are_full)
{
    struct harness h;
    harness_init(&h, true);
    h.options.output_memory = 20000;
    h.options.output_file = 100000;
    harness_start(&h);
    fetch_slowly(&h, "/stream/2000?id=5", stream_size(2000));
    harness_drain(&h);
    harness_done(&h);
}

TEST(no_room_for_the_spool_makes_the_handler_wait)
{
    struct harness h;
    harness_init(&h, true);
    h.options.output_memory = 20000;
    h.options.tmp_dir = "/nonexistent/dir";
    harness_start(&h);
    fetch_slowly(&h, "/stream/2000?id=5", stream_size(2000));
    harness_drain(&h);
    harness_done(&h);
}

TEST(client_that_goes_away_during_a_stream)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.output_memory = 20000;
    h.options.output_file = 100000;
    harness_start(&h);
    for (int i = 0; i < 6; i++) {
        harness_open(&h, &client);
        client_get(&client, i % 2 ? "/stream/5000" : "/big/5000000");
        harness_sleep_ms(20);
        if (i % 3 == 0)
            client_reset(&client);
        else
            client_done(&client);
    }
    harness_get(&h, "/", 200);
    harness_drain(&h);
    harness_done(&h);
}

TEST(client_that_never_reads_is_given_up)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.write_timeout = 300 * MP_NSEC_PER_MSEC;
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/big/20000000");
    while (h.testapp.handled == 0)
        harness_sleep_ms(1);
    CHECK_EQ(harness_slot(&h)->connections, 1);
    for (int i = 0; i < 300 && harness_slot(&h)->connections != 0; i++)
        harness_sleep_ms(10);
    CHECK_EQ(harness_slot(&h)->connections, 0);
    harness_finish(&h, &client);
}

/* Reads n bytes in each of the pauses, until the server ends it or limit bytes are there. */
static uint64_t sip(struct client *client, size_t n, int pause_ms, uint64_t limit)
{
    char block[65536];
    uint64_t got = 0;
    while (got < limit) {
        ssize_t r = recv(client->fd, block, n, 0);
        if (r <= 0)
            break;
        got += (uint64_t)r;
        harness_sleep_ms(pause_ms);
    }
    return got;
}

/* Far more slowly than the socket's buffer gets a third empty: what counts is what the client
 * takes, not when the socket can be written to again. */
TEST(client_that_reads_slowly_but_steadily_gets_everything)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.write_timeout = 300 * MP_NSEC_PER_MSEC;
    h.options.write_rate = 10000;
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/big/12000000");
    CHECK(sip(&client, 4096, 10, 400000) >= 400000);
    CHECK_EQ(harness_slot(&h)->connections, 1);
    harness_finish(&h, &client);
}

TEST(client_that_reads_below_the_rate_is_cut)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.write_timeout = 300 * MP_NSEC_PER_MSEC;
    h.options.write_rate = UINT64_C(1) << 30;
    harness_start(&h);
    harness_open(&h, &client);
    client_get(&client, "/big/12000000");
    for (int i = 0; i < 1000 && (i < 10 || harness_slot(&h)->connections != 0); i++)
        CHECK_EQ(sip(&client, 4096, 10, 1), 4096);
    CHECK_EQ(harness_slot(&h)->connections, 0);
    harness_finish(&h, &client);
}
