/* SPDX-License-Identifier: MIT */
#include "python/successor.h"

/* The texts of a list of bytes, with NULL behind them: PyMem, or NULL with an exception. They live
 * as long as the list's items. */
static char **texts_of(PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    char **texts = PyMem_Calloc((size_t)count + 1, sizeof(*texts));
    if (!texts) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(list, i), &texts[i], NULL) < 0) {
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
}

/* Lists of their own, which nobody else can change. */
static PyObject *copy_lists(PyObject *program, PyObject *arguments, PyObject *environment,
                            PyObject *folder)
{
    return Py_BuildValue("(NNOO)", PySequence_List(arguments), PySequence_List(environment),
                         program, folder);
}

int mp_py_successor_set(struct mp_py_successor *successor, PyObject *tuple)
{
    struct mp_py_successor fresh = {0};
    PyObject *program;
    PyObject *arguments;
    PyObject *environment;
    PyObject *folder;
    if (!PyArg_ParseTuple(tuple, "SOOS:set_successor", &program, &arguments, &environment, &folder))
        return -1;
    fresh.objects = copy_lists(program, arguments, environment, folder);
    if (!fresh.objects)
        return -1;
    fresh.arguments = texts_of(PyTuple_GET_ITEM(fresh.objects, 0));
    fresh.environment = fresh.arguments ? texts_of(PyTuple_GET_ITEM(fresh.objects, 1)) : NULL;
    if (!fresh.environment) {
        mp_py_successor_done(&fresh);
        return -1;
    }
    mp_py_successor_done(successor);
    *successor = fresh;
    successor->core = (struct mp_successor){.program = PyBytes_AS_STRING(program),
                                            .arguments = successor->arguments,
                                            .environment = successor->environment,
                                            .folder = PyBytes_AS_STRING(folder)};
    return 0;
}

void mp_py_successor_done(struct mp_py_successor *successor)
{
    PyMem_Free(successor->arguments);
    PyMem_Free(successor->environment);
    Py_CLEAR(successor->objects);
    *successor = (struct mp_py_successor){0};
}
