/* SPDX-License-Identifier: MIT */
#include "base/escape.h"

#include <stdbool.h>
#include <string.h>

static const char hex[] = "0123456789abcdef";

/* Bytes of the UTF-8 character at text (RFC 3629: shortest form, no surrogates), or 0. */
static size_t character_length(const unsigned char *text, size_t n)
{
    size_t len = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

    if (len == 1)
        return 1;
    if (text[0] < 0xc2 || text[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

/* Of ASCII, and of U+0080..U+009F. */
static bool is_control(const unsigned char *text, size_t len)
{
    return len == 1 ? text[0] < 0x20 || text[0] == 0x7f
                    : len == 2 && text[0] == 0xc2 && text[1] < 0xa0;
}

static size_t put_hex(char *out, const char *prefix, unsigned char byte)
{
    size_t n = strlen(prefix);

    memcpy(out, prefix, n);
    out[n] = hex[byte >> 4];
    out[n + 1] = hex[byte & 15];
    return n + 2;
}

/* The letter of \t, \n and \r, or 0. */
static char letter_of(unsigned char byte)
{
    return byte == '\t' ? 't' : byte == '\n' ? 'n' : byte == '\r' ? 'r' : '\0';
}

static size_t put_pair(char *out, char letter)
{
    out[0] = '\\';
    out[1] = letter;
    return 2;
}

/* len: of the UTF-8 character there, or 0. */
static size_t put_json(const unsigned char *text, size_t len, char *out, size_t *ret_used)
{
    if (len == 0)
        return put_hex(out, "\\\\x", text[0]);
    *ret_used = len;
    if (text[0] == '"' || text[0] == '\\')
        return put_pair(out, (char)text[0]);
    if (letter_of(text[0]))
        return put_pair(out, letter_of(text[0]));
    if (is_control(text, len))
        return put_hex(out, "\\u00", text[len - 1]);
    memcpy(out, text, len);
    return len;
}

static size_t put_quoted(const unsigned char *text, char *out)
{
    if (text[0] == '"' || text[0] == '\\')
        return put_pair(out, (char)text[0]);
    if (text[0] < 0x20 || text[0] >= 0x7f)
        return put_hex(out, "\\x", text[0]);
    out[0] = (char)text[0];
    return 1;
}

static size_t put_text(const unsigned char *text, size_t len, char *out, size_t *ret_used)
{
    if (letter_of(text[0]))
        return put_pair(out, letter_of(text[0]));
    if (len == 0 || is_control(text, len))
        return put_hex(out, "\\x", text[0]);
    *ret_used = len;
    memcpy(out, text, len);
    return len;
}

size_t mp_escape_unit(enum mp_escape how, const char *text, size_t n, char out[MP_ESCAPE_UNIT],
                      size_t *ret_used)
{
    const unsigned char *bytes = (const unsigned char *)text;

    *ret_used = 1;
    if (how == MP_ESCAPE_QUOTED)
        return put_quoted(bytes, out);
    if (how == MP_ESCAPE_JSON)
        return put_json(bytes, character_length(bytes, n), out, ret_used);
    return put_text(bytes, character_length(bytes, n), out, ret_used);
}
