/* SPDX-License-Identifier: MIT */
/* Percent-decoding and authorities (RFC 3986 sections 2.1 and 3.2). */
#include "http/uri.h"

#include <errno.h>

#include "http/chars.h"

int mp_http_path_decode(const char *in, size_t n, char *out)
{
    const char *end = in + n;
    char *to = out;

    while (in < end) {
        const char *escape = memchr(in, '%', (size_t)(end - in));
        size_t plain = (size_t)((escape != NULL ? escape : end) - in);
        memmove(to, in, plain);
        to += plain;
        if (escape == NULL)
            break;
        if (end - escape < 3)
            return -EINVAL;
        int high = mp_http_hex_value(escape[1]);
        int low = mp_http_hex_value(escape[2]);
        if (high < 0 || low < 0 || (high | low) == 0)
            return -EINVAL;
        *to++ = (char)(high << 4 | low);
        in = escape + 3;
    }
    return (int)(to - out);
}

/* An IPv4 address in its usual form, which ends the text: four numbers without leading zeros. */
static bool ipv4_valid(const char *p, const char *end)
{
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (p == end || *p++ != '.'))
            return false;
        const char *start = p;
        unsigned number = 0;
        while (p < end && p - start < 3 && mp_http_is_digit(*p))
            number = number * 10 + (unsigned)(*p++ - '0');
        if (p == start || number > 255 || (*start == '0' && p - start > 1))
            return false;
    }
    return p == end;
}

/* An IPv6 address, without brackets and without a zone (RFC 3986 section 3.2.2). */
static bool ipv6_valid(const char *p, const char *end)
{
    int groups = 0;
    bool gap = false;

    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = true;
        p += 2;
    }
    while (p < end) {
        const char *start = p;
        while (p < end && p - start < 4 && mp_http_char_is(*p, MP_HTTP_CHAR_HEX))
            p++;
        if (p < end && *p == '.') {
            if (!ipv4_valid(start, end))
                return false;
            groups += 2;
            break;
        }
        if (p == start || ++groups > 8)
            return false;
        if (p == end)
            break;
        if (*p++ != ':' || p == end)
            return false;
        if (*p == ':') {
            if (gap)
                return false;
            gap = true;
            p++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

/* The end of a registered name or IPv4 address, or NULL when an escape in it is not one. */
static const char *name_end(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (mp_http_char_is(*p, MP_HTTP_CHAR_REGNAME))
            continue;
        if (*p != '%')
            break;
        if (end - p < 3 || mp_http_hex_value(p[1]) < 0 || mp_http_hex_value(p[2]) < 0)
            return NULL;
        p += 2;
    }
    return p;
}

/* ":" and a number, or nothing. */
static bool port_valid(const char *p, const char *end)
{
    unsigned number = 0;

    if (p == end)
        return true;
    if (*p++ != ':')
        return false;
    for (; p < end; p++) {
        if (!mp_http_is_digit(*p))
            return false;
        number = number * 10 + (unsigned)(*p - '0');
        if (number > 65535)
            return false;
    }
    return true;
}

bool mp_http_authority_valid(const char *in, size_t n)
{
    const char *end = in + n;
    const char *p;

    if (n == 0)
        return false;
    if (*in == '[') {
        p = memchr(in, ']', n);
        return p != NULL && ipv6_valid(in + 1, p) && port_valid(p + 1, end);
    }
    p = name_end(in, end);
    return p != NULL && p > in && port_valid(p, end);
}

void mp_http_authority_split(const char *in, size_t n, struct mp_http_span *ret_host,
                             struct mp_http_span *ret_port)
{
    /* The digits of a port, if there is one, are all that can be behind the last colon. */
    size_t host = n;

    while (host > 0 && mp_http_is_digit(in[host - 1]))
        host--;
    if (host == 0 || in[host - 1] != ':') {
        *ret_host = (struct mp_http_span){0, (uint32_t)n};
        *ret_port = (struct mp_http_span){(uint32_t)n, 0};
        return;
    }
    *ret_host = (struct mp_http_span){0, (uint32_t)(host - 1)};
    *ret_port = (struct mp_http_span){(uint32_t)host, (uint32_t)(n - host)};
}
