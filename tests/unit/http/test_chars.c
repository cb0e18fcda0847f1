/* SPDX-License-Identifier: MIT */
/* The table of byte classes against the words of the RFCs, and the searches against simple loops.
 */
#include "http/chars.h"

#include <ctype.h>

#include "heads.h"
#include "support/runner.h"

static bool in(const char *set, int c)
{
    return c != 0 && strchr(set, c) != NULL;
}

static bool alnum(int c)
{
    return c < 128 && isalnum(c);
}

TEST(classes)
{
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool token = alnum(c) || in("!#$%&'*+-.^_`|~", c);
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_TOKEN), token);
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_METHOD), token && !(c < 128 && islower(c)));
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_TARGET), c > 32 && c != 127 && c != '#');
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_PATH), c > 32 && c != 127 && !in("#?", c));
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_REGNAME), alnum(c) || in("-._~!$&'()*+,;=", c));
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_HEX), c < 128 && isxdigit(c));
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_CONTROL), (c < 32 && c != 9) || c == 127);
        CHECK_EQ(mp_http_char_is(byte, MP_HTTP_CHAR_UNDERSCORE), c == '_');
        CHECK_EQ(mp_http_is_digit(byte), c >= '0' && c <= '9');
        CHECK_EQ(mp_http_hex_value(byte) >= 0, c < 128 && isxdigit(c));
    }
    CHECK_EQ(mp_http_hex_value('0'), 0);
    CHECK_EQ(mp_http_hex_value('9'), 9);
    CHECK_EQ(mp_http_hex_value('a'), 10);
    CHECK_EQ(mp_http_hex_value('F'), 15);
}

static void check_text_end(const char *text, size_t n)
{
    const char *p = test_guarded(text, n);
    size_t want = 0;

    while (want < n && !mp_http_char_is(p[want], MP_HTTP_CHAR_CONTROL))
        want++;
    CHECK_EQ(mp_http_text_end(p, p + n) - p, want);
}

TEST(text_end_finds_what_a_loop_finds)
{
    static const unsigned char fills[] = {' ', 'x', 0x7e, 0x80, 0x9f, 0xa0, 0xff, '\t'};
    char text[40];

    for (size_t f = 0; f < sizeof(fills); f++) {
        for (size_t n = 0; n <= 24; n++) {
            for (size_t at = 0; at <= n; at++) {
                for (int c = 0; c < 256; c++) {
                    memset(text, fills[f], sizeof(text));
                    text[at] = (char)c;
                    check_text_end(text, n);
                }
            }
        }
    }
}

/* A borrow from one hit must not hide or forge another: pairs of neighbours. */
TEST(text_end_with_two_special_bytes)
{
    static const unsigned char bytes[] = {0,  1,    9,    10,   13,   31,  32,
                                          33, 0x7e, 0x7f, 0x80, 0x81, 0xff};
    char text[16];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        for (size_t j = 0; j < sizeof(bytes); j++) {
            for (size_t at = 0; at < 15; at++) {
                memset(text, 'x', sizeof(text));
                text[at] = (char)bytes[i];
                text[at + 1] = (char)bytes[j];
                check_text_end(text, sizeof(text));
            }
        }
    }
}

TEST(same_token_folds_letters_only)
{
    const char *name = "abcdefgh-0123456789xyz";

    for (size_t n = 0; n <= strlen(name); n++) {
        for (size_t at = 0; at < n; at++) {
            for (int c = ' '; c < 256; c++) {
                char text[40];
                strcpy(text, name);
                text[at] = (char)c;
                bool same = c < 128 && tolower(c) == name[at];
                if (c != 127)
                    CHECK_EQ(mp_http_same_token(text, name, n), same);
            }
        }
    }
}
