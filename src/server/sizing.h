/* SPDX-License-Identifier: MIT */
/*
 * How many threads a worker has, as far as options leave that open. Pure: told what was seen, it
 * says how many threads to start or to let go; who does that is threads.c.
 *
 * More threads, at once: when a request could run, every thread is taken, and the handlers that
 * took them wait for something instead of computing. As many as requests wait, but no more than
 * handlers have been found to wait: the number doubles, and each step is judged by what the last
 * one has brought. That handlers wait is looked at once more then: on a machine that is busy with
 * other things those that compute, and wait for each other, have been taken for such ones before,
 * and more of them make that worse. Threads never help who lacks CPU: no thread is started while
 * the worker uses all that its interpreter can.
 *
 * Fewer: the most that ran at once lately, and an eighth more, are needed. What has not been needed
 * for half of the idle time leaves in the other half, half of the rest at a time. What was just
 * started is needed: it counts in that maximum, and nothing leaves so soon after.
 */
#ifndef MP_SERVER_SIZING_H
#define MP_SERVER_SIZING_H

#include <stdbool.h>
#include <stdint.h>

/* The surplus has gone after so long without need. */
#define MP_THREADS_IDLE (INT64_C(10) * 1000 * 1000 * 1000)

enum { MP_SIZING_SPANS = 10 };

struct mp_thread_sizing {
    unsigned least; /* handlers at once */
    unsigned most;
    unsigned cores; /* CPUs that handlers can use at once: 1 under a GIL */
    int64_t span;   /* ns: the idle time is 2 * MP_SIZING_SPANS of them */
    /* The most handlers at once, in this span and in those before it. */
    unsigned peaks[MP_SIZING_SPANS];
    unsigned at;
    int64_t span_ends;
    int64_t grown_at;
    /* CPU used, over a while. */
    int64_t cpu_at;
    int64_t cpu;
    unsigned share; /* of one CPU, in percent */
    bool saturated;
};

/* What the control thread has seen. */
struct mp_thread_seen {
    int64_t now;
    int64_t cpu;        /* the process's CPU clock */
    unsigned threads;   /* handlers that could run at once */
    unsigned coming;    /* threads that were started and do not serve yet */
    unsigned handlers;  /* run now */
    unsigned computing; /* of them, those that are not known to wait */
    unsigned waiting;   /* ready requests without a thread */
    /* Of the handlers that are known to wait a few were looked at: */
    unsigned looked; /* so many; 0: nobody looked, or the kernel does not say */
    unsigned asleep; /* of them, those that sleep in a call that waits for something */
    unsigned locked; /* ... and those that sleep in a lock: perhaps the interpreter's */
    bool starved;    /* the first of those could run, if there were a thread */
    unsigned peak;   /* the most handlers at once since the last step */
};

/* idle: ns. least <= most. */
void mp_thread_sizing_init(struct mp_thread_sizing *sizing, unsigned least, unsigned most,
                           unsigned cores, int64_t idle, int64_t now);

/* Whether there is anything to decide. */
static inline bool mp_thread_sizing_is_open(const struct mp_thread_sizing *sizing)
{
    return sizing->least < sizing->most;
}

/* Threads to start (> 0) or to let go (< 0): never beyond the bounds. */
int mp_thread_sizing_step(struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen);

#endif
