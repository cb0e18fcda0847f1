/* SPDX-License-Identifier: MIT */
/*
 * Immutable once made: nothing closes it but its end, so that a read which lets other code run (any
 * allocation may collect garbage) never finds its memory gone.
 */
#include "python/scoreboard.h"

#include <errno.h>
#include <string.h>

#include "python/status.h"
#include "scoreboard/scoreboard.h"

struct mp_py_scoreboard {
    PyObject_HEAD struct mp_scoreboard *board;
};

static struct mp_scoreboard *board_of(PyObject *self)
{
    return ((struct mp_py_scoreboard *)self)->board;
}

static void raise_open(int err, uint32_t version)
{
    switch (err) {
    case -EPROTO:
        PyErr_SetString(PyExc_ValueError, "this is no scoreboard of Millpond");
        break;
    case -EPROTONOSUPPORT:
        PyErr_Format(PyExc_ValueError,
                     "the server's scoreboard is of version %u, and this program reads version %u",
                     (unsigned)version, (unsigned)MP_SB_VERSION);
        break;
    default:
        errno = -err;
        PyErr_SetFromErrno(PyExc_OSError);
        break;
    }
}

static PyObject *scoreboard_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct mp_scoreboard *board;
    uint32_t version = 0;
    int fd;
    if (kwargs && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Scoreboard() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "i:Scoreboard", &fd))
        return NULL;
    int err = mp_scoreboard_open(fd, &board, &version);
    if (err) {
        raise_open(err, version);
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (!self) {
        mp_scoreboard_free(board);
        return NULL;
    }
    ((struct mp_py_scoreboard *)self)->board = board;
    return self;
}

static void scoreboard_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    mp_scoreboard_free(board_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *scoreboard_status(PyObject *self, PyObject *args MP_UNUSED)
{
    return mp_py_status(board_of(self));
}

static PyObject *scoreboard_histograms(PyObject *self, PyObject *args MP_UNUSED)
{
    return mp_py_histograms(board_of(self));
}

static PyMethodDef scoreboard_methods[] = {
    {"status", scoreboard_status, METH_NOARGS,
     PyDoc_STR("status($self)\n--\n\nThe workers that live, and what their threads do.")},
    {"histograms", scoreboard_histograms, METH_NOARGS,
     PyDoc_STR("histograms($self)\n--\n\nHow often waits and handlers took how long.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scoreboard_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The scoreboard of another process, to read.")},
    {Py_tp_new, scoreboard_new},
    {Py_tp_dealloc, scoreboard_dealloc},
    {Py_tp_methods, scoreboard_methods},
    {0, NULL},
};

PyType_Spec mp_py_scoreboard_spec = {
    .name = "millpond._core.Scoreboard",
    .basicsize = sizeof(struct mp_py_scoreboard),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = scoreboard_slots,
};
