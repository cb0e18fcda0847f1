/* SPDX-License-Identifier: MIT */
#include "heads.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "support/runner.h"

enum { GUARDED = 128 * 1024, SPLIT_MAX = 600, DRIP_MAX = 8192 };

const struct mp_http_limits test_limits = {8190, 100, 8190, 65536};

static struct test_result result;

const char *test_guarded(const char *text, size_t n)
{
    static char *end;

    CHECK(n <= GUARDED);
    if (end == NULL) {
        char *base =
            mmap(NULL, GUARDED + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(base != MAP_FAILED);
        end = base + GUARDED;
        CHECK_OK(mprotect(end, 4096, PROT_NONE));
    }
    memcpy(end - n, text, n);
    return end - n;
}

static enum mp_http_outcome parse(struct mp_http_scan *scan, const char *text, size_t n,
                                  const struct mp_http_limits *limits, struct mp_http_head *head,
                                  size_t *ret_size)
{
    memset(head, 0xa5, sizeof(*head)); /* not kept between calls */
    return mp_http_head_parse(scan, test_guarded(text, n), n, limits, head, ret_size);
}

static void check_same_head(const struct mp_http_head *head, const char *how, size_t at)
{
    size_t used = offsetof(struct mp_http_head, fields) +
                  result.head.field_count * sizeof(struct mp_http_field);

    if (head->field_count != result.head.field_count || memcmp(head, &result.head, used) != 0)
        TEST_FAIL("%s %zu: another head", how, at);
}

/* A split input may notice a fault later than the whole, but not once the head is complete. */
static void check_same(enum mp_http_outcome outcome, const struct mp_http_head *head, size_t size,
                       size_t n, const char *how, size_t at)
{
    if (outcome == MP_HTTP_DONE && result.outcome == MP_HTTP_DONE) {
        CHECK_EQ(size, result.size);
        check_same_head(head, how, at);
        return;
    }
    if (outcome == MP_HTTP_BAD && (head->status < 400 || head->reason == NULL))
        TEST_FAIL("%s %zu: bad without status or reason", how, at);
    if (outcome == result.outcome)
        return;
    if (outcome == MP_HTTP_MORE && result.outcome == MP_HTTP_BAD &&
        memmem(result.text, n, "\r\n\r\n", 4) == NULL)
        return;
    TEST_FAIL("%s %zu: outcome %d, in one piece %d", how, at, outcome, result.outcome);
}

static void split_in_two(const char *text, size_t n, const struct mp_http_limits *limits)
{
    struct mp_http_head head;

    for (size_t at = 0; at < n; at++) {
        struct mp_http_scan scan = {0};
        size_t size = 0;
        enum mp_http_outcome outcome = parse(&scan, text, at, limits, &head, &size);
        if (outcome == MP_HTTP_MORE)
            outcome = parse(&scan, text, n, limits, &head, &size);
        check_same(outcome, &head, size, n, "split at", at);
    }
}

static void drip(const char *text, size_t n, const struct mp_http_limits *limits)
{
    struct mp_http_scan scan = {0};
    struct mp_http_head head;
    size_t size = 0;
    enum mp_http_outcome outcome = MP_HTTP_MORE;

    for (size_t len = 1; len <= n && outcome == MP_HTTP_MORE; len++)
        outcome = parse(&scan, text, len, limits, &head, &size);
    check_same(outcome, &head, size, n, "dripping", n);
}

const struct test_result *test_parse(const char *text, size_t n,
                                     const struct mp_http_limits *limits)
{
    struct mp_http_scan scan = {0};

    CHECK(n <= sizeof(result.text));
    memcpy(result.text, text, n);
    result.size = 0;
    result.outcome = parse(&scan, text, n, limits, &result.head, &result.size);
    if (n <= SPLIT_MAX)
        split_in_two(text, n, limits);
    if (n <= DRIP_MAX)
        drip(text, n, limits);
    return &result;
}

const struct test_result *test_parse_text(const char *text)
{
    return test_parse(text, strlen(text), &test_limits);
}

const struct mp_http_head *test_good(const char *text)
{
    const struct test_result *got = test_parse_text(text);

    if (got->outcome == MP_HTTP_BAD)
        TEST_FAIL("refused with %d, %s: %s", got->head.status, got->head.reason, text);
    if (got->outcome == MP_HTTP_MORE)
        TEST_FAIL("incomplete: %s", text);
    return &got->head;
}

void test_bad(const char *text, size_t n, int status)
{
    const struct test_result *got = test_parse(text, n, &test_limits);

    if (got->outcome != MP_HTTP_BAD)
        TEST_FAIL("accepted (%d): %.*s", got->outcome, (int)n, text);
    if (got->head.status != status)
        TEST_FAIL("refused with %d (%s), not %d: %.*s", got->head.status, got->head.reason, status,
                  (int)n, text);
}

void test_check_span(struct mp_http_span span, const char *want)
{
    if (span.len != strlen(want) || memcmp(result.text + span.at, want, span.len) != 0)
        TEST_FAIL("span is \"%.*s\", not \"%s\"", (int)span.len, result.text + span.at, want);
}
