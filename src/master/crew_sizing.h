/* SPDX-License-Identifier: MIT */
/*
 * How many workers, as far as options leave that open. Pure: told at regular looks what the
 * scoreboard shows, it says whether one more is wanted, or some less.
 *
 * One more: when all workers are pressed at every look for a while (MP_CREW_PRESS). A worker is
 * pressed when requests wait in it, and either
 *
 *   - its handlers compute, and requests have waited for longer than a moment or its interpreter is
 *     busy all the time: more threads would only make that slower, another interpreter helps, if
 *     there is a CPU for it; or
 *   - its handlers wait for something, and with the requests and connections that wait there are as
 *     many as it may have threads: another worker has more of them.
 *
 * Less: what has not been needed for half of the idle time leaves in the other half, half of the
 * rest at a time. Needed are: all, while one was pressed; as many as have threads for the handlers
 * that ran, three quarters of them taken; as many as keep those that compute busy for half of the
 * time. Nothing leaves so soon after something came.
 */
#ifndef MP_MASTER_CREW_SIZING_H
#define MP_MASTER_CREW_SIZING_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

#define MP_CREW_LOOK (50 * MP_NSEC_PER_MSEC)
#define MP_CREW_LOOK_PRESSED (20 * MP_NSEC_PER_MSEC)
#define MP_CREW_PRESS (60 * MP_NSEC_PER_MSEC) /* between the first look and the last */
#define MP_CREW_WAIT (10 * MP_NSEC_PER_MSEC)  /* in the queue: longer than a moment */
#define MP_CREW_IDLE (10 * MP_NSEC_PER_SEC)

enum { MP_CREW_SPANS = 10 };

struct mp_crew_sizing {
    unsigned least; /* workers */
    unsigned most;
    unsigned cpus;
    unsigned threads; /* handlers at once in each worker at most */
    int64_t span;     /* ns: the idle time is 2 * MP_CREW_SPANS of them */
    int64_t look_at;
    int64_t looked_at;
    int64_t pressed_since; /* all are; 0: not */
    int64_t grown_at;
    /* How many were needed, in this span and in those before it. */
    unsigned needs[MP_CREW_SPANS];
    unsigned at;
    int64_t span_ends;
    uint64_t looks; /* in this span */
    uint64_t busy;  /* workers with a handler that computes, over all of them */
};

/* A worker at a look. */
struct mp_crew_seen {
    unsigned waiting; /* requests without a thread */
    unsigned backlog; /* connections that wait to be accepted: its share of them */
    unsigned handlers;
    unsigned computing;
    int64_t waited; /* ns: the longest that waits has waited, or those that began on average */
    int64_t cpu;    /* ns that the process has used since the last look */
};

/* idle: ns. least <= most. */
void mp_crew_sizing_init(struct mp_crew_sizing *sizing, unsigned least, unsigned most,
                         unsigned threads, unsigned cpus, int64_t idle, int64_t now);

static inline bool mp_crew_sizing_is_open(const struct mp_crew_sizing *sizing)
{
    return sizing->least < sizing->most;
}

/* Both bounds are moved by one, the lower one not below 1. */
void mp_crew_sizing_shift(struct mp_crew_sizing *sizing, int by);

/* The workers that serve, when all that are wanted do. Returns the change: 1, 0, or less. */
int mp_crew_sizing_look(struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                        unsigned count, int64_t now);

/* Not all that are wanted serve: what they show will change. */
void mp_crew_sizing_skip(struct mp_crew_sizing *sizing, int64_t now);

#endif
