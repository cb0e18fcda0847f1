/* SPDX-License-Identifier: MIT */
/*
 * Whether there is room for another worker: seats (scoreboard/seats.h) for its first threads, and
 * memory. The functions that ask a master for these are in private.h.
 */
#ifndef MP_MASTER_GROWTH_H
#define MP_MASTER_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

/* Left free besides what a worker needs: a quarter of that, and so much. */
#define MP_GROWTH_RESERVE (UINT64_C(64) << 20)
/* Memory is measured no more often than that while it does not suffice. */
#define MP_GROWTH_PAUSE (2 * MP_NSEC_PER_SEC)

/* Whether a worker as large as the largest may be added. available: bytes, UINT64_MAX: not known.
 */
bool mp_growth_fits(uint64_t largest, uint64_t available);

#endif
