/* SPDX-License-Identifier: MIT */
/*
 * The health check: a path that the event core answers itself, so that it is answered at once
 * whatever the threads do.
 *
 * It is the pool that is asked for, not the worker that happens to have the connection: 200 while
 * any worker can take work. A worker cannot when a request has waited in its FIFO for
 * MP_HEALTH_PATIENCE, or when all places for handlers have been taken, or nobody could enter the
 * interpreter, for as long; nor while it
 * drains, or its control thread does not beat.
 */
#ifndef MP_SERVER_HEALTH_H
#define MP_SERVER_HEALTH_H

#include <stdbool.h>

#include "os/clock.h"
#include "server/internal.h"

#define MP_HEALTH_PATIENCE (1 * MP_NSEC_PER_SEC)

enum mp_health {
    MP_HEALTH_OK,
    MP_HEALTH_SATURATED, /* workers serve, but none can take more */
    MP_HEALTH_DRAINING,  /* no worker serves */
};

/* Whether a whole request is a health check: GET or HEAD of options->health_path, with or without
 * a query. */
bool mp_health_is_check(const struct mp_server *server, const struct mp_request *request);

/* Whether a worker takes new connections, for all that is known of it: one that has not beaten for
 * two seconds may serve nobody. */
bool mp_health_serves(const struct mp_sb_worker *slot, int64_t now);

/* Any thread; reads the scoreboard. */
enum mp_health mp_health_of_pool(const struct mp_server *server, int64_t now);

#endif
