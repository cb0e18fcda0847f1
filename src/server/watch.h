/* SPDX-License-Identifier: MIT */
/*
 * The control thread's watch over the pool: at every tick it takes the token from a leader that
 * stays in its handler, finds out who computes and who waits, and starts requests that nobody else
 * would.
 */
#ifndef MP_SERVER_WATCH_H
#define MP_SERVER_WATCH_H

#include "os/clock.h"
#include "server/internal.h"

/* What the control thread has seen at a tick. */
enum mp_tick {
    MP_TICK_QUIET, /* nothing to watch */
    MP_TICK_BUSY,  /* handlers that are known to be short */
    MP_TICK_TENSE, /* requests that wait, or handlers that may take long */
};

/* Control thread, at every tick. */
enum mp_tick mp_watch_tick(struct mp_reactor *reactor, int64_t now);

/* Control thread: what a few of the handlers that are known to wait do; of seen, looked, asleep and
 * locked. */
void mp_watch_look(struct mp_reactor *reactor, struct mp_thread_seen *seen);

/* How often, while it is tense; and while only short handlers are about. */
#define MP_TICK_NS (1 * MP_NSEC_PER_MSEC)
#define MP_TICK_BUSY_NS (4 * MP_NSEC_PER_MSEC)

#endif
