/* SPDX-License-Identifier: MIT */
#include "http/uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "heads.h"
#include "support/runner.h"

static void decodes(const char *in, const char *want)
{
    char out[200];
    size_t n = strlen(in);
    int size = mp_http_path_decode(test_guarded(in, n), n, out);

    CHECK_EQ(size, strlen(want));
    CHECK_MEM(out, want, strlen(want));
    /* In place. */
    strcpy(out, in);
    CHECK_EQ(mp_http_path_decode(out, n, out), strlen(want));
    CHECK_MEM(out, want, strlen(want));
}

TEST(paths_are_decoded_once)
{
    decodes("", "");
    decodes("/", "/");
    decodes("/plain/path", "/plain/path");
    decodes("/%41%62", "/Ab");
    decodes("/%2f%2F", "///");
    decodes("/%25", "/%");
    decodes("/%2541", "/%41");
    decodes("/a+b%20c", "/a+b c");
    decodes("/%C3%a9\xc3\xa9", "/\xc3\xa9\xc3\xa9");
    decodes("/%ff%80", "/\xff\x80");
    decodes("/../%2e%2e/", "/../../");
    decodes("/%0d%0a", "/\r\n");
    decodes("%41", "A");
    decodes("/%7f%01", "/\x7f\x01");
}

TEST(every_escape)
{
    char in[4], out[4];

    for (int byte = 1; byte < 256; byte++) {
        snprintf(in, sizeof(in), byte % 2 ? "%%%02x" : "%%%02X", byte);
        CHECK_EQ(mp_http_path_decode(in, 3, out), 1);
        CHECK_EQ((unsigned char)out[0], byte);
    }
}

TEST(malformed_escapes)
{
    static const char *const bad[] = {
        "%",      "%4",   "/%",  "/%4", "%%",  "%%41", "%4%41", "%zz",    "%4z",       "%z4",
        "%u0041", "% 41", "%+4", "%-1", "%0x", "/a%",  "%00",   "/a%00b", "/x/%4\xb1",
    };
    char out[64];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t n = strlen(bad[i]);
        CHECK_EQ(mp_http_path_decode(test_guarded(bad[i], n), n, out), -EINVAL);
    }
}

static bool valid(const char *text)
{
    size_t n = strlen(text);
    return mp_http_authority_valid(test_guarded(text, n), n);
}

TEST(authorities)
{
    static const char *const good[] = {
        "a",
        "a.b",
        "a.b.",
        "localhost",
        "localhost:8000",
        "a:",
        "a:0",
        "a:65535",
        "a:00080",
        "127.0.0.1",
        "127.0.0.1:80",
        "999.999.999.999",
        "a_b",
        "a-b~c",
        "a%20b",
        "a%20",
        "%41",
        "%07",
        "%41:80",
        "!$&'()*+,;=",
        "[::]",
        "[::1]",
        "[::1]:",
        "[::1]:8000",
        "[1:2:3:4:5:6:7:8]",
        "[1::8]",
        "[1:2:3:4:5:6:7::]",
        "[::2:3:4:5:6:7:8]",
        "[fe80::0123:4567:89ab:cdef]",
        "[::ffff:1.2.3.4]",
        "[1:2:3:4:5:6:1.2.3.4]",
        "[::1.2.3.4]",
        "[ABCD::]",
        "[::255.255.255.0]",
        "[1::3:4:5:6:7:8]",
    };
    static const char *const bad[] = {
        "",
        ":",
        ":80",
        "a:b",
        "a:80x",
        "a:65536",
        "a:655350",
        "a:4294967376",
        "a:18446744073709551696",
        "a:80:80",
        "a b",
        "a/",
        "/a",
        "a@b",
        "a?",
        "a#",
        "[",
        "]",
        "[]",
        "[:]",
        "[::",
        "::1]",
        "[::1]a",
        "[::1]80",
        "[::1]]",
        "[[::1]]",
        "[:::]",
        "[1]",
        "[1:2]",
        "[1:2:3:4:5:6:7]",
        "[1:2:3:4:5:6:7:8:9]",
        "[1::2::3]",
        "[12345::]",
        "[::12345]",
        "[g::]",
        "[1:2:3:4:5:6:7:8::]",
        "[::1:2:3:4:5:6:7:8]",
        "[:1::2]",
        "[1::2:]",
        "[1:]",
        "[:1]",
        "[::1%eth0]",
        "[v1.a]",
        "[::1.2.3]",
        "[::1.2.3.4.5]",
        "[::256.1.1.1]",
        "[::01.1.1.1]",
        "[1.2.3.4::]",
        "[1.2.3.4]",
        "[1:2:3:4:5:6:7:1.2.3.4]",
        "[::1.2.3.4:5]",
        "[::1.2.3.]",
        "[::.1.2.3]",
        "[::1.2.3.4 ]",
        "a%",
        "a%2",
        "a%2g",
        "%",
        "a\x80",
        "a\x7f",
        "a\"b",
        "a\\b",
        "a^b",
        "a`b",
        "a{b}",
        "a|b",
        "<",
        ">",
        "[::1000.1.1.1]",
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!valid(good[i]))
            TEST_FAIL("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (valid(bad[i]))
            TEST_FAIL("accepted: %s", bad[i]);
    CHECK(!mp_http_authority_valid("a\0b", 3));
}

static void splits(const char *text, const char *host, const char *port)
{
    struct mp_http_span h, p;
    size_t n = strlen(text);
    const char *in = test_guarded(text, n);

    mp_http_authority_split(in, n, &h, &p);
    CHECK_EQ(h.len, strlen(host));
    CHECK_MEM(in + h.at, host, h.len);
    CHECK_EQ(p.len, strlen(port));
    CHECK_MEM(in + p.at, port, p.len);
    CHECK(h.at + h.len <= n && p.at + p.len <= n);
}

TEST(host_and_port_are_split)
{
    splits("a", "a", "");
    splits("a:80", "a", "80");
    splits("a:", "a", "");
    splits("123", "123", "");
    splits("127.0.0.1", "127.0.0.1", "");
    splits("127.0.0.1:8000", "127.0.0.1", "8000");
    splits("[::1]", "[::1]", "");
    splits("[::1]:80", "[::1]", "80");
    splits("[::1]:", "[::1]", "");
    splits("", "", "");
}
