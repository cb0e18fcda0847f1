/* SPDX-License-Identifier: MIT */
/* The Python object around a master, and what the core calls on its behalf. */
#ifndef MP_PYTHON_CALLBACKS_H
#define MP_PYTHON_CALLBACKS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include "master/master.h"
#include "python/sockets.h"
#include "python/successor.h"

struct mp_py_master {
    PyObject_HEAD struct mp_master *master;
    struct mp_master_options options;
    PyObject *option_values; /* keeps borrowed strings alive */
    PyObject *load;
    PyObject *freeze;
    PyObject *exit;
    PyObject *ready;
    PyObject *configure;
    PyObject *event;
    struct mp_py_successor successor;
    PyObject *hooks;
    PyObject *fresh_values;       /* like option_values, of a reload */
    PyObject *application;        /* what load has returned, in zygote and workers */
    PyThreadState *tstate;        /* while the interpreter is left */
    struct mp_py_sockets sockets; /* of WSGI: only its gateway */
    bool running;
    unsigned readers;          /* of the scoreboard, now */
    struct mp_master *closing; /* closed, but the readers are not done */
};

/* Between the interpreter and the core. Only the thread that runs the master, and in its turn. */
void mp_py_enter(struct mp_py_master *self);
void mp_py_leave(struct mp_py_master *self);

/* self is theirs to use until the master is freed. */
struct mp_master_ops mp_py_callbacks(struct mp_py_master *self);

#endif
