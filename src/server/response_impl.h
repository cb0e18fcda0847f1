/* SPDX-License-Identifier: MIT */
/* The server's side of a response (response.h is the handler's). */
#ifndef MP_SERVER_RESPONSE_IMPL_H
#define MP_SERVER_RESPONSE_IMPL_H

#include "server/internal.h"
#include "server/response.h"

/*
 * The handler is over and the response ended: sends what is left, as much as the socket takes.
 * 0: everything has left; -EAGAIN: the event core has to send the rest (-EBUSY: at once); else the
 * connection is lost. For the thread that owns the connection, the interpreter need not be held.
 */
int mp_response_send(struct mp_thread *thread, struct mp_request *request);

/*
 * Control thread, the handler being claimed (internal.h): answers 504 in its place if nothing has
 * been sent yet, else cuts the connection; what the handler still makes is thrown away. True when
 * the 504 was sent.
 */
bool mp_response_time_out(struct mp_request *request);

#endif
