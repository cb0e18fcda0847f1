/* SPDX-License-Identifier: MIT */
/*
 * Accepting connections, while there is room for them. For the holder of the token.
 *
 * The listening sockets are shared by all workers and watched with EPOLLEXCLUSIVE, so that a new
 * connection wakes one of them. A worker takes its listeners out of the poller while it has no
 * room: no handler free and requests waiting, or clearly more connections than the least loaded
 * sibling, while that one has room; too many connections; no descriptors left. It accepts what has
 * arrived before it does so, because a wake-up that it has consumed is not given to anybody else;
 * and a leader that has nothing to do tries to accept now and then all the same, so that no
 * connection is left behind by a sibling that was killed between the two.
 */
#ifndef MP_SERVER_LISTENER_H
#define MP_SERVER_LISTENER_H

#include "server/internal.h"

void mp_listener_on_event(struct mp_thread *thread, unsigned index, int64_t now);

/* Once a turn: starts or stops accepting. quiet: the turn had no event. */
void mp_listener_update(struct mp_thread *thread, int64_t now, bool quiet);

/* For good; with all: accepts everything that has arrived before. */
void mp_listener_close(struct mp_thread *thread, bool all, int64_t now);

#endif
