/* SPDX-License-Identifier: MIT */
/*
 * Module _harness: drives the gateways of src/python from Python, on top of fake_server.c. The same
 * shared object also holds the module _core, without its master. Here: the WSGI gateway.
 */
#include "python/app.h"

#include <string.h>

#include "fake_server.h"
#include "harness.h"
#include "pool_thread.h"
#include "python/master.h"

static PyType_Slot no_slots[] = {{0, NULL}};

/* What module.c wants of master.c. */
PyType_Spec mp_py_master_spec = {
    .name = "millpond._core.Master",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = no_slots,
};

struct gateway {
    PyObject_HEAD struct mp_py_gateway gateway;
    struct pool_thread thread;
};

static int gateway_init(PyObject *obj, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"core",
                            (char *)"application",
                            (char *)"log_fd",
                            (char *)"level",
                            (char *)"multithread",
                            (char *)"multiprocess",
                            NULL};
    struct gateway *self = (struct gateway *)obj;
    PyObject *core;
    PyObject *application;
    int fd;
    int level = MP_LOG_INFO;
    int multithread = 1;
    int multiprocess = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOi|ipp", names, &core, &application, &fd,
                                     &level, &multithread, &multiprocess))
        return -1;
    struct mp_log log = {.fd = fd, .level = (enum mp_log_level)level};
    if (mp_py_wsgi_init(&self->gateway, core, application, &log, multithread, multiprocess) < 0)
        return -1;
    if (pool_thread_start(&self->thread, &self->gateway) == 0)
        return 0;
    mp_py_gateway_done(&self->gateway);
    return -1;
}

static PyObject *gateway_close(PyObject *obj, PyObject *args MP_UNUSED)
{
    struct gateway *self = (struct gateway *)obj;
    if (self->thread.started) {
        pool_thread_stop(&self->thread);
        mp_py_gateway_done(&self->gateway);
    }
    Py_RETURN_NONE;
}

static void gateway_dealloc(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    Py_DECREF(gateway_close(obj, NULL));
    type->tp_free(obj);
    Py_DECREF(type);
}

static int parse(struct mp_request *request, Py_buffer *head)
{
    static const struct mp_http_limits limits = {
        .line = 8190, .fields = 100, .field_size = 8190, .head = 65536};
    struct mp_http_scan scan = {0};
    size_t size;
    if (mp_http_head_parse(&scan, head->buf, (size_t)head->len, &limits, &request->head, &size) ==
        MP_HTTP_DONE)
        return 0;
    PyErr_Format(PyExc_ValueError, "bad head: %s",
                 request->head.reason ? request->head.reason : "incomplete");
    return -1;
}

static int parse_address(const char *text, struct mp_sockaddr *address)
{
    const char *why = NULL;
    int fd;
    if (mp_sockaddr_parse(text, address, &fd, &why) == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "bad address %s", text);
    return -1;
}

static PyObject *list_flushes(const struct mp_request *request)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < request->flushed.len / sizeof(uint64_t); i++) {
        uint64_t at;
        memcpy(&at, request->flushed.data + i * sizeof(at), sizeof(at));
        PyObject *number = PyLong_FromUnsignedLongLong(at);
        if (!number || PyList_Append(list, number) < 0)
            Py_CLEAR(list);
        Py_XDECREF(number);
    }
    return list;
}

static PyObject *bytes_of(const struct mp_buffer *buffer)
{
    return PyBytes_FromStringAndSize(buffer->data, (Py_ssize_t)buffer->len);
}

static PyObject *describe(const struct mp_request *request, int64_t nanoseconds)
{
    return Py_BuildValue(
        "{s:i,s:N,s:N,s:N,s:N,s:O,s:O,s:O,s:I,s:L,s:L}", "status", request->status, "reason",
        bytes_of(&request->reason), "fields", bytes_of(&request->fields), "body",
        bytes_of(&request->out), "flushed", list_flushes(request), "failed",
        request->failed ? Py_True : Py_False, "ended", request->ended ? Py_True : Py_False,
        "committed", request->committed ? Py_True : Py_False, "files", request->files, "extended",
        (long long)request->extended, "nanoseconds", (long long)nanoseconds);
}

static PyObject *gateway_request(PyObject *obj, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"head",    (char *)"body",       (char *)"peer",
                            (char *)"local",   (char *)"spooled",    (char *)"disk_fails",
                            (char *)"disk_ms", (char *)"gone_after", (char *)"flush_fails",
                            (char *)"late",    (char *)"repeat",     NULL};
    struct gateway *self = (struct gateway *)obj;
    struct mp_request request = {.gone_after = -1, .declared = -1, .socket = -1};
    Py_buffer head;
    Py_buffer body = {0};
    const char *peer = "10.0.0.9:5555";
    const char *local = "127.0.0.1:8000";
    int spooled = 0;
    int disk_fails = 0;
    int flush_fails = 0;
    int late = 0;
    long long gone_after = -1;
    PyObject *result = NULL;

    unsigned long repeat = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|y*ssppILppk", names, &head, &body, &peer,
                                     &local, &spooled, &disk_fails, &request.disk_ms, &gone_after,
                                     &flush_fails, &late, &repeat))
        return NULL;
    request.text = head.buf;
    request.body = body.buf;
    request.body_length = (uint64_t)body.len;
    request.spooled = spooled;
    request.disk_fails = disk_fails;
    request.flush_fails = flush_fails;
    request.late = late;
    request.gone_after = gone_after;
    if (parse(&request, &head) == 0 && parse_address(peer, &request.peer) == 0 &&
        parse_address(local, &request.local) == 0) {
        pool_thread_handle(&self->thread, &request, repeat);
        result = describe(&request, self->thread.nanoseconds);
    }
    fake_request_done(&request);
    PyBuffer_Release(&head);
    if (body.obj)
        PyBuffer_Release(&body);
    return result;
}

static PyMethodDef gateway_methods[] = {
    {"request", MP_PY_FUNCTION(gateway_request), METH_VARARGS | METH_KEYWORDS, NULL},
    {"close", gateway_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot gateway_slots[] = {
    {Py_tp_init, gateway_init},
    {Py_tp_dealloc, gateway_dealloc},
    {Py_tp_methods, gateway_methods},
    {0, NULL},
};

static PyType_Spec gateway_spec = {
    .name = "_harness.Gateway",
    .basicsize = sizeof(struct gateway),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = gateway_slots,
};

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int rc = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return rc;
}

static int harness_exec(PyObject *module)
{
    return add_type(module, &gateway_spec) < 0 ? -1 : add_type(module, &harness_sockets_spec);
}

static PyModuleDef_Slot harness_slots[] = {{Py_mod_exec, harness_exec}, {0, NULL}};

static struct PyModuleDef harness_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_harness",
    .m_methods = harness_functions,
    .m_slots = harness_slots,
};

PyMODINIT_FUNC PyInit__harness(void);

PyMODINIT_FUNC PyInit__harness(void)
{
    return PyModuleDef_Init(&harness_def);
}
