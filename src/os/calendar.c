/* SPDX-License-Identifier: MIT */
#include "os/calendar.h"

#include <stdio.h>

#include "os/clock.h"

/* Days since 1970-01-01 to a date of the Gregorian calendar, counted in eras of 400 years that
 * begin on the 1st of March, so that the leap day is the last of a year. */
static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = shifted / 146097;
    int64_t of_era = shifted % 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t months = (5 * of_year + 2) / 153; /* since March */

    *day = (int)(of_year - (153 * months + 2) / 5 + 1);
    *month = (int)(months < 10 ? months + 3 : months - 9);
    *year = (int)(years + era * 400 + (*month <= 2));
}

static const char *format(int64_t wall, char between, const char *end, char text[MP_CALENDAR_TEXT])
{
    int64_t seconds = wall / MP_NSEC_PER_SEC;
    int of_day = (int)(seconds % 86400);
    int milliseconds = (int)(wall % MP_NSEC_PER_SEC / MP_NSEC_PER_MSEC);
    int year;
    int month;
    int day;

    date_of(seconds / 86400, &year, &month, &day);
    snprintf(text, MP_CALENDAR_TEXT, "%04d-%02d-%02d%c%02d:%02d:%02d.%03d%s", year, month, day,
             between, of_day / 3600, of_day / 60 % 60, of_day % 60, milliseconds, end);
    return text;
}

const char *mp_calendar_rfc3339(int64_t wall, char text[MP_CALENDAR_TEXT])
{
    return format(wall, 'T', "Z", text);
}

const char *mp_calendar_plain(int64_t wall, char text[MP_CALENDAR_TEXT])
{
    return format(wall, ' ', "", text);
}
