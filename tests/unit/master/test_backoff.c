/* SPDX-License-Identifier: MIT */
#include "master/backoff.h"

#include "runner.h"

#define MS MP_NSEC_PER_MSEC

TEST(the_first_death_costs_nothing)
{
    struct mp_backoff backoff;

    mp_backoff_init(&backoff);
    CHECK_EQ(mp_backoff_died(&backoff, -1), 0);
    CHECK(!backoff.stepped);
}

TEST(deaths_before_ready_double_up_to_ten_seconds)
{
    static const int64_t want[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000};
    struct mp_backoff backoff;

    mp_backoff_init(&backoff);
    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        CHECK_EQ(mp_backoff_died(&backoff, -1), want[i] * MS);
        CHECK_EQ(backoff.stepped, i > 0 && i < 9);
    }
}

TEST(deaths_after_ready_stop_at_half_a_second)
{
    static const int64_t want[] = {0, 100, 200, 400, 500, 500, 500};
    struct mp_backoff backoff;

    mp_backoff_init(&backoff);
    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        CHECK_EQ(mp_backoff_died(&backoff, 4999 * MS), want[i] * MS);
}

TEST(a_good_life_makes_good)
{
    struct mp_backoff backoff;

    mp_backoff_init(&backoff);
    for (int i = 0; i < 6; i++)
        mp_backoff_died(&backoff, 0);
    CHECK_EQ(mp_backoff_died(&backoff, MP_BACKOFF_GOOD_LIFE), 0);
    CHECK_EQ(mp_backoff_died(&backoff, 0), 0);
    CHECK_EQ(mp_backoff_died(&backoff, 0), 100 * MS);
}

TEST(refusals_are_never_tried_at_once)
{
    struct mp_backoff backoff;

    mp_backoff_init(&backoff);
    CHECK_EQ(mp_backoff_refused(&backoff), 100 * MS);
    CHECK(backoff.stepped);
    CHECK_EQ(mp_backoff_refused(&backoff), 200 * MS);
    for (int i = 0; i < 10; i++)
        mp_backoff_refused(&backoff);
    CHECK_EQ(backoff.delay, MP_BACKOFF_MOST);
    CHECK(!backoff.stepped);
}

TEST(many_failures_do_not_overflow)
{
    struct mp_backoff backoff = {.failures = 4000000000u};

    CHECK_EQ(mp_backoff_died(&backoff, -1), MP_BACKOFF_MOST);
    CHECK_EQ(mp_backoff_refused(&backoff), MP_BACKOFF_MOST);
}
