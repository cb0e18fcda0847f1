/* SPDX-License-Identifier: MIT */
/*
 * Handlers that take long: the slow log, deadlines, what becomes of a handler that exceeds its own,
 * and an interpreter that nobody gives back. Control thread's, but for the functions that say
 * otherwise.
 *
 *   RUNNING --slow_log--> told once, with its traceback
 *      |
 *      | deadline: request_timeout after its start, or as extended
 *      v
 *   STUCK    its client is answered, its thread does not count, another is started in its place;
 * its |     traceback is logged, an exception is raised in it
 *      |
 *      +--> it ends: its thread is used again, the surplus one leaves
 *      |
 *      | stuck_grace
 *      v
 *   LOST     the worker asks to be replaced; when it drains it does not wait for it
 */
#ifndef MP_SERVER_STUCK_H
#define MP_SERVER_STUCK_H

#include <stdbool.h>
#include <stdint.h>

struct mp_request;
struct mp_server;
struct mp_stuck;
struct mp_thread;

/* thread->deadline: 0 is the usual one; any other value the time itself, or: */
#define MP_DEADLINE_PASSED INT64_C(-1)

/* 0 or -ENOMEM. */
int mp_stuck_new(struct mp_server *server, struct mp_stuck **ret_stuck);
void mp_stuck_free(struct mp_stuck *stuck);

/* Does what is due. Returns why the worker is to be replaced (enum mp_retire_reason), or 0. */
unsigned mp_stuck_look(struct mp_stuck *stuck, int64_t now);

/* No handler is stuck but those that were given their grace: a drain need not wait any more. */
bool mp_stuck_is_settled(const struct mp_stuck *stuck);

/* When to look at the latest; idle: no handler runs. */
int64_t mp_stuck_next_look(const struct mp_stuck *stuck, bool idle, int64_t now);

/* Handlers past their deadline that run now. Any thread. Acquire: a connection that the leader has
 * got back, or the end of a handler that was booked under the pool's lock, is not counted. */
unsigned mp_stuck_count(const struct mp_server *server);

/* The handler's thread: its handler, which was stuck, is over. */
void mp_stuck_is_over(struct mp_thread *thread);

#endif
