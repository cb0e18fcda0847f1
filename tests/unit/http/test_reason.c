/* SPDX-License-Identifier: MIT */
#include "http/response.h"

#include <string.h>

#include "support/runner.h"

TEST(phrases)
{
    CHECK_STR(mp_http_reason(100), "Continue");
    CHECK_STR(mp_http_reason(200), "OK");
    CHECK_STR(mp_http_reason(304), "Not Modified");
    CHECK_STR(mp_http_reason(404), "Not Found");
    CHECK_STR(mp_http_reason(503), "Service Unavailable");
    CHECK_STR(mp_http_reason(511), "Network Authentication Required");
    CHECK_STR(mp_http_reason(299), "Unknown");
    CHECK_STR(mp_http_reason(0), "Unknown");
    CHECK_STR(mp_http_reason(-200), "Unknown");
    CHECK_STR(mp_http_reason(65536 + 200), "Unknown");
}

/* The search by halves finds all that the table has: its order is right. */
TEST(the_table_is_sorted)
{
    int found = 0;

    for (int status = 0; status < 1000; status++)
        found += strcmp(mp_http_reason(status), "Unknown") != 0;
    CHECK_EQ(found, 62);
}

TEST(statuses_without_a_body)
{
    for (int status = 0; status < 1000; status++) {
        bool bodyless = status / 100 == 1 || status == 204 || status == 304;
        CHECK_EQ(mp_http_status_bodyless(status), bodyless);
    }
}
