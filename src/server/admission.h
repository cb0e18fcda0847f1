/* SPDX-License-Identifier: MIT */
/*
 * Admission: which request of the FIFO may start. All of it under the pool's lock.
 *
 * An interpreter with a GIL runs one handler at a time; more that compute only make each other
 * wait. So a request whose handler is expected to compute starts only while fewer than
 * app->max_computing others do; the rest keep their place in the FIFO. Handlers that wait for
 * something do not count: those whose route is known to (route.h), and those that the control
 * thread finds waiting (watch.h). A handler that has been computing for long stops holding up the
 * others: after 10 ms a second one may start, 40 ms later a third, 90 ms later a fourth; of
 * protocols whose handlers may go on for ever, 20 ms later at most.
 */
#ifndef MP_SERVER_ADMISSION_H
#define MP_SERVER_ADMISSION_H

#include "server/internal.h"

/* Whether a handler that computes may start now. */
bool mp_admission_may_compute(const struct mp_reactor *reactor, int64_t now);

/* Whether the next request, which there is, is known to wait. */
bool mp_admission_next_blocks(const struct mp_pool *pool);

/* Takes the next request out of the FIFO for thread, if it may start now; accounts for it. */
struct mp_request *mp_admission_pick(struct mp_reactor *reactor, struct mp_thread *thread,
                                     int64_t now);

/* Books the handler that the thread has finished. */
void mp_admission_account(struct mp_reactor *reactor, struct mp_thread *thread);

/* The handler of this thread, which counts as computing, does not any more. */
void mp_admission_discount(struct mp_pool *pool, struct mp_thread *thread);

/* What siblings, the master and readers of the scoreboard see of the FIFO. */
void mp_admission_publish(struct mp_reactor *reactor, int64_t now);

/* The thread that was parked last, or NULL. */
struct mp_thread *mp_admission_pop_parked(struct mp_pool *pool);

#endif
