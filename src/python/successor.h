/* SPDX-License-Identifier: MIT */
/* How this program was started, for the master that may follow this one. */
#ifndef MP_PYTHON_SUCCESSOR_H
#define MP_PYTHON_SUCCESSOR_H

#include <Python.h>

#include "master/master.h"

struct mp_py_successor {
    struct mp_successor core; /* program NULL: not known */
    char **arguments;
    char **environment;
    PyObject *objects; /* what the texts belong to */
};

/* From a tuple (program: bytes, arguments: list of bytes, environment: list of bytes "NAME=value",
 * folder: bytes). 0, or -1 with an exception and nothing changed. */
int mp_py_successor_set(struct mp_py_successor *successor, PyObject *tuple);
void mp_py_successor_done(struct mp_py_successor *successor);

#endif
