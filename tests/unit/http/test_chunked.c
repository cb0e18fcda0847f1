/* SPDX-License-Identifier: MIT */
/* The chunked coding in all pieces, its malformations one by one, its bounds. */
#include "http/chunked.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "heads.h"
#include "support/runner.h"

enum { BODY_MAX = 4096 };

struct decoded {
    enum mp_http_outcome outcome;
    int status;
    size_t used;
    size_t size;
    char body[BODY_MAX];
};

static const struct mp_http_limits limits = {8190, 3, 40, 80};

/* Feeds all of one piece. False: the outcome is final. */
static bool feed(struct mp_http_chunked *c, struct decoded *d, const char *in, size_t n)
{
    while (n > 0) {
        struct mp_http_span data = {7, 7};
        size_t used = 12345;
        d->outcome = mp_http_chunked_next(c, in, n, &used, &data);
        if (d->outcome == MP_HTTP_BAD) {
            d->status = c->status;
            CHECK(c->reason != NULL && used == 12345 && data.len == 7);
            CHECK_EQ(mp_http_chunked_next(c, in, n, &used, &data), MP_HTTP_BAD);
            return false;
        }
        CHECK(used <= n && data.at + data.len <= used && (used > 0 || d->outcome == MP_HTTP_DONE));
        CHECK(d->size + data.len <= BODY_MAX);
        memcpy(d->body + d->size, in + data.at, data.len);
        d->size += data.len;
        d->used += used;
        in += used;
        n -= used;
        if (d->outcome == MP_HTTP_DONE)
            return false;
    }
    return true;
}

/* In pieces of `piece` bytes, after a first one of `first`. */
static struct decoded decode(const char *text, size_t n, size_t first, size_t piece)
{
    struct mp_http_chunked c;
    struct decoded d = {.outcome = MP_HTTP_MORE};

    mp_http_chunked_init(&c, &limits);
    for (size_t at = 0, len = first; at < n; at += len, len = piece) {
        if (len > n - at)
            len = n - at;
        if (!feed(&c, &d, test_guarded(text + at, len), len))
            break;
    }
    return d;
}

/* In one piece, one by one, and at every split into two: all must agree. */
static struct decoded decode_all_ways(const char *text, size_t n)
{
    struct decoded whole = decode(text, n, n, n);

    for (size_t first = 0; first <= n; first++) {
        struct decoded d = decode(text, n, first > 0 ? first : 1, first > 0 ? n : 1);
        CHECK_EQ(d.outcome, whole.outcome);
        CHECK_EQ(d.status, whole.status);
        CHECK_EQ(d.size, whole.size);
        CHECK_MEM(d.body, whole.body, d.size);
        if (whole.outcome != MP_HTTP_BAD)
            CHECK_EQ(d.used, whole.used);
    }
    return whole;
}

static void good(const char *text, const char *body)
{
    char followed[1000];
    size_t n = strlen(text);

    for (size_t len = 0; len < n; len++)
        if (decode(text, len, len, len).outcome != MP_HTTP_MORE)
            TEST_FAIL("the first %zu bytes of %s", len, text);
    snprintf(followed, sizeof(followed), "%sGET /next", text);
    struct decoded d = decode_all_ways(followed, strlen(followed));
    if (d.outcome != MP_HTTP_DONE)
        TEST_FAIL("outcome %d: %s", d.outcome, text);
    CHECK_EQ(d.used, n);
    CHECK_EQ(d.size, strlen(body));
    CHECK_MEM(d.body, body, d.size);
}

static void bad(const char *text, size_t n, int status)
{
    struct decoded d = decode_all_ways(text, n);

    if (d.outcome != MP_HTTP_BAD || d.status != status)
        TEST_FAIL("outcome %d, status %d: %s", d.outcome, d.status, text);
}

#define BAD(literal) bad("" literal, sizeof(literal) - 1, 400)
#define TOO_MUCH(literal) bad("" literal, sizeof(literal) - 1, 431)

TEST(bodies)
{
    good("0\r\n\r\n", "");
    good("000\r\n\r\n", "");
    good("0000000000000000\r\n\r\n", "");
    good("1\r\nx\r\n0\r\n\r\n", "x");
    good("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    good("a\r\n0123456789\r\nA\r\n0123456789\r\n00b\r\nabcdefghijk\r\n0\r\n\r\n",
         "01234567890123456789abcdefghijk");
    good("0000000000000001\r\nx\r\n0\r\n\r\n", "x");
    good("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n");
    good("10\r\n0123456789abcdef\r\n0\r\n\r\n", "0123456789abcdef");
}

TEST(extensions_are_skipped)
{
    good("1;a\r\nx\r\n0\r\n\r\n", "x");
    good("1;a=b\r\nx\r\n0;c;d=e\r\n\r\n", "x");
    good("1;a=\"\"\r\nx\r\n0\r\n\r\n", "x");
    good("1;a=\"b; \t,\\\"\\\\\xff\";c\r\nx\r\n0\r\n\r\n", "x");
    good("1;a=\"\\r\"\r\nx\r\n0\r\n\r\n", "x");
}

TEST(trailers_are_checked_and_dropped)
{
    good("0\r\nA: b\r\n\r\n", "");
    good("0\r\nA:\r\n\r\n", "");
    good("1\r\nx\r\n0\r\nA: b\r\nC:d \t\r\nE: \xff:\r\n\r\n", "x");
    good("0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "");
}

TEST(sizes_are_hexadecimal_digits)
{
    BAD("\r\n");
    BAD(";a\r\n");
    BAD("\n");
    BAD(" 1\r\nx\r\n");
    BAD("1 \r\nx\r\n");
    BAD("1\t\r\nx\r\n");
    BAD("1 ;a\r\nx\r\n");
    BAD("+1\r\nx\r\n");
    BAD("-1\r\nx\r\n");
    BAD("-0\r\n\r\n");
    BAD("0x1\r\nx\r\n");
    BAD("1_0\r\nx\r\n");
    BAD("1h\r\nx\r\n");
    BAD("g\r\nx\r\n");
    BAD("1.0\r\nx\r\n");
    BAD("1,1\r\nx\r\n");
    BAD("\"1\"\r\nx\r\n");
    BAD("\0"
        "1\r\nx\r\n");
    BAD("1\0\r\nx\r\n");
    BAD("\xd9\xa1\r\nx\r\n");
    BAD("1\xa0\r\nx\r\n");
    BAD("1\v\r\nx\r\n");
}

TEST(sizes_do_not_overflow)
{
    static const struct {
        const char *text;
        uint64_t size;
    } sizes[] = {
        {"7fffffff", UINT64_C(0x7fffffff)},   {"80000000", UINT64_C(0x80000000)},
        {"ffffffff", UINT64_C(0xffffffff)},   {"100000000", UINT64_C(0x100000000)},
        {"100000005", UINT64_C(0x100000005)}, {"7fffffffffffffff", UINT64_C(0x7fffffffffffffff)},
    };
    struct mp_http_span data;
    struct mp_http_chunked c;
    char text[64];
    size_t used;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int n = snprintf(text, sizeof(text), "%s\r\nabc", sizes[i].text);
        mp_http_chunked_init(&c, &limits);
        CHECK_EQ(mp_http_chunked_next(&c, text, (size_t)n, &used, &data), MP_HTTP_MORE);
        CHECK_EQ(data.len, 3);
        CHECK(c.body == sizes[i].size && c.left == sizes[i].size - 3);
    }
    BAD("8000000000000000\r\n");
    BAD("ffffffffffffffff\r\n");
    BAD("fffffffffffffffe\r\n");
    BAD("8000000000000005\r\nhello\r\n");
    BAD("10000000000000000\r\n");
    BAD("10000000000000005\r\nhello\r\n");
    BAD("00000000000000005\r\nhello\r\n");
    /* All chunks together. */
    BAD("5\r\nhello\r\n7fffffffffffffff\r\n");
    BAD("5\r\nhello\r\n7ffffffffffffffb\r\n");
}

TEST(the_largest_body_still_fits)
{
    struct mp_http_span data;
    struct mp_http_chunked c;
    size_t used;
    const char text[] = "5\r\nhello\r\n7ffffffffffffffa\r\nx";

    mp_http_chunked_init(&c, &limits);
    CHECK_EQ(mp_http_chunked_next(&c, text, sizeof(text) - 1, &used, &data), MP_HTTP_MORE);
    CHECK_EQ(used, 8);
    CHECK_EQ(mp_http_chunked_next(&c, text + used, sizeof(text) - 1 - used, &used, &data),
             MP_HTTP_MORE);
    CHECK(c.body == INT64_MAX);
}

TEST(lines_end_in_crlf)
{
    BAD("1\nx\r\n0\r\n\r\n");
    BAD("1\rx\r\n0\r\n\r\n");
    BAD("1\r\rx\r\n0\r\n\r\n");
    BAD("1\n\rx\r\n0\r\n\r\n");
    BAD("1\r\nx\n0\r\n\r\n");
    BAD("1\r\nx\r0\r\n\r\n");
    BAD("1\r\nx0\r\n\r\n");
    BAD("1\r\nxy\r\n0\r\n\r\n");
    BAD("1\r\nx\r\n\r\n0\r\n\r\n");
    BAD("2\r\nx\r\n0\r\n\r\n");
    BAD("1\r\nx\n\r0\r\n\r\n");
    BAD("0\n\n");
    BAD("0\r\n\n");
    BAD("0\r\n\r\r");
    BAD("0\n\r\n");
    BAD("0\r\rG");
    BAD("0\r\n\rGET");
    BAD("0\r\nGET / HTTP/1.1\r\n");
}

TEST(malformed_extensions)
{
    BAD("1;\r\nx\r\n");
    BAD("1;;a\r\nx\r\n");
    BAD("1;=b\r\nx\r\n");
    BAD("1;a=\r\nx\r\n");
    BAD("1;a=;b\r\nx\r\n");
    BAD("1; a\r\nx\r\n");
    BAD("1;a =b\r\nx\r\n");
    BAD("1;a= b\r\nx\r\n");
    BAD("1;a \r\nx\r\n");
    BAD("1;a=b=c\r\nx\r\n");
    BAD("1;a=b\"\r\nx\r\n");
    BAD("1;a=\"b\"c\r\nx\r\n");
    BAD("1;a=\"b\r\nx\r\n");
    BAD("1;a=\"b\\\r\n\"\r\nx\r\n");
    BAD("1;a\nx\r\n0\r\n\r\n");
    BAD("1;a\n\r\nx\r\n");
    BAD("1;a=b\n\r\nx\r\n");
    BAD("1;a=\"\n\"\r\nx\r\n");
    BAD("1;a\rb\r\nx\r\n");
    BAD("1;a\0\r\nx\r\n");
    BAD("1;a=\"\x7f\"\r\nx\r\n");
    BAD("1;a/b\r\nx\r\n");
    BAD("1;\x80\r\nx\r\n");
}

TEST(malformed_trailers)
{
    BAD("0\r\n A: b\r\n\r\n");
    BAD("0\r\n: b\r\n\r\n");
    BAD("0\r\nA\r\n\r\n");
    BAD("0\r\nA : b\r\n\r\n");
    BAD("0\r\nA: b\n\r\n");
    BAD("0\r\nA: b\rC\r\n\r\n");
    BAD("0\r\nA: b\r\n c\r\n\r\n");
    BAD("0\r\nA: \0\r\n\r\n");
    BAD("0\r\nA: b\r\n\n");
    BAD("0\r\n\x80: b\r\n\r\n");
}

TEST(trailers_are_bounded)
{
    good("0\r\nA:\r\nB:\r\nC:\r\n\r\n", "");
    TOO_MUCH("0\r\nA:\r\nB:\r\nC:\r\nD");
    good("0\r\nA23456789:123456789b123456789c123456789d\r\n\r\n", ""); /* 40 bytes */
    TOO_MUCH("0\r\nA23456789:123456789b123456789c123456789d0");
    TOO_MUCH("0\r\nA23456789b123456789c123456789d1234567890x");
    good("0\r\nA23456789b123456789c123456789d12345:\r\nA23456789b123456789c123456789d1234:\r\n\r\n",
         "");
    good("0\r\nA23456789b123456789c123456789d12345678:\r\nA23456789b123456789c123456789d1234:"
         "\r\n\r\n",
         ""); /* 80, with their CRLFs and the last */
    TOO_MUCH("0\r\nA23456789b123456789c123456789d12345678:\r\n"
             "A23456789b123456789c123456789d12345:\r\n\r\n"); /* 81 */
}

TEST(extensions_are_bounded_over_the_whole_body)
{
    struct mp_http_chunked c;
    struct decoded d = {.outcome = MP_HTTP_MORE};

    good("0;a23456789b123456789c123456789d123456789\r\n\r\n", ""); /* 39, and the CR */
    BAD("0;a23456789b123456789c123456789d1234567890\r\n\r\n");

    /* Three bytes an extension, its CR counted: 40 are used up by the 14th. */
    mp_http_chunked_init(&c, &limits);
    for (int i = 0; i < 13; i++)
        CHECK(feed(&c, &d, "1;ab\r\nx\r\n", 9));
    CHECK(!feed(&c, &d, "1;ab\r\nx\r\n", 9));
    CHECK_EQ(d.outcome, MP_HTTP_BAD);
    CHECK_EQ(d.status, 400);

    /* One byte more for 64 of the body: what a chunk of 200 earns pays for its three. */
    d = (struct decoded){.outcome = MP_HTTP_MORE};
    mp_http_chunked_init(&c, &limits);
    for (int i = 0; i < 1000; i++) {
        char chunk[220] = "c8;ab\r\n";
        memset(chunk + 7, 'x', 200);
        memcpy(chunk + 207, "\r\n", 2);
        d.size = 0;
        CHECK(feed(&c, &d, chunk, 209));
    }
    CHECK_EQ(c.body, 200000);
}

/* Work is counted in calls and bytes: each byte is consumed once, and each call makes headway. */
TEST(many_tiny_chunks_are_linear)
{
    enum { CHUNKS = 20000 };
    static char text[CHUNKS * 6 + 5];
    struct mp_http_chunked c;
    size_t n = 0, at = 0, calls = 0, body = 0;
    enum mp_http_outcome outcome;

    for (int i = 0; i < CHUNKS; i++, n += 6)
        memcpy(text + n, "1\r\nx\r\n", 6);
    memcpy(text + n, "0\r\n\r\n", 5);
    n += 5;
    mp_http_chunked_init(&c, &limits);
    do {
        struct mp_http_span data;
        size_t used;
        outcome = mp_http_chunked_next(&c, text + at, n - at, &used, &data);
        CHECK(outcome != MP_HTTP_BAD && used > 0);
        at += used;
        body += data.len;
        calls++;
    } while (outcome == MP_HTTP_MORE);
    CHECK_EQ(at, n);
    CHECK_EQ(body, CHUNKS);
    CHECK_EQ(calls, CHUNKS + 1);
}

/* Offsets have 32 bits. The memory is reserved and never touched. */
TEST(a_piece_of_more_than_4_gib)
{
    const size_t n = (size_t)5 << 30;
    char *in = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct mp_http_chunked c;
    struct mp_http_span data;
    size_t used;

    CHECK(in != MAP_FAILED);
    mp_http_chunked_init(&c, &limits);
    CHECK_EQ(mp_http_chunked_next(&c, "200000000\r\n", 11, &used, &data), MP_HTTP_MORE);
    CHECK_EQ(mp_http_chunked_next(&c, in, n, &used, &data), MP_HTTP_MORE);
    CHECK_EQ(used, UINT32_MAX);
    CHECK_EQ(data.len, UINT32_MAX);
    CHECK_EQ(mp_http_chunked_next(&c, in + used, n - used, &used, &data), MP_HTTP_MORE);
    CHECK_EQ(used, n - UINT32_MAX);
    CHECK_EQ(c.left, ((uint64_t)8 << 30) - n);
    CHECK_OK(munmap(in, n));
}

TEST(chunks_are_counted_but_the_last)
{
    struct mp_http_chunked c;
    struct decoded d = {.outcome = MP_HTTP_MORE};
    const char text[] = "1\r\nx\r\n2;a\r\nyz\r\n0\r\n\r\n";

    mp_http_chunked_init(&c, &limits);
    CHECK(!feed(&c, &d, text, sizeof(text) - 1));
    CHECK_EQ(d.outcome, MP_HTTP_DONE);
    CHECK_EQ(c.chunks, 2);
}

TEST(done_stays_done)
{
    struct mp_http_chunked c;
    struct mp_http_span data;
    size_t used;

    mp_http_chunked_init(&c, &limits);
    CHECK_EQ(mp_http_chunked_next(&c, "0\r\n\r\nGET", 8, &used, &data), MP_HTTP_DONE);
    CHECK_EQ(used, 5);
    CHECK_EQ(mp_http_chunked_next(&c, "GET", 3, &used, &data), MP_HTTP_DONE);
    CHECK_EQ(used, 0);
    CHECK_EQ(data.len, 0);
}
