/* SPDX-License-Identifier: MIT */
/*
 * Ways of giving bytes to the parser, for the tests of src/http: against a guard page, so that a
 * read behind the end is a crash; in one piece, in two and one by one, which must come out the
 * same.
 */
#ifndef MP_TEST_HTTP_HEADS_H
#define MP_TEST_HTTP_HEADS_H

#include "http/head.h"

/* The limits of the command line's defaults. */
extern const struct mp_http_limits test_limits;

struct test_result {
    enum mp_http_outcome outcome;
    size_t size;
    struct mp_http_head head;
    char text[70000]; /* what the head's spans refer to */
};

/* A copy of the bytes that ends where a page begins that may not be touched. One at a time. */
const char *test_guarded(const char *text, size_t n);

/*
 * Parses in one piece, at every split into two (of short texts) and byte by byte, fails the test
 * when these disagree, and returns the result, which is overwritten by the next call.
 */
const struct test_result *test_parse(const char *text, size_t n,
                                     const struct mp_http_limits *limits);

/* A string with the default limits. */
const struct test_result *test_parse_text(const char *text);

/* Parses and fails the test unless the outcome is DONE, or BAD with that status. */
const struct mp_http_head *test_good(const char *text);
void test_bad(const char *text, size_t n, int status);

#define TEST_BAD(literal, status) test_bad("" literal, sizeof(literal) - 1, status)

/* Whether a span of the latest result reads so. */
void test_check_span(struct mp_http_span span, const char *want);

#endif
