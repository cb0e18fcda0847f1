/* SPDX-License-Identifier: MIT */
/*
 * The parts of the HTTP/1 protocol, among themselves.
 *
 *   http1.c         what happens to a connection: events, deadlines, the end of a handler
 *   http1_read.c    bytes to heads, bodies and whole requests
 *   http1_write.c   responses to the socket, and the end of a connection
 *   http1_answer.c  the event core's own answers
 *
 * All functions are the leader's, for connections that the reactor owns. After those that say so,
 * the connection may be closed.
 */
#ifndef MP_SERVER_HTTP1_H
#define MP_SERVER_HTTP1_H

#include "server/internal.h"

static inline struct mp_server *mp_http1_server(const struct mp_conn *conn)
{
    return conn->reactor->server;
}

/* ---- http1_read.c ------------------------------------------------------------------------ */

/* Reads until the socket is empty, the request is complete, or others shall have their turn. The
 * connection may be closed. */
void mp_http1_read(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* The connection is idle: looks at bytes that came with the last request, then at the socket. The
 * connection may be closed. */
void mp_http1_next(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* ---- http1_write.c ----------------------------------------------------------------------- */

/* Sends what the socket takes; after the last byte goes on with the next request, or closes. The
 * connection may be closed. */
void mp_http1_send(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* Owner: the response is complete, and some of it has to be sent by the leader. */
void mp_http1_begin_writing(struct mp_conn *conn, int64_t now);

/* mp_protocol.push: sends for a handler that streams. */
void mp_http1_push(struct mp_thread *thread, struct mp_conn *conn);

/* Gives the connection to itself: the leader comes back to it in its next turn. */
void mp_http1_again(struct mp_conn *conn);

/* Closes our side, and lingers where the client still sends. The connection may be closed. */
void mp_http1_close(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* Throws away what a client sends after our last byte. The connection may be closed. */
void mp_http1_linger(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* ---- http1_answer.c ---------------------------------------------------------------------- */

/* Answers a request that no handler shall see; the connection ends with it. reason: for the log, a
 * constant. The connection may be closed. */
void mp_http1_refuse(struct mp_thread *thread, struct mp_conn *conn, int status, const char *reason,
                     int64_t now);

/* Has the log know of something that a client has done: at once or, when that happens often, one of
 * many and their number. */
void mp_http1_report(const struct mp_conn *conn, int64_t now, const char *what);

/* Answers the health check. The connection may be closed. */
void mp_http1_answer_health(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* mp_protocol.shed: answers a request that has waited too long. */
void mp_http1_shed(struct mp_thread *thread, struct mp_request *request, int64_t now);

#endif
