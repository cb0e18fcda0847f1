/* SPDX-License-Identifier: MIT */
/*
 * How a handler has spent its time: with the CPU, or with waiting for one, or for the interpreter,
 * which all is computing, as far as scheduling is concerned; or with waiting for something else.
 */
#ifndef MP_SERVER_SPENT_H
#define MP_SERVER_SPENT_H

#include <stdbool.h>
#include <stdint.h>

/* Clocks at the beginning, of the calling thread. ns. */
struct mp_spent {
    int64_t sleeps;      /* how often it had gone to sleep by itself */
    int64_t cpu;         /* its CPU time */
    int64_t delay;       /* its time on run queues; -1: not known */
    int64_t process_cpu; /* CPU time of the whole process */
};

void mp_spent_begin(struct mp_spent *spent);

/* At the end, by the same thread: how much of wall was computing. shared: handlers share an
 * interpreter. */
int64_t mp_spent_computing(const struct mp_spent *begin, int64_t wall, bool shared);

/* The formula: of wall, from what the clocks have gained meanwhile. */
int64_t mp_spent_estimate(int64_t wall, const struct mp_spent *gained, bool shared);

#endif
