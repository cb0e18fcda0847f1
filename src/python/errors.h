/* SPDX-License-Identifier: MIT */
/*
 * wsgi.errors: a text stream whose whole lines go to the error log as they are, each write of the
 * application by one write(2) where it ends in a line's end. It stays usable for as long as the
 * process lives: logging handlers keep it.
 */
#ifndef MP_PYTHON_ERRORS_H
#define MP_PYTHON_ERRORS_H

#include "python/state.h"

#include "os/log.h"

extern PyType_Spec mp_py_errors_spec;

/* New reference, or NULL with an exception. The log's descriptor must stay open. */
PyObject *mp_py_errors_new(struct mp_py_state *state, const struct mp_log *log);

/* A request is over: a line that it has begun is ended, and is not the next one's. No exception is
 * set, before and after. */
void mp_py_errors_end(PyObject *errors);

#endif
