/* SPDX-License-Identifier: MIT */
/*
 * The pool: threads around a reactor, and the FIFO of ready requests.
 */
#ifndef MP_SERVER_POOL_H
#define MP_SERVER_POOL_H

#include "server/internal.h"

/* 0 or -errno. The reactor's other parts need not be ready yet. */
int mp_pool_init(struct mp_reactor *reactor, unsigned handlers);
void mp_pool_done(struct mp_reactor *reactor);

/* Starts the threads; the first to come leads. 0 or -errno (none is left running). */
int mp_pool_start(struct mp_reactor *reactor);

/* Control thread: no handler starts from now on; false, and nothing happens, while some are
 * running. */
bool mp_pool_close(struct mp_pool *pool);

/* Ends the threads, which must not be in handlers, and joins them. */
void mp_pool_stop(struct mp_reactor *reactor);

/* Whether a thread has nothing to do. */
bool mp_pool_has_parked(struct mp_pool *pool);

/* What a thread of the pool does between its start and its end. Returns when it is dismissed. */
void mp_pool_serve(struct mp_thread *thread);

/* Control thread: what sizing wants to know. Handlers that are stuck, and their threads, do not
 * count. */
void mp_pool_see(struct mp_reactor *reactor, bool forget_peak, struct mp_thread_seen *ret_seen,
                 int64_t now);

/* Control thread: has at most count threads end, out of those that are parked and not needed for
 * the handlers that run. Returns how many. */
unsigned mp_pool_dismiss(struct mp_pool *pool, unsigned count);

/* Control thread: has all end, the leader excepted. */
void mp_pool_dismiss_all(struct mp_pool *pool);

/* Leader: a request to receive into; spare ones are used again. NULL without memory. */
struct mp_request *mp_pool_request_new(struct mp_reactor *reactor);

/* Any thread that owns it; leading: by the leader, who needs no lock. */
void mp_pool_request_free(struct mp_reactor *reactor, struct mp_request *request, bool leading);

/* Leader: a request is ready to run. It goes to the FIFO with the others of this turn. */
void mp_pool_push(struct mp_reactor *reactor, struct mp_request *request);

/* Any thread: requests that wait. */
unsigned mp_pool_waiting(struct mp_pool *pool);

/* Control thread: true when no handler runs and nothing waits. */
bool mp_pool_idle(struct mp_pool *pool);

/* Control thread: true when nothing waits, and no handler runs but those that are stuck. */
bool mp_pool_is_done(struct mp_reactor *reactor);

#endif
