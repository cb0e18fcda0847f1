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
