/* SPDX-License-Identifier: MIT */
/*
 * X-Request-Start: when a proxy in front has taken a request. No standard has it; these are the
 * forms in use:
 *
 *   t=1700000000.123      nginx's "t=${msec}": seconds with a fraction
 *   1700000000123         Heroku: milliseconds
 *   t=1700000000123456    New Relic for Apache's %t: microseconds
 *   1700000000            seconds
 */
#ifndef MP_HTTP_REQUEST_START_H
#define MP_HTTP_REQUEST_START_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since 1970 that a value names, or -1: it is none. The unit is told by the magnitude:
 * times of 2001 to 2262 in seconds, milliseconds or microseconds do not overlap. */
int64_t mp_http_request_start(const char *value, size_t len);

#endif
