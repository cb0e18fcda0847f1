/* SPDX-License-Identifier: MIT */
#include "http/request_start.h"

#include <stdbool.h>

#define SECOND                                                                                     \
    INT64_C(1000000000) /* ns; and the seconds of 2001, from which on times are taken              \
                         */
#define SECONDS_END INT64_C(9223372036) /* 2262: as many nanoseconds as fit */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits at *at, 18 at most. -1: there are none, or more. */
static int64_t number(const char *value, size_t len, size_t *at)
{
    size_t begin = *at;
    int64_t n = 0;
    while (*at < len && is_digit(value[*at]) && *at - begin < 18)
        n = n * 10 + (value[(*at)++] - '0');
    return *at == begin || (*at < len && is_digit(value[*at])) ? -1 : n;
}

/* The digits behind the point as nanoseconds; what is finer is left out. -1: something else. */
static int64_t fraction(const char *value, size_t len, size_t at)
{
    int64_t unit = SECOND / 10;
    int64_t ns = 0;
    if (at == len)
        return -1;
    for (; at < len; at++, unit /= 10) {
        if (!is_digit(value[at]))
            return -1;
        ns += (value[at] - '0') * unit;
    }
    return ns;
}

int64_t mp_http_request_start(const char *value, size_t len)
{
    static const int64_t units[] = {SECOND, SECOND / 1000, SECOND / 1000000};
    size_t at = len >= 2 && value[0] == 't' && value[1] == '=' ? 2 : 0;
    int64_t n = number(value, len, &at);
    if (at < len) {
        int64_t ns = value[at] == '.' ? fraction(value, len, at + 1) : -1;
        return ns >= 0 && n >= SECOND && n < SECONDS_END ? n * SECOND + ns : -1;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        int64_t factor = SECOND / units[i];
        if (n >= SECOND * factor && n < SECONDS_END * factor)
            return n * units[i];
    }
    return -1;
}
