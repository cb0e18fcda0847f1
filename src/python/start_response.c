/* SPDX-License-Identifier: MIT */
#include "python/start_response.h"

#include <stddef.h>
#include <structmember.h>

#include "os/clock.h"
#include "python/hooks.h"
#include "python/respond.h"
#include "python/response_head.h"
#include "server/request.h"
#include "server/response.h"

/* All are of one shape: a callable that acts on the thread's request. */
struct mp_py_callable {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct mp_py_thread *thread; /* NULL: detached */
};

static PyObject *new_callable(PyTypeObject *type, vectorcallfunc vectorcall,
                              struct mp_py_thread *thread)
{
    struct mp_py_callable *callable = PyObject_New(struct mp_py_callable, type);
    if (!callable)
        return NULL;
    callable->vectorcall = vectorcall;
    callable->thread = thread;
    return (PyObject *)callable;
}

void mp_py_callable_detach(PyObject *callable)
{
    ((struct mp_py_callable *)callable)->thread = NULL;
}

static void callable_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The thread, in the middle of a request; or NULL with an exception. The server wants to be called
 * by the thread that runs the handler and by no other. */
static struct mp_py_thread *active_thread(PyObject *self, const char *name)
{
    struct mp_py_thread *thread = ((struct mp_py_callable *)self)->thread;
    if (!thread || !thread->call.request || thread->call.over) {
        PyErr_Format(PyExc_RuntimeError, "%s() was called after the end of its request", name);
        return NULL;
    }
    if (thread->ident != PyThread_get_thread_ident()) {
        PyErr_Format(PyExc_RuntimeError, "%s() was called on another thread than the application",
                     name);
        return NULL;
    }
    return thread;
}

/* Raises the exception that the application came with: it is too late to say something else. */
static int raise_again(PyObject *exc_info)
{
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1);
    PyObject *traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (!PyExceptionInstance_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "exc_info[1] must be an exception");
        return -1;
    }
    if (PyTraceBack_Check(traceback) && PyException_SetTraceback(value, traceback) < 0)
        return -1;
    PyErr_SetObject((PyObject *)Py_TYPE(value), value);
    return -1;
}

/* Makes way for a new head. 0, or -1 with an exception. */
static int start_again(struct mp_py_thread *thread, PyObject *exc_info)
{
    if (exc_info == Py_None) {
        if (!thread->call.started)
            return 0;
        PyErr_SetString(PyExc_AssertionError,
                        "start_response() was called a second time without exc_info");
        return -1;
    }
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) {
        PyErr_SetString(PyExc_TypeError, "exc_info must be a tuple as of sys.exc_info(), or None");
        return -1;
    }
    if (mp_response_committed(thread->call.request))
        return raise_again(exc_info);
    if (thread->call.started)
        mp_response_reset(thread->call.request);
    thread->call.started = false;
    return 0;
}

/* The value of a keyword argument goes to its place. */
static int take_keyword(struct mp_py_state *state, PyObject *name, PyObject *value,
                        PyObject *arguments[3])
{
    static const struct {
        enum mp_py_name name;
        int place;
    } keywords[] = {
        {MP_PY_NAME_STATUS, 0},
        {MP_PY_NAME_HEADERS, 1},
        {MP_PY_NAME_RESPONSE_HEADERS, 1},
        {MP_PY_NAME_EXC_INFO, 2},
    };
    for (size_t i = 0; i < mp_array_size(keywords); i++) {
        int same = PyUnicode_Compare(name, state->names[keywords[i].name]);
        if (same == -1 && PyErr_Occurred())
            return -1;
        if (same == 0 && !arguments[keywords[i].place]) {
            arguments[keywords[i].place] = value;
            return 0;
        }
    }
    PyErr_Format(PyExc_TypeError, "start_response() got an unexpected argument %R", name);
    return -1;
}

/* arguments: status, headers and exc_info. 0, or -1 with an exception. */
static int parse_arguments(struct mp_py_state *state, PyObject *const *args, Py_ssize_t n,
                           PyObject *kwnames, PyObject *arguments[3])
{
    if (n > 3) {
        PyErr_Format(PyExc_TypeError, "start_response() takes 2 or 3 arguments (%zd given)", n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        arguments[i] = args[i];
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (take_keyword(state, PyTuple_GET_ITEM(kwnames, i), args[n + i], arguments) < 0)
            return -1;
    }
    if (!arguments[0] || !arguments[1]) {
        PyErr_SetString(PyExc_TypeError, "start_response() needs a status and headers");
        return -1;
    }
    if (!arguments[2])
        arguments[2] = Py_None;
    return 0;
}

static PyObject *start_response_call(PyObject *self, PyObject *const *args, size_t nargsf,
                                     PyObject *kwnames)
{
    PyObject *arguments[3] = {NULL, NULL, NULL};
    struct mp_py_thread *thread = active_thread(self, "start_response");
    if (!thread ||
        parse_arguments(thread->gateway->state, args, PyVectorcall_NARGS(nargsf), kwnames,
                        arguments) < 0 ||
        start_again(thread, arguments[2]) < 0 ||
        mp_py_head_begin(thread, arguments[0], arguments[1]) < 0)
        return NULL;
    thread->call.started = true;
    if (mp_unlikely(thread->gateway->hooks.before))
        mp_py_hooks_note_head(thread, arguments[0], arguments[1]);
    return Py_NewRef(thread->write);
}

static PyObject *write_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    struct mp_py_thread *thread = active_thread(self, "write");
    if (!thread)
        return NULL;
    if (PyVectorcall_NARGS(nargsf) != 1 || (kwnames && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "write() takes one argument, the data");
        return NULL;
    }
    if (mp_py_respond_piece(thread, args[0]) < 0 || mp_py_respond_flush(thread) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* A day: who needs longer says so in time. */
#define EXTENSION_MOST 86400.0

/* Any thread that the application uses may do it, until the application has returned. */
static PyObject *extend_deadline_call(PyObject *self, PyObject *const *args, size_t nargsf,
                                      PyObject *kwnames)
{
    if (PyVectorcall_NARGS(nargsf) != 1 || (kwnames && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "extend_deadline() takes one argument, the seconds");
        return NULL;
    }
    double seconds = PyFloat_AsDouble(args[0]);
    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    if (!(seconds > 0.0 && seconds <= EXTENSION_MOST)) {
        PyErr_Format(
            PyExc_ValueError,
            "extend_deadline() takes a number of seconds above 0, and at most a day, not %R",
            args[0]);
        return NULL;
    }
    /* After PyFloat_AsDouble, which may have run anything. */
    const struct mp_py_thread *thread = ((struct mp_py_callable *)self)->thread;
    if (!thread || !thread->call.request) {
        PyErr_SetString(PyExc_RuntimeError,
                        "extend_deadline() was called after the end of its request");
        return NULL;
    }
    int64_t ns = (int64_t)(seconds * (double)MP_NSEC_PER_SEC);
    if (mp_request_extend_deadline(thread->call.request, ns) < 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "extend_deadline() was called after the deadline of its request");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *mp_py_extend_deadline_new(struct mp_py_thread *thread)
{
    return new_callable(thread->gateway->state->extend_deadline_type, extend_deadline_call, thread);
}

PyObject *mp_py_start_response_new(struct mp_py_thread *thread)
{
    return new_callable(thread->gateway->state->start_response_type, start_response_call, thread);
}

PyObject *mp_py_write_new(struct mp_py_thread *thread)
{
    return new_callable(thread->gateway->state->write_type, write_call, thread);
}

static PyMemberDef callable_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct mp_py_callable, vectorcall), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot start_response_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("start_response(status, headers, exc_info=None): the head.")},
    {Py_tp_dealloc, callable_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, callable_members},
    {0, NULL},
};

static PyType_Slot write_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("write(data): sends bytes of the body at once.")},
    {Py_tp_dealloc, callable_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, callable_members},
    {0, NULL},
};

static PyType_Slot extend_deadline_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("extend_deadline(seconds): from now, for this request.")},
    {Py_tp_dealloc, callable_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, callable_members},
    {0, NULL},
};

PyType_Spec mp_py_extend_deadline_spec = {
    .name = "millpond._core.ExtendDeadline",
    .basicsize = sizeof(struct mp_py_callable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = extend_deadline_slots,
};

PyType_Spec mp_py_start_response_spec = {
    .name = "millpond._core.StartResponse",
    .basicsize = sizeof(struct mp_py_callable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = start_response_slots,
};

PyType_Spec mp_py_write_spec = {
    .name = "millpond._core.Write",
    .basicsize = sizeof(struct mp_py_callable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = write_slots,
};
