/* SPDX-License-Identifier: MIT */
/* The head of a response: from status and headers as applications give them. */
#ifndef MP_PYTHON_RESPONSE_HEAD_H
#define MP_PYTHON_RESPONSE_HEAD_H

#include "python/thread.h"

/*
 * Checks status and headers in one pass and hands them to the server. Returns 0, or -1 with
 * TypeError, ValueError or AssertionError; the response is then as if nothing had been begun.
 */
int mp_py_head_begin(struct mp_py_thread *thread, PyObject *status, PyObject *headers);

#endif
