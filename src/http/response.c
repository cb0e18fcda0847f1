/* SPDX-License-Identifier: MIT */
/*
 * The writer of response heads. Room is asked for before a line is begun, so that there is never
 * half a line; what is not constant is checked before it is copied, so that there is never another.
 */
#include "http/response.h"

#include <errno.h>

#include "http/chars.h"
#include "http/names.h"

enum { NUMBER_DIGITS_MAX = 20 };

bool mp_http_name_valid(const char *name, size_t len)
{
    size_t i = 0;

    while (i < len && mp_http_char_is(name[i], MP_HTTP_CHAR_TOKEN))
        i++;
    return i == len && len > 0;
}

bool mp_http_value_valid(const char *value, size_t len)
{
    return mp_http_text_end(value, value + len) == value + len;
}

bool mp_http_reason_valid(const char *reason, size_t len)
{
    return mp_http_value_valid(reason, len);
}

/* The lengths of the names below: most names of a response have none of them. */
#define HOP_BY_HOP_LENGTHS (1u << 2 | 1u << 7 | 1u << 8 | 1u << 10 | 0xfu << 16)

bool mp_http_is_hop_by_hop(const char *name, size_t len)
{
    if (len >= 32 || !(HOP_BY_HOP_LENGTHS >> len & 1) || !mp_http_name_valid(name, len))
        return false;
    switch (mp_http_known_find(name, len)) {
    case MP_HTTP_NAME_CONNECTION:
    case MP_HTTP_NAME_KEEP_ALIVE:
    case MP_HTTP_NAME_PROXY_AUTHORIZATION:
    case MP_HTTP_NAME_PROXY_CONNECTION:
    case MP_HTTP_NAME_TE:
    case MP_HTTP_NAME_TRAILER:
    case MP_HTTP_NAME_TRANSFER_ENCODING:
    case MP_HTTP_NAME_UPGRADE:
        return true;
    default:
        return MP_HTTP_IS_TOKEN(name, len, "Proxy-Authenticate") ||
               MP_HTTP_IS_TOKEN(name, len, "Trailers");
    }
}

static bool has_room(const struct mp_http_out *out, size_t len)
{
    return len <= out->cap - out->len;
}

static void append(struct mp_http_out *out, const char *text, size_t len)
{
    memcpy(out->buf + out->len, text, len);
    out->len += len;
}

#define APPEND_LITERAL(out, literal) append((out), literal, sizeof(literal) - 1)

int mp_http_out_lines(struct mp_http_out *out, const char *lines, size_t len)
{
    if (!has_room(out, len))
        return -ENOSPC;
    append(out, lines, len);
    return 0;
}

int mp_http_out_status(struct mp_http_out *out, int status, const char *reason, size_t reason_len)
{
    if (reason == NULL) {
        reason = mp_http_reason(status);
        reason_len = strlen(reason);
    }
    if (status == 200 && reason_len == 2 && memcmp(reason, "OK", 2) == 0)
        return MP_HTTP_OUT_LINES(out, "HTTP/1.1 200 OK\r\n");
    if (status < 100 || status > 999 || !mp_http_reason_valid(reason, reason_len))
        return -EINVAL;
    if (reason_len > out->cap || !has_room(out, sizeof("HTTP/1.1 200 \r\n") - 1 + reason_len))
        return -ENOSPC;
    char code[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                    (char)('0' + status % 10), ' '};
    APPEND_LITERAL(out, "HTTP/1.1 ");
    append(out, code, sizeof(code));
    append(out, reason, reason_len);
    APPEND_LITERAL(out, "\r\n");
    return 0;
}

/* The line, once name and value are known to be good. */
static int field(struct mp_http_out *out, const char *name, size_t name_len, const char *value,
                 size_t value_len)
{
    if (name_len > out->cap || value_len > out->cap || !has_room(out, name_len + value_len + 4))
        return -ENOSPC;
    append(out, name, name_len);
    APPEND_LITERAL(out, ": ");
    append(out, value, value_len);
    APPEND_LITERAL(out, "\r\n");
    return 0;
}

int mp_http_out_field(struct mp_http_out *out, const char *name, size_t name_len, const char *value,
                      size_t value_len)
{
    if (!mp_http_name_valid(name, name_len) || !mp_http_value_valid(value, value_len))
        return -EINVAL;
    return field(out, name, name_len, value, value_len);
}

int mp_http_out_number(struct mp_http_out *out, const char *name, size_t name_len, uint64_t value)
{
    char digits[NUMBER_DIGITS_MAX];
    char *p = digits + sizeof(digits);

    if (!mp_http_name_valid(name, name_len))
        return -EINVAL;
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return field(out, name, name_len, p, (size_t)(digits + sizeof(digits) - p));
}

int mp_http_out_date(struct mp_http_out *out, const char date[MP_HTTP_DATE_SIZE])
{
    return field(out, "Date", 4, date, MP_HTTP_DATE_SIZE);
}

int mp_http_out_end(struct mp_http_out *out)
{
    return MP_HTTP_OUT_LINES(out, "\r\n");
}

size_t mp_http_chunk_head(char out[MP_HTTP_CHUNK_HEAD_MAX], uint64_t size)
{
    int digits = size == 0 ? 1 : (67 - __builtin_clzll(size)) / 4;

    for (int i = digits - 1; i >= 0; i--) {
        out[i] = "0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return (size_t)digits + 2;
}
