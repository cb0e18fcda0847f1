/* SPDX-License-Identifier: MIT */
/*
 * A request, as a handler reads it. It is complete: head and body have been read and checked before
 * the handler runs. Valid until handle() returns; used by one thread at a time.
 *
 * A request is not its connection: what is asked here can be answered for any protocol.
 */
#ifndef MP_SERVER_REQUEST_H
#define MP_SERVER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/forwarded.h"
#include "http/head.h"
#include "os/socket.h"

struct mp_request;

/* The parsed head; the spans in it are offsets into mp_request_text(). Percent-encoding untouched.
 */
const struct mp_http_head *mp_request_head(const struct mp_request *request);
const char *mp_request_text(const struct mp_request *request);

/* The client, as far as trusted proxies have told, or else the peer (len 0 or family AF_UNIX for
 * UNIX sockets); and the address that the peer has connected to. */
const struct mp_sockaddr *mp_request_peer(const struct mp_request *request);
const struct mp_sockaddr *mp_request_local(const struct mp_request *request);

/* What else trusted proxies have said of it; all of it empty where there are none. The host is the
 * head's already. */
const struct mp_http_forwarded *mp_request_forwarded(const struct mp_request *request);

/* Length of the body after decoding (chunked bodies too): it is all here. */
uint64_t mp_request_body_length(const struct mp_request *request);

/* The body in memory, or NULL when it was spooled to a file or is empty. */
const char *mp_request_body_memory(const struct mp_request *request);

/* Copies at most n bytes of the body from offset. Bytes copied, 0 at the end, or -errno (of the
 * spool file; it is disk I/O then: leave the interpreter first). */
ssize_t mp_request_body_read(struct mp_request *request, uint64_t offset, void *data, size_t n);

/* When the request was complete, and when its handler started: monotonic ns. */
int64_t mp_request_ready_at(const struct mp_request *request);
int64_t mp_request_started_at(const struct mp_request *request);

/*
 * Moves the deadline of the handler that runs: it is to have ended in ns from now (> 0), whatever
 * was said before. Any thread, until the handler returns. 0, or -ETIME: it has passed already. Does
 * nothing where handlers have no deadline.
 */
int mp_request_extend_deadline(struct mp_request *request, int64_t ns);

/* A word for the gateway's own use during handle(); NULL at its start. */
void *mp_request_user(const struct mp_request *request);
void mp_request_set_user(struct mp_request *request, void *user);

#endif
