/* SPDX-License-Identifier: MIT */
/* The body of a response: what the application has returned, piece by piece, to the server. */
#ifndef MP_PYTHON_RESPOND_H
#define MP_PYTHON_RESPOND_H

#include "python/thread.h"

/*
 * Sends result, the return value of the application, ends or fails the response, and calls close()
 * exactly once, whatever happens. Logs what goes wrong. Leaves no exception set.
 */
void mp_py_respond(struct mp_py_thread *thread, PyObject *result);

/* The application has raised: logs the exception that is set, and fails the response. */
void mp_py_respond_failure(struct mp_py_thread *thread);

/*
 * Hands a piece of the body to the server. Returns 0, also when the client has gone or more than
 * declared was written (call.gone, call.cut), or -1 with an exception. Does not flush.
 */
int mp_py_respond_piece(struct mp_py_thread *thread, PyObject *piece);

/* Lets what was written leave, with the interpreter left. 0, or -1 with an exception. */
int mp_py_respond_flush(struct mp_py_thread *thread);

#endif
