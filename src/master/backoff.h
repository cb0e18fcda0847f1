/* SPDX-License-Identifier: MIT */
/* How long to wait before the next try, by how often it went wrong in a row. Pure. */
#ifndef MP_MASTER_BACKOFF_H
#define MP_MASTER_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

#define MP_BACKOFF_FIRST (100 * MP_NSEC_PER_MSEC)
#define MP_BACKOFF_MOST (10 * MP_NSEC_PER_SEC)

/* A life of this length after becoming ready makes good for all failures before it. */
#define MP_BACKOFF_GOOD_LIFE (5 * MP_NSEC_PER_SEC)

/*
 * The most for a process that had become ready: what kills it then is likely a request, and a
 * client who can send it again must not be able to keep the pool small. Starting a worker anew
 * costs a few milliseconds.
 */
#define MP_BACKOFF_MOST_READY (500 * MP_NSEC_PER_MSEC)

struct mp_backoff {
    unsigned failures; /* in a row */
    int64_t delay;     /* the last one given */
    bool stepped;      /* it differed from the one before: worth a line in the log */
};

void mp_backoff_init(struct mp_backoff *backoff);

/* A process has died; lived: ns since it was ready, negative when it never was. Returns the delay
 * before its successor: 0 at first, then doubling. */
int64_t mp_backoff_died(struct mp_backoff *backoff, int64_t lived);

/* Nothing could be started (fork, memory, descriptors). Never 0: the reason does not go away at
 * once. */
int64_t mp_backoff_refused(struct mp_backoff *backoff);

#endif
