/* SPDX-License-Identifier: MIT */
/*
 * The sequence lock around a slot: one writer, readers that never stop it. The sequence is odd
 * while the writer is inside; a reader whose two looks at it give the same even number has a
 * consistent copy.
 *
 * Orders: write_begin's release fence puts the odd number before the words; write_end's release
 * store puts the words before the even one. A reader's acquire load and its acquire fence are their
 * counterparts: when it has seen one word of a write, its second look sees at least that write's
 * odd number. The words themselves are relaxed atomics; their worst case, a mixed copy, is what the
 * second look finds out.
 *
 * A writer that was killed inside leaves an odd number; the next write goes on from there (the
 * number it begins with is made odd, not incremented).
 */
#ifndef MP_SCOREBOARD_SEQUENCE_H
#define MP_SCOREBOARD_SEQUENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* gcc warns that its ThreadSanitizer does not model fences. Nothing here depends on that: all words
 * are atomics, so that there is no data race that a fence would have to hide. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

/* Returns what write_end wants. */
static inline uint32_t mp_sequence_write_begin(_Atomic uint32_t *sequence)
{
    uint32_t odd = atomic_load_explicit(sequence, memory_order_relaxed) | 1;

    atomic_store_explicit(sequence, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return odd;
}

static inline void mp_sequence_write_end(_Atomic uint32_t *sequence, uint32_t odd)
{
    atomic_store_explicit(sequence, odd + 1, memory_order_release);
}

static inline uint32_t mp_sequence_read_begin(const _Atomic uint32_t *sequence)
{
    return atomic_load_explicit(sequence, memory_order_acquire);
}

/* True when what was read since read_begin is consistent. */
static inline bool mp_sequence_read_end(const _Atomic uint32_t *sequence, uint32_t begun)
{
    atomic_thread_fence(memory_order_acquire);
    return begun % 2 == 0 && atomic_load_explicit(sequence, memory_order_relaxed) == begun;
}

#endif
