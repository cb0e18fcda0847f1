/* SPDX-License-Identifier: MIT */
/*
 * Classes of bytes, and a few searches that look at eight bytes at a time.
 *
 * Private to this folder. Nothing here reads at or behind `end`.
 */
#ifndef MP_HTTP_CHARS_H
#define MP_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the word-wise searches number bytes from the low end"
#endif

enum {
    MP_HTTP_CHAR_TOKEN = 1,       /* tchar of RFC 9110 section 5.6.2 */
    MP_HTTP_CHAR_METHOD = 2,      /* tchar without lower-case letters */
    MP_HTTP_CHAR_TARGET = 4,      /* anything but control bytes, space and '#' */
    MP_HTTP_CHAR_PATH = 8,        /* the same without '?' */
    MP_HTTP_CHAR_REGNAME = 16,    /* unreserved and sub-delims of RFC 3986: a name of a host */
    MP_HTTP_CHAR_HEX = 32,        /* hexadecimal digit */
    MP_HTTP_CHAR_CONTROL = 64,    /* a control byte but HTAB: never part of a line */
    MP_HTTP_CHAR_UNDERSCORE = 128 /* '_' */
};

extern const uint8_t mp_http_chars[256];

static inline bool mp_http_char_is(char c, unsigned class)
{
    return (mp_http_chars[(unsigned char)c] & class) != 0;
}

static inline bool mp_http_is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline bool mp_http_is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Value of a hexadecimal digit, or -1. */
static inline int mp_http_hex_value(char c)
{
    if (mp_http_is_digit(c))
        return c - '0';
    return mp_http_char_is(c, MP_HTTP_CHAR_HEX) ? (c | 0x20) - 'a' + 10 : -1;
}

static inline uint64_t mp_http_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

#define MP_HTTP_BYTES(b) (UINT64_C(0x0101010101010101) * (b))

/* Where the first control byte other than HTAB is: the CR of a line, or a fault; or `end`. */
static inline const char *mp_http_text_end(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t word = mp_http_word(p);
        uint64_t del = word ^ MP_HTTP_BYTES(0x7f);
        /* The top bit of each byte below 0x20, and of each 0x7f. A borrow can set it wrongly, but
         * only above a byte where it is set rightly, so the lowest one is exact. */
        uint64_t hit = ((word - MP_HTTP_BYTES(0x20)) & ~word) | ((del - MP_HTTP_BYTES(1)) & ~del);
        hit &= MP_HTTP_BYTES(0x80);
        if (hit == 0) {
            p += 8;
            continue;
        }
        p += __builtin_ctzll(hit) / 8;
        if (*p != '\t')
            return p;
        p++;
    }
    while (p < end && !mp_http_char_is(*p, MP_HTTP_CHAR_CONTROL))
        p++;
    return p;
}

/*
 * Compares without regard to case. `b` is made of letters, digits and '-', and `a` has no control
 * bytes: setting 0x20 in both then folds the two cases of a letter and nothing else.
 */
static inline bool mp_http_same_token(const char *a, const char *b, size_t n)
{
    const uint64_t fold = MP_HTTP_BYTES(0x20);

    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if ((mp_http_word(a + i) | fold) != (mp_http_word(b + i) | fold))
                return false;
        return (mp_http_word(a + n - 8) | fold) == (mp_http_word(b + n - 8) | fold);
    }
    for (size_t i = 0; i < n; i++)
        if ((a[i] | 0x20) != (b[i] | 0x20))
            return false;
    return true;
}

/* The same with a literal on the right. */
#define MP_HTTP_IS_TOKEN(p, n, literal)                                                            \
    ((n) == sizeof(literal) - 1 && mp_http_same_token((p), (literal), sizeof(literal) - 1))

#endif
