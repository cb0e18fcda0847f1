/* SPDX-License-Identifier: MIT */
/*
 * How much may be logged: so many at once, and one more each time. What does not fit is counted, so
 * that it can be said. Pure.
 */
#ifndef MP_SERVER_BUDGET_H
#define MP_SERVER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct mp_budget {
    unsigned most;
    int64_t each;      /* ns */
    int64_t full_at;   /* when it will be whole again */
    uint64_t left_out; /* since somebody has asked for it */
};

static inline void mp_budget_init(struct mp_budget *budget, unsigned most, int64_t each)
{
    *budget = (struct mp_budget){.most = most, .each = each};
}

/* True: one is taken. */
static inline bool mp_budget_take(struct mp_budget *budget, int64_t now)
{
    int64_t full_at = budget->full_at > now ? budget->full_at : now;
    if (full_at + budget->each > now + budget->most * budget->each) {
        budget->left_out++;
        return false;
    }
    budget->full_at = full_at + budget->each;
    return true;
}

/* How many were left out, if there is room again to say so; that takes one. */
static inline uint64_t mp_budget_left_out(struct mp_budget *budget, int64_t now)
{
    uint64_t left_out = budget->left_out;
    if (left_out == 0 || !mp_budget_take(budget, now)) {
        budget->left_out = left_out;
        return 0;
    }
    budget->left_out = 0;
    return left_out;
}

#endif
