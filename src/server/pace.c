/* SPDX-License-Identifier: MIT */
/* Whether bytes move fast enough; see pace.h. */
#include "server/pace.h"

#include "os/clock.h"

bool mp_pace_kept(struct mp_pace *pace, int64_t now, uint64_t moved, uint64_t rate)
{
    uint64_t gained = moved > pace->moved ? moved - pace->moved : 0;
    int64_t elapsed = now - pace->since;
    uint64_t ms = elapsed > 0 ? (uint64_t)(elapsed / MP_NSEC_PER_MSEC) : 0;
    mp_pace_begin(pace, now, moved);
    /* By division, which cannot overflow: a rate is 32 bits, and so is a period of 49 days. */
    return gained > 0 && gained >= rate * ms / 1000;
}
