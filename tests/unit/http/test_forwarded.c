/* SPDX-License-Identifier: MIT */
#include "http/forwarded.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "heads.h"
#include "support/runner.h"

enum {
    FOR = MP_HTTP_FORWARDED_FOR,
    PROTO = MP_HTTP_FORWARDED_PROTO,
    HOST = MP_HTTP_FORWARDED_HOST,
    PREFIX = MP_HTTP_FORWARDED_PREFIX,
    STANDARD = MP_HTTP_FORWARDED_STANDARD,
    ALL = FOR | PROTO | HOST | PREFIX | STANDARD,
};

static char text[80000];
static struct mp_http_head head;
static struct mp_http_forwarded said;

/* Parses a request with these field lines; of each, spaces at its beginning are left out. */
static void request(const char *lines)
{
    static const struct mp_http_limits limits = {8190, 128, 65000, 70000};
    struct mp_http_scan scan = {0};
    size_t size;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", lines);
    if (mp_http_head_parse(&scan, text, (size_t)n, &limits, &head, &size) != MP_HTTP_DONE)
        TEST_FAIL("no request: %s", lines);
}

/* Trusts 127.0.0.1, ::1, 10.0.0.0/8 and 2001:db8:f::/48. */
static enum mp_http_outcome read_trusting(const char *list, const char *lines, unsigned believed)
{
    struct mp_ip_set trusted;
    const char *bad;
    size_t size;
    request(lines);
    CHECK_OK(mp_ip_set_init(&trusted, list, &bad, &size));
    enum mp_http_outcome outcome = mp_http_forwarded_read(&head, text, believed, &trusted, &said);
    mp_ip_set_done(&trusted);
    CHECK(outcome == MP_HTTP_DONE || (outcome == MP_HTTP_BAD && said.reason));
    return outcome;
}

static enum mp_http_outcome read_all(const char *lines)
{
    return read_trusting("127.0.0.1, ::1, 10.0.0.0/8, 2001:db8:f::/48", lines, ALL);
}

static void check_ip(const char *lines, const char *want, unsigned port)
{
    struct mp_ip ip = {0};
    if (*want)
        CHECK_OK(mp_ip_parse(want, strlen(want), &ip));
    if (ip.version != said.ip.version || memcmp(ip.bytes, said.ip.bytes, 16) != 0)
        TEST_FAIL("not %s: %s (%u.%u.%u.%u)", want, lines, said.ip.bytes[0], said.ip.bytes[1],
                  said.ip.bytes[2], said.ip.bytes[3]);
    CHECK_EQ(said.port, port);
}

static void client(const char *lines, const char *want, unsigned port)
{
    if (read_all(lines) != MP_HTTP_DONE)
        TEST_FAIL("refused, %s: %s", said.reason, lines);
    check_ip(lines, want, port);
}

static void refused(const char *lines)
{
    if (read_all(lines) != MP_HTTP_BAD)
        TEST_FAIL("accepted: %s", lines);
}

static void check_span(struct mp_http_span span, const char *want)
{
    if (span.len != strlen(want) || memcmp(text + span.at, want, span.len) != 0)
        TEST_FAIL("\"%.*s\", not \"%s\"", (int)span.len, text + span.at, want);
}

#define XFF "X-Forwarded-For: "

/* ---- which fields ------------------------------------------------------------------------ */

TEST(fields_are_known_by_the_parser)
{
    request("");
    CHECK_EQ(head.forwarding, 0);
    request("Via: 1.1 x\r\nX-Forwarde: 1\r\nX-Forwarded: 1\r\nY-Forwarded-For: 1\r\nX-Real: 1\r\n");
    CHECK_EQ(head.forwarding, 0);
    request("x-forwarded-for: 1\r\n");
    CHECK_EQ(head.forwarding, FOR);
    request("X-FORWARDED-PROTO: 1\r\nX-Forwarded-Host: 1\r\n");
    CHECK_EQ(head.forwarding, PROTO | HOST);
    request("X-Forwarded-Prefix: 1\r\nForwarded: 1\r\n");
    CHECK_EQ(head.forwarding, PREFIX | STANDARD);
    static const char *const others[] = {
        "X-Forwarded-Port: 1\r\n",       "X-Forwarded-Ssl: on\r\n",
        "X-Forwarded-Protocol: ssl\r\n", "x-forwarded-user: root\r\n",
        "X-Forwarded-: 1\r\n",           "X-Real-IP: 1\r\n",
        "X-Request-Start: t=1\r\n",      "X-Forwarded-Client-Cert: x\r\n",
    };
    for (size_t i = 0; i < mp_array_size(others); i++) {
        request(others[i]);
        CHECK_EQ(head.forwarding, MP_HTTP_FORWARDED_OTHER);
        CHECK_EQ(mp_http_forwarded_remove(&head, text), 1);
    }
}

TEST(fields_are_removed)
{
    request("X-Forwarded-For: 1\r\nAccept: a\r\nForwarded: for=x\r\nX-Forwarded-For: 2\r\n"
            "x-forwarded-anything: 3\r\nX-Other: b\r\nX-Request-Start: t=1\r\n");
    CHECK_EQ(head.field_count, 8);
    CHECK_EQ(mp_http_forwarded_remove(&head, text), 5);
    CHECK_EQ(head.field_count, 3);
    check_span(head.fields[0].name, "Host");
    check_span(head.fields[1].name, "Accept");
    check_span(head.fields[2].name, "X-Other");
    check_span(head.fields[2].value, "b");
    CHECK_EQ(head.forwarding, 0);
    CHECK_EQ(head.dropped, 5);
    CHECK_EQ(mp_http_forwarded_remove(&head, text), 0);
}

TEST(what_is_not_believed_is_not_read)
{
    const char *lines = XFF "junk\r\nX-Forwarded-Proto: junk\r\nX-Forwarded-Host: ju nk\r\n"
                            "X-Forwarded-Prefix: junk\r\nForwarded: junk\r\n";
    CHECK_EQ(read_trusting("*", lines, 0), MP_HTTP_DONE);
    CHECK(!said.has_for && said.scheme == MP_HTTP_SCHEME_NONE && said.host.len == 0 &&
          said.prefix.len == 0);
    for (unsigned one = 1; one <= STANDARD; one <<= 1)
        CHECK_EQ(read_trusting("*", lines, one), MP_HTTP_BAD);
    CHECK_EQ(read_trusting("*", lines, MP_HTTP_FORWARDED_OTHER), MP_HTTP_DONE);
}

/* ---- X-Forwarded-For --------------------------------------------------------------------- */

TEST(the_client_is_the_last_that_is_not_trusted)
{
    client("", "", 0);
    client(XFF "203.0.113.9\r\n", "203.0.113.9", 0);
    client(XFF "2001:db8::9\r\n", "2001:db8::9", 0);
    client(XFF "203.0.113.9, 10.0.0.1\r\n", "203.0.113.9", 0);
    client(XFF "203.0.113.9,10.0.0.1,10.0.0.2,::1\r\n", "203.0.113.9", 0);
    client(XFF "203.0.113.9, 2001:db8:f::1\r\n", "203.0.113.9", 0);
    client(XFF "203.0.113.9, 2001:db8:e::1\r\n", "2001:db8:e::1", 0);
    /* What a client has made up. */
    client(XFF "127.0.0.1, 203.0.113.9\r\n", "203.0.113.9", 0);
    client(XFF "1.1.1.1, 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9", 0);
    client(XFF "10.0.0.7, 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9", 0);
    client(XFF "<script>, \", 203.0.113.9\r\n", "203.0.113.9", 0);
    client(XFF "unknown, 203.0.113.9\r\n", "203.0.113.9", 0);
    /* All of them trusted: the first. */
    client(XFF "10.0.0.7, 10.0.0.1\r\n", "10.0.0.7", 0);
    client(XFF "10.0.0.7\r\n", "10.0.0.7", 0);
    CHECK_EQ(read_trusting("*", XFF "1.1.1.1, 2.2.2.2\r\n", ALL), MP_HTTP_DONE);
    check_ip("*", "1.1.1.1", 0);
    CHECK_EQ(read_trusting("", XFF "1.1.1.1, 2.2.2.2\r\n", ALL), MP_HTTP_DONE);
    check_ip("nobody", "2.2.2.2", 0);
}

TEST(several_lines_are_one_list)
{
    client(XFF "1.1.1.1\r\n" XFF "203.0.113.9\r\n", "203.0.113.9", 0);
    client(XFF "203.0.113.9\r\nAccept: x\r\n" XFF "10.0.0.1\r\n", "203.0.113.9", 0);
    client(XFF "1.1.1.1, 203.0.113.9\r\n" XFF "\r\n" XFF "10.0.0.1, 10.0.0.2\r\n", "203.0.113.9",
           0);
}

TEST(elements_may_be_empty)
{
    client(XFF "\r\n", "", 0);
    client(XFF ",\r\n", "", 0);
    client(XFF " , ,203.0.113.9, ,\t,\r\n", "203.0.113.9", 0);
    client(XFF "203.0.113.9,,10.0.0.1,\r\n", "203.0.113.9", 0);
}

TEST(ports)
{
    client(XFF "203.0.113.9:4711\r\n", "203.0.113.9", 4711);
    client(XFF "203.0.113.9:0\r\n", "203.0.113.9", 0);
    client(XFF "203.0.113.9:65535\r\n", "203.0.113.9", 65535);
    client(XFF "[2001:db8::9]:4711, 10.0.0.1:80\r\n", "2001:db8::9", 4711);
    client(XFF "[2001:db8::9], 10.0.0.1:80\r\n", "2001:db8::9", 0);
    client(XFF "203.0.113.9:_secret\r\n", "203.0.113.9", 0);
}

TEST(a_proxy_that_will_not_tell)
{
    client(XFF "unknown\r\n", "", 0);
    CHECK(said.has_for);
    client(XFF "UNKNOWN:80\r\n", "", 0);
    client(XFF "_SEVKISEK\r\n", "", 0);
    client(XFF "203.0.113.9, unknown, 10.0.0.2:7, 10.0.0.1\r\n", "10.0.0.2", 7);
    CHECK_EQ(read_trusting("*", XFF "1.1.1.1, unknown, 2.2.2.2, 3.3.3.3\r\n", ALL), MP_HTTP_DONE);
    check_ip("*", "2.2.2.2", 0);
}

TEST(what_stands_for_no_client)
{
    static const char *const bad[] = {
        "client",
        "203.0.113",
        "203.0.113.256",
        "203.0.113.9:",
        "203.0.113.9:x",
        "203.0.113.9:65536",
        "203.0.113.9:099999",
        "203.0.113.9:-1",
        "203.0.113.9 ::1",
        "203.0.113.9;10.0.0.1",
        "[203.0.113.9]",
        "[2001:db8::9",
        "2001:db8::9]",
        "[2001:db8::9]x",
        "[2001:db8::9]:",
        "[]",
        "[",
        ":80",
        "_",
        "_:80",
        "_a b",
        "unknown:",
        "unknown:1:2",
        "unknowns",
        "\"203.0.113.9\"",
        "for=203.0.113.9",
        "fe80::1%eth0",
        "2001:db8::9:99999:",
        "203.0.113.9/32",
        "*",
        "0x7f000001",
        "2130706433",
        "127.1",
        "_\xc3\xa9",
    };
    char line[200];
    for (size_t i = 0; i < mp_array_size(bad); i++) {
        snprintf(line, sizeof(line), XFF "1.1.1.1, %s\r\n", bad[i]);
        refused(line);
        snprintf(line, sizeof(line), XFF "%s, 10.0.0.1\r\n", bad[i]);
        refused(line);
        snprintf(line, sizeof(line), XFF "%s, 2.2.2.2\r\n", bad[i]);
        client(line, "2.2.2.2", 0);
    }
}

/* ---- X-Forwarded-Proto, -Host, -Prefix --------------------------------------------------- */

static void scheme(const char *value, enum mp_http_scheme want)
{
    char line[200];
    snprintf(line, sizeof(line), "X-Forwarded-Proto: %s\r\n", value);
    if (read_all(line) != MP_HTTP_DONE)
        TEST_FAIL("refused: %s", line);
    if (said.scheme != want)
        TEST_FAIL("%d, not %d: %s", said.scheme, want, line);
}

TEST(schemes)
{
    scheme("http", MP_HTTP_SCHEME_HTTP);
    scheme("https", MP_HTTP_SCHEME_HTTPS);
    scheme("HTTPS", MP_HTTP_SCHEME_HTTPS);
    scheme("wss", MP_HTTP_SCHEME_HTTPS);
    scheme("ws", MP_HTTP_SCHEME_HTTP);
    scheme("https, https", MP_HTTP_SCHEME_HTTPS);
    scheme("https\r\nX-Forwarded-Proto: wss,", MP_HTTP_SCHEME_HTTPS);
    scheme("", MP_HTTP_SCHEME_NONE);
    scheme(" , ", MP_HTTP_SCHEME_NONE);
    refused("X-Forwarded-Proto: https, http\r\n");
    refused("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n");
    refused("X-Forwarded-Proto: ssl\r\n");
    refused("X-Forwarded-Proto: https:\r\n");
    refused("X-Forwarded-Proto: \"https\"\r\n");
    refused("X-Forwarded-Proto: on\r\n");
    refused("X-Forwarded-Proto: https https\r\n");
}

TEST(hosts)
{
    CHECK_EQ(read_all("X-Forwarded-Host: shop.example:8443\r\n"), MP_HTTP_DONE);
    check_span(said.host, "shop.example:8443");
    CHECK_EQ(read_all("X-Forwarded-Host: a.example , a.example\r\nX-Forwarded-Host: a.example\r\n"),
             MP_HTTP_DONE);
    check_span(said.host, "a.example");
    CHECK_EQ(read_all("X-Forwarded-Host: \r\n"), MP_HTTP_DONE);
    check_span(said.host, "");
    CHECK_EQ(read_all("X-Forwarded-Host: [2001:db8::1]:80\r\n"), MP_HTTP_DONE);
    refused("X-Forwarded-Host: a.example, b.example\r\n");
    refused("X-Forwarded-Host: a.example\r\nX-Forwarded-Host: b.example\r\n");
    refused("X-Forwarded-Host: a.example/path\r\n");
    refused("X-Forwarded-Host: user@a.example\r\n");
    refused("X-Forwarded-Host: a.example:port\r\n");
    refused("X-Forwarded-Host: a b\r\n");
    refused("X-Forwarded-Host: https://a.example\r\n");
}

static void prefix(const char *value, const char *want)
{
    char line[200];
    snprintf(line, sizeof(line), "X-Forwarded-Prefix: %s\r\n", value);
    if (read_all(line) != MP_HTTP_DONE)
        TEST_FAIL("refused: %s", line);
    check_span(said.prefix, want);
}

TEST(prefixes)
{
    static const char *const bad[] = {
        "shop", "//evil.example", "/a//b", "/a/../b", "/..",  "/.",     "/a/./b", "/a%2fb",    "/%",
        "/a?b", "/a#b",           "/a\\b", "\\evil",  "/a b", "/a, /b", "/a,/a/", "https://x", "//",
        "/a//", "/a/..",
    };
    char line[200];
    prefix("/shop", "/shop");
    prefix("/shop/", "/shop");
    prefix("/a/b.c/d-e", "/a/b.c/d-e");
    prefix("/...", "/...");
    prefix("/a..", "/a..");
    prefix("/", "");
    prefix("", "");
    prefix("/a, /a", "/a");
    prefix("/caf\xc3\xa9", "/caf\xc3\xa9");
    for (size_t i = 0; i < mp_array_size(bad); i++) {
        snprintf(line, sizeof(line), "X-Forwarded-Prefix: %s\r\n", bad[i]);
        refused(line);
    }
    refused("X-Forwarded-Prefix: /a\r\nX-Forwarded-Prefix: /b\r\n");
}

/* ---- Forwarded --------------------------------------------------------------------------- */

TEST(the_examples_of_rfc_7239)
{
    client("Forwarded: for=\"_gazonk\"\r\n", "", 0);
    client("Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17", 4711);
    client("Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n", "192.0.2.60", 0);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTP);
    client("Forwarded: for=192.0.2.43, for=198.51.100.17\r\n", "198.51.100.17", 0);
    client("Forwarded: for=_hidden, for=_SEVKISEK\r\n", "", 0);
    client("Forwarded: for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown\r\n", "", 0);
    client("Forwarded: for=192.0.2.43, for=\"[2001:db8:cafe::17]\", for=unknown\r\n", "", 0);
    client("Forwarded: for=192.0.2.43\r\nForwarded: for=\"[2001:db8:cafe::17]\", for=unknown\r\n",
           "", 0);
    client("Forwarded: for=192.0.2.43, for=\"[2001:db8:cafe::17]\"\r\n", "2001:db8:cafe::17", 0);
}

TEST(the_element_that_counts)
{
    client(
        "Forwarded: for=203.0.113.9;proto=https;host=a.example, for=10.0.0.1;proto=http;host=b\r\n",
        "203.0.113.9", 0);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTPS);
    check_span(said.host, "a.example");
    client("Forwarded: for=1.1.1.1;proto=https;host=evil, for=203.0.113.9, for=10.0.0.1\r\n",
           "203.0.113.9", 0);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_NONE);
    CHECK_EQ(said.host.len, 0);
    client("Forwarded: for=203.0.113.9, for=unknown;proto=https, for=10.0.0.2, for=10.0.0.1\r\n",
           "10.0.0.2", 0);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTPS);
    client("Forwarded: for=10.0.0.7, for=10.0.0.1\r\n", "10.0.0.7", 0);
    client("Forwarded: for=203.0.113.9, proto=https\r\n", "", 0);
    CHECK(!said.has_for);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTPS);
}

TEST(the_grammar)
{
    static const char *const good[] = {
        "for=203.0.113.9",
        "FOR=203.0.113.9",
        "for=\"203.0.113.9\"",
        ";for=203.0.113.9",
        ";;for=203.0.113.9;;",
        "for=203.0.113.9 ; proto=https ; by=_x",
        "\t for=203.0.113.9 \t",
        ", ,for=203.0.113.9,",
        "for=203.0.113.9;secret=\"a,b;c=\\\"d\\\\\"",
        "secret=\"\";for=203.0.113.9",
        "secret=\"\t \xc3\xa9\";for=203.0.113.9",
        "by=\"[2001:db8::1]:80\";for=203.0.113.9",
        "a=b;a=b;for=203.0.113.9",
        "fox=1;hose=2;prota=3;bx=4;for=203.0.113.9",
        "fox=\"\\1\";hose=\"\\2\";prota=\"\\3\";bx=\"\\4\";for=203.0.113.9",
    };
    static const char *const bad[] = {
        "203.0.113.9",
        "for",
        "for=",
        "=203.0.113.9",
        "for =203.0.113.9",
        "for= 203.0.113.9",
        "for=203.0.113.9 proto=http",
        "for=203.0.113.9:4711",
        "for=[2001:db8::9]",
        "for=2001:db8::9",
        "for=\"2001:db8::9\"",
        "for=\"203.0.113.9",
        "for=\"203.0.113.9\"x",
        "for=203.0.113.9\"",
        "for=\"203.0.113.9\\",
        "for=\"203.0.113.9\\\"",
        "for=\"203.0.113\\.9\"",
        "for=203.0.113.9;for=203.0.113.9",
        "by=_a;by=_a;for=203.0.113.9",
        "proto=http;PROTO=http",
        "host=a;host=a",
        "proto=\"ht\\tp\"",
        "by=\"_\\a\"",
        "proto=httpx",
        "for=\"_a{\"",
        "for=203.0.113.9;proto=ftp",
        "for=203.0.113.9;proto=\"\"",
        "for=203.0.113.9;host=\"\"",
        "for=203.0.113.9;host=\"a b\"",
        "for=203.0.113.9;host=\"a@b\"",
        "for=203.0.113.9;host=\"a\\b\"",
        "for=client",
        "for=\"\"",
        "for=_",
        "for={203.0.113.9}",
        /* A client that tries to swallow what the proxy adds. */
        "for=\"_evil, for=203.0.113.9",
        "secret=\"\\\", for=203.0.113.9",
        "for=1.1.1.1;secret=\", for=203.0.113.9;x=\"",
    };
    char line[300];
    for (size_t i = 0; i < mp_array_size(good); i++) {
        snprintf(line, sizeof(line), "Forwarded: %s\r\n", good[i]);
        client(line, "203.0.113.9", 0);
        CHECK(said.scheme == MP_HTTP_SCHEME_NONE || strstr(line, "proto=https"));
    }
    for (size_t i = 0; i + 1 < mp_array_size(bad); i++) {
        snprintf(line, sizeof(line), "Forwarded: %s\r\n", bad[i]);
        refused(line);
    }
    /* Well formed: the proxy has to check what it adds to. */
    snprintf(line, sizeof(line), "Forwarded: %s\r\n", bad[mp_array_size(bad) - 1]);
    client(line, "1.1.1.1", 0);
    client("Forwarded: \r\n", "", 0);
    client("Forwarded: ,;,\r\n", "", 0);
}

TEST(there_is_a_most_of_elements)
{
    static char line[70000];
    size_t n = 0;
    n += (size_t)snprintf(line, sizeof(line), "Forwarded: for=203.0.113.9");
    for (int i = 1; i < MP_HTTP_FORWARDED_MAX; i++)
        n += (size_t)snprintf(line + n, sizeof(line) - n, ",for=10.0.0.1");
    snprintf(line + n, sizeof(line) - n, "\r\n");
    client(line, "203.0.113.9", 0);
    for (int i = 0; i < 2; i++)
        n += (size_t)snprintf(line + n, sizeof(line) - n, ",for=10.0.0.1");
    snprintf(line + n, sizeof(line) - n, "\r\n");
    refused(line);
}

/* ---- both -------------------------------------------------------------------------------- */

TEST(forwarded_and_the_others)
{
    client(XFF "203.0.113.9\r\nForwarded: for=\"203.0.113.9:80\";proto=https\r\n"
               "X-Forwarded-Proto: https\r\n",
           "203.0.113.9", 80);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTPS);
    client(XFF "203.0.113.9\r\nForwarded: proto=https;host=a\r\n", "203.0.113.9", 0);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTPS);
    check_span(said.host, "a");
    client("X-Forwarded-Proto: https\r\nForwarded: for=203.0.113.9\r\n", "203.0.113.9", 0);
    CHECK_EQ(said.scheme, MP_HTTP_SCHEME_HTTPS);
    client(XFF "203.0.113.9:81\r\nX-Forwarded-Host: a\r\nForwarded: for=203.0.113.9;host=a\r\n",
           "203.0.113.9", 81);
    check_span(said.host, "a");
    refused("X-Forwarded-Host: ab\r\nForwarded: host=a\r\n");
    refused(XFF "203.0.113.9\r\nForwarded: for=203.0.113.8\r\n");
    refused(XFF "unknown\r\nForwarded: for=203.0.113.8\r\n");
    refused(XFF "203.0.113.9\r\nForwarded: for=unknown\r\n");
    refused("X-Forwarded-Proto: http\r\nForwarded: proto=https\r\n");
    refused("X-Forwarded-Host: a\r\nForwarded: host=b\r\n");
}

TEST(long_lists_are_read_from_their_end)
{
    static char line[66000];
    size_t n = (size_t)snprintf(line, sizeof(line), XFF);
    while (n < 60000)
        n += (size_t)snprintf(line + n, sizeof(line) - n, "junk,");
    snprintf(line + n, sizeof(line) - n, "203.0.113.9\r\n");
    client(line, "203.0.113.9", 0);
}
