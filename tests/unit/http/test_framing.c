/* SPDX-License-Identifier: MIT */
/*
 * What fields mean: Host, body length, connection, expectation. The attacks are those by which one
 * server was made to see another request than its neighbour; each of them must be refused.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "heads.h"
#include "support/runner.h"

#define START "POST / HTTP/1.1\r\nHost: a\r\n"

static void bad_field(const char *field, int status)
{
    char text[400];

    snprintf(text, sizeof(text), START "%s\r\n\r\n", field);
    test_bad(text, strlen(text), status);
}

TEST(host_exactly_once_in_1_1)
{
    TEST_BAD("GET / HTTP/1.1\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.2\r\nX: y\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost_: a\r\n\r\n", 400);
    test_check_span(test_good("GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n")->host, "a.b:80");
    const struct mp_http_head *head = test_good("GET / HTTP/1.1\r\nHost: \r\n\r\n");
    CHECK(head->has_host);
    CHECK_EQ(head->host.len, 0);
}

TEST(host_at_most_once_in_1_0)
{
    CHECK(!test_good("GET / HTTP/1.0\r\n\r\n")->has_host);
    CHECK(test_good("GET / HTTP/1.0\r\nHost: a\r\n\r\n")->has_host);
    TEST_BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
}

TEST(bad_hosts)
{
    static const char *const hosts[] = {
        "a b",     "a/b",      "a?b",          "a#b",     "u@a",           "u:p@a",
        "a:b",     "a:-1",     "a:+1",         "a:65536", "a:99999999999", "a:80:80",
        ":80",     ":",        "[::1",         "::1",     "[::1]x",        "[]",
        "[::1]:x", "[1:2:3]",  "[::1%25eth0]", "a\\b",    "a\xc3\xa9",     "<a>",
        "a,b c",   "http://a", "a%",           "a%4",     "a%zz",          "a\"",
        "a|b",     "a\tb",
    };
    char text[200];

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        test_bad(text, strlen(text), 400);
        snprintf(text, sizeof(text), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", hosts[i]);
        test_bad(text, strlen(text), 400);
    }
}

TEST(content_length_around_the_powers_of_two)
{
    static const struct {
        const char *text;
        uint64_t value;
    } lengths[] = {
        {"0", 0},
        {"00", 0},
        {"5", 5},
        {"0000000000000000000000000000000000000005", 5},
        {"2147483647", UINT64_C(2147483647)},
        {"2147483648", UINT64_C(2147483648)},
        {"4294967295", UINT64_C(4294967295)},
        {"4294967296", UINT64_C(4294967296)},
        {"4294967301", UINT64_C(4294967301)},
        {"9223372036854775800", UINT64_C(9223372036854775800)},
        {"9223372036854775807", UINT64_C(9223372036854775807)},
    };
    char text[200];

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        snprintf(text, sizeof(text), START "Content-Length: \t%s \r\n\r\n", lengths[i].text);
        const struct mp_http_head *head = test_good(text);
        CHECK(head->has_length && !head->chunked);
        CHECK(head->content_length == lengths[i].value);
    }
    const struct mp_http_head *head = test_good(START "\r\n");
    CHECK(!head->has_length);
    CHECK_EQ(head->content_length, 0);
}

TEST(content_length_is_digits_and_fits)
{
    static const char *const lengths[] = {
        "",
        " ",
        "+5",
        "-5",
        "-0",
        "5,5",
        "5, 5",
        "5 5",
        "5;",
        "0x5",
        "5_0",
        "1e1",
        "5.0",
        "five",
        "5\t5",
        "\"5\"",
        "5a",
        "a5",
        "0b1",
        "\xd9\xa5",
        "\xef\xbc\x95",
        "5\xa0",
        ("\xa0"
         "5"),
        "5,",
        ",5",
        "9223372036854775808",
        "9223372036854775809",
        "9223372036854775810",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "92233720368547758070",
        "99999999999999999999999999999999999999999999",
    };
    char text[200];

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        snprintf(text, sizeof(text), "Content-Length: %s", lengths[i]);
        bad_field(text, 400);
    }
    TEST_BAD(START "Content-Length: 5\v\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: \f5\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 5\0\r\n\r\n", 400);
    TEST_BAD(START "Content-Length : 5\r\n\r\n", 400);
    TEST_BAD(START "Content-Length\t: 5\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 5\r\n 0\r\n\r\n", 400);
}

TEST(content_length_once_even_if_equal)
{
    TEST_BAD(START "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 0\r\ncontent-length: 0\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 5\r\nX: y\r\nContent-Length: \r\n\r\n", 400);
}

/* A body whose last coding is not chunked has no end that all agree on (RFC 9112 section 6.3). */
TEST(transfer_encoding_is_chunked_alone)
{
    static const char *const codings[] = {
        "identity",
        "gzip",
        "deflate",
        "compress",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, gzip, chunked",
        "chunked,",
        ",chunked",
        "chunked, identity",
        "gzip, , chunked",
        "gzip,, chunked",
        "gzip; a=\"b, chunked\"",
        "chunked;q=1",
        "gzip, chunked;q=1",
        "gzip, xchunked",
        "gzip, chunkedx",
        "xchunked",
        "chunkedx",
        "x-chunked",
        "chunke",
        "chunked chunked",
        "\"chunked\"",
        "gzip, \"chunked\"",
        "chunked\tx",
        "'chunked'",
        "Chunked, Chunked",
        "chun ked",
        "chunked\xa0",
        ("\xa0"
         "chunked"),
        "chunkEd\xe2\x84\xaa",
        "0",
        "chunked;",
        "nchunked",
        ", chunked",
        "chunked ,",
        ",",
        ",,",
    };
    char text[200];

    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        snprintf(text, sizeof(text), "Transfer-Encoding: %s", codings[i]);
        bad_field(text, 400);
    }
    bad_field("Transfer-Encoding:", 400);
    bad_field("Transfer-Encoding: \t", 400);
    TEST_BAD(START "Transfer-Encoding: \vchunked\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding: chunked\v\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding: chunked\0\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding : chunked\r\n\r\n", 400);
    TEST_BAD(START " Transfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD(START "X: y\n Transfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD(START "X: y\rTransfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding:\r\n chunked\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400);
    TEST_BAD(START "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", 400);

    const struct mp_http_head *head = test_good(START "tRaNsFeR-eNcOdInG:\t chunkED \t\r\n\r\n");
    CHECK(head->chunked && !head->has_length);
}

/* These could be delimited, and are refused because they cannot be decoded (section 6.1). */
TEST(other_codings_before_chunked_are_not_implemented)
{
    static const char *const codings[] = {"gzip, chunked",
                                          "gzip,chunked",
                                          "gzip\t,\t CHUNKED",
                                          "identity, chunked",
                                          "deflate;a=b, gzip, chunked",
                                          "xchunked, chunked"};
    char text[200];

    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        snprintf(text, sizeof(text), "Transfer-Encoding: %s", codings[i]);
        bad_field(text, 501);
        snprintf(text, sizeof(text), "Content-Length: 5\r\nTransfer-Encoding: %s", codings[i]);
        bad_field(text, 501);
    }
}

TEST(transfer_encoding_and_content_length_exclude_each_other)
{
    TEST_BAD(START "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD(START "Content-Length: 0\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
             400);
}

TEST(no_transfer_encoding_in_1_0)
{
    TEST_BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    TEST_BAD("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400);
}

static bool kept(const char *version, const char *fields)
{
    char text[300];

    snprintf(text, sizeof(text), "GET / %s\r\nHost: a\r\n%s\r\n", version, fields);
    return test_good(text)->keep_alive;
}

TEST(close_in_any_connection_field_wins)
{
    CHECK(kept("HTTP/1.1", ""));
    CHECK(kept("HTTP/1.1", "Connection: keep-alive\r\n"));
    CHECK(kept("HTTP/1.1", "Connection: TE\r\n"));
    CHECK(kept("HTTP/1.1", "Connection:\r\n"));
    CHECK(kept("HTTP/1.1", "Connection: closed\r\n"));
    CHECK(kept("HTTP/1.1", "Connection: not-close, xclose\r\n"));
    CHECK(kept("HTTP/1.1", "Connection: clone, keep-alivf, upgradf\r\n"));
    CHECK(kept("HTTP/1.1", "X-Connection: close\r\n"));
    CHECK(kept("HTTP/1.2", ""));
    static const char *const closing[] = {
        "close",
        "Close",
        "CLOSE",
        "close,",
        ",close",
        "keep-alive, close",
        "close, keep-alive",
        "keep-alive,close",
        "TE ,\tclose",
        ", ,close",
        "a,b,c,d,e,close,f",
        "keep-alive close",
        "close x",
        "  close  ",
    };
    char field[100];
    for (size_t i = 0; i < sizeof(closing) / sizeof(closing[0]); i++) {
        snprintf(field, sizeof(field), "Connection: %s\r\n", closing[i]);
        CHECK(!kept("HTTP/1.1", field));
        CHECK(!kept("HTTP/1.0", field));
    }
    CHECK(!kept("HTTP/1.1", "Connection: close\r\nConnection: keep-alive\r\n"));
    CHECK(!kept("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
}

TEST(version_1_0_is_kept_on_request)
{
    CHECK(!kept("HTTP/1.0", ""));
    CHECK(kept("HTTP/1.0", "Connection: keep-alive\r\n"));
    CHECK(kept("HTTP/1.0", "Connection: Keep-Alive, TE\r\n"));
    CHECK(!kept("HTTP/1.0", "Connection: keep-alives\r\n"));
    CHECK(!kept("HTTP/1.0", "Connection: keep_alive\r\n"));
    CHECK(!kept("HTTP/1.0", "Keep-Alive: timeout=5\r\n"));
    CHECK(!kept("HTTP/1.0", "Connection: keep-alive\r\nConnection: close\r\n"));
}

TEST(expectations)
{
    CHECK(test_good(START "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")->expect_continue);
    CHECK(test_good(START "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n")
              ->expect_continue);
    /* Nothing to wait for without a body. */
    CHECK(!test_good(START "Expect: 100-continue\r\n\r\n")->expect_continue);
    CHECK(!test_good(START "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n")->expect_continue);
    CHECK(!test_good("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
               ->expect_continue);
    CHECK(!test_good("POST / HTTP/1.0\r\nExpect: tea\r\n\r\n")->expect_continue);
    /* Empty members of a list are nothing. */
    CHECK(
        test_good(START "Expect: , 100-continue ,,\r\nContent-Length: 5\r\n\r\n")->expect_continue);
    CHECK(test_good(START "Expect: 100-continue,100-continue\r\nContent-Length: 5\r\n\r\n")
              ->expect_continue);
    CHECK(!test_good(START "Expect:\r\nContent-Length: 5\r\n\r\n")->expect_continue);
    CHECK(!test_good(START "Expect: ,\r\nContent-Length: 5\r\n\r\n")->expect_continue);
    bad_field("Expect: tea", 417);
    bad_field("Expect: 100-continue;a=b", 417);
    bad_field("Expect: 100-continue=1", 417);
    bad_field("Expect: \"100-continue\"", 417);
    bad_field("Expect: 100-continue, tea", 417);
    bad_field("Expect: 100-continuex", 417);
    bad_field("Expect: 100-continux", 417);
    bad_field("Expect: 100-continue\r\nExpect: 200-ok", 417);
}

TEST(upgrade_needs_both_fields)
{
    CHECK(test_good(START "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")->upgrade);
    CHECK(test_good(START "Upgrade: h2c\r\nConnection: keep-alive, upgrade\r\n\r\n")->upgrade);
    CHECK(!test_good(START "Upgrade: websocket\r\n\r\n")->upgrade);
    CHECK(!test_good(START "Connection: Upgrade\r\n\r\n")->upgrade);
    CHECK(!test_good("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")->upgrade);
}
