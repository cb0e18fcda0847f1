/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of durations in nanoseconds, as HdrHistogram: 128 equal buckets for each
 * power of two, so a value read back is off by less than 0.8 %, whatever its size. Fixed size, no
 * allocation, one writer.
 */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

struct histogram {
    uint64_t count;
    uint64_t sum; /* ns */
    uint64_t max; /* ns, exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t ns);

/* The duration that `percent` of the values do not exceed, rounded up to its bucket's end; 0 when
 * there are no values. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* The mean in ns; 0 when there are no values. */
double histogram_mean(const struct histogram *histogram);

#endif
