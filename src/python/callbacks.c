/* SPDX-License-Identifier: MIT */
/*
 * What the core calls in the three kinds of processes. mp_master_run is called with the interpreter
 * left, and returns in the master only; zygotes and workers, which are forked inside of it, live in
 * the callbacks below and end in on_exit. Each callback enters the interpreter for its own time. In
 * all three kinds the thread is the main thread, and its Python thread state is the one that has
 * called run().
 */
#include "python/callbacks.h"

#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "python/app.h"
#include "python/failure.h"
#include "python/functions.h"
#include "python/hooks.h"
#include "python/options.h"
#include "python/sockets.h"

void mp_py_enter(struct mp_py_master *self)
{
    PyEval_RestoreThread(self->tstate);
}

void mp_py_leave(struct mp_py_master *self)
{
    self->tstate = PyEval_SaveThread();
}

static void on_before_fork(void *data)
{
    mp_py_enter(data);
    PyOS_BeforeFork();
}

static void on_after_fork_parent(void *data)
{
    PyOS_AfterFork_Parent();
    mp_py_leave(data);
}

static void on_after_fork_child(void *data)
{
    PyOS_AfterFork_Child();
    mp_py_leave(data);
}

/* The status of SystemExit. A code that is neither a number nor None is a message. */
static int status_of_code(PyObject *code)
{
    if (code == Py_None)
        return 0;
    if (!code)
        return 1;
    if (PyLong_Check(code))
        return (int)PyLong_AsLong(code);
    PyObject *file = PySys_GetObject("stderr");
    if (file && file != Py_None && PyFile_WriteObject(code, file, Py_PRINT_RAW) == 0)
        PyFile_WriteString("\n", file);
    return 1;
}

/* The status of an exception that ends the process: that of SystemExit, 130 of an interrupt, which
 * both have nothing to add; else 1 with a traceback. Clears the exception. */
static int exit_status(void)
{
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        return 130;
    }
    if (!PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyErr_Print();
        return 1;
    }
    PyObject *error = mp_py_take_exception();
    PyObject *code = error ? PyObject_GetAttrString(error, "code") : NULL;
    int status = status_of_code(code);
    Py_XDECREF(code);
    Py_XDECREF(error);
    PyErr_Clear();
    return status;
}

/* A mapping of options. 0, or -1 with an exception. */
static int take_options(struct mp_py_master *self, PyObject *values)
{
    struct mp_master_options options = self->options;
    if (!PyDict_Check(values)) {
        PyErr_SetString(PyExc_TypeError, "configure() must return a dict or None");
        return -1;
    }
    if (mp_py_options_set(&options, values) < 0)
        return -1;
    Py_XSETREF(self->fresh_values, Py_NewRef(values));
    mp_master_set_options(self->master, &options);
    return 0;
}

static int on_configure(void *data, bool fresh)
{
    struct mp_py_master *self = data;
    int status = 0;
    if (!self->configure)
        return 0;
    mp_py_enter(self);
    PyObject *values =
        PyObject_CallFunctionObjArgs(self->configure, fresh ? Py_True : Py_False, NULL);
    if (!values || (values != Py_None && take_options(self, values) < 0)) {
        status = exit_status();
        status = status != 0 ? status : 1;
    }
    Py_XDECREF(values);
    mp_py_leave(self);
    return status;
}

static int on_load(void *data)
{
    struct mp_py_master *self = data;
    mp_py_enter(self);
    PyObject *application = PyObject_CallNoArgs(self->load);
    int status = 0;
    if (application)
        Py_XSETREF(self->application, application);
    else
        status = exit_status();
    mp_py_leave(self);
    return status;
}

/* Calls a callback that returns nothing; what it raises is printed. Consumes result. */
static void finish_call(PyObject *result)
{
    if (!result)
        PyErr_Print();
    Py_XDECREF(result);
}

static void on_freeze(void *data)
{
    struct mp_py_master *self = data;
    mp_py_enter(self);
    finish_call(PyObject_CallNoArgs(self->freeze));
    mp_py_leave(self);
}

static void *end_soon(void *status)
{
    const struct timespec patience = {.tv_sec = 1};
    nanosleep(&patience, NULL);
    _exit((int)(intptr_t)status);
}

/* A worker that was told to quit may have a handler that never gives the interpreter back: what is
 * left to be done in Python must not wait for it. */
static void end_soon_anyway(int status)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_soon, (void *)(intptr_t)status) == 0)
        pthread_detach(thread);
}

/* In a zygote, and in a worker: calls a method of the hooks with the number of the worker. */
static PyObject *call_hook(const struct mp_py_master *self, const char *name, unsigned slot)
{
    return PyObject_CallMethod(self->hooks, name, "I", slot + 1);
}

static void on_pre_fork(void *data, unsigned slot)
{
    struct mp_py_master *self = data;
    if (!self->hooks)
        return;
    mp_py_enter(self);
    finish_call(call_hook(self, "pre_fork", slot));
    mp_py_leave(self);
}

/* Of an exception that ends a worker: one that leaves here does not serve, however it puts it. */
static int failure_status(void)
{
    int status = exit_status();
    return status != 0 ? status : 1;
}

static int on_post_fork(void *data, unsigned slot)
{
    struct mp_py_master *self = data;
    if (!self->hooks)
        return 0;
    mp_py_enter(self);
    PyObject *result = call_hook(self, "post_fork", slot);
    int status = result ? 0 : failure_status();
    Py_XDECREF(result);
    mp_py_leave(self);
    return status;
}

/* The worker has its application. 0 or the exit status. Entered. */
static int start_hooks(struct mp_py_master *self, unsigned slot)
{
    if (!self->hooks)
        return 0;
    PyObject *pair = PyObject_CallMethod(self->hooks, "worker_started", "IO", slot + 1,
                                         self->application ? self->application : Py_None);
    int rc = pair ? mp_py_hooks_set(&self->sockets.gateway.hooks, pair) : -1;
    Py_XDECREF(pair);
    return rc == 0 ? 0 : failure_status();
}

/* A pool's adapter is told before and after; what it raises before that ends the worker. Returns 0
 * or the exit status. */
static int start_adapter(const struct mp_py_master *self)
{
    PyObject *result = PyObject_CallMethod(self->application, "started", NULL);
    if (result) {
        Py_DECREF(result);
        return 0;
    }
    return failure_status();
}

/* 0 or the exit status. Entered. */
static int start_serving(struct mp_py_master *self, const struct mp_worker_context *context)
{
    const struct mp_worker_options *options = context->options;
    PyObject *module = PyType_GetModule(Py_TYPE(self));
    struct mp_py_state *state = module ? PyModule_GetState(module) : NULL;
    int rc = -1;
    if (state) {
        state->worker = context;
        state->worker_pid = getpid();
    }
    if (state && options->protocol == MP_PROTOCOL_HTTP1) {
        rc = mp_py_wsgi_init(&self->sockets.gateway, module, self->application, context->log,
                             options->threads > 1, options->multiprocess);
    } else if (state) {
        int status = start_adapter(self);
        if (status != 0)
            return status;
        rc = mp_py_sockets_init(&self->sockets, module, self->application, context->log,
                                options->protocol);
    }
    if (rc < 0) {
        PyErr_Print();
        return 1;
    }
    mp_py_traceback_install(&self->sockets.gateway);
    return start_hooks(self, context->slot);
}

/* The pool's threads have ended. Entered. */
static void end_serving(struct mp_py_master *self, const struct mp_worker_context *context)
{
    if (context->options->protocol != MP_PROTOCOL_HTTP1)
        finish_call(PyObject_CallMethod(self->application, "stopping", NULL));
    if (self->hooks)
        finish_call(call_hook(self, "worker_stopping", context->slot));
    mp_py_sockets_done(&self->sockets);
}

static int on_serve(void *data, const struct mp_worker_context *context)
{
    struct mp_py_master *self = data;
    struct mp_py_gateway *gateway = &self->sockets.gateway;

    mp_py_enter(self);
    int status = start_serving(self, context);
    if (status != 0) {
        mp_py_leave(self);
        return status;
    }
    mp_py_gateway_leave(gateway);
    status = mp_worker_run(context, &gateway->app);
    if (status == MP_WORKER_EXIT_QUIT)
        end_soon_anyway(status);
    mp_py_gateway_enter(gateway);
    gateway->state->worker = NULL; /* it has closed its connection to the master */
    /* Otherwise the pool's threads may be in it still. */
    if (status == 0)
        end_serving(self, context);
    mp_py_leave(self);
    return status;
}

static void on_exit_process(void *data, int status, bool graceful)
{
    struct mp_py_master *self = data;
    mp_py_enter(self);
    struct mp_py_state *state = mp_py_state_of(Py_TYPE((PyObject *)self));
    bool worker = state && state->worker_pid == getpid();
    finish_call(PyObject_CallFunction(self->exit, "iOO", status, graceful ? Py_True : Py_False,
                                      worker ? Py_True : Py_False));
    _exit(status);
}

/* The addresses as a list of str. */
static PyObject *list_addresses(const struct mp_listen_socket *listeners, size_t count)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count; i++) {
        char text[MP_SOCKADDR_TEXT];
        size_t n = mp_sockaddr_format(&listeners[i].addr, text, sizeof(text));
        PyObject *address = PyUnicode_DecodeUTF8(text, (Py_ssize_t)n, "backslashreplace");
        if (!address || PyList_Append(list, address) < 0)
            Py_CLEAR(list);
        Py_XDECREF(address);
    }
    return list;
}

static void on_ready(void *data, const struct mp_master_ready *ready)
{
    struct mp_py_master *self = data;
    mp_py_enter(self);
    PyObject *addresses = list_addresses(ready->listeners, ready->listener_count);
    finish_call(addresses
                    ? PyObject_CallFunction(self->ready, "IIdN", ready->workers, ready->threads,
                                            (double)ready->load_time / 1e9, addresses)
                    : NULL);
    mp_py_leave(self);
}

static void on_event(void *data, const struct mp_master_event *event)
{
    struct mp_py_master *self = data;
    if (!self->event)
        return;
    mp_py_enter(self);
    if (event->kind == MP_MASTER_EVENT_READY)
        finish_call(PyObject_CallFunction(self->event, "s", "ready"));
    else if (event->kind == MP_MASTER_EVENT_WORKER_ENDED)
        finish_call(PyObject_CallFunction(self->event, "sIii", "worker_ended", event->slot + 1,
                                          (int)event->pid, event->status));
    mp_py_leave(self);
}

struct mp_master_ops mp_py_callbacks(struct mp_py_master *self)
{
    return (struct mp_master_ops){
        .data = self,
        .before_fork = on_before_fork,
        .after_fork_parent = on_after_fork_parent,
        .after_fork_child = on_after_fork_child,
        .configure = on_configure,
        .pre_fork = on_pre_fork,
        .post_fork = on_post_fork,
        .load = on_load,
        .freeze = on_freeze,
        .serve = on_serve,
        .exit = on_exit_process,
        .on_ready = on_ready,
        .on_event = on_event,
    };
}
