/* SPDX-License-Identifier: MIT */
#include "base/escape.h"

#include <stdbool.h>
#include <string.h>

#include "support/runner.h"

/* The whole text, escaped. */
static const char *escaped(enum mp_escape how, const char *text, size_t n)
{
    static char out[4096];
    size_t len = 0;
    size_t used;
    for (size_t i = 0; i < n; i += used) {
        char unit[MP_ESCAPE_UNIT];
        size_t size = mp_escape_unit(how, text + i, n - i, unit, &used);
        CHECK(size >= 1 && size <= MP_ESCAPE_UNIT && used >= 1 && used <= n - i);
        memcpy(out + len, unit, size);
        len += size;
    }
    out[len] = '\0';
    return out;
}

#define CHECK_ESCAPED(how, text, expected) CHECK_STR(escaped(how, text, sizeof(text) - 1), expected)

TEST(text)
{
    CHECK_ESCAPED(MP_ESCAPE_TEXT, "plain \"text\" \\", "plain \"text\" \\");
    CHECK_ESCAPED(MP_ESCAPE_TEXT, "a\tb\nc\rd\x1b[31m\x7f", "a\\tb\\nc\\rd\\x1b[31m\\x7f");
    CHECK_ESCAPED(MP_ESCAPE_TEXT, "\xc3\xa9 \xf0\x9f\x98\x80", "\xc3\xa9 \xf0\x9f\x98\x80");
    CHECK_ESCAPED(MP_ESCAPE_TEXT, "\xff\xc3", "\\xff\\xc3");
    CHECK_ESCAPED(MP_ESCAPE_TEXT, "\xc2\x9b", "\\xc2\\x9b");
}

TEST(quoted)
{
    CHECK_ESCAPED(MP_ESCAPE_QUOTED, "a\"b\\c\td\xc3\xa9\x7f", "a\\\"b\\\\c\\x09d\\xc3\\xa9\\x7f");
}

TEST(json)
{
    CHECK_ESCAPED(MP_ESCAPE_JSON, "a\"b\\c", "a\\\"b\\\\c");
    CHECK_ESCAPED(MP_ESCAPE_JSON, "\t\n\r\b\x01\x7f", "\\t\\n\\r\\u0008\\u0001\\u007f");
    CHECK_ESCAPED(MP_ESCAPE_JSON, "\xc3\xa9\xc2\x9b", "\xc3\xa9\\u009b");
    CHECK_ESCAPED(MP_ESCAPE_JSON, "\xff", "\\\\xff");
}

/* RFC 3629: shortest form, no surrogates, nothing above U+10FFFF, nothing cut off. */
TEST(what_is_no_utf8)
{
    static const char *const bad[] = {"\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",     "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80", "\xe2\x82",         "\x80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t n = strlen(bad[i]);
        CHECK_EQ(strlen(escaped(MP_ESCAPE_TEXT, bad[i], n)), 4 * n);
        CHECK_EQ(strlen(escaped(MP_ESCAPE_JSON, bad[i], n)), 5 * n);
    }
}

/* Whatever comes: JSON strings have no quote, no control and no byte that is no UTF-8. */
TEST(every_pair_of_bytes)
{
    for (unsigned pair = 0; pair < 65536; pair++) {
        char text[2] = {(char)(pair >> 8), (char)(pair & 0xff)};
        const char *out = escaped(MP_ESCAPE_JSON, text, 2);
        for (size_t i = 0; out[i]; i++) {
            unsigned char byte = (unsigned char)out[i];
            CHECK(byte >= 0x20 && byte != 0x7f);
            if (byte == '\\')
                i++;
            else
                CHECK(byte != '"');
        }
    }
}
