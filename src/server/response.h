/* SPDX-License-Identifier: MIT */
/*
 * The response, as a handler makes it:
 *
 *   begin, field*, write*, end        an ordinary answer
 *   begin ... reset, begin ...        another answer, as long as it is not committed
 *   fail                              500 if not committed; else the connection is cut
 *
 * The head is held back until the first body byte, the end, or a flush of a committed response.
 * Framing is the server's matter: a declared Content-Length is kept to; else the length when the
 * whole body is known at the end; else chunked (HTTP/1.1) or until close (1.0). Nothing is sent for
 * HEAD, 204 and 304 but the head: bodies written are counted and dropped.
 *
 * write never blocks and never fails because the client is slow: bytes that the socket does not
 * take are kept (by reference, then in memory, then in a file), and the event core sends them after
 * the handler has gone. flush may block; see there.
 *
 * All functions are for the thread that runs the handler. Errors are negative errno:
 *   -EPIPE     the client is gone; nothing more needs to be made (close what is open)
 *   -EINVAL    refused: control characters, bad name, bad number
 *   -EPERM     refused: a hop-by-hop field, which is the server's own matter
 *   -EMSGSIZE  more body than the declared Content-Length; the part that fits was taken
 *   -EALREADY  the response has been committed or has ended
 *   -E2BIG     the head would exceed 64 KiB
 *   -ENOMEM
 */
#ifndef MP_SERVER_RESPONSE_H
#define MP_SERVER_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mp_request;

/* status 200..599 (1xx are refused); reason may be empty. */
int mp_response_begin(struct mp_request *request, int status, const char *reason,
                      size_t reason_len);

/* Checks and keeps a field. Content-Length is parsed; Date and Server replace the server's own.
 * Connection, Keep-Alive, Transfer-Encoding, Upgrade, TE, Trailer, Proxy-* are -EPERM. */
int mp_response_field(struct mp_request *request, const char *name, size_t name_len,
                      const char *value, size_t value_len);

/* Forgets begin and fields. -EALREADY when committed. */
int mp_response_reset(struct mp_request *request);

/* True after the first body byte was written, or flush: status and fields can no longer change. */
bool mp_response_committed(const struct mp_request *request);
bool mp_response_begun(const struct mp_request *request);
bool mp_response_ended(const struct mp_request *request);

/*
 * Body bytes. With a ref, the bytes are not copied where that pays: they stay valid until
 * the app's release(ref). The ref is always consumed, even on errors. Without (NULL), they are
 * copied. Only queues: nothing is sent before flush or end.
 */
int mp_response_write(struct mp_request *request, const void *data, size_t n, void *ref);

/* Body bytes from a file, by sendfile where possible. Takes ownership of fd, even on errors. n:
 * bytes that the file has from offset; a file that is shorter later cuts the connection. */
int mp_response_sendfile(struct mp_request *request, int fd, uint64_t offset, uint64_t n);

/*
 * Lets what was written leave: sends what the socket takes. Blocks only when more is kept than the
 * limit of memory and spool file together, until some of it has left or the client is given up:
 * leave the interpreter first. Commits the response, when something of its body was written.
 */
int mp_response_flush(struct mp_request *request);

/*
 * The body is complete. With nothing committed and no Content-Length declared, the length is now
 * known and set. Sending happens after the handler has returned. -ENODATA: fewer bytes than
 * declared; the connection will be cut.
 */
int mp_response_end(struct mp_request *request);

/* The handler failed: 500 with a fixed plain body, or the connection is cut when committed. */
void mp_response_fail(struct mp_request *request);

/* A whole small answer at once: begin, Content-Type, body (copied), end. */
int mp_response_reply(struct mp_request *request, int status, const char *content_type,
                      const char *body, size_t n);

#endif
