/* SPDX-License-Identifier: MIT */
/*
 * What the gateways have in common, whatever they serve: the interpreter that threads enter and
 * leave, and the signals that Python's handlers wait for.
 */
#ifndef MP_PYTHON_GATEWAY_H
#define MP_PYTHON_GATEWAY_H

#include "python/state.h"

#include "os/log.h"
#include "python/traceback.h"
#include "server/mp_app.h"

/* Called around each request; NULL, both: nothing is. */
struct mp_py_hooks {
    PyObject *before;
    PyObject *after;
};

/* One for a worker. Read-only while threads exist. */
struct mp_py_gateway {
    struct mp_py_state *state; /* borrowed from the module, which is held below */
    PyObject *module;
    PyInterpreterState *interpreter;
    PyObject *application; /* what is served: a WSGI application, or the adapter of a pool */
    struct mp_log log;
    bool multithread;
    bool multiprocess;
    PyThreadState *control;   /* of the control thread while it is not entered */
    int wakeup[2];            /* a pair; Python's C handlers of signals write into [1] */
    int old_wakeup;           /* what they wrote into before, or -1 */
    struct mp_py_hooks hooks; /* hooks.h; WSGI only */
    struct mp_py_traceback traceback;
    struct mp_app app;
};

/*
 * Entered; module is millpond._core. Fills all but the callbacks for threads and requests, which
 * get the gateway as their data. The caller passes &gateway->app to the server after it has left
 * the interpreter. Returns 0, or -1 with an exception.
 */
int mp_py_gateway_init(struct mp_py_gateway *gateway, PyObject *module, PyObject *application,
                       const struct mp_log *log);

/* After all threads are done; entered. */
void mp_py_gateway_done(struct mp_py_gateway *gateway);

/*
 * Around the time that the control thread, which has initialised the gateway, spends in the server:
 * leaves the interpreter, and enters it again.
 */
void mp_py_gateway_leave(struct mp_py_gateway *gateway);
void mp_py_gateway_enter(struct mp_py_gateway *gateway);

/*
 * Makes the calling thread one of the interpreter, and gives it a name, "millpond-4" for index 3.
 * Not entered before, entered after it. NULL without memory; an exception that comes in the way is
 * logged.
 */
PyThreadState *mp_py_gateway_attach(struct mp_py_gateway *gateway, unsigned index);

/* Undoes it; on the same thread, entered before, not after it. Its Python state dies with it, and
 * what local variables of threads hold. */
void mp_py_gateway_detach(PyThreadState *tstate);

#endif
