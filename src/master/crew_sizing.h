/* SPDX-License-Identifier: MIT */
/*
 * How many workers, as far as options leave that open. Pure: told at regular looks what the
 * scoreboard shows, it says whether one more is wanted or one less.
 *
 * One more: when all workers are pressed, at two looks in a row. A worker is pressed when requests
 * wait and its handlers compute, which more threads would only make slower: another interpreter
 * helps if there is a CPU for it. Or when all the threads that it may have are in handlers: another
 * worker has more.
 *
 * One less: when for the idle time nothing was pressed, no more handlers ran at once than three
 * quarters of what the others have threads for, and those that computed would have kept the others
 * busy for less than half of the time. What was just started or let go begins that time anew.
 */
#ifndef MP_MASTER_CREW_SIZING_H
#define MP_MASTER_CREW_SIZING_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

#define MP_CREW_LOOK (100 * MP_NSEC_PER_MSEC)
#define MP_CREW_IDLE (10 * MP_NSEC_PER_SEC)

struct mp_crew_sizing {
    unsigned least; /* workers */
    unsigned most;
    unsigned cpus;
    unsigned threads; /* handlers at once in each worker at most */
    int64_t idle;
    int64_t look_at;
    unsigned pressed; /* looks in a row */
    /* Since the idle time began: */
    int64_t since;
    uint64_t looks;
    uint64_t busy; /* workers with a handler that computes, over all looks */
    unsigned handlers_peak;
};

/* A worker at a look. */
struct mp_crew_seen {
    unsigned waiting; /* requests without a thread */
    unsigned handlers;
    unsigned computing;
};

/* idle: ns. least <= most. */
void mp_crew_sizing_init(struct mp_crew_sizing *sizing, unsigned least, unsigned most,
                         unsigned threads, unsigned cpus, int64_t idle, int64_t now);

static inline bool mp_crew_sizing_is_open(const struct mp_crew_sizing *sizing)
{
    return sizing->least < sizing->most;
}

/* The workers that serve, when all that are wanted do. Returns 1, 0 or -1. */
int mp_crew_sizing_look(struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                        unsigned count, int64_t now);

#endif
