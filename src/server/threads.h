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

/* One step of sizing: looks, and starts or lets go. Nothing at all when the number is fixed. */
void mp_threads_resize(struct mp_reactor *reactor, int64_t now);

/* When that wants to look again although nothing happens: monotonic ns, or INT64_MAX. */
int64_t mp_threads_next_look(const struct mp_reactor *reactor);

#endif
