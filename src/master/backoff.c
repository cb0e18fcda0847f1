/* SPDX-License-Identifier: MIT */
#include "master/backoff.h"

#include <string.h>

void mp_backoff_init(struct mp_backoff *backoff)
{
    memset(backoff, 0, sizeof(*backoff));
}

/* 0 for step 0, then the first delay, doubled with each step. */
static int64_t delay_of(unsigned step, int64_t most)
{
    int64_t delay = MP_BACKOFF_FIRST;

    if (step == 0)
        return 0;
    while (--step > 0 && delay < most)
        delay *= 2;
    return delay < most ? delay : most;
}

static int64_t give(struct mp_backoff *backoff, int64_t delay)
{
    backoff->stepped = delay > 0 && delay != backoff->delay;
    backoff->delay = delay;
    return delay;
}

int64_t mp_backoff_died(struct mp_backoff *backoff, int64_t lived)
{
    if (lived >= MP_BACKOFF_GOOD_LIFE) {
        mp_backoff_init(backoff);
        return 0;
    }
    backoff->failures++;
    return give(backoff, delay_of(backoff->failures - 1,
                                  lived < 0 ? MP_BACKOFF_MOST : MP_BACKOFF_MOST_READY));
}

int64_t mp_backoff_refused(struct mp_backoff *backoff)
{
    backoff->failures++;
    return give(backoff, delay_of(backoff->failures, MP_BACKOFF_MOST));
}
