/* SPDX-License-Identifier: MIT */
#include "python/functions.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/child.h"
#include "os/identity.h"
#include "os/log.h"
#include "os/process.h"
#include "os/socket.h"
#include "python/status.h"
#include "server/access_format.h"
#include "server/worker.h"

/* A descriptor alone is a file; that of the master's log is what that leads to. Texts of
 * applications may have anything, also what is no UTF-8. */
static PyObject *log_line(PyObject *module, PyObject *args)
{
    const struct mp_py_state *state = PyModule_GetState(module);
    int fd;
    int level;
    PyObject *text;
    if (!PyArg_ParseTuple(args, "iiU:log", &fd, &level, &text))
        return NULL;
    if (level < MP_LOG_DEBUG || level > MP_LOG_CRITICAL) {
        PyErr_SetString(PyExc_ValueError, "no such level");
        return NULL;
    }
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        return NULL;
    struct mp_log log = {.fd = fd};
    if (state && state->log.fd == fd)
        log = state->log;
    log.level = MP_LOG_DEBUG;
    mp_log_bytes(&log, (enum mp_log_level)level, PyBytes_AS_STRING(bytes),
                 (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

PyObject *mp_py_raise_os_error(int rc, const char *why)
{
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", -rc, why ? why : strerror(-rc));
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *check_address(PyObject *module MP_UNUSED, PyObject *args)
{
    const char *spec;
    const char *why = NULL;
    struct mp_sockaddr addr;
    int fd;
    if (!PyArg_ParseTuple(args, "s:check_address", &spec))
        return NULL;
    int rc = mp_sockaddr_parse(spec, &addr, &fd, &why);
    if (rc == 0)
        Py_RETURN_NONE;
    return mp_py_raise_os_error(rc, why);
}

static PyObject *check_access_format(PyObject *module MP_UNUSED, PyObject *args)
{
    struct mp_access_format *format;
    char why[MP_ACCESS_WHY];
    const char *text;
    if (!PyArg_ParseTuple(args, "s:check_access_format", &text))
        return NULL;
    int r = mp_access_format_new(text, &format, why);
    if (r == -ENOMEM)
        return PyErr_NoMemory();
    if (r < 0) {
        PyErr_SetString(PyExc_ValueError, why);
        return NULL;
    }
    mp_access_format_free(format);
    Py_RETURN_NONE;
}

static PyObject *cpu_count(PyObject *module MP_UNUSED, PyObject *args MP_UNUSED)
{
    return PyLong_FromUnsignedLong(mp_cpu_count());
}

/* New array of the numbers, to be freed with PyMem_Free, or NULL with an exception. */
static gid_t *get_groups(PyObject *sequence, Py_ssize_t *ret_count)
{
    PyObject *list = PySequence_Fast(sequence, "groups must be a sequence");
    if (!list)
        return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    gid_t *groups = PyMem_New(gid_t, (size_t)count + 1);
    if (!groups)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; groups && i < count; i++) {
        long group = PyLong_AsLong(PySequence_Fast_GET_ITEM(list, i));
        groups[i] = (gid_t)group;
        if (group == -1 && PyErr_Occurred()) {
            PyMem_Free(groups);
            groups = NULL;
        }
    }
    Py_DECREF(list);
    *ret_count = count;
    return groups;
}

static PyObject *become(PyObject *module MP_UNUSED, PyObject *args)
{
    struct mp_identity identity;
    unsigned user;
    unsigned group;
    PyObject *sequence;
    Py_ssize_t count = 0;
    if (!PyArg_ParseTuple(args, "IIO:become", &user, &group, &sequence))
        return NULL;
    gid_t *groups = get_groups(sequence, &count);
    if (!groups)
        return NULL;
    identity = (struct mp_identity){
        .user = user, .group = group, .groups = groups, .group_count = (size_t)count};
    int rc = mp_identity_become(&identity);
    PyMem_Free(groups);
    if (rc == 0)
        Py_RETURN_NONE;
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* What os.fork() does, except for its warning about threads (CPython 3.12 and newer). */
static PyObject *fork_process(PyObject *module MP_UNUSED, PyObject *args MP_UNUSED)
{
    if (PySys_Audit("os.fork", NULL) < 0)
        return NULL;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "fork not supported for subinterpreters");
        return NULL;
    }
    PyOS_BeforeFork();
    pid_t pid = mp_child_fork();
    if (pid == 0)
        PyOS_AfterFork_Child();
    else
        PyOS_AfterFork_Parent();
    if (pid >= 0)
        return PyLong_FromLong((long)pid);
    errno = (int)-pid;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* The worker that this process is, or NULL: it may have been forked from one. */
static const struct mp_worker_context *find_worker(PyObject *module)
{
    const struct mp_py_state *state = PyModule_GetState(module);
    return state->worker_pid == getpid() ? state->worker : NULL;
}

static PyObject *worker_pool(PyObject *module, PyObject *args MP_UNUSED)
{
    const struct mp_worker_context *worker = find_worker(module);
    if (!worker)
        Py_RETURN_NONE;
    return mp_py_status(worker->board);
}

static PyObject *histogram_limits(PyObject *module MP_UNUSED, PyObject *args MP_UNUSED)
{
    return mp_py_histogram_limits();
}

static PyObject *stop_pool(PyObject *module, PyObject *args MP_UNUSED)
{
    const struct mp_worker_context *worker = find_worker(module);
    if (!worker) {
        PyErr_SetString(PyExc_RuntimeError, "this process is no worker of a pool");
        return NULL;
    }
    int rc = mp_worker_ask_stop(worker);
    if (rc == 0)
        Py_RETURN_NONE;
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyMethodDef mp_py_functions[] = {
    {"log", log_line, METH_VARARGS,
     PyDoc_STR("log($module, fd, level, text, /)\n--\n\nWrites a line as the error log has them.")},
    {"check_address", check_address, METH_VARARGS,
     PyDoc_STR("check_address($module, spec, /)\n--\n\n"
               "OSError, as of Master.bind(), when it is no address.")},
    {"check_access_format", check_access_format, METH_VARARGS,
     PyDoc_STR("check_access_format($module, text, /)\n--\n\n"
               "ValueError, which says why, when lines of the access log cannot look so.")},
    {"cpu_count", cpu_count, METH_NOARGS,
     PyDoc_STR(
         "cpu_count($module)\n--\n\nThe CPUs that this process may use, by affinity and quota.")},
    {"become", become, METH_VARARGS,
     PyDoc_STR("become($module, user, group, groups, /)\n--\n\n"
               "Gives root up for good; after an error the process must end.")},
    {"fork", fork_process, METH_NOARGS,
     PyDoc_STR("fork($module)\n--\n\nAs os.fork(), but in a program with threads too.")},
    {"stop_pool", stop_pool, METH_NOARGS,
     PyDoc_STR("stop_pool($module)\n--\n\nIn a worker: asks the master to stop all of them.")},
    {"worker_pool", worker_pool, METH_NOARGS,
     PyDoc_STR("worker_pool($module)\n--\n\n"
               "In a worker: what Master.status() returns; None elsewhere.")},
    {"histogram_limits", histogram_limits, METH_NOARGS,
     PyDoc_STR("histogram_limits($module)\n--\n\n"
               "The highest nanoseconds of each bucket of Scoreboard.histograms().")},
    {NULL, NULL, 0, NULL},
};
