/* SPDX-License-Identifier: MIT */
/*
 * A pool that exists in numbers only, for the two sizing policies: their real functions decide over
 * workers with a queue, threads, and one interpreter each, on a machine with so many CPUs. Time
 * goes on by a millisecond at a time; clients ask again as soon as they are answered.
 *
 * The model is kinder than the world in three things: routes are known at once, a request goes to
 * the worker with the least to do, and threads and workers come after a fixed time.
 */
#ifndef MP_TEST_SIM_H
#define MP_TEST_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "master/crew_sizing.h"
#include "server/sizing.h"

enum {
    SIM_WORKERS = 8,
    SIM_HANDLERS = 512, /* in each worker */
    SIM_QUEUE = 4096,
    SIM_KINDS = 2,
    SIM_THREAD_MS = 1,  /* until a started thread serves */
    SIM_WORKER_MS = 15, /* until a forked worker does */
};

/* What a request does: computes first, waits then. */
struct sim_kind {
    unsigned clients; /* who ask for it, over and over */
    unsigned compute_us;
    unsigned wait_ms;
};

struct sim_request {
    unsigned kind;
    int64_t ready_at; /* ns */
    int64_t compute;  /* ns that are left */
    int64_t wait;
};

struct sim_worker {
    enum { SIM_NONE, SIM_STARTING, SIM_SERVES, SIM_LEAVES } state;
    int64_t born; /* ms */
    struct mp_thread_sizing sizing;
    unsigned threads;
    unsigned coming;
    int64_t coming_at;
    struct sim_request running[SIM_HANDLERS];
    unsigned handlers;
    unsigned peak;
    struct sim_request queue[SIM_QUEUE];
    unsigned waiting;
    int64_t cpu; /* ns used */
    int64_t cpu_at_look;
    int64_t waited; /* since the last look: ns, and by how many */
    unsigned begun;
};

/* How often a number has changed, and how often the other way than before. */
struct sim_turns {
    unsigned last;
    int direction;
    unsigned turns;
};

struct sim {
    struct sim_worker workers[SIM_WORKERS];
    struct mp_crew_sizing crew;
    unsigned target;
    unsigned cpus;
    unsigned threads_least;
    unsigned threads_most;
    int64_t idle; /* ns */
    int64_t ms;   /* now */
    struct sim_kind kinds[SIM_KINDS];
    unsigned asked[SIM_KINDS]; /* requests that are in the pool */
    uint64_t answered;
    struct sim_turns worker_turns;
    struct sim_turns thread_turns; /* of all workers together */
};

void sim_init(struct sim *sim, unsigned workers_least, unsigned workers_most,
              unsigned threads_least, unsigned threads_most, unsigned cpus, int64_t idle_ms);

/* For so long. Checks the bounds at every step. */
void sim_run(struct sim *sim, int64_t ms);

/* Until the condition holds, so long at most. Returns the ms that have passed, or -1. */
int64_t sim_until(struct sim *sim, bool (*condition)(const struct sim *sim), int64_t ms);

unsigned sim_workers(const struct sim *sim);  /* that serve */
unsigned sim_threads(const struct sim *sim);  /* of those */
unsigned sim_handlers(const struct sim *sim); /* that run */

/* A number of 0 to below n, the same in every run. */
unsigned sim_random(uint32_t *state, unsigned n);

#endif
