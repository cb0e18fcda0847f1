/* SPDX-License-Identifier: MIT */
/*
 * wsgi.input: the body of a request, from memory or from the file it was spooled to.
 *
 * The object belongs to a request only for as long as that is handled. What the application keeps
 * beyond that is detached from it: reading raises ValueError then, and touches nothing.
 */
#ifndef MP_PYTHON_INPUT_H
#define MP_PYTHON_INPUT_H

#include "python/state.h"

struct mp_request;

extern PyType_Spec mp_py_input_spec;

/* A detached input. New reference, or NULL with an exception. */
PyObject *mp_py_input_new(struct mp_py_state *state);

/* Gives a detached input the body of a request. Cannot fail. */
void mp_py_input_attach(PyObject *input, struct mp_request *request);

/* Takes it away. Waits, with the interpreter left, for another thread that reads the file. */
void mp_py_input_detach(PyObject *input);

#endif
