/* SPDX-License-Identifier: MIT */
#include "base/ip.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "support/runner.h"

static struct mp_ip ip(const char *text)
{
    struct mp_ip found = {0};
    if (mp_ip_parse(text, strlen(text), &found) < 0)
        TEST_FAIL("refused: %s", text);
    return found;
}

TEST(addresses)
{
    static const uint8_t v4[4] = {192, 0, 2, 255};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x1f};
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
    struct mp_ip found = ip("192.0.2.255");
    CHECK_EQ(found.version, MP_IP_V4);
    CHECK_MEM(found.bytes, v4, 4);
    found = ip("2001:DB8::1f");
    CHECK_EQ(found.version, MP_IP_V6);
    CHECK_MEM(found.bytes, v6, 16);
    found = ip("::ffff:10.0.0.1");
    CHECK_EQ(found.version, MP_IP_V6);
    CHECK_MEM(found.bytes, mapped, 16);
    ip("0.0.0.0");
    ip("::");
    ip("1:2:3:4:5:6:7:8");
    ip("1111:2222:3333:4444:5555:6666:255.255.255.255");
}

TEST(what_is_no_address)
{
    static const char *const bad[] = {
        "",
        " ",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.04",
        "256.1.1.1",
        "1.2.3.-4",
        "+1.2.3.4",
        "0x1.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4:80",
        "[::1]",
        "::1%lo",
        "::1::",
        ":::",
        "1:2:3:4",
        "12345::",
        "g::",
        "::1/128",
        "1:2:3:4:5:6:7:8:9",
        "localhost",
        "1..2.3",
        "1.2.3.",
        ".1.2.3.4",
        "::ffff:1.2.3",
        "::1.2.3.4:5",
        "1.2.3.4/8",
        "unknown",
        "_hidden",
        "\xd9\xa1.2.3.4",
        "1111:2222:3333:4444:5555:6666:255.255.255.2555",
    };
    struct mp_ip found;
    for (size_t i = 0; i < mp_array_size(bad); i++) {
        if (mp_ip_parse(bad[i], strlen(bad[i]), &found) != -EINVAL)
            TEST_FAIL("accepted: %s", bad[i]);
    }
    CHECK_EQ(mp_ip_parse("1.2.3.4\0", 8, &found), -EINVAL);
    CHECK_EQ(mp_ip_parse("\0", 1, &found), -EINVAL);
    CHECK_OK(mp_ip_parse("1.2.3.45", 7, &found));
    CHECK_EQ(found.bytes[3], 4);
}

static bool in(const char *list, const char *text)
{
    struct mp_ip_set set;
    const char *bad = NULL;
    size_t size = 0;
    struct mp_ip one = ip(text);
    if (mp_ip_set_init(&set, list, &bad, &size) < 0)
        TEST_FAIL("refused: %s in %s", bad, list);
    bool found = mp_ip_set_has(&set, &one);
    mp_ip_set_done(&set);
    return found;
}

TEST(sets)
{
    CHECK(in("127.0.0.1,::1", "127.0.0.1"));
    CHECK(in("127.0.0.1,::1", "::1"));
    CHECK(!in("127.0.0.1,::1", "127.0.0.2"));
    CHECK(!in("127.0.0.1,::1", "::2"));
    CHECK(in(" 10.0.0.0/8 , 192.168.0.0/16", "10.255.1.2"));
    CHECK(in(" 10.0.0.0/8 , 192.168.0.0/16", "192.168.255.1"));
    CHECK(!in(" 10.0.0.0/8 , 192.168.0.0/16", "11.0.0.0"));
    CHECK(!in(" 10.0.0.0/8 , 192.168.0.0/16", "192.169.0.0"));
    CHECK(in("*", "203.0.113.9"));
    CHECK(in("10.0.0.1,*", "2001:db8::1"));
    CHECK(!in("", "127.0.0.1"));
    CHECK(!in("  ", "0.0.0.0"));
    CHECK(!in("0.0.0.0/0", "::1"));
    CHECK(in("0.0.0.0/0", "255.255.255.255"));
    CHECK(in("::/0", "2001:db8::1"));
    CHECK(!in("::/0", "10.0.0.1"));
}

TEST(every_width)
{
    char list[32];
    for (unsigned bits = 1; bits <= 32; bits++) {
        uint32_t base = bits == 32 ? 0xffffffff : ~(0xffffffffU >> bits);
        snprintf(list, sizeof(list), "%u.%u.%u.%u/%u", base >> 24, base >> 16 & 255,
                 base >> 8 & 255, base & 255, bits);
        CHECK(in(list, "255.255.255.255"));
        struct mp_ip_set set;
        const char *bad;
        size_t size;
        CHECK_OK(mp_ip_set_init(&set, list, &bad, &size));
        struct mp_ip other = ip("255.255.255.255");
        other.bytes[(bits - 1) / 8] ^= (uint8_t)(0x80 >> (bits - 1) % 8);
        CHECK(!mp_ip_set_has(&set, &other));
        mp_ip_set_done(&set);
    }
}

TEST(mapped_addresses_are_those_of_ipv4)
{
    CHECK(in("127.0.0.1", "::ffff:127.0.0.1"));
    CHECK(in("10.0.0.0/8", "::ffff:10.1.2.3"));
    CHECK(!in("10.0.0.0/8", "::ffff:11.1.2.3"));
    CHECK(in("::ffff:10.0.0.0/104", "10.1.2.3"));
    CHECK(in("::ffff:10.0.0.1", "10.0.0.1"));
    CHECK(!in("::/0", "::ffff:10.0.0.1"));
    CHECK(!in("10.0.0.1", "::10.0.0.1"));
}

TEST(no_address_is_in_no_set)
{
    struct mp_ip none = {0};
    struct mp_ip_set set = {.all = true};
    CHECK(!mp_ip_set_has(&set, &none));
    set.all = false;
    CHECK(!mp_ip_set_has(&set, &none));
}

TEST(what_is_no_set)
{
    static const char *const bad[][2] = {
        {"10.0.0.1/8", "10.0.0.1/8"},
        {"10.0.0.0/33", "10.0.0.0/33"},
        {"10.0.0.0/", "10.0.0.0/"},
        {"10.0.0.0/+8", "10.0.0.0/+8"},
        {"10.0.0.0/08", "10.0.0.0/08"},
        {"10.0.0.0/8/8", "10.0.0.0/8/8"},
        {"::1/129", "::1/129"},
        {"2001:db8::1/32", "2001:db8::1/32"},
        {"1.2.3.4,,::1", ""},
        {"1.2.3.4,", ""},
        {",", ""},
        {"1.2.3.4, nginx ,::1", "nginx"},
        {"1.2.3.4 ::1", "1.2.3.4 ::1"},
        {"**", "**"},
        {"*/8", "*/8"},
        {"/8", "/8"},
        {"::ffff:0:0/95", "::ffff:0:0/95"},
        {"unix", "unix"},
        {"1.2.3.4/0000000000000000000000000000008", "1.2.3.4/0000000000000000000000000000008"},
    };
    for (size_t i = 0; i < mp_array_size(bad); i++) {
        struct mp_ip_set set;
        const char *text = NULL;
        size_t size = 0;
        if (mp_ip_set_init(&set, bad[i][0], &text, &size) != -EINVAL)
            TEST_FAIL("accepted: %s", bad[i][0]);
        CHECK(!set.nets && !set.all);
        CHECK_EQ(size, strlen(bad[i][1]));
        CHECK_MEM(text, bad[i][1], size);
    }
}
