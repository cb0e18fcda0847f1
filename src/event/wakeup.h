/* SPDX-License-Identifier: MIT */
/*
 * Two ways to wake a thread: an eventfd, for a thread that waits in a poller, and a futex word, for
 * a thread that has nothing to do.
 */
#ifndef MP_EVENT_WAKEUP_H
#define MP_EVENT_WAKEUP_H

#include <stdatomic.h>
#include <stdint.h>

struct mp_wakeup {
    int fd; /* eventfd, non-blocking, CLOEXEC: add it to a poller for MP_POLL_IN */
};

int mp_wakeup_init(struct mp_wakeup *wakeup);
void mp_wakeup_done(struct mp_wakeup *wakeup);
void mp_wakeup_signal(struct mp_wakeup *wakeup); /* any thread, async-signal-safe */
/* Forgets all signals so far. Clear first, then look for the work that they were about. */
void mp_wakeup_clear(struct mp_wakeup *wakeup);

/*
 * Parking. The word is 0 while nothing is wanted of the thread that owns it. The owner sleeps until
 * it is not 0 and takes the value (acquire, sets it back to 0); another thread posts a value != 0
 * (release) and wakes it. A value posted before the owner sleeps is not lost. One owner; posts do
 * not overlap (the poster has taken the owner from a list of parked threads first; a second post
 * before the first was taken aborts). A post makes a system call only when the owner sleeps. It may
 * touch the word's address (no more than wake it) after the owner has gone on.
 */
#define MP_PARK_ASLEEP UINT32_MAX /* the word while its owner sleeps: cannot be posted */

struct mp_park {
    _Atomic uint32_t word;
};

void mp_park_init(struct mp_park *park);
uint32_t mp_park_wait(struct mp_park *park);
/* The same, bounded: 0 when timeout_ns passed (0 or less: only looks). */
uint32_t mp_park_wait_for(struct mp_park *park, int64_t timeout_ns);
void mp_park_post(struct mp_park *park, uint32_t value);

#endif
