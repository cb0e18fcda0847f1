/* SPDX-License-Identifier: MIT */
/* wsgi.file_wrapper: a file as an iterable, or by sendfile where that is safe. */
#ifndef MP_PYTHON_FILE_WRAPPER_H
#define MP_PYTHON_FILE_WRAPPER_H

#include "python/state.h"

extern PyType_Spec mp_py_file_wrapper_spec;

/*
 * The file behind a wrapper, when it can be sent without reading it: 1 with a new descriptor, the
 * present position and the bytes from there to the end; 0 when it must be iterated over; -1 with an
 * exception. The position of the file is not moved.
 */
int mp_py_file_wrapper_open(PyObject *wrapper, struct mp_py_state *state, int *ret_fd,
                            uint64_t *ret_offset, uint64_t *ret_n);

#endif
