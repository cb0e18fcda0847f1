/* SPDX-License-Identifier: MIT */
/*
 * Where Python code stands, seen from outside, and how it is interrupted: the server's inspection
 * (server/inspection.h).
 */
#ifndef MP_PYTHON_TRACEBACK_H
#define MP_PYTHON_TRACEBACK_H

#include "python/state.h"

#include <signal.h>

#include "server/inspection.h"

struct mp_py_gateway;

/* Of a gateway. */
struct mp_py_traceback {
    PyThreadState *(*state_of)(void *thread); /* of what thread_init has returned */
    int file;                                 /* what pokes are answered into; -1: not installed */
    uint32_t asked;                           /* as many pokes have been sent */
};

#define MP_PY_TRACEBACK_INIT ((struct mp_py_traceback){.file = -1})

/* Its callbacks' data is a gateway. */
extern const struct mp_inspection mp_py_inspection;

/* Adds RequestTimeout to a new module, and what the state has for this file. 0, or -1 with an
 * exception. */
int mp_py_traceback_add(PyObject *module, struct mp_py_state *state);

/* What makes a process say where all its threads stand, in the log, whatever state it is in: for
 * one that will be killed. The master is told by mp_master_options.dump_signal. */
#define MP_PY_DUMP_SIGNAL (SIGRTMAX - 3)

/* poke.c: of the inspection. */
int mp_py_poke(void *data, pid_t tid);
ssize_t mp_py_poked(void *data, char *bytes, size_t size);

/* In a worker, on its main thread, entered: makes pokes possible. Without them a handler that holds
 * the interpreter cannot be seen; that is logged, and no failure. */
void mp_py_traceback_install(struct mp_py_gateway *gateway);
void mp_py_traceback_uninstall(struct mp_py_gateway *gateway);

#endif
