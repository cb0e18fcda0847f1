/* SPDX-License-Identifier: MIT */
/*
 * Only files of module io themselves are sent by descriptor. Others may have a fileno() too and
 * mean something else by read(): a GzipFile's descriptor is that of the compressed file.
 */
#include "python/file_wrapper.h"

#include "os/fd.h"

enum {
    BLOCK_SIZE = 64 * 1024, /* read at once by default */
};

struct mp_py_file_wrapper {
    PyObject_HEAD PyObject *file;
    PyObject *block_size;
    bool begun; /* something was read through the wrapper */
};

static struct mp_py_file_wrapper *wrapper_of(PyObject *self)
{
    return (struct mp_py_file_wrapper *)self;
}

static PyObject *wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"file", (char *)"block_size", NULL};
    PyObject *file;
    Py_ssize_t block_size = BLOCK_SIZE;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &file, &block_size))
        return NULL;
    if (block_size < 1) {
        PyErr_SetString(PyExc_ValueError, "the block size must be positive");
        return NULL;
    }
    struct mp_py_file_wrapper *wrapper = (struct mp_py_file_wrapper *)type->tp_alloc(type, 0);
    if (!wrapper)
        return NULL;
    wrapper->file = Py_NewRef(file);
    wrapper->block_size = PyLong_FromSsize_t(block_size);
    if (!wrapper->block_size) {
        Py_DECREF(wrapper);
        return NULL;
    }
    return (PyObject *)wrapper;
}

static int wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(wrapper_of(self)->file);
    return 0;
}

static int wrapper_clear(PyObject *self)
{
    Py_CLEAR(wrapper_of(self)->file);
    return 0;
}

static void wrapper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    Py_CLEAR(wrapper_of(self)->block_size);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *wrapper_next(PyObject *self)
{
    struct mp_py_file_wrapper *wrapper = wrapper_of(self);
    struct mp_py_state *state = mp_py_state_of(Py_TYPE(self));
    if (!state)
        return NULL;
    wrapper->begun = true;
    PyObject *args[] = {wrapper->file, wrapper->block_size};
    PyObject *data = PyObject_VectorcallMethod(state->names[MP_PY_NAME_READ], args,
                                               2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (!data)
        return NULL;
    int some = PyObject_IsTrue(data);
    if (some > 0)
        return data;
    Py_DECREF(data);
    return NULL; /* the end, or the exception that is set */
}

static PyObject *wrapper_close(PyObject *self, PyObject *args MP_UNUSED)
{
    struct mp_py_state *state = mp_py_state_of(Py_TYPE(self));
    PyObject *method;
    if (!state)
        return NULL;
    int rc = mp_py_optional_attr(wrapper_of(self)->file, state->names[MP_PY_NAME_CLOSE], &method);
    if (rc < 0)
        return NULL;
    if (rc == 0)
        Py_RETURN_NONE;
    PyObject *result = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    return result;
}

/* Whether what read() gives is what the descriptor has: 1, 0, or -1 with an exception. */
static int is_plain(PyObject *file, struct mp_py_state *state)
{
    if (Py_IS_TYPE(file, state->file_io_type))
        return 1;
    if (!Py_IS_TYPE(file, state->buffered_reader_type) &&
        !Py_IS_TYPE(file, state->buffered_random_type))
        return 0;
    PyObject *raw;
    int rc = mp_py_optional_attr(file, state->names[MP_PY_NAME_RAW], &raw);
    if (rc <= 0)
        return rc;
    rc = Py_IS_TYPE(raw, state->file_io_type);
    Py_DECREF(raw);
    return rc;
}

/* file.name() as a number that is not negative; -1 with an exception. */
static long long call_number(PyObject *file, PyObject *name)
{
    PyObject *result = PyObject_CallMethodNoArgs(file, name);
    if (!result)
        return -1;
    long long number = PyLong_AsLongLong(result);
    Py_DECREF(result);
    if (number < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a negative number");
    return number < 0 ? -1 : number;
}

/* Descriptor and position. Before, what was written through the object goes to the file. */
static int locate(PyObject *file, struct mp_py_state *state, int *ret_fd, uint64_t *ret_offset)
{
    if (Py_IS_TYPE(file, state->buffered_random_type)) {
        PyObject *flushed = PyObject_CallMethodNoArgs(file, state->names[MP_PY_NAME_FLUSH]);
        if (!flushed)
            return -1;
        Py_DECREF(flushed);
    }
    long long fd = call_number(file, state->names[MP_PY_NAME_FILENO]);
    long long offset = fd < 0 ? -1 : call_number(file, state->names[MP_PY_NAME_TELL]);
    if (offset < 0)
        return -1;
    *ret_fd = (int)fd;
    *ret_offset = (uint64_t)offset;
    return 0;
}

int mp_py_file_wrapper_open(PyObject *wrapper, struct mp_py_state *state, int *ret_fd,
                            uint64_t *ret_offset, uint64_t *ret_n)
{
    PyObject *file = wrapper_of(wrapper)->file;
    uint64_t offset;
    uint64_t size;
    int fd;

    if (wrapper_of(wrapper)->begun)
        return 0;
    int rc = is_plain(file, state);
    if (rc <= 0)
        return rc;
    if (locate(file, state, &fd, &offset) < 0) {
        /* Closed, a pipe, ...: reading it says what is wrong, if anything is. */
        if (!PyErr_ExceptionMatches(PyExc_OSError) && !PyErr_ExceptionMatches(PyExc_ValueError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    if (mp_fd_file_size(fd, &size) <= 0)
        return 0;
    fd = mp_fd_dup(fd);
    if (fd < 0)
        return 0;
    *ret_fd = fd;
    *ret_offset = offset;
    *ret_n = size > offset ? size - offset : 0;
    return 1;
}

static PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, PyDoc_STR("close($self)\n--\n\nCloses the file.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("FileWrapper(file, block_size=65536): a file as a body.")},
    {Py_tp_new, wrapper_new},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {Py_tp_methods, wrapper_methods},
    {0, NULL},
};

PyType_Spec mp_py_file_wrapper_spec = {
    .name = "millpond._core.FileWrapper",
    .basicsize = sizeof(struct mp_py_file_wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wrapper_slots,
};
