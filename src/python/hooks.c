/* SPDX-License-Identifier: MIT */
#include "python/hooks.h"

#include "python/failure.h"

int mp_py_hooks_before(struct mp_py_thread *thread, PyObject *env, PyObject **ret_req)
{
    *ret_req = PyObject_CallOneArg(thread->gateway->hooks.before, env);
    return *ret_req ? 0 : -1;
}

/* What the client has got, or is about to. */
static PyObject *make_args(const struct mp_py_thread *thread, PyObject *req, PyObject *env)
{
    const struct mp_py_call *call = &thread->call;
    unsigned long long sent = call->written;
    if (!call->hook_status || call->failed)
        return Py_BuildValue("(OOs[]K)", req, env, "500 Internal Server Error", sent);
    return Py_BuildValue("(OOOOK)", req, env, call->hook_status, call->hook_headers, sent);
}

void mp_py_hooks_after(struct mp_py_thread *thread, PyObject *req, PyObject *env)
{
    struct mp_py_gateway *gateway = thread->gateway;
    PyObject *args = make_args(thread, req, env);
    PyObject *result = args ? PyObject_CallObject(gateway->hooks.after, args) : NULL;
    if (!result)
        mp_py_failure_exception(gateway->state, &gateway->log, thread->call.request,
                                "exception in the hook post_request");
    Py_XDECREF(result);
    Py_XDECREF(args);
    Py_DECREF(req);
    Py_CLEAR(thread->call.hook_status);
    Py_CLEAR(thread->call.hook_headers);
}

void mp_py_hooks_note_head(struct mp_py_thread *thread, PyObject *status, PyObject *headers)
{
    Py_XSETREF(thread->call.hook_status, Py_NewRef(status));
    Py_XSETREF(thread->call.hook_headers, Py_NewRef(headers));
}

int mp_py_hooks_set(struct mp_py_hooks *hooks, PyObject *pair)
{
    PyObject *before;
    PyObject *after;
    if (pair == Py_None)
        return 0;
    if (!PyArg_ParseTuple(pair, "OO:hooks", &before, &after))
        return -1;
    hooks->before = Py_NewRef(before);
    hooks->after = Py_NewRef(after);
    return 0;
}

void mp_py_hooks_clear(struct mp_py_hooks *hooks)
{
    Py_CLEAR(hooks->before);
    Py_CLEAR(hooks->after);
}
