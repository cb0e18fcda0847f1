/* SPDX-License-Identifier: MIT */
/* Periods in which bytes move fast enough, or do not. */
#include "os/clock.h"
#include "server/pace.h"
#include "support/runner.h"

#define SECOND MP_NSEC_PER_SEC

TEST(a_period_is_kept_at_the_rate_exactly)
{
    struct mp_pace pace;
    mp_pace_begin(&pace, 5 * SECOND, 100);
    CHECK(mp_pace_kept(&pace, 15 * SECOND, 5100, 500));
    CHECK(!mp_pace_kept(&pace, 25 * SECOND, 10099, 500));
}

TEST(what_moved_earlier_is_not_saved_up)
{
    struct mp_pace pace;
    mp_pace_begin(&pace, 0, 0);
    CHECK(mp_pace_kept(&pace, 10 * SECOND, 1000000, 500));
    CHECK(!mp_pace_kept(&pace, 20 * SECOND, 1000000, 500));
}

TEST(without_a_rate_something_has_to_move)
{
    struct mp_pace pace;
    mp_pace_begin(&pace, 0, 7);
    CHECK(!mp_pace_kept(&pace, 10 * SECOND, 7, 0));
    CHECK(mp_pace_kept(&pace, 20 * SECOND, 8, 0));
}

TEST(less_than_before_is_nothing)
{
    struct mp_pace pace;
    mp_pace_begin(&pace, 0, 1000);
    CHECK(!mp_pace_kept(&pace, SECOND, 900, 0));
    CHECK_EQ(pace.moved, 900);
    CHECK(mp_pace_kept(&pace, 2 * SECOND, 901, 0));
}

TEST(clocks_and_rates_at_their_ends)
{
    struct mp_pace pace;
    mp_pace_begin(&pace, 10, 0);
    CHECK(mp_pace_kept(&pace, 10, 1, UINT32_MAX)); /* no time has passed */
    mp_pace_begin(&pace, 0, 0);
    CHECK(!mp_pace_kept(&pace, 1000000 * SECOND, UINT64_C(1) << 40, UINT64_C(1) << 32));
}
