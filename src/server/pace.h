/* SPDX-License-Identifier: MIT */
/*
 * Whether bytes move fast enough, judged once in a period.
 *
 * Each period stands for itself: what moved in an earlier one is not saved up, so that a client
 * that was fast at first cannot stop for long, and no single byte puts the end of the period off.
 */
#ifndef MP_SERVER_PACE_H
#define MP_SERVER_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct mp_pace {
    int64_t since;  /* when the period began */
    uint64_t moved; /* bytes that had moved until then */
};

/* Begins a period at now (monotonic ns), when moved bytes have moved in all. */
static inline void mp_pace_begin(struct mp_pace *pace, int64_t now, uint64_t moved)
{
    *pace = (struct mp_pace){.since = now, .moved = moved};
}

/*
 * Ends the period: whether in it at least rate bytes a second have moved, and at least one. The
 * next period begins. rate is at most 2^32.
 */
bool mp_pace_kept(struct mp_pace *pace, int64_t now, uint64_t moved, uint64_t rate);

#endif
