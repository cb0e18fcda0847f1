/* SPDX-License-Identifier: MIT */
/*
 * Type _harness.Sockets: drives the socketserver gateway. Connections and datagrams are real ones,
 * which the functions accept() and receive() take as the server does; the address of a peer is
 * then the bytes of a struct mp_sockaddr.
 */
#include "python/sockets.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"
#include "harness.h"
#include "pool_thread.h"

struct sockets {
    PyObject_HEAD struct mp_py_sockets sockets;
    struct pool_thread thread;
};

static int sockets_init(PyObject *obj, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"core", (char *)"adapter", (char *)"log_fd", (char *)"datagram",
                            NULL};
    struct sockets *self = (struct sockets *)obj;
    PyObject *core;
    PyObject *adapter;
    int datagram = 0;
    struct mp_log log = {.level = MP_LOG_INFO};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOi|p", names, &core, &adapter, &log.fd,
                                     &datagram) ||
        mp_py_sockets_init(&self->sockets, core, adapter, &log,
                           datagram ? MP_PROTOCOL_DATAGRAM : MP_PROTOCOL_STREAM) < 0)
        return -1;
    if (pool_thread_start(&self->thread, &self->sockets.gateway) == 0)
        return 0;
    mp_py_sockets_done(&self->sockets);
    return -1;
}

static PyObject *sockets_close(PyObject *obj, PyObject *args MP_UNUSED)
{
    struct sockets *self = (struct sockets *)obj;
    if (self->thread.started) {
        pool_thread_stop(&self->thread);
        mp_py_sockets_done(&self->sockets);
    }
    Py_RETURN_NONE;
}

static void sockets_dealloc(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    Py_DECREF(sockets_close(obj, NULL));
    type->tp_free(obj);
    Py_DECREF(type);
}

static int read_address(const char *bytes, Py_ssize_t n, struct mp_sockaddr *ret)
{
    if (n != sizeof(*ret)) {
        PyErr_SetString(PyExc_ValueError, "no struct mp_sockaddr");
        return -1;
    }
    memcpy(ret, bytes, sizeof(*ret));
    return 0;
}

/* stream(fd, peer): handles a connection. fd -1: one that cannot be taken. */
static PyObject *sockets_stream(PyObject *obj, PyObject *args)
{
    struct sockets *self = (struct sockets *)obj;
    struct mp_request request = {.gone_after = -1};
    const char *peer;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "iy#", &request.socket, &peer, &n) ||
        read_address(peer, n, &request.peer) < 0)
        return NULL;
    pool_thread_handle(&self->thread, &request, 1);
    return PyBool_FromLong(request.socket < 0);
}

/* datagram(data, peer): handles a datagram. */
static PyObject *sockets_datagram(PyObject *obj, PyObject *args)
{
    struct sockets *self = (struct sockets *)obj;
    struct mp_request request = {.gone_after = -1, .socket = -1};
    const char *peer;
    Py_ssize_t length;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "y#y#", &request.body, &length, &peer, &n) ||
        read_address(peer, n, &request.peer) < 0)
        return NULL;
    request.body_length = (uint64_t)length;
    pool_thread_handle(&self->thread, &request, 1);
    Py_RETURN_NONE;
}

static PyMethodDef sockets_methods[] = {
    {"stream", sockets_stream, METH_VARARGS, NULL},
    {"datagram", sockets_datagram, METH_VARARGS, NULL},
    {"close", sockets_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sockets_slots[] = {
    {Py_tp_init, sockets_init},
    {Py_tp_dealloc, sockets_dealloc},
    {Py_tp_methods, sockets_methods},
    {0, NULL},
};

PyType_Spec harness_sockets_spec = {
    .name = "_harness.Sockets",
    .basicsize = sizeof(struct sockets),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = sockets_slots,
};

/* ---- functions --------------------------------------------------------------------------- */

static PyObject *raise_errno(int rc)
{
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *accept_one(PyObject *module MP_UNUSED, PyObject *args)
{
    struct mp_sockaddr peer;
    int fd;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    int accepted = mp_socket_accept_blocking(fd, &peer);
    return accepted < 0
               ? raise_errno(accepted)
               : Py_BuildValue("(iy#)", accepted, (const char *)&peer, (Py_ssize_t)sizeof(peer));
}

static PyObject *receive_one(PyObject *module MP_UNUSED, PyObject *args)
{
    char bytes[65536];
    const struct iovec iov = {bytes, sizeof(bytes)};
    struct mp_sockaddr peer;
    int fd;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    ssize_t n = mp_socket_recv_datagram(fd, &iov, 1, &peer);
    return n < 0 ? raise_errno((int)n)
                 : Py_BuildValue("(y#y#)", bytes, (Py_ssize_t)n, (const char *)&peer,
                                 (Py_ssize_t)sizeof(peer));
}

/* address(raw, length): the bytes of a sockaddr, and as many as the kernel says they are. */
static PyObject *make_address(PyObject *module MP_UNUSED, PyObject *args)
{
    struct mp_sockaddr address = {0};
    const char *raw;
    Py_ssize_t n;
    int length;
    if (!PyArg_ParseTuple(args, "y#i", &raw, &n, &length))
        return NULL;
    size_t room = sizeof(address) - offsetof(struct mp_sockaddr, any);
    memcpy(&address.any, raw, (size_t)n < room ? (size_t)n : room);
    address.len = (socklen_t)length;
    return PyBytes_FromStringAndSize((const char *)&address, sizeof(address));
}

/* as_worker(core, result, function): calls it as if this process were a worker whose master says
 * result when it is asked to stop. */
static PyObject *as_worker(PyObject *module MP_UNUSED, PyObject *args)
{
    struct mp_worker_context context = {0};
    PyObject *core;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "OiO", &core, &context.control, &function))
        return NULL;
    struct mp_py_state *state = PyModule_GetState(core);
    state->worker = &context;
    state->worker_pid = getpid();
    PyObject *result = PyObject_CallNoArgs(function);
    state->worker = NULL;
    return result;
}

PyMethodDef harness_functions[] = {
    {"accept", accept_one, METH_VARARGS, NULL},
    {"receive", receive_one, METH_VARARGS, NULL},
    {"address", make_address, METH_VARARGS, NULL},
    {"as_worker", as_worker, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
