/* SPDX-License-Identifier: MIT */
/* os/inotify.h for Python. Nothing here waits: who wants to polls fileno(). */
#include "python/inotify.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "os/inotify.h"

struct mp_py_inotify {
    PyObject_HEAD struct mp_inotify inotify; /* fd -1: closed */
};

static struct mp_inotify *inotify_of(PyObject *self)
{
    return &((struct mp_py_inotify *)self)->inotify;
}

static PyObject *raise_errno(int rc)
{
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* NULL with an exception when it is closed. */
static struct mp_inotify *open_inotify(PyObject *self)
{
    struct mp_inotify *inotify = inotify_of(self);
    if (inotify->fd >= 0)
        return inotify;
    PyErr_SetString(PyExc_ValueError, "it is closed");
    return NULL;
}

static PyObject *inotify_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Inotify() takes no arguments");
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    int rc = mp_inotify_init(inotify_of(self));
    if (rc == 0)
        return self;
    inotify_of(self)->fd = -1;
    Py_DECREF(self);
    return raise_errno(rc);
}

static void inotify_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    mp_inotify_done(inotify_of(self));
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *inotify_fileno(PyObject *self, PyObject *args MP_UNUSED)
{
    const struct mp_inotify *inotify = open_inotify(self);
    return inotify ? PyLong_FromLong(inotify->fd) : NULL;
}

static PyObject *inotify_watch(PyObject *self, PyObject *folder)
{
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(folder, &path))
        return NULL;
    struct mp_inotify *inotify = open_inotify(self); /* __fspath__ may have closed it */
    int watch = inotify ? mp_inotify_watch(inotify, PyBytes_AS_STRING(path)) : 0;
    Py_DECREF(path);
    if (!inotify)
        return NULL;
    return watch < 0 ? raise_errno(watch) : PyLong_FromLong(watch);
}

/* A pair: watch and name; None: the folder is gone; watch -1: events were lost. */
static PyObject *pair_of(const struct mp_inotify_event *event)
{
    switch (event->what) {
    case MP_INOTIFY_CHANGED:
        return Py_BuildValue("iN", event->watch, PyUnicode_DecodeFSDefault(event->name));
    case MP_INOTIFY_GONE:
        return Py_BuildValue("iO", event->watch, Py_None);
    case MP_INOTIFY_LOST:
        break;
    }
    return Py_BuildValue("iO", -1, Py_None);
}

static PyObject *inotify_read(PyObject *self, PyObject *args MP_UNUSED)
{
    struct mp_inotify_event event;
    PyObject *list = PyList_New(0);
    int rc = 0;
    while (list) {
        struct mp_inotify *inotify = open_inotify(self); /* making objects may run anything */
        rc = inotify ? mp_inotify_next(inotify, &event) : 0;
        if (!inotify)
            Py_CLEAR(list);
        if (rc <= 0)
            break;
        PyObject *pair = pair_of(&event);
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    if (list && rc < 0) {
        Py_DECREF(list);
        return raise_errno(rc);
    }
    return list;
}

static PyObject *inotify_close(PyObject *self, PyObject *args MP_UNUSED)
{
    mp_inotify_done(inotify_of(self));
    Py_RETURN_NONE;
}

static PyMethodDef inotify_methods[] = {
    {"fileno", inotify_fileno, METH_NOARGS,
     PyDoc_STR("fileno($self)\n--\n\nThe descriptor: readable while there are events.")},
    {"watch", inotify_watch, METH_O,
     PyDoc_STR("watch($self, folder, /)\n--\n\nWatches a folder; the number of the watch.")},
    {"read", inotify_read, METH_NOARGS,
     PyDoc_STR("read($self)\n--\n\nWhat has happened: pairs of the watch's number and a name.")},
    {"close", inotify_close, METH_NOARGS, PyDoc_STR("close($self)\n--\n\nEnds all watches.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot inotify_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Changes of the files in folders, as the kernel tells them.")},
    {Py_tp_new, inotify_new},
    {Py_tp_dealloc, inotify_dealloc},
    {Py_tp_methods, inotify_methods},
    {0, NULL},
};

PyType_Spec mp_py_inotify_spec = {
    .name = "millpond._core.Inotify",
    .basicsize = sizeof(struct mp_py_inotify),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = inotify_slots,
};
