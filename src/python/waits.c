/* SPDX-License-Identifier: MIT */
/* How long a request has waited, for the application: in the pool, and on its way to it. */
#include "http/forwarded.h"
#include "http/request_start.h"
#include "os/clock.h"
#include "python/environ.h"
#include "server/request.h"

/* Who says that it was longer has a clock that cannot be believed. */
#define LONGEST (3600 * MP_NSEC_PER_SEC)

static PyObject *seconds(int64_t ns)
{
    return PyFloat_FromDouble((double)(ns > 0 ? ns : 0) / (double)MP_NSEC_PER_SEC);
}

int mp_py_waits_put(struct mp_py_thread *thread, const struct mp_request *request)
{
    PyObject *key = thread->gateway->state->keys[MP_PY_KEY_QUEUE_WAIT];
    PyObject *value = seconds(mp_request_started_at(request) - mp_request_ready_at(request));
    int rc = value ? PyDict_SetItem(thread->environ, key, value) : -1;
    Py_XDECREF(value);
    return rc;
}

/* The first field of that name, or NULL. */
static const struct mp_http_field *find(const struct mp_http_head *head)
{
    if (!(head->forwarding & MP_HTTP_FORWARDED_OTHER))
        return NULL;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].known == MP_HTTP_NAME_X_REQUEST_START)
            return &head->fields[i];
    }
    return NULL;
}

/* From then until the request was complete here; -1: the clocks do not agree. */
static int64_t wait_since(const struct mp_request *request, int64_t start)
{
    int64_t ago = mp_clock_now() - mp_request_ready_at(request);
    int64_t wait = mp_clock_wall() - ago - start;
    return wait >= 0 && wait <= LONGEST ? wait : -1;
}

int mp_py_waits_add(struct mp_py_thread *thread, const struct mp_request *request, PyObject *env)
{
    const char *text = mp_request_text(request);
    const struct mp_http_field *field = find(mp_request_head(request));
    int64_t start = field ? mp_http_request_start(text + field->value.at, field->value.len) : -1;
    int64_t wait = start >= 0 ? wait_since(request, start) : -1;
    if (wait < 0)
        return 0;
    PyObject *value = seconds(wait);
    int rc = value
                 ? PyDict_SetItem(env, thread->gateway->state->names[MP_PY_NAME_PROXY_WAIT], value)
                 : -1;
    Py_XDECREF(value);
    return rc;
}
