/* SPDX-License-Identifier: MIT */
#include "http/proxy_protocol.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "heads.h"
#include "support/runner.h"

enum { BOTH = MP_HTTP_PROXY_V1 | MP_HTTP_PROXY_V2 };

static struct mp_http_proxy got;

/* In one piece and byte by byte: what is there of it must never read as something else. */
static enum mp_http_outcome parse(const char *text, size_t n, unsigned versions, size_t *ret_size)
{
    enum mp_http_outcome outcome = MP_HTTP_MORE;
    size_t size = 0;
    size_t len = 0;
    for (; len <= n && outcome == MP_HTTP_MORE; len++)
        outcome = mp_http_proxy_parse(test_guarded(text, len), len, versions, &got, &size);
    size_t whole_size = 0;
    enum mp_http_outcome whole =
        mp_http_proxy_parse(test_guarded(text, n), n, versions, &got, &whole_size);
    CHECK_EQ(whole, outcome);
    CHECK_EQ(whole_size, size);
    if (whole == MP_HTTP_DONE)
        CHECK_EQ(size, len - 1); /* not before its last byte */
    *ret_size = size;
    return whole;
}

static void good(const char *text, size_t n, const char *client, unsigned port)
{
    static const char behind[] = "GET / HTTP/1.1\r\n\r\n";
    char more[5000];
    struct mp_ip want = {0};
    size_t size;
    if (parse(text, n, BOTH, &size) != MP_HTTP_DONE)
        TEST_FAIL("refused: %s: %.*s", got.reason, (int)n, text);
    CHECK_EQ(size, n);
    CHECK(!got.local);
    if (*client)
        CHECK_OK(mp_ip_parse(client, strlen(client), &want));
    CHECK_MEM(&got.ip, &want, sizeof(want));
    CHECK_EQ(got.port, port);
    /* What follows it makes no difference. */
    CHECK(n + sizeof(behind) <= sizeof(more));
    memcpy(more, text, n);
    memcpy(more + n, behind, sizeof(behind));
    CHECK_EQ(mp_http_proxy_parse(more, n + sizeof(behind), BOTH, &got, &size), MP_HTTP_DONE);
    CHECK_EQ(size, n);
    CHECK_MEM(&got.ip, &want, sizeof(want));
}

static void bad(const char *text, size_t n)
{
    size_t size;
    enum mp_http_outcome outcome = parse(text, n, BOTH, &size);
    if (outcome != MP_HTTP_BAD)
        TEST_FAIL("outcome %d: %.*s", outcome, (int)n, text);
    CHECK(got.reason);
    CHECK_EQ(size, 0);
}

static void good_line(const char *text, const char *client, unsigned port)
{
    good(text, strlen(text), client, port);
}

/* ---- version 1 ----------------------------------------------------------------------------- */

TEST(lines)
{
    good_line("PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\n", "192.0.2.1", 50000);
    good_line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255",
              65535);
    good_line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0", 0);
    good_line("PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", "2001:db8::1", 4711);
    good_line("PROXY TCP6 ::FFFF:192.0.2.1 ::1 1 2\r\n", "::ffff:192.0.2.1", 1);
    good_line("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
    good_line("PROXY UNKNOWN\r\n", "", 0);
    good_line("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
              "", 0);
    good_line("PROXY UNKNOWN whatever this is\r\n", "", 0);
}

TEST(lines_that_are_refused)
{
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy TCP4 192.0.2.1 198.51.100.7 50000 443\r\n",
        " PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY TCP 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.7 50000 443\r\n",
        "PROXY TCP4 192.0.2.1\t198.51.100.7 50000 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.7 50000 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.7 50000 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.7 50000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7.8 50000 443\r\n",
        "PROXY TCP4 192.0.2.1:80 198.51.100.7 50000 443\r\n",
        "PROXY TCP4 localhost 198.51.100.7 50000 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 50000 443\r\n",
        "PROXY TCP4 192.0.2.1 ::1 50000 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 50000 443\r\n",
        "PROXY TCP6 [2001:db8::1] ::1 50000 443\r\n",
        "PROXY TCP6 2001:db8::1%eth0 ::1 50000 443\r\n",
        "PROXY TCP6 2001:db8:::1 ::1 50000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 99999 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 100000 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 080 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +80 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 0x50 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 8_0 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\rX",
        "PROXY UNKNOWN \x01\r\n",
        "PROXY UNKNOWN \xff\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWM\r\n",
        "PROXY UNKNOW\r\n",
    };
    for (size_t i = 0; i < mp_array_size(lines); i++)
        bad(lines[i], strlen(lines[i]));
    bad("PROXY TCP4 192.0.2.1\0 198.51.100.7 50000 443\r\n", 46);
    bad("PROXY UNKNOWN \0\r\n", 17);
}

TEST(what_is_no_header_shows_with_its_first_wrong_byte)
{
    size_t size;
    CHECK_EQ(mp_http_proxy_parse("", 0, BOTH, &got, &size), MP_HTTP_MORE);
    CHECK_EQ(mp_http_proxy_parse("P", 1, BOTH, &got, &size), MP_HTTP_MORE);
    CHECK_EQ(mp_http_proxy_parse("PO", 2, BOTH, &got, &size), MP_HTTP_BAD);
    CHECK_EQ(mp_http_proxy_parse("G", 1, BOTH, &got, &size), MP_HTTP_BAD);
    CHECK_EQ(mp_http_proxy_parse("\x16", 1, BOTH, &got, &size), MP_HTTP_BAD);
    CHECK_EQ(mp_http_proxy_parse("\r\n\r\nX", 5, BOTH, &got, &size), MP_HTTP_BAD);
}

TEST(the_longest_line)
{
    char text[200];
    size_t size;
    memset(text, 'x', sizeof(text));
    memcpy(text, "PROXY UNKNOWN ", 14);
    memcpy(text + MP_HTTP_PROXY_V1_MAX - 2, "\r\n", 2);
    good(text, MP_HTTP_PROXY_V1_MAX, "", 0);
    memset(text + MP_HTTP_PROXY_V1_MAX - 2, 'x', 2);
    memcpy(text + MP_HTTP_PROXY_V1_MAX - 1, "\r\n", 2);
    CHECK_EQ(parse(text, MP_HTTP_PROXY_V1_MAX - 1, BOTH, &size), MP_HTTP_MORE);
    bad(text, MP_HTTP_PROXY_V1_MAX);
    bad(text, MP_HTTP_PROXY_V1_MAX + 1);
    memset(text + MP_HTTP_PROXY_V1_MAX - 1, 'x', 2);
    bad(text, sizeof(text));
}

TEST(versions)
{
    static const char v1[] = "PROXY UNKNOWN\r\n";
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    size_t size;
    CHECK_EQ(parse(v1, 15, MP_HTTP_PROXY_V1, &size), MP_HTTP_DONE);
    CHECK_EQ(parse(v1, 15, MP_HTTP_PROXY_V2, &size), MP_HTTP_BAD);
    CHECK_EQ(parse(v2, 16, MP_HTTP_PROXY_V2, &size), MP_HTTP_DONE);
    CHECK_EQ(parse(v2, 16, MP_HTTP_PROXY_V1, &size), MP_HTTP_BAD);
    CHECK_EQ(mp_http_proxy_parse(v1, 1, MP_HTTP_PROXY_V2, &got, &size), MP_HTTP_BAD);
    CHECK_EQ(mp_http_proxy_parse(v2, 1, MP_HTTP_PROXY_V1, &got, &size), MP_HTTP_BAD);
}

/* ---- version 2 ----------------------------------------------------------------------------- */

static char header[8192];

/* A header of n bytes, with `command`, `family` and that many bytes of content. */
static size_t make(unsigned command, unsigned family, const char *content, size_t n)
{
    memcpy(header, "\r\n\r\n\0\r\nQUIT\n", 12);
    header[12] = (char)command;
    header[13] = (char)family;
    header[14] = (char)(n >> 8);
    header[15] = (char)n;
    memcpy(header + 16, content, n);
    return 16 + n;
}

#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x07\xc3\x50\x01\xbb"
#define V6_SIDE "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6 V6_SIDE V6_SIDE "\xc3\x50\x01\xbb"

TEST(headers)
{
    char unix_names[216] = "/run/proxy.sock";
    good(header, make(0x21, 0x11, V4, 12), "192.0.2.1", 50000);
    good(header, make(0x21, 0x21, V6, 36), "2001:db8::1", 50000);
    good(header, make(0x21, 0x31, unix_names, 216), "", 0);
    good(header, make(0x21, 0x00, "", 0), "", 0);
    good(header, make(0x21, 0x00, "\xff\xff\xff", 3), "", 0);
    good(header, make(0x21, 0x11, V4 "\x04\x00\x00", 15), "192.0.2.1", 50000);
    good(header,
         make(0x21, 0x11,
              V4 "\x02\x00\x03"
                 "abc"
                 "\x05\x00\x01\x01",
              22),
         "192.0.2.1", 50000);
}

TEST(a_proxy_of_its_own)
{
    size_t size;
    size_t n = make(0x20, 0x00, "", 0);
    CHECK_EQ(parse(header, n, BOTH, &size), MP_HTTP_DONE);
    CHECK(got.local);
    CHECK_EQ(size, n);
    /* Its addresses are to be ignored, whatever they are. */
    n = make(0x20, 0x11, V4 "\xff", 13);
    CHECK_EQ(parse(header, n, BOTH, &size), MP_HTTP_DONE);
    CHECK(got.local);
    CHECK_EQ(got.ip.version, MP_IP_NONE);
    CHECK_EQ(got.port, 0);
    n = make(0x20, 0xff, "xyz", 3);
    CHECK_EQ(parse(header, n, BOTH, &size), MP_HTTP_DONE);
    CHECK_EQ(size, n);
}

TEST(headers_that_are_refused)
{
    static const uint8_t families[] = {0x01, 0x02, 0x10, 0x12, 0x13, 0x20,
                                       0x22, 0x30, 0x32, 0x41, 0xf1, 0xff};
    char content[216] = {0};
    for (unsigned command = 0; command < 256; command++) {
        if (command != 0x20 && command != 0x21)
            bad(header, make(command, 0x11, V4, 12));
    }
    for (size_t i = 0; i < mp_array_size(families); i++)
        bad(header, make(0x21, families[i], content, 216));
    bad(header, make(0x21, 0x11, V4, 11));
    bad(header, make(0x21, 0x11, "", 0));
    bad(header, make(0x21, 0x21, V6, 35));
    bad(header, make(0x21, 0x31, content, 215));
    /* Extensions that go on behind the end. */
    bad(header, make(0x21, 0x11, V4 "\x04", 13));
    bad(header, make(0x21, 0x11, V4 "\x04\x00", 14));
    bad(header, make(0x21, 0x11, V4 "\x04\x00\x01", 15));
    bad(header, make(0x21, 0x11, V4 "\x04\xff\xff\x00", 16));
    bad(header, make(0x21, 0x11, V4 "\x04\x00\x00\x00", 16));
    /* Every byte of the signature. */
    for (size_t i = 0; i < 12; i++) {
        size_t n = make(0x21, 0x11, V4, 12);
        header[i] ^= 1;
        bad(header, n);
    }
}

TEST(the_longest_header)
{
    static char content[MP_HTTP_PROXY_V2_MAX];
    size_t most = MP_HTTP_PROXY_V2_MAX - 16;
    size_t extension = most - 12 - 3;
    memcpy(content, V4, 12);
    content[12] = 4;
    content[13] = (char)(extension >> 8);
    content[14] = (char)extension;
    make(0x21, 0x11, content, most);
    size_t size;
    CHECK_EQ(mp_http_proxy_parse(header, MP_HTTP_PROXY_V2_MAX - 1, BOTH, &got, &size),
             MP_HTTP_MORE);
    CHECK_EQ(mp_http_proxy_parse(header, MP_HTTP_PROXY_V2_MAX, BOTH, &got, &size), MP_HTTP_DONE);
    CHECK_EQ(size, MP_HTTP_PROXY_V2_MAX);
    make(0x21, 0x11, content, most + 1);
    CHECK_EQ(mp_http_proxy_parse(header, 15, BOTH, &got, &size), MP_HTTP_MORE);
    CHECK_EQ(mp_http_proxy_parse(header, 16, BOTH, &got, &size), MP_HTTP_BAD);
    header[14] = header[15] = (char)0xff;
    CHECK_EQ(mp_http_proxy_parse(header, 16, BOTH, &got, &size), MP_HTTP_BAD);
}

/* The slow and obvious way. */
static uint32_t crc32c(const char *p, size_t n)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t)p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

TEST(checksums)
{
    CHECK_EQ(crc32c("123456789", 9), 0xe3069283); /* the check value of CRC-32C */
    size_t n = make(0x21, 0x11, V4 "\x04\x00\x01z\x03\x00\x04\0\0\0\0\x02\x00\x01h", 27);
    uint32_t sum = crc32c(header, n);
    size_t at = 16 + 12 + 4 + 3;
    for (int i = 0; i < 4; i++)
        header[at + (size_t)i] = (char)(sum >> (24 - 8 * i));
    good(header, n, "192.0.2.1", 50000);
    for (size_t i = 13; i < n; i++) {
        /* The length's high byte: more would be awaited. The extension's type: no checksum then. */
        if (i == 14 || i == at - 3)
            continue;
        char before = header[i];
        size_t size;
        header[i] ^= 4;
        if (parse(header, n, BOTH, &size) == MP_HTTP_DONE)
            TEST_FAIL("byte %zu may change", i);
        header[i] = before;
    }
    /* Twice, and of another length. */
    bad(header, make(0x21, 0x11, V4 "\x03\x00\x03\0\0\0", 18));
    bad(header, make(0x21, 0x11, V4 "\x03\x00\x05\0\0\0\0\0", 20));
    bad(header, make(0x21, 0x11, V4 "\x03\x00\x00", 15));
    bad(header, make(0x21, 0x11, V4 "\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0", 26));
}
