/* SPDX-License-Identifier: MIT */
/*
 * The histogram's arithmetic. Values below 8 have a bucket each; above, the position of the highest
 * bit picks a group of 8 buckets and the three bits behind it the bucket in the group.
 *
 * All accesses are relaxed: a reader that runs beside a writer may see a bucket without its share
 * of count, sum or max, or the other way round. Worst case: a quantile is off by the records in
 * flight.
 */
#include "base/hist.h"

#define SUB_COUNT (1u << MP_HIST_SUB_BITS)
#define LAST_BUCKET (MP_HIST_BUCKETS - 1u)

unsigned mp_hist_index(uint64_t value)
{
    unsigned shift;
    unsigned index;

    if (value < SUB_COUNT)
        return (unsigned)value;
    shift = 63u - (unsigned)__builtin_clzll(value) - MP_HIST_SUB_BITS;
    index = (shift + 1) * SUB_COUNT + ((unsigned)(value >> shift) & (SUB_COUNT - 1));
    return index < LAST_BUCKET ? index : LAST_BUCKET;
}

uint64_t mp_hist_lowest(unsigned index)
{
    if (index < SUB_COUNT)
        return index;
    if (index > LAST_BUCKET)
        index = LAST_BUCKET;
    return (uint64_t)(SUB_COUNT + index % SUB_COUNT) << (index / SUB_COUNT - 1);
}

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Not a read-modify-write: the one writer needs no locked instruction. */
static void add(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, load(word) + n, memory_order_relaxed);
}

void mp_hist_record(struct mp_hist *hist, uint64_t value)
{
    add(&hist->buckets[mp_hist_index(value)], 1);
    add(&hist->count, 1);
    add(&hist->sum, value);
    if (value > load(&hist->max))
        atomic_store_explicit(&hist->max, value, memory_order_relaxed);
}

void mp_hist_record_atomic(struct mp_hist *hist, uint64_t value)
{
    uint64_t max = load(&hist->max);

    atomic_fetch_add_explicit(&hist->buckets[mp_hist_index(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&hist->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&hist->sum, value, memory_order_relaxed);
    while (value > max && !atomic_compare_exchange_weak_explicit(
                              &hist->max, &max, value, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* 1 .. total: how many records lie at or below the quantile. The product is lowered by more than
 * its rounding error, so that 0.07 of 100 is 7 and not 8. */
static uint64_t rank_of(double q, uint64_t total)
{
    double exact = q * (double)total * (1.0 - 1e-12);
    uint64_t rank;

    if (!(exact > 0))
        return 1;
    if (exact >= (double)total)
        return total;
    rank = (uint64_t)exact;
    if ((double)rank < exact)
        rank++;
    return rank;
}

/* The highest value that shares a bucket; the true maximum where that is known to be less. */
static uint64_t highest_in(const struct mp_hist *hist, unsigned index)
{
    uint64_t max = load(&hist->max);
    uint64_t highest;

    if (index == LAST_BUCKET)
        return max > mp_hist_lowest(index) ? max : mp_hist_lowest(index);
    highest = mp_hist_lowest(index + 1) - 1;
    if (max >= mp_hist_lowest(index) && max < highest)
        return max;
    return highest;
}

uint64_t mp_hist_quantile(const struct mp_hist *hist, double q)
{
    uint64_t total = 0;
    uint64_t seen = 0;
    uint64_t rank;
    unsigned last = 0;

    /* The buckets' own total, not count: the two passes then differ by what came in between only.
     */
    for (unsigned i = 0; i < MP_HIST_BUCKETS; i++)
        total += load(&hist->buckets[i]);
    if (total == 0)
        return 0;
    rank = rank_of(q, total);
    for (unsigned i = 0; i < MP_HIST_BUCKETS; i++) {
        uint64_t n = load(&hist->buckets[i]);

        if (n == 0)
            continue;
        last = i;
        seen += n;
        if (seen >= rank)
            break;
    }
    return highest_in(hist, last);
}

void mp_hist_merge(struct mp_hist *into, const struct mp_hist *from)
{
    uint64_t max = load(&from->max);

    for (unsigned i = 0; i < MP_HIST_BUCKETS; i++)
        add(&into->buckets[i], load(&from->buckets[i]));
    add(&into->count, load(&from->count));
    add(&into->sum, load(&from->sum));
    if (max > load(&into->max))
        atomic_store_explicit(&into->max, max, memory_order_relaxed);
}

void mp_hist_reset(struct mp_hist *hist)
{
    for (unsigned i = 0; i < MP_HIST_BUCKETS; i++)
        atomic_store_explicit(&hist->buckets[i], 0, memory_order_relaxed);
    atomic_store_explicit(&hist->count, 0, memory_order_relaxed);
    atomic_store_explicit(&hist->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&hist->max, 0, memory_order_relaxed);
}
