/* SPDX-License-Identifier: MIT */
/*
 * mp_master_run is called with the interpreter left, and returns in the master only; zygotes and
 * workers, which are forked inside of it, live in the callbacks below and end in on_exit. Each
 * callback enters the interpreter for its own time. In all three kinds of processes the thread is
 * the main thread, and its Python thread state is the one that has called run().
 */
#include "python/master.h"

#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "master/master.h"
#include "os/fd.h"
#include "python/app.h"
#include "python/failure.h"
#include "python/functions.h"
#include "python/hooks.h"
#include "python/options.h"
#include "python/sockets.h"
#include "python/status.h"
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

static struct mp_py_master *master_of(PyObject *self)
{
    return (struct mp_py_master *)self;
}

static void enter(struct mp_py_master *self)
{
    PyEval_RestoreThread(self->tstate);
}

static void leave(struct mp_py_master *self)
{
    self->tstate = PyEval_SaveThread();
}

static void on_before_fork(void *data)
{
    enter(data);
    PyOS_BeforeFork();
}

static void on_after_fork_parent(void *data)
{
    PyOS_AfterFork_Parent();
    leave(data);
}

static void on_after_fork_child(void *data)
{
    PyOS_AfterFork_Child();
    leave(data);
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
    enter(self);
    PyObject *values =
        PyObject_CallFunctionObjArgs(self->configure, fresh ? Py_True : Py_False, NULL);
    if (!values || (values != Py_None && take_options(self, values) < 0)) {
        status = exit_status();
        status = status != 0 ? status : 1;
    }
    Py_XDECREF(values);
    leave(self);
    return status;
}

static int on_load(void *data)
{
    struct mp_py_master *self = data;
    enter(self);
    PyObject *application = PyObject_CallNoArgs(self->load);
    int status = 0;
    if (application)
        Py_XSETREF(self->application, application);
    else
        status = exit_status();
    leave(self);
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
    enter(self);
    finish_call(PyObject_CallNoArgs(self->freeze));
    leave(self);
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
    enter(self);
    finish_call(call_hook(self, "pre_fork", slot));
    leave(self);
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
    enter(self);
    PyObject *result = call_hook(self, "post_fork", slot);
    int status = result ? 0 : failure_status();
    Py_XDECREF(result);
    leave(self);
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

    enter(self);
    int status = start_serving(self, context);
    if (status != 0) {
        leave(self);
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
    leave(self);
    return status;
}

static void on_exit_process(void *data, int status, bool graceful)
{
    struct mp_py_master *self = data;
    enter(self);
    finish_call(PyObject_CallFunction(self->exit, "iO", status, graceful ? Py_True : Py_False));
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
    enter(self);
    PyObject *addresses = list_addresses(ready->listeners, ready->listener_count);
    finish_call(addresses
                    ? PyObject_CallFunction(self->ready, "IIdN", ready->workers, ready->threads,
                                            (double)ready->load_time / 1e9, addresses)
                    : NULL);
    leave(self);
}

static void on_event(void *data, const struct mp_master_event *event)
{
    struct mp_py_master *self = data;
    if (!self->event)
        return;
    enter(self);
    if (event->kind == MP_MASTER_EVENT_READY)
        finish_call(PyObject_CallFunction(self->event, "s", "ready"));
    else if (event->kind == MP_MASTER_EVENT_WORKER_ENDED)
        finish_call(PyObject_CallFunction(self->event, "sIii", "worker_ended", event->slot + 1,
                                          (int)event->pid, event->status));
    leave(self);
}

static int master_init(PyObject *obj, PyObject *args, PyObject *kwargs)
{
    struct mp_py_master *self = master_of(obj);
    if (self->master || self->closing || PyTuple_GET_SIZE(args) > 0) {
        PyErr_SetString(PyExc_TypeError, "Master() takes keyword arguments, once");
        return -1;
    }
    mp_master_options_init(&self->options);
    self->options.dump_signal = MP_PY_DUMP_SIGNAL;
    if (kwargs && mp_py_options_set(&self->options, kwargs) < 0)
        return -1;
    Py_XSETREF(self->option_values, Py_XNewRef(kwargs));
    const struct mp_master_ops ops = {
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
    int rc = mp_master_new(&self->options, &ops, &self->master);
    if (rc < 0) {
        (void)mp_py_raise_os_error(rc, NULL);
        return -1;
    }
    struct mp_py_state *state = mp_py_state_of(Py_TYPE(obj));
    if (state)
        state->log = *mp_master_log(self->master);
    return 0;
}

/* Its memory goes. */
static void forget_log(struct mp_py_master *self)
{
    struct mp_py_state *state = mp_py_state_of(Py_TYPE(self));
    if (state && self->master && state->log.sink.loss == mp_master_log(self->master)->sink.loss)
        state->log = (struct mp_log){.fd = -1};
}

static int check_idle(struct mp_py_master *self)
{
    if (self->master && !self->running)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, self->master ? "the master runs" : "the master is closed");
    return -1;
}

static PyObject *master_bind(PyObject *obj, PyObject *args)
{
    struct mp_py_master *self = master_of(obj);
    const char *spec;
    const char *why = NULL;
    int backlog;
    if (!PyArg_ParseTuple(args, "si:bind", &spec, &backlog) || check_idle(self) < 0)
        return NULL;
    int rc = mp_master_bind(self->master, spec, backlog, &why);
    if (rc == 0)
        Py_RETURN_NONE;
    return mp_py_raise_os_error(rc, why);
}

/* Signals, and so forking with care, belong to the main thread of the main interpreter. */
static int check_main(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main() && getpid() == gettid())
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the server can only run in the main thread");
    return -1;
}

static PyObject *master_run(PyObject *obj, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"load",      (char *)"freeze", (char *)"exit",  (char *)"ready",
                            (char *)"configure", (char *)"event",  (char *)"hooks", NULL};
    struct mp_py_master *self = master_of(obj);
    PyObject *calls[7] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOOOOO:run", names, &calls[0], &calls[1],
                                     &calls[2], &calls[3], &calls[4], &calls[5], &calls[6]) ||
        check_idle(self) < 0 || check_main() < 0)
        return NULL;
    if (!calls[0] || !calls[1] || !calls[2] || !calls[3]) {
        PyErr_SetString(PyExc_TypeError, "run() needs load, freeze, exit and ready");
        return NULL;
    }
    Py_XSETREF(self->load, Py_NewRef(calls[0]));
    Py_XSETREF(self->freeze, Py_NewRef(calls[1]));
    Py_XSETREF(self->exit, Py_NewRef(calls[2]));
    Py_XSETREF(self->ready, Py_NewRef(calls[3]));
    Py_XSETREF(self->configure, Py_XNewRef(calls[4]));
    Py_XSETREF(self->event, Py_XNewRef(calls[5]));
    Py_XSETREF(self->hooks, Py_XNewRef(calls[6]));

    self->running = true;
    leave(self);
    int status = mp_master_run(self->master);
    enter(self);
    self->running = false;
    return PyLong_FromLong(status);
}

static PyObject *master_set_successor(PyObject *obj, PyObject *args)
{
    struct mp_py_master *self = master_of(obj);
    if (check_idle(self) < 0 || mp_py_successor_set(&self->successor, args) < 0)
        return NULL;
    mp_master_set_successor(self->master, &self->successor.core);
    Py_RETURN_NONE;
}

static PyObject *master_inherit(PyObject *obj, PyObject *args)
{
    struct mp_py_master *self = master_of(obj);
    const char *text;
    if (!PyArg_ParseTuple(args, "s:inherit", &text) || check_idle(self) < 0)
        return NULL;
    int rc = mp_master_inherit(self->master, text);
    if (rc < 0)
        return mp_py_raise_os_error(rc, NULL);
    Py_RETURN_NONE;
}

static PyObject *master_embed(PyObject *obj, PyObject *args)
{
    struct mp_py_master *self = master_of(obj);
    int link;
    int parent;
    if (!PyArg_ParseTuple(args, "ii:embed", &link, &parent))
        return NULL;
    if (check_idle(self) < 0 || check_main() < 0) {
        mp_fd_close(&link);
        return NULL;
    }
    int rc = mp_master_embed(self->master, link, (pid_t)parent);
    if (rc < 0)
        return mp_py_raise_os_error(rc, NULL);
    Py_RETURN_NONE;
}

static PyObject *master_await_go(PyObject *obj, PyObject *args MP_UNUSED)
{
    struct mp_py_master *self = master_of(obj);
    if (check_idle(self) < 0)
        return NULL;
    self->running = true;
    leave(self);
    bool go = mp_master_await_go(self->master);
    enter(self);
    self->running = false;
    return PyBool_FromLong(go);
}

static PyObject *master_status(PyObject *obj, PyObject *args MP_UNUSED)
{
    struct mp_py_master *self = master_of(obj);
    if (!self->master) {
        PyErr_SetString(PyExc_RuntimeError, "the master is closed");
        return NULL;
    }
    self->readers++;
    PyObject *list = mp_py_status(mp_master_board(self->master));
    self->readers--;
    if (self->readers == 0 && self->closing) {
        mp_master_free(self->closing);
        self->closing = NULL;
    }
    return list;
}

static PyObject *master_close(PyObject *obj, PyObject *args MP_UNUSED)
{
    struct mp_py_master *self = master_of(obj);
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "the master runs");
        return NULL;
    }
    forget_log(self);
    /* Making objects may collect garbage, and so run anything: whoever reads keeps the memory. */
    if (self->readers > 0 && self->master)
        self->closing = self->master;
    else
        mp_master_free(self->master);
    self->master = NULL;
    Py_RETURN_NONE;
}

static int master_traverse(PyObject *obj, visitproc visit, void *arg)
{
    struct mp_py_master *self = master_of(obj);
    Py_VISIT(Py_TYPE(obj));
    Py_VISIT(self->option_values);
    Py_VISIT(self->fresh_values);
    Py_VISIT(self->configure);
    Py_VISIT(self->event);
    Py_VISIT(self->hooks);
    Py_VISIT(self->sockets.gateway.hooks.before);
    Py_VISIT(self->sockets.gateway.hooks.after);
    Py_VISIT(self->load);
    Py_VISIT(self->freeze);
    Py_VISIT(self->exit);
    Py_VISIT(self->ready);
    Py_VISIT(self->application);
    Py_VISIT(self->sockets.gateway.application);
    Py_VISIT(self->sockets.gateway.module);
    Py_VISIT(self->sockets.handler_class);
    Py_VISIT(self->sockets.server);
    Py_VISIT(self->sockets.socket_type);
    Py_VISIT(self->sockets.socket);
    Py_VISIT(self->sockets.socket_args);
    return 0;
}

static int master_clear(PyObject *obj)
{
    struct mp_py_master *self = master_of(obj);
    Py_CLEAR(self->configure);
    Py_CLEAR(self->event);
    Py_CLEAR(self->hooks);
    mp_py_hooks_clear(&self->sockets.gateway.hooks);
    Py_CLEAR(self->load);
    Py_CLEAR(self->freeze);
    Py_CLEAR(self->exit);
    Py_CLEAR(self->ready);
    Py_CLEAR(self->application);
    Py_CLEAR(self->sockets.gateway.application);
    Py_CLEAR(self->sockets.gateway.module);
    Py_CLEAR(self->sockets.handler_class);
    Py_CLEAR(self->sockets.server);
    Py_CLEAR(self->sockets.socket_type);
    Py_CLEAR(self->sockets.socket);
    Py_CLEAR(self->sockets.socket_args);
    return 0;
}

static void master_dealloc(PyObject *obj)
{
    struct mp_py_master *self = master_of(obj);
    PyTypeObject *type = Py_TYPE(obj);
    PyObject_GC_UnTrack(obj);
    forget_log(self);
    mp_master_free(self->master);
    mp_py_successor_done(&self->successor);
    master_clear(obj);
    Py_CLEAR(self->option_values);
    Py_CLEAR(self->fresh_values);
    type->tp_free(obj);
    Py_DECREF(type);
}

static PyMethodDef master_methods[] = {
    {"bind", master_bind, METH_VARARGS,
     PyDoc_STR("bind($self, spec, backlog, /)\n--\n\nOpens a listening socket.")},
    {"run", MP_PY_FUNCTION(master_run), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "run($self, *, load, freeze, exit, ready, configure=..., event=..., hooks=...)\n--\n\n"
         "Supervises until stopped; returns the exit status.")},
    {"set_successor", master_set_successor, METH_VARARGS,
     PyDoc_STR("set_successor($self, program, arguments, environment, folder, /)\n--\n\n"
               "Says what SIGUSR2 starts.")},
    {"inherit", master_inherit, METH_VARARGS,
     PyDoc_STR("inherit($self, text, /)\n--\n\n"
               "Takes over from the master that has started this one; before bind.")},
    {"embed", master_embed, METH_VARARGS,
     PyDoc_STR("embed($self, link, parent, /)\n--\n\n"
               "Makes this the child of the program that it serves. Takes the descriptor over.")},
    {"await_go", master_await_go, METH_NOARGS,
     PyDoc_STR("await_go($self)\n--\n\nWaits until the program wants it to run, or to end.")},
    {"status", master_status, METH_NOARGS,
     PyDoc_STR("status($self)\n--\n\nThe workers that live, and what their threads do.")},
    {"close", master_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\nCloses the sockets and removes their files.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot master_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The master process.")},
    {Py_tp_init, master_init},
    {Py_tp_dealloc, master_dealloc},
    {Py_tp_traverse, master_traverse},
    {Py_tp_clear, master_clear},
    {Py_tp_methods, master_methods},
    {0, NULL},
};

PyType_Spec mp_py_master_spec = {
    .name = "millpond._core.Master",
    .basicsize = sizeof(struct mp_py_master),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = master_slots,
};
