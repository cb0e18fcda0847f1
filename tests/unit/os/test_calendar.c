/* SPDX-License-Identifier: MIT */
/* Includes the file under test to reach its dates. */
#include "os/calendar.c"

#include <time.h>

#include "support/runner.h"

/* Every day from 1970 to 2420, which has the exception to the exception of leap years. */
TEST(calendar_is_that_of_the_c_library)
{
    for (int64_t days = 0; days < 450 * 366; days++) {
        time_t seconds = (time_t)(days * 86400);
        struct tm parts;
        int year;
        int month;
        int day;

        CHECK(gmtime_r(&seconds, &parts) != NULL);
        date_of(days, &year, &month, &day);
        CHECK_EQ(year, parts.tm_year + 1900);
        CHECK_EQ(month, parts.tm_mon + 1);
        CHECK_EQ(day, parts.tm_mday);
    }
}

TEST(texts)
{
    char text[MP_CALENDAR_TEXT];

    CHECK_STR(mp_calendar_rfc3339(0, text), "1970-01-01T00:00:00.000Z");
    CHECK_STR(mp_calendar_plain(INT64_C(1709210096789123456), text), "2024-02-29 12:34:56.789");
    CHECK_STR(mp_calendar_rfc3339(INT64_C(4102444799999999999), text), "2099-12-31T23:59:59.999Z");
}
