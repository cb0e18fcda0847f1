/* SPDX-License-Identifier: MIT */
/* The sequence lock by itself, over a few words that must agree. */
#include "scoreboard/sequence.h"

#include <pthread.h>
#include <stdlib.h>

#include "support/runner.h"

enum {
    WORDS = 6,
    READERS = 3,
};

struct guarded {
    _Atomic uint32_t sequence;
    _Atomic uint64_t words[WORDS];
    _Atomic int stop;
};

static void write_all(struct guarded *guarded, uint64_t value)
{
    uint32_t sequence = mp_sequence_write_begin(&guarded->sequence);

    for (int i = 0; i < WORDS; i++)
        atomic_store_explicit(&guarded->words[i], value, memory_order_relaxed);
    mp_sequence_write_end(&guarded->sequence, sequence);
}

static bool read_all(struct guarded *guarded, uint64_t *values)
{
    uint32_t sequence = mp_sequence_read_begin(&guarded->sequence);

    for (int i = 0; i < WORDS; i++)
        values[i] = atomic_load_explicit(&guarded->words[i], memory_order_relaxed);
    return mp_sequence_read_end(&guarded->sequence, sequence);
}

TEST(sequence_is_odd_inside_and_even_outside)
{
    _Atomic uint32_t sequence = 0;
    uint32_t token;

    for (uint32_t i = 0; i < 10; i++) {
        CHECK_EQ(atomic_load(&sequence), 2 * i);
        token = mp_sequence_write_begin(&sequence);
        CHECK_EQ(atomic_load(&sequence), 2 * i + 1);
        mp_sequence_write_end(&sequence, token);
    }
}

TEST(reader_notices_a_writer_before_during_and_across)
{
    _Atomic uint32_t sequence = 0;
    uint32_t reader;
    uint32_t writer;

    reader = mp_sequence_read_begin(&sequence);
    CHECK(mp_sequence_read_end(&sequence, reader));
    writer = mp_sequence_write_begin(&sequence);
    CHECK(!mp_sequence_read_end(&sequence, reader)); /* began before it */
    reader = mp_sequence_read_begin(&sequence);
    CHECK(!mp_sequence_read_end(&sequence, reader)); /* all of it inside */
    mp_sequence_write_end(&sequence, writer);
    CHECK(!mp_sequence_read_end(&sequence, reader)); /* ended after it */
    reader = mp_sequence_read_begin(&sequence);
    CHECK(mp_sequence_read_end(&sequence, reader));
}

TEST(writer_goes_on_from_an_odd_number_and_over_the_wrap)
{
    _Atomic uint32_t sequence = 7;

    mp_sequence_write_end(&sequence, mp_sequence_write_begin(&sequence));
    CHECK_EQ(atomic_load(&sequence), 8);
    atomic_store(&sequence, UINT32_MAX - 1);
    mp_sequence_write_end(&sequence, mp_sequence_write_begin(&sequence));
    CHECK_EQ(atomic_load(&sequence), 0);
}

static void *read_until_stopped(void *argument)
{
    struct guarded *guarded = argument;
    uint64_t last = 0;
    uintptr_t good = 0;

    while (!atomic_load(&guarded->stop) || good == 0) {
        uint64_t values[WORDS];

        if (!read_all(guarded, values))
            continue;
        for (int i = 1; i < WORDS; i++)
            CHECK_EQ(values[i], values[0]);
        CHECK(values[0] >= last);
        last = values[0];
        good++;
    }
    return (void *)good;
}

TEST(copies_are_never_mixed)
{
    const uint64_t rounds = mp_test_is_sanitized() ? 100000 : 2000000;
    struct guarded guarded = {0};
    pthread_t threads[READERS];

    TEST_BUDGET(40);
    for (int i = 0; i < READERS; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, read_until_stopped, &guarded));
    for (uint64_t round = 1; round <= rounds; round++)
        write_all(&guarded, round);
    atomic_store(&guarded.stop, 1);
    for (int i = 0; i < READERS; i++) {
        void *good;

        CHECK_OK(pthread_join(threads[i], &good));
        CHECK((uintptr_t)good > 0);
    }
}
