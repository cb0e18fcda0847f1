/* SPDX-License-Identifier: MIT */
#include "python/thread.h"

#include <errno.h>

#include "python/environ.h"
#include "python/failure.h"
#include "python/input.h"
#include "python/start_response.h"

/* 0, or -1 with an exception. */
static int renew_extend_deadline(struct mp_py_thread *thread)
{
    PyObject *key = thread->gateway->state->keys[MP_PY_KEY_EXTEND_DEADLINE];
    thread->extend_deadline = mp_py_extend_deadline_new(thread);
    if (!thread->extend_deadline)
        return -1;
    if (thread->environ && PyDict_SetItem(thread->environ, key, thread->extend_deadline) < 0) {
        Py_CLEAR(thread->extend_deadline);
        return -1;
    }
    return 0;
}

int mp_py_thread_prepare(struct mp_py_thread *thread)
{
    struct mp_py_state *state = thread->gateway->state;

    if (!thread->input) {
        thread->input = mp_py_input_new(state);
        if (!thread->input)
            return -1;
        if (thread->environ &&
            PyDict_SetItem(thread->environ, state->keys[MP_PY_KEY_WSGI_INPUT], thread->input) < 0) {
            Py_CLEAR(thread->input);
            return -1;
        }
    }
    if (!thread->start_response) {
        thread->start_response = mp_py_start_response_new(thread);
        if (!thread->start_response)
            return -1;
    }
    if (!thread->write) {
        thread->write = mp_py_write_new(thread);
        if (!thread->write)
            return -1;
    }
    if (!thread->extend_deadline && renew_extend_deadline(thread) < 0)
        return -1;
    if (!thread->environ) {
        thread->environ = mp_py_environ_template(thread);
        if (!thread->environ)
            return -1;
    }
    return 0;
}

static void clear(struct mp_py_thread *thread)
{
    if (thread->start_response)
        mp_py_callable_detach(thread->start_response);
    if (thread->write)
        mp_py_callable_detach(thread->write);
    if (thread->extend_deadline)
        mp_py_callable_detach(thread->extend_deadline);
    if (thread->input)
        mp_py_input_detach(thread->input);
    Py_CLEAR(thread->environ);
    Py_CLEAR(thread->errors);
    Py_CLEAR(thread->start_response);
    Py_CLEAR(thread->write);
    Py_CLEAR(thread->extend_deadline);
    Py_CLEAR(thread->input);
    mp_py_seen_done(&thread->seen);
}

static void destroy(struct mp_py_thread *thread)
{
    clear(thread);
    mp_py_gateway_detach(thread->tstate);
    PyMem_RawFree(thread);
}

int mp_py_thread_new(struct mp_py_gateway *gateway, unsigned index,
                     struct mp_py_thread **ret_thread)
{
    struct mp_py_thread *thread = PyMem_RawCalloc(1, sizeof(*thread));
    if (!thread)
        return -ENOMEM;
    thread->gateway = gateway;
    thread->ident = PyThread_get_thread_ident();
    thread->tstate = mp_py_gateway_attach(gateway, index);
    if (!thread->tstate) {
        PyMem_RawFree(thread);
        return -ENOMEM;
    }
    if (mp_py_thread_prepare(thread) < 0) {
        mp_py_failure_exception(gateway->state, &gateway->log, NULL, "a thread cannot be started");
        destroy(thread);
        return -ENOMEM;
    }
    PyEval_SaveThread();
    *ret_thread = thread;
    return 0;
}

void mp_py_thread_free(struct mp_py_thread *thread)
{
    PyEval_RestoreThread(thread->tstate);
    destroy(thread);
}
