/* SPDX-License-Identifier: MIT */
/* The type: its methods, and what it keeps alive. */
#include "python/master.h"

#include <unistd.h>

#include "master/master.h"
#include "os/fd.h"
#include "python/callbacks.h"
#include "python/failure.h"
#include "python/functions.h"
#include "python/hooks.h"
#include "python/options.h"
#include "python/sockets.h"
#include "python/status.h"
#include "python/successor.h"

static struct mp_py_master *master_of(PyObject *self)
{
    return (struct mp_py_master *)self;
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
    const struct mp_master_ops ops = mp_py_callbacks(self);
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
    mp_py_leave(self);
    int status = mp_master_run(self->master);
    mp_py_enter(self);
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
    mp_py_leave(self);
    bool go = mp_master_await_go(self->master);
    mp_py_enter(self);
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
