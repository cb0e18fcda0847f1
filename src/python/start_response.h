/* SPDX-License-Identifier: MIT */
/*
 * start_response(status, headers, exc_info=None), and the write(data) that it returns; and
 * environ["millpond.extend_deadline"](seconds).
 *
 * Each thread has one of each and hands it to request after request, as long as the
 * application does not keep it. One that was kept is detached: calling it raises RuntimeError.
 */
#ifndef MP_PYTHON_START_RESPONSE_H
#define MP_PYTHON_START_RESPONSE_H

#include "python/thread.h"

extern PyType_Spec mp_py_start_response_spec;
extern PyType_Spec mp_py_write_spec;
extern PyType_Spec mp_py_extend_deadline_spec;

/* Attached to the thread. New reference, or NULL with an exception. */
PyObject *mp_py_start_response_new(struct mp_py_thread *thread);
PyObject *mp_py_write_new(struct mp_py_thread *thread);
PyObject *mp_py_extend_deadline_new(struct mp_py_thread *thread);

/* Of any of these types. */
void mp_py_callable_detach(PyObject *callable);

#endif
