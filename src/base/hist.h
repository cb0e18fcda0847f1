/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram (the layout of HdrHistogram): 8 linear steps in each power of two, so a
 * value is known to 12.5 %. Fixed size, no pointers: it may live in shared memory. One writer at
 * a time, or writers that use mp_hist_record_atomic(); readers may read while it is written and
 * see a sum that is late by the records in flight.
 */
#ifndef MP_BASE_HIST_H
#define MP_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

#define MP_HIST_SUB_BITS 3
#define MP_HIST_BUCKETS 320 /* up to 2^42 units and an overflow bucket at the end */

struct mp_hist {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[MP_HIST_BUCKETS]; /* 64 bits: 32 would wrap in days at 20,000/s */
};

/* Index of the bucket that holds value; the lowest value of a bucket. */
unsigned mp_hist_index(uint64_t value);
uint64_t mp_hist_lowest(unsigned index);

/* Records value; callers are serialised (a lock, or a single writer). Relaxed stores. */
void mp_hist_record(struct mp_hist *hist, uint64_t value);

/* The same for concurrent writers. Relaxed read-modify-writes: order with other data is of no use.
 */
void mp_hist_record_atomic(struct mp_hist *hist, uint64_t value);

/* Value at quantile q (0 < q <= 1): the highest value equivalent to it, and never above the
 * greatest value recorded; 0 when empty. */
uint64_t mp_hist_quantile(const struct mp_hist *hist, double q);

/* Adds from to into; the caller is into's only writer. */
void mp_hist_merge(struct mp_hist *into, const struct mp_hist *from);

void mp_hist_reset(struct mp_hist *hist);

#endif
