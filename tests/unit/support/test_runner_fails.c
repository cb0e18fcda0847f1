/* SPDX-License-Identifier: MIT */
/* Registered with should_fail: a program whose only test fails must not exit with 0. */
#include "runner.h"

TEST(fails)
{
    CHECK_EQ(1 + 1, 3);
}
