/* SPDX-License-Identifier: MIT */
/* Dates as HTTP writes them: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7). */
#ifndef MP_HTTP_DATE_H
#define MP_HTTP_DATE_H

#include <stdint.h>

enum { MP_HTTP_DATE_SIZE = 29 };

/*
 * Writes the 29 bytes of an IMF-fixdate, without a terminating NUL. Independent of the locale and
 * the time zone. Times outside of the years 1 to 9999 are written as the nearest one inside.
 */
void mp_http_date_format(char out[MP_HTTP_DATE_SIZE], int64_t unix_seconds);

#endif
