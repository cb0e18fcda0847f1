/* SPDX-License-Identifier: MIT */
/*
 * What trusted proxies have said of a request, in its environ. The client's address and HTTP_HOST
 * are where they always are; here is what else depends on it.
 */
#include <string.h>

#include "http/uri.h"
#include "python/environ.h"
#include "python/fields.h"
#include "server/request.h"

int mp_py_forwarded_put(struct mp_py_thread *thread, const struct mp_request *request)
{
    /* An absolute target names its scheme itself (RFC 9112 section 3.3). */
    bool https = mp_request_forwarded(request)->scheme == MP_HTTP_SCHEME_HTTPS ||
                 mp_request_head(request)->https;
    if (mp_likely(https == thread->seen.https))
        return 0;
    PyObject *scheme = PyUnicode_InternFromString(https ? "https" : "http");
    PyObject *key = thread->gateway->state->keys[MP_PY_KEY_WSGI_URL_SCHEME];
    int rc = scheme ? PyDict_SetItem(thread->environ, key, scheme) : -1;
    Py_XDECREF(scheme);
    if (rc == 0)
        thread->seen.https = https;
    return rc;
}

static int set(const struct mp_py_thread *thread, PyObject *env, enum mp_py_key key,
               const char *text, size_t n)
{
    PyObject *value = PyUnicode_DecodeLatin1(text, (Py_ssize_t)n, NULL);
    int rc = value ? PyDict_SetItem(env, thread->gateway->state->keys[key], value) : -1;
    Py_XDECREF(value);
    return rc;
}

/* The server as the client has called it. */
static int add_host(const struct mp_py_thread *thread, const char *text, size_t n, bool https,
                    PyObject *env)
{
    struct mp_http_span host;
    struct mp_http_span port;
    mp_http_authority_split(text, n, &host, &port);
    if (set(thread, env, MP_PY_KEY_SERVER_NAME, text + host.at, host.len) < 0)
        return -1;
    if (port.len > 0)
        return set(thread, env, MP_PY_KEY_SERVER_PORT, text + port.at, port.len);
    return https ? set(thread, env, MP_PY_KEY_SERVER_PORT, "443", 3)
                 : set(thread, env, MP_PY_KEY_SERVER_PORT, "80", 2);
}

/* SCRIPT_NAME; and PATH_INFO without it, if the proxy has left it there. */
static int add_prefix(const struct mp_py_thread *thread, const char *text, size_t n, PyObject *env)
{
    if (set(thread, env, MP_PY_KEY_SCRIPT_NAME, text, n) < 0)
        return -1;
    PyObject *key = thread->gateway->state->keys[MP_PY_KEY_PATH_INFO];
    PyObject *path = PyDict_GetItemWithError(env, key);
    if (!path)
        return -1;
    size_t size = (size_t)PyUnicode_GET_LENGTH(path);
    const char *bytes = (const char *)PyUnicode_1BYTE_DATA(path);
    if (size < n || memcmp(bytes, text, n) != 0 || (size > n && bytes[n] != '/'))
        return 0;
    return set(thread, env, MP_PY_KEY_PATH_INFO, bytes + n, size - n);
}

int mp_py_forwarded_add(const struct mp_py_thread *thread, const struct mp_request *request,
                        PyObject *env)
{
    const struct mp_http_forwarded *forwarded = mp_request_forwarded(request);
    const char *text = mp_request_text(request);
    if (forwarded->host.len > 0 && add_host(thread, text + forwarded->host.at, forwarded->host.len,
                                            forwarded->scheme == MP_HTTP_SCHEME_HTTPS, env) < 0)
        return -1;
    if (forwarded->prefix.len > 0)
        return add_prefix(thread, text + forwarded->prefix.at, forwarded->prefix.len, env);
    return 0;
}
