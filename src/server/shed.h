/* SPDX-License-Identifier: MIT */
/*
 * Shedding: requests that have waited in the FIFO for longer than options->queue_timeout are
 * answered by the leader itself, in the protocol's way, so that clients are told at once instead of
 * when it is too late, and those who come now find a short queue. It needs no handler to end, and
 * no thread but the one that leads.
 */
#ifndef MP_SERVER_SHED_H
#define MP_SERVER_SHED_H

#include "server/internal.h"

/* Leader, once a turn. */
void mp_shed_run(struct mp_thread *thread, int64_t now);

/* Leader, about to sleep: when the first of those that wait is to be shed; INT64_MAX: never. */
int64_t mp_shed_next(const struct mp_reactor *reactor);

/* What clients are told to wait before they come again, in seconds. */
uint64_t mp_shed_retry_after(const struct mp_server *server);

#endif
