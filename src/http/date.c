/* SPDX-License-Identifier: MIT */
/* Calendar arithmetic of its own: strftime() knows locales, gmtime_r() takes a lock in some libcs.
 */
#include "http/date.h"

#include <string.h>

enum { SECONDS_PER_DAY = 86400 };

static const int64_t first_second = INT64_C(-62135596800); /* 0001-01-01 00:00:00 */
static const int64_t last_second = INT64_C(253402300799);  /* 9999-12-31 23:59:59 */

struct civil {
    int year;
    int month; /* 0 to 11 */
    int day;   /* 1 to 31 */
};

/*
 * Days are counted from 1 March of the year 0, so that the leap day ends a year. Then the century
 * and four-year rules are divisions, and months are 153 days for every five of them.
 */
static struct civil civil_from_days(int64_t days_since_1970)
{
    int days = (int)(days_since_1970 + 719468);
    int era = days / 146097;        /* of 400 years */
    int day_of_era = days % 146097; /* 0 to 146096 */
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int march_month = (5 * day_of_year + 2) / 153; /* 0: March */
    struct civil date = {
        .year = year_of_era + era * 400 + (march_month >= 10),
        .month = (march_month + 2) % 12,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
    };

    return date;
}

static void two_digits(char *out, int number)
{
    out[0] = (char)('0' + number / 10);
    out[1] = (char)('0' + number % 10);
}

void mp_http_date_format(char out[MP_HTTP_DATE_SIZE], int64_t unix_seconds)
{
    static const char week[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (unix_seconds < first_second)
        unix_seconds = first_second;
    if (unix_seconds > last_second)
        unix_seconds = last_second;
    /* Shifted to positive numbers, where division rounds the right way. */
    int64_t since_first = unix_seconds - first_second;
    int64_t days = since_first / SECONDS_PER_DAY + first_second / SECONDS_PER_DAY;
    int second = (int)(since_first % SECONDS_PER_DAY);
    int weekday = (int)((days % 7 + 7) % 7);
    struct civil date = civil_from_days(days);

    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", MP_HTTP_DATE_SIZE);
    memcpy(out, week + 3 * weekday, 3);
    two_digits(out + 5, date.day);
    memcpy(out + 8, months + 3 * date.month, 3);
    two_digits(out + 12, date.year / 100);
    two_digits(out + 14, date.year % 100);
    two_digits(out + 17, second / 3600);
    two_digits(out + 20, second / 60 % 60);
    two_digits(out + 23, second % 60);
}
