/* SPDX-License-Identifier: MIT */
/*
 * Reuse of the objects of a thread rests on their reference counts: when a request is over and
 * environ is gone, whoever still has one besides the thread (and, for what is in environ, its
 * template) has kept it. That one is detached, so that it refuses from then on, and replaced. Under
 * a GIL nobody can take a reference between the look and the next request.
 */
#include "python/app.h"

#include <errno.h>

#include "python/environ.h"
#include "python/errors.h"
#include "python/failure.h"
#include "python/hooks.h"
#include "python/input.h"
#include "python/respond.h"
#include "python/start_response.h"
#include "server/request.h"
#include "server/response.h"

static int thread_init(void *data, unsigned index, void **ret_thread)
{
    return mp_py_thread_new(data, index, (struct mp_py_thread **)ret_thread);
}

static void thread_done(void *data MP_UNUSED, void *thread)
{
    mp_py_thread_free(thread);
}

static void enter(void *data MP_UNUSED, void *thread)
{
    PyEval_RestoreThread(((struct mp_py_thread *)thread)->tstate);
}

static void leave(void *data MP_UNUSED, void *thread MP_UNUSED)
{
    PyEval_SaveThread();
}

static PyThreadState *state_of(void *thread)
{
    return ((struct mp_py_thread *)thread)->tstate;
}

static void begin(struct mp_py_thread *thread, struct mp_request *request)
{
    thread->call = (struct mp_py_call){
        .request = request,
        .head_only = mp_request_head(request)->method == MP_HTTP_HEAD,
        .declared = -1,
    };
    mp_py_input_attach(thread->input, request);
}

/* Takes the request away from whatever has been given a hold of it. */
static void finish(struct mp_py_thread *thread)
{
    mp_py_input_detach(thread->input);
    mp_py_errors_end(thread->errors);
    thread->call.request = NULL;
    if (mp_unlikely(Py_REFCNT(thread->input) != 2))
        Py_CLEAR(thread->input);
    if (mp_unlikely(Py_REFCNT(thread->start_response) != 1)) {
        mp_py_callable_detach(thread->start_response);
        Py_CLEAR(thread->start_response);
    }
    if (mp_unlikely(Py_REFCNT(thread->write) != 1)) {
        mp_py_callable_detach(thread->write);
        Py_CLEAR(thread->write);
    }
    if (mp_unlikely(Py_REFCNT(thread->extend_deadline) != 2)) {
        mp_py_callable_detach(thread->extend_deadline);
        Py_CLEAR(thread->extend_deadline);
    }
}

/* Environ cannot be made: the request's fault, or ours. */
static void refuse(struct mp_py_thread *thread, int rc)
{
    static const char text[] = "Bad Request\n";
    if (rc == -EINVAL) {
        mp_response_reply(thread->call.request, 400, "text/plain; charset=utf-8", text,
                          sizeof(text) - 1);
        return;
    }
    mp_py_failure_exception(thread->gateway->state, &thread->gateway->log, thread->call.request,
                            "the request cannot be described to the application");
    mp_response_fail(thread->call.request);
}

static PyObject *call_application(const struct mp_py_thread *thread, PyObject *env)
{
    PyObject *args[] = {NULL, env, thread->start_response};
    return PyObject_Vectorcall(thread->gateway->application, args + 1,
                               2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

static void handle(void *data MP_UNUSED, void *data_of_thread, struct mp_request *request)
{
    struct mp_py_thread *thread = data_of_thread;
    PyObject *env;

    if (mp_py_thread_prepare(thread) < 0) {
        thread->call = (struct mp_py_call){.request = request, .declared = -1};
        mp_py_respond_failure(thread);
        thread->call.request = NULL;
        return;
    }
    begin(thread, request);
    int rc = mp_py_environ_new(thread, request, &env);
    if (rc < 0) {
        refuse(thread, rc);
        finish(thread);
        return;
    }
    PyObject *req = NULL; /* of the hooks */
    PyObject *result = NULL;
    if (mp_likely(!thread->gateway->hooks.before) || mp_py_hooks_before(thread, env, &req) == 0)
        result = call_application(thread, env);
    if (result) {
        mp_py_respond(thread, result);
        Py_DECREF(result);
    } else {
        mp_py_respond_failure(thread);
    }
    if (mp_unlikely(req))
        mp_py_hooks_after(thread, req, env);
    Py_DECREF(env);
    finish(thread);
}

static void release(void *data MP_UNUSED, void *thread MP_UNUSED, void **refs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        Py_DECREF((PyObject *)refs[i]);
}

int mp_py_wsgi_init(struct mp_py_gateway *gateway, PyObject *module, PyObject *application,
                    const struct mp_log *log, bool multithread, bool multiprocess)
{
    if (!PyCallable_Check(application)) {
        PyErr_Format(PyExc_TypeError, "the application is not callable: %R", application);
        return -1;
    }
    if (mp_py_gateway_init(gateway, module, application, log) < 0)
        return -1;
    gateway->multithread = multithread;
    gateway->multiprocess = multiprocess;
    gateway->app.name = "wsgi";
    gateway->app.thread_init = thread_init;
    gateway->app.thread_done = thread_done;
    gateway->app.enter = enter;
    gateway->app.leave = leave;
    gateway->app.handle = handle;
    gateway->app.release = release;
    gateway->traceback.state_of = state_of;
    return 0;
}
