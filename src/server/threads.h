/* SPDX-License-Identifier: MIT */
/*
 * The pool's threads as such: started, prepared by the application, ended, joined; and their number
 * while the pool serves. What they do in between is pool.c. All for the control thread.
 */
#ifndef MP_SERVER_THREADS_H
#define MP_SERVER_THREADS_H

#include "server/internal.h"

/* Room for handlers + 1 threads. 0 or -ENOMEM. */
int mp_threads_init(struct mp_reactor *reactor, unsigned handlers);
void mp_threads_done(struct mp_reactor *reactor);

/* One step of sizing: looks, and starts or lets go. When the number is fixed: lets those go that
 * have stood in for others. */
void mp_threads_resize(struct mp_reactor *reactor, int64_t now);

/* When that wants to look again although nothing happens: monotonic ns, or INT64_MAX. */
int64_t mp_threads_next_look(const struct mp_reactor *reactor);

/* A handler is stuck: starts a thread in the place of its own. False: there is none left, or it
 * cannot be started. */
bool mp_threads_replace(struct mp_reactor *reactor, int64_t now);

/* Handlers that may run at once besides those that are stuck, threads that are coming included. */
unsigned mp_threads_usable(struct mp_reactor *reactor);

#endif
