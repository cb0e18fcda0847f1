/* SPDX-License-Identifier: MIT */
/*
 * Seats: a bound on the handlers that may run at once in all workers together. A worker takes a
 * seat for each before it starts the thread, and gives it back when the thread has ended.
 *
 * There is no common count that a worker could take from and then be killed: each worker's slot
 * says how many it holds, and the sum is what counts. Who wants more says so in its own slot first,
 * then adds up all slots, and takes back what is too much. All of it is sequentially consistent: of
 * two that want the last seat at the same time at least one sees the other, and the sum of what was
 * granted never exceeds the bound (but neither may be granted it: they ask again).
 *
 * A slot has one writer at a time: the master before the fork and after the death, the control
 * thread in between.
 */
#ifndef MP_SCOREBOARD_SEATS_H
#define MP_SCOREBOARD_SEATS_H

#include "scoreboard/scoreboard.h"

/* Takes up to want seats more for a worker, within the bound. Returns how many. */
unsigned mp_seats_take(struct mp_scoreboard *board, unsigned worker, unsigned want, unsigned bound);

/* Gives count of them back; no more than it holds. */
void mp_seats_give_back(struct mp_scoreboard *board, unsigned worker, unsigned count);

/* What a worker holds is known: so many. */
void mp_seats_set(struct mp_scoreboard *board, unsigned worker, unsigned count);
unsigned mp_seats_of(struct mp_scoreboard *board, unsigned worker);

/* All that are taken. */
uint64_t mp_seats_taken(struct mp_scoreboard *board);

#endif
