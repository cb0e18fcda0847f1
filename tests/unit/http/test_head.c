/* SPDX-License-Identifier: MIT */
/* The head as a whole: pieces, truncation, limits, and that the work is linear. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "heads.h"
#include "support/runner.h"

static const char *const valid[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /p?q HTTP/1.1\r\nHost: www.example.com:8080\r\nUser-Agent: x y  z\t\r\nAccept:*/*\r\n"
    "Empty:\r\nBlank: \t \r\n\r\n",
    "POST http://example.com/form HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n"
    "Expect: 100-continue\r\nConnection: keep-alive, TE\r\n\r\n",
    "PUT /x HTTP/1.1\r\nhOsT: [::1]:80\r\nTRANSFER-ENCODING: Chunked\r\nX_Y: dropped\r\n\r\n",
    "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\n\r\n",
    "VERSION-CONTROL /\xc3\xa9{}|^ HTTP/1.9\r\nHost:\r\n\r\n",
};

enum { VALID = sizeof(valid) / sizeof(valid[0]) };

TEST(every_prefix_of_a_valid_head_wants_more)
{
    for (int i = 0; i < VALID; i++) {
        size_t n = strlen(valid[i]);
        for (size_t len = 0; len < n; len++) {
            if (test_parse(valid[i], len, &test_limits)->outcome != MP_HTTP_MORE)
                TEST_FAIL("the first %zu bytes of %s", len, valid[i]);
        }
        CHECK_EQ(test_parse_text(valid[i])->outcome, MP_HTTP_DONE);
        CHECK_EQ(test_parse_text(valid[i])->size, n);
    }
}

TEST(what_follows_the_head_is_not_touched)
{
    char text[1024];

    for (int i = 0; i < VALID; i++) {
        static const char *const tails[] = {"x", "\r\n", "\n\n\n", "GET / HTTP/1.1\r\n\r\n",
                                            "\x16"};
        for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
            snprintf(text, sizeof(text), "%s%s", valid[i], tails[t]);
            CHECK_EQ(test_parse_text(text)->outcome, MP_HTTP_DONE);
            CHECK_EQ(test_parse_text(text)->size, strlen(valid[i]));
        }
    }
}

TEST(one_empty_line_before_the_request_is_skipped_and_no_more)
{
    const struct mp_http_head *head = test_good("\r\nGET /a HTTP/1.0\r\n\r\n");
    test_check_span(head->target, "/a");
    CHECK_EQ(test_parse_text("\r")->outcome, MP_HTTP_MORE);
    CHECK_EQ(test_parse_text("\r\n")->outcome, MP_HTTP_MORE);
    TEST_BAD("\r\n\r", 400);
    TEST_BAD("\r\n\r\nGET / HTTP/1.0\r\n\r\n", 400);
    TEST_BAD("\n", 400);
    TEST_BAD("\nGET / HTTP/1.0\r\n\r\n", 400);
    TEST_BAD("\rG", 400);
    TEST_BAD("\r\rGET / HTTP/1.0\r\n\r\n", 400);
    TEST_BAD(" GET / HTTP/1.0\r\n\r\n", 400);
}

/* Refused with what is visible, without waiting for the end of a line. */
TEST(what_is_no_request_is_refused_at_once)
{
    TEST_BAD("\x16", 400);
    TEST_BAD("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    TEST_BAD("\0", 400);
    TEST_BAD("\xff", 400);
    TEST_BAD("get", 400);
    TEST_BAD("GEt", 400);
    TEST_BAD("{", 400);
    TEST_BAD("PROXY\t", 400);
    TEST_BAD("\r\n\x0d\x0a\x00\x0d\x0a", 400);
    TEST_BAD("PRI * HTTP/2.0\r\n", 505);
    TEST_BAD("AAAAAAAAAAAAAAAAAAAAA", 501);
    TEST_BAD("GET /\x01", 400);
    TEST_BAD("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x01", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\x7f", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\rb", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\r\n\rX", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
}

/* Bytes that come one by one are refused with the one that shows the fault: the last one here. */
static void last_is_refused(const char *text, const struct mp_http_limits *limits, int status)
{
    struct mp_http_scan scan = {0};
    struct mp_http_head head;
    size_t n = strlen(text), unused;

    for (size_t len = 1; len < n; len++)
        if (mp_http_head_parse(&scan, test_guarded(text, len), len, limits, &head, &unused) !=
            MP_HTTP_MORE)
            TEST_FAIL("refused at byte %zu: %s", len, text);
    if (mp_http_head_parse(&scan, test_guarded(text, n), n, limits, &head, &unused) != MP_HTTP_BAD)
        TEST_FAIL("not refused yet: %s", text);
    CHECK_EQ(head.status, status);
}

TEST(dripping_faults_are_refused_as_soon_as_they_show)
{
    const struct mp_http_limits narrow = {40, 4, 20, 195};

    last_is_refused("POs", &test_limits, 400);
    last_is_refused("\r\nPO\t", &test_limits, 400);
    last_is_refused("AAAAAAAAAAAAAAAAAAAAA", &test_limits, 501);
    last_is_refused("GET  ", &test_limits, 400);
    last_is_refused("GET / HTTP/2.0\r\n", &test_limits, 505);
    last_is_refused("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.x\r\n", &test_limits, 400);
    last_is_refused("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x01", &test_limits, 400);
    last_is_refused("GET / HTTP/1.1\r\nHost: www.example.com:8000\r\nbad name: x\r\n", &test_limits,
                    400);
    last_is_refused("GET / HTTP/1.1\r\nHost: a\r\nname: x\x01", &test_limits, 400);
    last_is_refused("GET / HTTP/1.1\r\nHost: a\r\nname: x\rx", &test_limits, 400);
    last_is_refused("GET / HTTP/1.1\r\nHost: a\r\n\rx", &test_limits, 400);
    last_is_refused("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &narrow, 414);
    last_is_refused("GET / HTTP/1.1\r\nHost: a\r\nname: aaaaaaaaaaaaaaa", &narrow, 431);
    last_is_refused("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\nC:\r\nD:\r\n", &narrow, 431);
}

/* The parser keeps only the scan between calls; the same bytes may be elsewhere by then. */
TEST(scan_survives_a_move_and_starts_anew_when_zeroed)
{
    const char *text = valid[3];
    size_t n = strlen(text), size = 0;
    struct mp_http_head head;
    struct mp_http_scan scan = {0};
    char copy[512];

    CHECK_EQ(mp_http_head_parse(&scan, text, 40, &test_limits, &head, &size), MP_HTTP_MORE);
    memcpy(copy + 3, text, n);
    CHECK_EQ(mp_http_head_parse(&scan, copy + 3, 60, &test_limits, &head, &size), MP_HTTP_MORE);
    CHECK_EQ(mp_http_head_parse(&scan, text, n, &test_limits, &head, &size), MP_HTTP_DONE);
    CHECK_EQ(size, n);
    scan = (struct mp_http_scan){0};
    CHECK_EQ(mp_http_head_parse(&scan, valid[0], strlen(valid[0]), &test_limits, &head, &size),
             MP_HTTP_DONE);
    CHECK_EQ(size, strlen(valid[0]));
}

/* "GET /aaa HTTP/1.1" of `line` bytes, then Host, then `fields` of `field_size` bytes. */
static size_t make(char *text, size_t line, size_t fields, size_t field_size)
{
    size_t n = 0;

    memcpy(text, "GET /", 5);
    memset(text + 5, 'a', line - 5 - 9);
    memcpy(text + line - 9, " HTTP/1.1\r\n", 11);
    n = line + 2;
    for (size_t i = 0; i < fields; i++) {
        memset(text + n, 'x', field_size);
        memcpy(text + n, i == 0 ? "Host:" : "Name:", 5);
        memcpy(text + n + field_size, "\r\n", 2);
        n += field_size + 2;
    }
    memcpy(text + n, "\r\n", 2);
    return n + 2;
}

static void check_limit(size_t line, size_t fields, size_t field_size, struct mp_http_limits limits,
                        int status)
{
    static char text[70000];
    size_t n = make(text, line, fields, field_size);
    const struct test_result *got = test_parse(text, n, &limits);

    CHECK_EQ(got->outcome, status == 0 ? MP_HTTP_DONE : MP_HTTP_BAD);
    CHECK_EQ(got->head.status, status);
}

TEST(limits_are_exact)
{
    const struct mp_http_limits limits = {60, 4, 30, 195};

    check_limit(60, 1, 10, limits, 0);
    check_limit(61, 1, 10, limits, 414);
    check_limit(20, 4, 10, limits, 0);
    check_limit(20, 5, 10, limits, 431);
    check_limit(20, 1, 30, limits, 0);
    check_limit(20, 1, 31, limits, 431);
    check_limit(60, 4, 30, limits, 0); /* 62 + 4 * 32 + 2 = 192 bytes */
    check_limit(60, 4, 30, (struct mp_http_limits){60, 4, 30, 192}, 0);
    check_limit(60, 4, 30, (struct mp_http_limits){60, 4, 30, 191}, 431);
    check_limit(60, 4, 30, (struct mp_http_limits){60, 4, 30, 66}, 431);
    check_limit(60, 4, 30, (struct mp_http_limits){60, 4, 30, 61}, 414);
    check_limit(60, 4, 30, (struct mp_http_limits){60, 0, 30, 300}, 431);
    check_limit(60, 0, 30, (struct mp_http_limits){60, 0, 30, 300}, 400); /* no Host */
    check_limit(20, 129, 8, (struct mp_http_limits){60, 1000, 30, 9000}, 431);
    check_limit(20, 128, 8, (struct mp_http_limits){60, 1000, 30, 9000}, 0);
    check_limit(20, 1, 8, (struct mp_http_limits){60, 10, 30, 0}, 414);
}

/* Too much is refused when it shows, although the end is not in sight. */
TEST(limits_do_not_wait_for_the_end)
{
    static char text[70000];
    struct mp_http_limits limits = {60, 4, 50, 300};
    size_t n = make(text, 2000, 1, 10);

    CHECK_EQ(test_parse(text, 60, &limits)->outcome, MP_HTTP_MORE);
    CHECK_EQ(test_parse(text, 61, &limits)->outcome, MP_HTTP_BAD);
    CHECK_EQ(test_parse(text, 61, &limits)->head.status, 414);
    n = make(text, 20, 1, 2000);
    CHECK(n > 300);
    CHECK_EQ(test_parse(text, 22 + 50, &limits)->outcome, MP_HTTP_MORE);
    CHECK_EQ(test_parse(text, 22 + 51, &limits)->outcome, MP_HTTP_BAD);
    CHECK_EQ(test_parse(text, 22 + 51, &limits)->head.status, 431);
    make(text, 20, 8, 48);
    CHECK_EQ(test_parse(text, 22 + 4 * 50, &limits)->outcome, MP_HTTP_MORE);
    limits.head = 200;
    CHECK_EQ(test_parse(text, 199, &limits)->outcome, MP_HTTP_MORE);
    CHECK_EQ(test_parse(text, 200, &limits)->outcome, MP_HTTP_BAD);
    CHECK_EQ(test_parse(text, 200, &limits)->head.status, 431);
}

TEST(names_values_and_targets_of_telling_sizes)
{
    static const size_t sizes[] = {1, 7, 8, 9, 255, 256, 257, 4095, 4096, 65535, 65536};
    static char text[140000];
    struct mp_http_limits wide = {70000, 100, 70000, 69000};
    struct mp_http_limits narrow = {8190, 100, 8190, 65536};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizes[i], n = 0;
        n = (size_t)sprintf(text, "GET / HTTP/1.0\r\n");
        memset(text + n, 'n', size);
        n += size;
        n += (size_t)sprintf(text + n, ":v\r\n\r\n");
        const struct test_result *got = test_parse(text, n, &wide);
        CHECK_EQ(got->outcome, MP_HTTP_DONE);
        CHECK_EQ(got->head.fields[0].name.len, size);
        CHECK_EQ(got->head.fields[0].known, MP_HTTP_NAME_OTHER);
        CHECK_EQ(test_parse(text, n, &narrow)->outcome, size < 8189 ? MP_HTTP_DONE : MP_HTTP_BAD);

        n = (size_t)sprintf(text, "GET /");
        memset(text + n, 't', size - 1);
        n += size - 1;
        n += (size_t)sprintf(text + n, " HTTP/1.0\r\nX:");
        got = test_parse(text, n, &wide);
        CHECK_EQ(got->outcome, MP_HTTP_MORE);
        n += (size_t)sprintf(text + n, "\r\n\r\n");
        got = test_parse(text, n, &wide);
        CHECK_EQ(got->outcome, MP_HTTP_DONE);
        CHECK_EQ(got->head.target.len, size);
        CHECK_EQ(got->head.fields[0].value.len, 0);
    }
}

/*
 * Linear work, shown without a clock: a head drips in, and every page that has been seen and does
 * not belong to the line at hand is made unreadable. A parser that looks back dies.
 */
TEST(dripping_never_looks_back_until_the_head_is_complete)
{
    enum { SIZE = 64 * 1024, PAGE = 4096 };
    struct mp_http_limits limits = {SIZE, 100, 3000, SIZE};
    struct mp_http_scan scan = {0};
    struct mp_http_head head;
    static char text[2 * SIZE];
    size_t size = 0, n = make(text, 2000, 20, 2990);
    char *buf = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(buf != MAP_FAILED && n <= SIZE && n > 60000);
    memcpy(buf, text, n);
    size_t hidden = 0;
    for (size_t len = 1; len < n; len++) {
        CHECK_EQ(mp_http_head_parse(&scan, buf, len, &limits, &head, &size), MP_HTTP_MORE);
        CHECK(scan.seen + 1 >= len);
        CHECK(scan.line + 3000 >= len);
        size_t hide = scan.line / PAGE * PAGE;
        if (hide > hidden)
            CHECK_OK(mprotect(buf + hidden, hide - hidden, PROT_NONE));
        hidden = hide > hidden ? hide : hidden;
    }
    CHECK(hidden > 50000);
    CHECK_OK(mprotect(buf, SIZE, PROT_READ));
    CHECK_EQ(mp_http_head_parse(&scan, buf, n, &limits, &head, &size), MP_HTTP_DONE);
    CHECK_EQ(size, n);
    CHECK_OK(munmap(buf, SIZE));
}

/* Within a line too: the bytes of a long line that were seen are not read before it is complete. */
TEST(dripping_a_long_line_never_looks_back)
{
    enum { SIZE = 64 * 1024, PAGE = 4096 };
    struct mp_http_limits limits = {SIZE, 100, SIZE, SIZE};
    struct mp_http_scan scan = {0};
    struct mp_http_head head;
    static char text[2 * SIZE];
    size_t size = 0, n = make(text, 20, 1, 60000);
    char *buf = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(buf != MAP_FAILED);
    memset(text + 27, ' ', 30000);
    memcpy(buf, text, n);
    for (size_t len = 1; len < n - 2; len++) {
        CHECK_EQ(mp_http_head_parse(&scan, buf, len, &limits, &head, &size), MP_HTTP_MORE);
        if (len % PAGE == 0 && len > PAGE)
            CHECK_OK(mprotect(buf, len - PAGE, PROT_NONE));
    }
    CHECK_OK(mprotect(buf, SIZE, PROT_READ));
    CHECK_EQ(mp_http_head_parse(&scan, buf, n, &limits, &head, &size), MP_HTTP_DONE);
    CHECK_EQ(head.fields[0].value.len, 60000 - 5 - 30000);
    CHECK_OK(munmap(buf, SIZE));
}
