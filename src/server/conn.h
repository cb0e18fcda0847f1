/* SPDX-License-Identifier: MIT */
/*
 * Connections: making, closing, giving away. For the holder of the token unless said otherwise.
 *
 * Their memory is never given back to the system while the worker lives, so that the generation in
 * a late event can be compared with that of the connection now living there.
 */
#ifndef MP_SERVER_CONN_H
#define MP_SERVER_CONN_H

#include "server/internal.h"

/* What the poller's data says: a connection (aligned pointer, generation above 48 bits), or one of
 * these. */
#define MP_POLL_DATA_LISTENER UINT64_C(1) /* index << 2 | 1 */
#define MP_POLL_DATA_WAKEUP UINT64_C(2)

/* A connection that nobody watches. Takes fd over (-1: it has none), on failure too. 0 or -errno.
 */
int mp_conn_new(struct mp_reactor *reactor, int fd, const struct mp_sockaddr *peer,
                const struct mp_listen_socket *listener, int64_t now, struct mp_conn **ret_conn);

/* Has the poller report these events of it, edge-triggered, and the wheel watch its deadline,
 * timeout away. 0 or -errno. */
int mp_conn_watch(struct mp_conn *conn, uint32_t events, int64_t timeout, int64_t now);

/* The same without the wheel, by whoever keeps the time otherwise: conn->timer.link is for that,
 * and taken out of the list that it is in by what follows; a drain puts it into the wheel. */
int mp_conn_watch_briefly(struct mp_conn *conn, uint32_t events, int64_t now);

/* No event and no deadline of it from now on: events that wait to be handled are forgotten. */
void mp_conn_unwatch(struct mp_conn *conn);

/* What a connection is watched for that is read and written all its life: no further system call
 * for interest, whatever its state. */
#define MP_CONN_EVERYTHING (MP_POLL_IN | MP_POLL_OUT | MP_POLL_RDHUP)

/* Closes it at once; conn is invalid afterwards. */
void mp_conn_close(struct mp_thread *thread, struct mp_conn *conn);

/* Watched for everything: has the poller report again what is ready now, as if it had just become
 * so. */
void mp_conn_rearm(struct mp_conn *conn);

/* The connection an event is for, or NULL when that is closed already. */
struct mp_conn *mp_conn_of_event(uint64_t data);

/* When the worker is to drain: closes what is idle, and says when nothing is left. */
void mp_conn_drain(struct mp_thread *thread, int64_t now);

/* The threads are gone: closes and frees everything. */
void mp_conn_done_all(struct mp_reactor *reactor);

/* Owner: bytes of responses on this connection that its client has taken, as far as the kernel
 * tells. */
uint64_t mp_conn_taken(const struct mp_conn *conn);

/* Owner: keeps a copy of bytes that belong to the next request. 0 or -ENOMEM. */
int mp_conn_stash(struct mp_conn *conn, const char *data, size_t n);

#endif
