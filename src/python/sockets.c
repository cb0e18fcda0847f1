/* SPDX-License-Identifier: MIT */
/*
 * A server whose hooks are all the standard library's is served from here ("fast"): the socket is
 * made, the handler class is called with it, and what socketserver does around that is done. Of any
 * other the adapter gets what the core has, and lets socketserver do it.
 *
 * Fast or not, a handler sees no difference; the order of events is that of BaseServer's
 * _handle_request_noblock with ThreadingMixIn's process_request_thread: handler, handle_error if it
 * raised an Exception, shutdown_request in any case.
 */
#include "python/sockets.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stddef.h>
#include <string.h>

#include "os/fd.h"
#include "python/failure.h"
#include "server/request.h"
#include "server/stream.h"

static PyObject *name_of(const struct mp_py_sockets *sockets, enum mp_py_name name)
{
    return sockets->gateway.state->names[name];
}

/* ---- addresses: what makesockaddr of CPython's socketmodule.c makes of them --------------- */

/* Of a path that fills its room the kernel counts a NUL which there is no room for. */
static PyObject *unix_address(const struct mp_sockaddr *addr)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t n = addr->len > head ? addr->len - head : 0;
    const char *path = addr->un.sun_path;
    if (n > sizeof(addr->un.sun_path))
        n = sizeof(addr->un.sun_path);
    if (n > 0 && path[0] == '\0')
        return PyBytes_FromStringAndSize(path, (Py_ssize_t)n);
    return PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)strnlen(path, n));
}

static PyObject *vsock_address(const struct mp_sockaddr *addr)
{
    struct sockaddr_vm vm;
    memcpy(&vm, &addr->any, sizeof(vm));
    return Py_BuildValue("(II)", (unsigned)vm.svm_cid, (unsigned)vm.svm_port);
}

PyObject *mp_py_address(const struct mp_sockaddr *addr)
{
    char host[MP_SOCKADDR_TEXT];
    if (addr->len == 0)
        Py_RETURN_NONE;
    switch (addr->any.sa_family) {
    case AF_INET:
        mp_sockaddr_host(addr, host, sizeof(host));
        return Py_BuildValue("(si)", host, (int)mp_sockaddr_port(addr));
    case AF_INET6:
        mp_sockaddr_host(addr, host, sizeof(host));
        return Py_BuildValue("(siII)", host, (int)mp_sockaddr_port(addr),
                             (unsigned)ntohl(addr->in6.sin6_flowinfo),
                             (unsigned)addr->in6.sin6_scope_id);
    case AF_UNIX:
        return unix_address(addr);
    case AF_VSOCK:
        return vsock_address(addr);
    default:
        return Py_BuildValue("(iy#)", (int)addr->any.sa_family, addr->any.sa_data,
                             (Py_ssize_t)sizeof(addr->any.sa_data));
    }
}

/* ---- exceptions -------------------------------------------------------------------------- */

/* The adapter is told of what nobody else deals with. Takes the reference. */
static void tell_failed(struct mp_py_sockets *sockets, PyObject *error)
{
    PyObject *result = PyObject_CallMethodOneArg(sockets->gateway.application,
                                                 name_of(sockets, MP_PY_NAME_FAILED), error);
    Py_DECREF(error);
    if (!result)
        mp_py_failure_exception(sockets->gateway.state, &sockets->gateway.log, NULL,
                                "an exception cannot be reported");
    Py_XDECREF(result);
}

/* server.handle_error(request, address), as in an except block: sys.exc_info() has the exception.
 * Takes the reference. Returns what handle_error itself has raised, or NULL. */
static PyObject *handle_error(struct mp_py_sockets *sockets, PyObject *error, PyObject *request,
                              PyObject *address)
{
    PyObject *former = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    Py_DECREF(error);
    PyObject *args[] = {sockets->server, request, address};
    PyObject *result = PyObject_VectorcallMethod(name_of(sockets, MP_PY_NAME_HANDLE_ERROR), args,
                                                 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    PyObject *failure = result ? NULL : mp_py_take_exception();
    Py_XDECREF(result);
    PyErr_SetHandledException(former);
    Py_XDECREF(former);
    return failure;
}

/* Calls the handler class. Returns what is to be reported when the request is over, or NULL. */
static PyObject *call_handler(struct mp_py_sockets *sockets, PyObject *request, PyObject *address)
{
    PyObject *args[] = {NULL, request, address, sockets->server};
    PyObject *handler = PyObject_Vectorcall(sockets->handler_class, args + 1,
                                            3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (handler) {
        Py_DECREF(handler);
        return NULL;
    }
    bool is_error = PyErr_ExceptionMatches(PyExc_Exception);
    PyObject *error = mp_py_take_exception();
    return is_error ? handle_error(sockets, error, request, address) : error;
}

/* ---- connections ------------------------------------------------------------------------- */

/* What TCPServer.shutdown_request does. Returns what is to be reported, or NULL. */
static PyObject *shut(struct mp_py_sockets *sockets, PyObject *sock)
{
    PyObject *how = PyLong_FromLong(SHUT_WR);
    PyObject *result =
        how ? PyObject_CallMethodOneArg(sock, name_of(sockets, MP_PY_NAME_SHUTDOWN), how) : NULL;
    PyObject *failure = NULL;
    Py_XDECREF(how);
    if (!result && PyErr_ExceptionMatches(PyExc_OSError))
        PyErr_Clear(); /* some clients have gone already */
    else if (!result)
        failure = mp_py_take_exception();
    Py_XDECREF(result);
    result = PyObject_CallMethodNoArgs(sock, name_of(sockets, MP_PY_NAME_CLOSE));
    if (!result)
        Py_XSETREF(failure, mp_py_take_exception());
    Py_XDECREF(result);
    return failure;
}

/* The descriptor's object, which owns it then; the descriptor is closed on failure. */
static PyObject *make_socket(const struct mp_py_sockets *sockets, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *const *fixed = &PyTuple_GET_ITEM(sockets->socket_args, 0);
    PyObject *args[] = {NULL, fixed[0], fixed[1], fixed[2], number};
    PyObject *sock = number ? PyObject_Vectorcall(sockets->socket_type, args + 1,
                                                  4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
                            : NULL;
    Py_XDECREF(number);
    if (!sock)
        mp_fd_close(&fd);
    return sock;
}

static void serve_connection(struct mp_py_sockets *sockets, int fd, PyObject *address)
{
    PyObject *sock = make_socket(sockets, fd);
    if (!sock) {
        mp_py_failure_exception(sockets->gateway.state, &sockets->gateway.log, NULL,
                                "a connection cannot be handled");
        return;
    }
    PyObject *failure = call_handler(sockets, sock, address);
    PyObject *second = shut(sockets, sock);
    Py_DECREF(sock);
    if (failure)
        tell_failed(sockets, failure);
    if (second)
        tell_failed(sockets, second);
}

/* For servers with hooks of their own. */
static void pass_connection(struct mp_py_sockets *sockets, int fd, PyObject *address)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *args[] = {sockets->gateway.application, number, address};
    PyObject *result = number ? PyObject_VectorcallMethod(name_of(sockets, MP_PY_NAME_ACCEPT), args,
                                                          3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
                              : NULL;
    if (!number)
        mp_fd_close(&fd);
    if (!result)
        mp_py_failure_exception(sockets->gateway.state, &sockets->gateway.log, NULL,
                                "a connection cannot be handled");
    Py_XDECREF(number);
    Py_XDECREF(result);
}

static void handle_stream(void *data, void *thread MP_UNUSED, struct mp_request *request)
{
    struct mp_py_sockets *sockets = data;
    int fd = mp_request_take_socket(request);
    if (fd < 0) {
        mp_log(&sockets->gateway.log, MP_LOG_ERROR, "a connection cannot be handled: %s",
               strerror(-fd));
        return;
    }
    PyObject *address = mp_py_address(mp_request_peer(request));
    if (!address) {
        mp_fd_close(&fd);
        mp_py_failure_exception(sockets->gateway.state, &sockets->gateway.log, NULL,
                                "a connection cannot be handled");
    } else if (sockets->fast) {
        serve_connection(sockets, fd, address);
    } else {
        pass_connection(sockets, fd, address);
    }
    Py_XDECREF(address);
}

/* ---- datagrams --------------------------------------------------------------------------- */

static int serve_datagram(struct mp_py_sockets *sockets, PyObject *data, PyObject *address)
{
    PyObject *request = PyTuple_Pack(2, data, sockets->socket);
    if (!request)
        return -1;
    PyObject *failure = call_handler(sockets, request, address);
    Py_DECREF(request);
    if (failure)
        tell_failed(sockets, failure);
    return 0;
}

static int pass_datagram(struct mp_py_sockets *sockets, PyObject *data, PyObject *address)
{
    PyObject *args[] = {sockets->gateway.application, data, address};
    PyObject *result = PyObject_VectorcallMethod(name_of(sockets, MP_PY_NAME_RECEIVE), args,
                                                 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static void handle_datagram(void *data, void *thread MP_UNUSED, struct mp_request *request)
{
    struct mp_py_sockets *sockets = data;
    uint64_t length = mp_request_body_length(request);
    Py_ssize_t n = (Py_ssize_t)length;
    if (sockets->fast && n > sockets->max_packet_size)
        n = sockets->max_packet_size;
    PyObject *bytes = PyBytes_FromStringAndSize(n > 0 ? mp_request_body_memory(request) : NULL, n);
    PyObject *address = bytes ? mp_py_address(mp_request_peer(request)) : NULL;
    int rc = -1;
    if (address)
        rc = sockets->fast ? serve_datagram(sockets, bytes, address)
                           : pass_datagram(sockets, bytes, address);
    if (rc < 0)
        mp_py_failure_exception(sockets->gateway.state, &sockets->gateway.log, NULL,
                                "a datagram cannot be handled");
    Py_XDECREF(address);
    Py_XDECREF(bytes);
}

/* ---- the app ----------------------------------------------------------------------------- */

static int thread_init(void *data, unsigned index, void **ret_thread)
{
    struct mp_py_sockets *sockets = data;
    PyThreadState *tstate = mp_py_gateway_attach(&sockets->gateway, index);
    if (!tstate)
        return -ENOMEM;
    PyEval_SaveThread();
    *ret_thread = tstate;
    return 0;
}

static void thread_done(void *data MP_UNUSED, void *thread)
{
    PyEval_RestoreThread(thread);
    mp_py_gateway_detach(thread);
}

static void enter(void *data MP_UNUSED, void *thread)
{
    PyEval_RestoreThread(thread);
}

static void leave(void *data MP_UNUSED, void *thread MP_UNUSED)
{
    PyEval_SaveThread();
}

static int get(PyObject *obj, const char *name, PyObject **ret)
{
    *ret = PyObject_GetAttrString(obj, name);
    return *ret ? 0 : -1;
}

static PyThreadState *state_of(void *thread)
{
    return thread;
}

/* What recvfrom() would refuse for each datagram is refused at the start. */
static int read_size(PyObject *adapter, Py_ssize_t *ret)
{
    PyObject *size;
    if (get(adapter, "max_packet_size", &size) < 0)
        return -1;
    *ret = PyLong_AsSsize_t(size);
    Py_DECREF(size);
    if (*ret < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "max_packet_size is negative");
    return *ret < 0 ? -1 : 0;
}

static int read_socket_args(PyObject *adapter, PyObject **ret)
{
    PyObject *family = NULL;
    PyObject *type = NULL;
    PyObject *proto = NULL;
    if (get(adapter, "family", &family) == 0 && get(adapter, "type", &type) == 0 &&
        get(adapter, "proto", &proto) == 0)
        *ret = PyTuple_Pack(3, family, type, proto);
    Py_XDECREF(family);
    Py_XDECREF(type);
    Py_XDECREF(proto);
    return *ret ? 0 : -1;
}

/* What the adapter says once. 0, or -1 with an exception. */
static int read_adapter(struct mp_py_sockets *sockets, PyObject *adapter,
                        enum mp_protocol_kind kind)
{
    PyObject *fast;
    if (get(adapter, "fast", &fast) < 0)
        return -1;
    int truth = PyObject_IsTrue(fast);
    Py_DECREF(fast);
    if (truth <= 0)
        return truth;
    sockets->fast = true;
    if (get(adapter, "handler_class", &sockets->handler_class) < 0 ||
        get(adapter, "server", &sockets->server) < 0)
        return -1;
    if (kind == MP_PROTOCOL_DATAGRAM)
        return read_size(adapter, &sockets->max_packet_size) < 0
                   ? -1
                   : get(sockets->server, "socket", &sockets->socket);
    return get(adapter, "socket_type", &sockets->socket_type) < 0
               ? -1
               : read_socket_args(adapter, &sockets->socket_args);
}

static void clear(struct mp_py_sockets *sockets)
{
    Py_CLEAR(sockets->handler_class);
    Py_CLEAR(sockets->server);
    Py_CLEAR(sockets->socket_type);
    Py_CLEAR(sockets->socket);
    Py_CLEAR(sockets->socket_args);
}

int mp_py_sockets_init(struct mp_py_sockets *sockets, PyObject *module, PyObject *adapter,
                       const struct mp_log *log, enum mp_protocol_kind kind)
{
    *sockets = (struct mp_py_sockets){0};
    if (read_adapter(sockets, adapter, kind) < 0 ||
        mp_py_gateway_init(&sockets->gateway, module, adapter, log) < 0) {
        clear(sockets);
        return -1;
    }
    struct mp_app *app = &sockets->gateway.app;
    app->name = "socketserver";
    app->thread_init = thread_init;
    app->thread_done = thread_done;
    app->enter = enter;
    app->leave = leave;
    sockets->gateway.traceback.state_of = state_of;
    app->handle = kind == MP_PROTOCOL_DATAGRAM ? handle_datagram : handle_stream;
    return 0;
}

void mp_py_sockets_done(struct mp_py_sockets *sockets)
{
    mp_py_gateway_done(&sockets->gateway);
    clear(sockets);
}
