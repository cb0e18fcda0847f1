/* SPDX-License-Identifier: MIT */
/*
 * The control thread: the worker's main thread, which never runs handlers. It watches the clock for
 * the pool (takeover, deadlines, heartbeat), talks to the master, and is where the process's signal
 * handlers run.
 */
#ifndef MP_SERVER_CONTROL_H
#define MP_SERVER_CONTROL_H

#include "server/internal.h"

/* Runs until the worker is to end; the pool is running. 0: drained, no connection is left;
 * MP_WORKER_EXIT_QUIT: told to quit, or the master is gone. */
int mp_control_run(struct mp_server *server);

/* Tells the master something. Any thread. 0 or -errno. */
int mp_control_tell(const struct mp_worker_context *context, enum mp_worker_verb verb,
                    uint32_t value);

#endif
