/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"

static struct mp_hist *new_hist(void)
{
    struct mp_hist *hist = calloc(1, sizeof(*hist));

    CHECK(hist != NULL);
    return hist;
}

/* Random numbers of all magnitudes up to 2^bits. */
static uint64_t random_value(unsigned bits)
{
    uint64_t value = (uint64_t)rand() << 31 ^ (uint64_t)rand();

    return value & ((UINT64_C(1) << (1 + (unsigned)rand() % bits)) - 1);
}

TEST(buckets_are_without_gap_and_without_overlap)
{
    CHECK_EQ(mp_hist_lowest(0), 0);
    for (unsigned i = 1; i < MP_HIST_BUCKETS; i++) {
        uint64_t lowest = mp_hist_lowest(i);

        CHECK(lowest > mp_hist_lowest(i - 1));
        CHECK_EQ(mp_hist_index(lowest), i);
        CHECK_EQ(mp_hist_index(lowest - 1), i - 1);
    }
}

TEST(a_bucket_is_at_most_an_eighth_wide)
{
    for (unsigned i = 8; i + 1 < MP_HIST_BUCKETS; i++) {
        uint64_t lowest = mp_hist_lowest(i);
        uint64_t width = mp_hist_lowest(i + 1) - lowest;

        CHECK(width * 8 <= lowest);
    }
}

TEST(the_last_bucket_takes_whatever_is_greater)
{
    const unsigned last = MP_HIST_BUCKETS - 1;

    CHECK_EQ(mp_hist_index((UINT64_C(1) << 42) - 1), last);
    CHECK_EQ(mp_hist_index(UINT64_C(1) << 42), last);
    CHECK_EQ(mp_hist_index(UINT64_MAX), last);
    CHECK(mp_hist_lowest(last) < UINT64_C(1) << 42);
    CHECK_EQ(mp_hist_lowest(last + 5), mp_hist_lowest(last));
}

TEST(index_does_not_fall)
{
    uint64_t before = 0;

    for (uint64_t value = 0; value < 100000; value++) {
        CHECK(mp_hist_index(value) >= mp_hist_index(before));
        before = value;
    }
}

TEST(empty_histogram_has_quantile_zero)
{
    struct mp_hist *hist = new_hist();

    CHECK_EQ(mp_hist_quantile(hist, 0.5), 0);
    CHECK_EQ(mp_hist_quantile(hist, 1), 0);
    free(hist);
}

TEST(one_value_is_every_quantile)
{
    static const uint64_t values[] = {
        0, 1, 7, 8, 1000, 123456789, UINT64_C(1) << 41, UINT64_C(1) << 50, UINT64_MAX};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct mp_hist *hist = new_hist();

        mp_hist_record(hist, values[i]);
        CHECK(mp_hist_quantile(hist, 0.0001) == values[i]);
        CHECK(mp_hist_quantile(hist, 0.5) == values[i]);
        CHECK(mp_hist_quantile(hist, 1) == values[i]);
        free(hist);
    }
}

TEST(quantiles_of_few_values_are_exact_in_rank)
{
    struct mp_hist *hist = new_hist();

    for (uint64_t i = 1; i <= 7; i++)
        mp_hist_record(hist, i);
    CHECK_EQ(mp_hist_quantile(hist, 1.0 / 7), 1);
    CHECK_EQ(mp_hist_quantile(hist, 0.5), 4);
    CHECK_EQ(mp_hist_quantile(hist, 6.0 / 7), 6);
    CHECK_EQ(mp_hist_quantile(hist, 6.0 / 7 + 0.001), 7);
    CHECK_EQ(mp_hist_quantile(hist, 1), 7);
    /* Outside of the range asked for, the nearest that makes sense. */
    CHECK_EQ(mp_hist_quantile(hist, 0), 1);
    CHECK_EQ(mp_hist_quantile(hist, -1), 1);
    CHECK_EQ(mp_hist_quantile(hist, 2), 7);
    free(hist);
}

/* 0.07 * 100 is a little more than 7 in binary: the rank must still be the 7th. */
TEST(rank_is_not_lifted_by_rounding)
{
    for (int percent = 1; percent <= 100; percent++) {
        struct mp_hist *hist = new_hist();

        for (int i = 0; i < percent; i++)
            mp_hist_record(hist, 1);
        for (int i = percent; i < 100; i++)
            mp_hist_record(hist, 5);
        CHECK_EQ(mp_hist_quantile(hist, percent / 100.0), 1);
        free(hist);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

TEST(quantiles_are_within_an_eighth_of_the_sorted_values)
{
    enum { COUNT = 20000 };
    static const double quantiles[] = {0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
    uint64_t *values = malloc(COUNT * sizeof(*values));
    struct mp_hist *hist = new_hist();
    uint64_t sum = 0;

    srand(3);
    for (int i = 0; i < COUNT; i++) {
        values[i] = random_value(41);
        sum += values[i];
        mp_hist_record(hist, values[i]);
    }
    qsort(values, COUNT, sizeof(*values), compare);
    CHECK(hist->count == COUNT);
    CHECK(hist->sum == sum);
    CHECK(hist->max == values[COUNT - 1]);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        uint64_t exact = values[(size_t)(quantiles[i] * COUNT + 0.5) - 1];
        uint64_t got = mp_hist_quantile(hist, quantiles[i]);

        CHECK(got >= exact);
        CHECK(got <= exact + exact / 8 + 1);
    }
    free(values);
    free(hist);
}

TEST(quantile_grows_with_q)
{
    struct mp_hist *hist = new_hist();
    uint64_t before = 0;

    srand(5);
    for (int i = 0; i < 1000; i++)
        mp_hist_record(hist, random_value(60));
    for (int i = 1; i <= 1000; i++) {
        uint64_t now = mp_hist_quantile(hist, i / 1000.0);

        CHECK(now >= before);
        before = now;
    }
    CHECK(before == hist->max);
    free(hist);
}

TEST(merge_is_the_same_as_recording_both)
{
    struct mp_hist *left = new_hist();
    struct mp_hist *right = new_hist();
    struct mp_hist *both = new_hist();

    srand(9);
    for (int i = 0; i < 2000; i++) {
        uint64_t value = random_value(45);

        mp_hist_record(i % 3 ? left : right, value);
        mp_hist_record(both, value);
    }
    mp_hist_merge(left, right);
    CHECK_MEM(left, both, sizeof(*left));
    mp_hist_reset(right);
    mp_hist_merge(left, right);
    CHECK_MEM(left, both, sizeof(*left));
    free(left);
    free(right);
    free(both);
}

TEST(reset_empties)
{
    struct mp_hist *hist = new_hist();
    struct mp_hist *empty = new_hist();

    for (uint64_t i = 0; i < 64; i++)
        mp_hist_record(hist, UINT64_C(1) << i);
    mp_hist_reset(hist);
    CHECK_MEM(hist, empty, sizeof(*hist));
    free(hist);
    free(empty);
}

enum {
    WRITERS = 4,
};

struct job {
    struct mp_hist *hist;
    unsigned seed;
    int count;
};

static void *write_many(void *argument)
{
    const struct job *job = argument;

    for (int i = 0; i < job->count; i++)
        mp_hist_record_atomic(job->hist, (uint64_t)i * (job->seed + 1));
    return NULL;
}

TEST(concurrent_writers_lose_nothing)
{
    const int count = mp_test_is_sanitized() ? 5000 : 50000;
    struct mp_hist *hist = new_hist();
    struct mp_hist *expected = new_hist();
    struct job jobs[WRITERS];
    pthread_t threads[WRITERS];

    for (unsigned i = 0; i < WRITERS; i++) {
        jobs[i] = (struct job){.hist = hist, .seed = i, .count = count};
        CHECK_OK(pthread_create(&threads[i], NULL, write_many, &jobs[i]));
    }
    for (int i = 0; i < 100; i++)
        CHECK(mp_hist_quantile(hist, 0.99) <= (uint64_t)count * WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        CHECK_OK(pthread_join(threads[i], NULL));
        for (int k = 0; k < count; k++)
            mp_hist_record(expected, (uint64_t)k * (i + 1));
    }
    CHECK_MEM(hist, expected, sizeof(*hist));
    free(hist);
    free(expected);
}
