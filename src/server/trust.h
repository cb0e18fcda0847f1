/* SPDX-License-Identifier: MIT */
/*
 * Whom the worker believes what about its clients.
 *
 * Two lists of addresses: of those that may begin a connection with a PROXY header, and then have
 * to; and of those whose X-Forwarded-* and Forwarded count. The second is asked about the address
 * that the PROXY header has announced: what comes through a proxy that passes bytes on is its
 * client's, not its own. The peers of UNIX sockets are on both: who may open the file is the file
 * system's matter.
 *
 * All for the leader.
 */
#ifndef MP_SERVER_TRUST_H
#define MP_SERVER_TRUST_H

#include "server/internal.h"

/* 0, -ENOMEM, or -EINVAL: the options have a list that is none. */
int mp_trust_new(const struct mp_worker_options *options, struct mp_trust **ret_trust);
/* NULL is harmless. */
void mp_trust_free(struct mp_trust *trust);

/* Whether a connection from there is taken at all; the log is told when not. */
bool mp_trust_may_connect(const struct mp_server *server, const struct mp_sockaddr *peer);

/*
 * The connection begins with a PROXY header (conn->awaits_proxy): reads it at the beginning of its
 * request's text. On DONE it is no more in the text, and the connection's peer is the client. BAD
 * has status and reason in the request's head.
 */
enum mp_http_outcome mp_trust_read_proxy(struct mp_conn *conn);

/*
 * The request's head is complete and has fields that only proxies should send (head.forwarding): of
 * a peer that is trusted they are read, of another one removed. False: refused, with status and
 * reason in the head.
 */
bool mp_trust_read_forwarded(struct mp_conn *conn);

#endif
