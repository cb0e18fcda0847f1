/* SPDX-License-Identifier: MIT */
/* The functions of the module: what the Python side needs of the lower layers. */
#ifndef MP_PYTHON_FUNCTIONS_H
#define MP_PYTHON_FUNCTIONS_H

#include "python/state.h"

extern PyMethodDef mp_py_functions[];

/* Raises OSError of -rc, with why for its text (NULL: the system's). Always NULL. */
PyObject *mp_py_raise_os_error(int rc, const char *why);

#endif
