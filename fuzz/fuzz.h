/* SPDX-License-Identifier: MIT */
/*
 * What every fuzz target has: the entry that libFuzzer or replay.c calls, and a check that is never
 * compiled out. A target keeps nothing between two inputs.
 */
#ifndef MP_FUZZ_H
#define MP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: FUZZ_CHECK(%s)\n", __FILE__, __LINE__, #condition);            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/*
 * A lean build (-DFUZZ_LEAN, fuzz/run.sh --lean) looks at one way to split an input instead of all
 * of them, so that ten times as many inputs are tried: the one that its first byte chooses.
 */
#ifdef FUZZ_LEAN
enum { FUZZ_ALL_SPLITS = 0 };
#else
enum { FUZZ_ALL_SPLITS = 1 };
#endif

/* The places at which to split n bytes of which the first was first: from the one returned on, in
 * steps of *ret_step. */
static inline size_t fuzz_first_split(uint8_t first, size_t n, size_t *ret_step)
{
    *ret_step = FUZZ_ALL_SPLITS ? 1 : n + 1;
    return FUZZ_ALL_SPLITS || n == 0 ? 0 : first * 2654435761u % n;
}

/* A copy of exactly `n` bytes, so that AddressSanitizer sees a read behind the end. */
static inline char *fuzz_copy(const void *data, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);

    FUZZ_CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, data, n);
    return copy;
}

#endif
