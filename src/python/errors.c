/* SPDX-License-Identifier: MIT */
#include "python/errors.h"

#include <string.h>

#include "base/buffer.h"

enum {
    PARTIAL_MAX = 64 * 1024, /* bytes of a line without an end that are kept at most */
};

struct mp_py_errors {
    PyObject_HEAD struct mp_log log;
    struct mp_buffer partial; /* the beginning of a line */
};

static struct mp_py_errors *errors_of(PyObject *self)
{
    return (struct mp_py_errors *)self;
}

PyObject *mp_py_errors_new(struct mp_py_state *state, const struct mp_log *log)
{
    struct mp_py_errors *errors = PyObject_New(struct mp_py_errors, state->errors_type);
    if (!errors)
        return NULL;
    errors->log = *log;
    mp_buffer_init(&errors->partial);
    return (PyObject *)errors;
}

/* What was begun is the last that is heard of somebody. */
static void errors_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    struct mp_py_errors *errors = errors_of(self);
    if (errors->partial.len > 0 && mp_buffer_append(&errors->partial, "\n", 1) == 0)
        mp_log_lines(&errors->log, errors->partial.data, errors->partial.len);
    mp_buffer_done(&errors->partial);
    PyObject_Free(self);
    Py_DECREF(type);
}

/*
 * Writes what is kept, and n bytes more. The buffer is taken out first: with the interpreter
 * left, another thread may use the stream. A full disk loses text; the application is not told.
 */
static int emit(struct mp_py_errors *errors, const char *text, size_t n)
{
    struct mp_buffer out = errors->partial;
    int rc = 0;

    mp_buffer_init(&errors->partial);
    if (out.len > 0) {
        rc = n > 0 ? mp_buffer_append(&out, text, n) : 0;
        text = out.data;
        n = out.len;
    }
    if (rc == 0 && n > 0) {
        Py_BEGIN_ALLOW_THREADS(void) mp_log_lines(&errors->log, text, n);
        Py_END_ALLOW_THREADS
    }
    mp_buffer_done(&out);
    if (rc < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Writes the lines that text completes and keeps the rest. */
static int push(struct mp_py_errors *errors, const char *text, size_t n)
{
    const char *end = n > 0 ? memrchr(text, '\n', n) : NULL;
    size_t whole = end ? (size_t)(end - text) + 1 : 0;
    if (whole > 0 && emit(errors, text, whole) < 0)
        return -1;
    if (n > whole && mp_buffer_append(&errors->partial, text + whole, n - whole) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return errors->partial.len > PARTIAL_MAX ? emit(errors, "\n", 1) : 0;
}

static PyObject *errors_write(PyObject *self, PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "wsgi.errors takes str, not %.100s", Py_TYPE(text)->tp_name);
        return NULL;
    }
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        return NULL;
    int rc = push(errors_of(self), PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return rc < 0 ? NULL : PyLong_FromSsize_t(PyUnicode_GetLength(text));
}

static PyObject *errors_writelines(PyObject *self, PyObject *lines)
{
    PyObject *iterator = PyObject_GetIter(lines);
    PyObject *line;
    if (!iterator)
        return NULL;
    while ((line = PyIter_Next(iterator))) {
        PyObject *written = errors_write(self, line);
        Py_DECREF(line);
        if (!written)
            break;
        Py_DECREF(written);
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* A line that was begun is ended, so that no other process continues it. */
static PyObject *errors_flush(PyObject *self, PyObject *args MP_UNUSED)
{
    struct mp_py_errors *errors = errors_of(self);
    if (errors->partial.len > 0 && emit(errors, "\n", 1) < 0)
        return NULL;
    Py_RETURN_NONE;
}

void mp_py_errors_end(PyObject *errors)
{
    if (mp_unlikely(errors_of(errors)->partial.len > 0) && emit(errors_of(errors), "\n", 1) < 0)
        PyErr_Clear();
}

static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O,
     PyDoc_STR("write($self, text, /)\n--\n\nWrites text to the error log.")},
    {"writelines", errors_writelines, METH_O,
     PyDoc_STR("writelines($self, lines, /)\n--\n\nWrites each of lines to the error log.")},
    {"flush", errors_flush, METH_NOARGS,
     PyDoc_STR("flush($self)\n--\n\nEnds a line that was begun.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot errors_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The error log as a text stream (wsgi.errors).")},
    {Py_tp_dealloc, errors_dealloc},
    {Py_tp_methods, errors_methods},
    {0, NULL},
};

PyType_Spec mp_py_errors_spec = {
    .name = "millpond._core.Errors",
    .basicsize = sizeof(struct mp_py_errors),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = errors_slots,
};
