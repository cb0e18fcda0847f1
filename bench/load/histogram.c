/* SPDX-License-Identifier: MIT */
/* Log-linear histogram: see the header for the error bound. */
#include "histogram.h"

#include <string.h>

/* Values below HISTOGRAM_SUB have a bucket each. A larger one is shifted right until its top
 * HISTOGRAM_SUB_BITS + 1 bits are left: the shift chooses the row, the rest the bucket in it. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < HISTOGRAM_SUB)
        return (unsigned)ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return (shift + 1) * HISTOGRAM_SUB + (unsigned)((ns >> shift) - HISTOGRAM_SUB);
}

/* The largest value that falls into `bucket`. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift;
    uint64_t first;

    if (bucket < HISTOGRAM_SUB)
        return bucket;
    shift = bucket / HISTOGRAM_SUB - 1;
    first = (uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB) << shift;
    return first + (((uint64_t)1 << shift) - 1);
}

void histogram_init(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->sum += ns;
    histogram->buckets[bucket_of(ns)]++;
    if (ns > histogram->max)
        histogram->max = ns;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    double exact = (double)histogram->count * percent / 100.0;
    uint64_t wanted = (uint64_t)exact;
    uint64_t seen = 0;

    if (histogram->count == 0)
        return 0;
    if ((double)wanted < exact || wanted == 0)
        wanted++;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted)
            return bucket_end(i) < histogram->max ? bucket_end(i) : histogram->max;
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count ? (double)histogram->sum / (double)histogram->count : 0.0;
}
