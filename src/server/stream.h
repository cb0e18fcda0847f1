/* SPDX-License-Identifier: MIT */
/*
 * What a handler of the stream protocol may do: take the connection's socket. Of the datagram
 * protocol: read the datagram, as the body (mp_request_body_memory, mp_request_body_length) and the
 * sender (mp_request_peer); the socket it came on is the listening one.
 *
 * Handlers of these protocols have no response: mp_response_* must not be called.
 */
#ifndef MP_SERVER_STREAM_H
#define MP_SERVER_STREAM_H

#include "server/request.h"

/*
 * The connection's descriptor: blocking, CLOEXEC, the caller's from now on (to close, also after
 * handle() has returned). Once for each request; then, and for datagrams, -EBADF. Other errors:
 * -EMFILE. A socket that is not taken is closed after handle().
 *
 * With a request_timeout it is a duplicate: the worker keeps the connection open as well until
 * handle() has returned, to be able to cut it.
 */
int mp_request_take_socket(struct mp_request *request);

#endif
