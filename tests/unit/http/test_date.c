/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/runner.h"

static void check(int64_t seconds)
{
    static const char *const week[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)seconds;
    struct tm tm;
    char want[100], got[MP_HTTP_DATE_SIZE + 1] = "";

    CHECK(gmtime_r(&t, &tm) != NULL);
    snprintf(want, sizeof(want), "%s, %02d %s %04d %02d:%02d:%02d GMT", week[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    got[MP_HTTP_DATE_SIZE] = '!'; /* nothing is written behind the end */
    mp_http_date_format(got, seconds);
    CHECK_EQ(got[MP_HTTP_DATE_SIZE], '!');
    got[MP_HTTP_DATE_SIZE] = '\0';
    CHECK_STR(got, want);
}

TEST(the_example_of_the_rfc)
{
    char got[MP_HTTP_DATE_SIZE + 1] = "";

    mp_http_date_format(got, 784111777);
    CHECK_STR(got, "Sun, 06 Nov 1994 08:49:37 GMT");
    mp_http_date_format(got, 0);
    CHECK_STR(got, "Thu, 01 Jan 1970 00:00:00 GMT");
}

/* Every day from the year 1 to 9999, at a second that moves through the day. */
TEST(every_day_agrees_with_gmtime)
{
    TEST_BUDGET(60);
    int64_t second = 0;

    for (int64_t day = -719162; day <= 2932896; day++) {
        second = (second + 17123) % 86400;
        check(day * 86400 + second);
    }
}

TEST(every_second_of_a_leap_day_and_of_a_new_year)
{
    for (int64_t t = 951782400 - 10; t <= 951782400 + 86400 + 10; t++)
        check(t); /* 2000-02-29 */
    for (int64_t t = 4107542400 - 100; t <= 4107542400 + 100; t++)
        check(t); /* 2100-03-01 */
    for (int64_t t = -100; t <= 100; t++)
        check(t);
    check(INT64_C(2147483647));
    check(INT64_C(2147483648));
    check(INT64_C(4294967296));
}

TEST(times_out_of_range_are_clamped)
{
    char got[MP_HTTP_DATE_SIZE + 1] = "";

    mp_http_date_format(got, INT64_MIN);
    CHECK_STR(got, "Mon, 01 Jan 0001 00:00:00 GMT");
    mp_http_date_format(got, INT64_MAX);
    CHECK_STR(got, "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(locale_and_zone_do_not_matter)
{
    char got[MP_HTTP_DATE_SIZE + 1] = "";

    setenv("TZ", "Pacific/Auckland", 1);
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    tzset();
    setlocale(LC_ALL, "");
    mp_http_date_format(got, 784111777);
    CHECK_STR(got, "Sun, 06 Nov 1994 08:49:37 GMT");
}
