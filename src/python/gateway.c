/* SPDX-License-Identifier: MIT */
#include "python/gateway.h"

#include <errno.h>

#include "os/fd.h"
#include "os/socket.h"
#include "python/failure.h"

/* ---- signals ----------------------------------------------------------------------------- */

static int signal_fd(void *data)
{
    return ((struct mp_py_gateway *)data)->wakeup[0];
}

static void drain(int fd)
{
    char bytes[64];
    while (mp_fd_read(fd, bytes, sizeof(bytes)) > 0)
        ;
}

/* Runs the Python handlers of signals that have come. A KeyboardInterrupt says that the terminal
 * interrupts the whole group; the master acts on that. */
static void interrupted(void *data)
{
    struct mp_py_gateway *gateway = data;
    drain(gateway->wakeup[0]);
    mp_py_gateway_enter(gateway);
    if (PyErr_CheckSignals() < 0) {
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            PyErr_Clear();
        else
            mp_py_failure_exception(gateway->state, &gateway->log, NULL,
                                    "exception in a signal handler");
    }
    mp_py_gateway_leave(gateway);
}

/* Has Python's C handlers of signals write into fd; -1: nowhere. Returns the former one, or -2 with
 * an exception. */
static int set_wakeup_fd(struct mp_py_state *state, int fd)
{
    PyObject *former = PyObject_CallFunction(state->set_wakeup_fd, "i", fd);
    if (!former)
        return -2;
    int number = (int)PyLong_AsLong(former);
    Py_DECREF(former);
    return number;
}

/* A signal may come while the control thread is not waiting, and then interrupts nothing: so there
 * is a pair of sockets, which the control thread watches. 0, or -1 with an exception. */
static int watch_signals(struct mp_py_gateway *gateway)
{
    int rc = mp_socket_pair(gateway->wakeup);
    if (rc < 0) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    gateway->old_wakeup = set_wakeup_fd(gateway->state, gateway->wakeup[1]);
    return gateway->old_wakeup < -1 ? -1 : 0;
}

/* ---- the gateway ------------------------------------------------------------------------- */

int mp_py_gateway_init(struct mp_py_gateway *gateway, PyObject *module, PyObject *application,
                       const struct mp_log *log)
{
    *gateway = (struct mp_py_gateway){
        .state = PyModule_GetState(module),
        .module = Py_NewRef(module),
        .interpreter = PyInterpreterState_Get(),
        .application = Py_NewRef(application),
        .log = *log,
        .wakeup = {-1, -1},
        .old_wakeup = -1,
        .traceback = MP_PY_TRACEBACK_INIT,
    };
    gateway->app = (struct mp_app){
        .data = gateway,
        .max_computing = 1,
        .interrupted = interrupted,
        .signal_fd = signal_fd,
        .inspection = &mp_py_inspection,
    };
    if (watch_signals(gateway) < 0) {
        mp_py_gateway_done(gateway);
        return -1;
    }
    return 0;
}

void mp_py_gateway_done(struct mp_py_gateway *gateway)
{
    if (gateway->old_wakeup >= -1 && gateway->wakeup[1] >= 0 &&
        set_wakeup_fd(gateway->state, gateway->old_wakeup) < -1)
        PyErr_Clear();
    mp_fd_close(&gateway->wakeup[0]);
    mp_fd_close(&gateway->wakeup[1]);
    mp_py_traceback_uninstall(gateway);
    Py_CLEAR(gateway->hooks.before);
    Py_CLEAR(gateway->hooks.after);
    Py_CLEAR(gateway->application);
    Py_CLEAR(gateway->module);
}

void mp_py_gateway_leave(struct mp_py_gateway *gateway)
{
    gateway->control = PyEval_SaveThread();
}

void mp_py_gateway_enter(struct mp_py_gateway *gateway)
{
    PyEval_RestoreThread(gateway->control);
    gateway->control = NULL;
}

/* ---- threads ----------------------------------------------------------------------------- */

/*
 * Introduces the thread to module threading, to which it is a foreign one: gives it its name, which
 * logging shows, and makes it no daemon. That has no meaning for the thread itself, but a thread
 * that a handler starts inherits it, and the end of a daemon is not waited for: its work would be
 * lost when the worker ends. The property cannot be set of a thread that runs; what it shows can.
 */
static int introduce_thread(struct mp_py_state *state, unsigned index)
{
    PyObject *thread = PyObject_CallNoArgs(state->current_thread);
    if (!thread)
        return -1;
    PyObject *name = PyUnicode_FromFormat("millpond-%u", index + 1);
    int rc = name ? PyObject_SetAttr(thread, state->names[MP_PY_NAME_NAME], name) : -1;
    if (rc == 0)
        rc = PyObject_SetAttr(thread, state->names[MP_PY_NAME_DAEMONIC], Py_False);
    Py_XDECREF(name);
    Py_DECREF(thread);
    return rc;
}

PyThreadState *mp_py_gateway_attach(struct mp_py_gateway *gateway, unsigned index)
{
    PyThreadState *tstate = PyThreadState_New(gateway->interpreter);
    if (!tstate)
        return NULL;
    PyEval_RestoreThread(tstate);
    if (introduce_thread(gateway->state, index) == 0)
        return tstate;
    mp_py_failure_exception(gateway->state, &gateway->log, NULL, "a thread cannot be started");
    mp_py_gateway_detach(tstate);
    return NULL;
}

void mp_py_gateway_detach(PyThreadState *tstate)
{
    PyThreadState_Clear(tstate);
    PyThreadState_DeleteCurrent();
}
