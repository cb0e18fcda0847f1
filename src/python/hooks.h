/* SPDX-License-Identifier: MIT */
/* What the configuration wants to be called around each request. */
#ifndef MP_PYTHON_HOOKS_H
#define MP_PYTHON_HOOKS_H

#include "python/thread.h"

/*
 * Before the application: *ret_req is what the hook has made of environ, for the other one. 0, or
 * -1 with an exception that ends the request. Only where gateway->hooks.before is set.
 */
int mp_py_hooks_before(struct mp_py_thread *thread, PyObject *env, PyObject **ret_req);

/* After it: with what has become of the response. Consumes req. Nothing is raised. */
void mp_py_hooks_after(struct mp_py_thread *thread, PyObject *req, PyObject *env);

/* start_response was called with these. */
void mp_py_hooks_note_head(struct mp_py_thread *thread, PyObject *status, PyObject *headers);

/* A pair of functions, or None. 0, or -1 with an exception. */
int mp_py_hooks_set(struct mp_py_hooks *hooks, PyObject *pair);
void mp_py_hooks_clear(struct mp_py_hooks *hooks);

#endif
