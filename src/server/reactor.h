/* SPDX-License-Identifier: MIT */
/*
 * The reactor: what the leader does between handlers. It waits for events, lets the protocol move
 * bytes, and watches deadlines. Unless said otherwise, functions are for the holder of the token,
 * in IO mode.
 */
#ifndef MP_SERVER_REACTOR_H
#define MP_SERVER_REACTOR_H

#include "server/internal.h"

/* 0 or -errno; includes the pool (not started). */
int mp_reactor_init(struct mp_reactor *reactor, struct mp_server *server, unsigned handlers);

/* All threads are joined: closes what is left. */
void mp_reactor_done(struct mp_reactor *reactor);

/* Leads until the token is lost or the pool stops. True: the thread is among the parked ones. */
bool mp_reactor_lead(struct mp_thread *thread);

/* Any thread that owns conn: gives it back to the leader, who resumes it. */
void mp_reactor_return(struct mp_conn *conn);

/* The same of a connection that is over: the leader need not hear of it at once, as long as
 * handlers are waiting for threads, unless it is waiting for room. */
void mp_reactor_return_idly(struct mp_conn *conn);

/* Leader: opens the gate of a connection that was given back; an event that has met it closed
 * counts as something to read. */
void mp_reactor_own(struct mp_conn *conn);

/* Any thread: makes the leader look around, if it sleeps. */
void mp_reactor_wake(struct mp_reactor *reactor);

/* Any thread: the leader went into a handler, or requests wait: the control thread has to tick. */
void mp_reactor_wake_watcher(struct mp_reactor *reactor);

/* Control thread, pool->stopping set: ends the leader too. */
void mp_reactor_stop_leader(struct mp_reactor *reactor);

/* The connection's deadline, at most that far away: sets it and the time of the next look. */
void mp_reactor_set_deadline(struct mp_conn *conn, int64_t now, int64_t timeout);

/* pool.c, for the reactor's loop. */
enum mp_turn {
    MP_TURN_LOST,    /* the token is somebody else's */
    MP_TURN_AGAIN,   /* more is ready, but the sockets want a look first */
    MP_TURN_DRY,     /* nothing more may run now */
    MP_TURN_RETIRED, /* the token is vacant, and the thread among the parked ones */
};
enum mp_turn mp_pool_run_ready(struct mp_thread *thread, int64_t now);
/* Drops references that wait for it. False: the token is lost. */
bool mp_pool_sweep_as_leader(struct mp_thread *thread);

#endif
