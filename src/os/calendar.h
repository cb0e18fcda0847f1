/* SPDX-License-Identifier: MIT */
/* The time as logs write it: in UTC, and without the C library, whose conversions lock. */
#ifndef MP_OS_CALENDAR_H
#define MP_OS_CALENDAR_H

#include <stdint.h>

#define MP_CALENDAR_TEXT 64

/* "2026-11-22T20:14:23.123Z". wall: ns since 1970. Returns text. */
const char *mp_calendar_rfc3339(int64_t wall, char text[MP_CALENDAR_TEXT]);

/* "2026-11-22 20:14:23.123". */
const char *mp_calendar_plain(int64_t wall, char text[MP_CALENDAR_TEXT]);

#endif
