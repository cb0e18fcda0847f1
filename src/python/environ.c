/* SPDX-License-Identifier: MIT */
/*
 * Each thread has a template, a dictionary with every key that every environ has, set for the
 * previous request. A request changes in it what differs, which is little between requests
 * of one kind, and gets a copy. Copying a dictionary that never lost a key duplicates its table in
 * one go; so HTTP_HOST, which all of HTTP/1.1 sends, is part of the template, and is
 * deleted from the copy in the rare case.
 */
#include "python/environ.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/uri.h"
#include "mp_version.h"
#include "python/errors.h"
#include "python/fields.h"
#include "server/request.h"

/* Sets a key of the template; consumes the reference to value. 0, or -1 with an exception. */
static int put(struct mp_py_thread *thread, enum mp_py_key key, PyObject *value)
{
    if (!value)
        return -1;
    int rc = PyDict_SetItem(thread->environ, thread->gateway->state->keys[key], value);
    Py_DECREF(value);
    return rc;
}

/* Sets what is the same in every environ of the process, and the keys that are not. */
static int fill(struct mp_py_thread *thread, PyObject *env, PyObject *errors)
{
    const struct mp_py_gateway *gateway = thread->gateway;
    struct mp_py_state *state = gateway->state;
    PyObject *const constant[MP_PY_KEY_COUNT] = {
        [MP_PY_KEY_WSGI_INPUT] = thread->input,
        [MP_PY_KEY_WSGI_ERRORS] = errors,
        [MP_PY_KEY_EXTEND_DEADLINE] = thread->extend_deadline,
        [MP_PY_KEY_WSGI_INPUT_TERMINATED] = Py_True,
        [MP_PY_KEY_WSGI_MULTITHREAD] = gateway->multithread ? Py_True : Py_False,
        [MP_PY_KEY_WSGI_MULTIPROCESS] = gateway->multiprocess ? Py_True : Py_False,
        [MP_PY_KEY_WSGI_RUN_ONCE] = Py_False,
        [MP_PY_KEY_WSGI_FILE_WRAPPER] = (PyObject *)state->file_wrapper_type,
    };
    for (size_t i = 0; i < MP_PY_KEY_COUNT; i++) {
        PyObject *value = constant[i] ? constant[i] : state->empty;
        if (PyDict_SetItem(env, state->keys[i], value) < 0)
            return -1;
    }
    return PyDict_SetItem(env, state->known[MP_HTTP_NAME_HOST], state->empty);
}

PyObject *mp_py_environ_template(struct mp_py_thread *thread)
{
    struct mp_py_state *state = thread->gateway->state;
    PyObject *errors = mp_py_errors_new(state, &thread->gateway->log);
    PyObject *version = Py_BuildValue("(ii)", 1, 0);
    PyObject *scheme = PyUnicode_InternFromString("http");
    PyObject *software = PyUnicode_InternFromString("millpond/" MP_VERSION);
    PyObject *env = PyDict_New();

    if (!errors || !version || !scheme || !software || !env || fill(thread, env, errors) < 0 ||
        PyDict_SetItem(env, state->keys[MP_PY_KEY_WSGI_VERSION], version) < 0 ||
        PyDict_SetItem(env, state->keys[MP_PY_KEY_WSGI_URL_SCHEME], scheme) < 0 ||
        PyDict_SetItem(env, state->keys[MP_PY_KEY_SERVER_SOFTWARE], software) < 0)
        Py_CLEAR(env);
    thread->seen.minor = -1; /* none of the protocols */
    Py_XSETREF(thread->errors, errors);
    Py_XDECREF(version);
    Py_XDECREF(scheme);
    Py_XDECREF(software);
    return env;
}

/* The decoded path: 0 with a new reference, -EINVAL, or -1 with an exception. */
static int decode_path(const char *path, size_t n, PyObject **ret)
{
    char small[1024];
    if (!memchr(path, '%', n)) {
        *ret = PyUnicode_DecodeLatin1(path, (Py_ssize_t)n, NULL);
        return *ret ? 0 : -1;
    }
    char *out = n <= sizeof(small) ? small : PyMem_Malloc(n);
    if (!out) {
        PyErr_NoMemory();
        return -1;
    }
    int rc = mp_http_path_decode(path, n, out);
    if (rc >= 0) {
        *ret = PyUnicode_DecodeLatin1(out, rc, NULL);
        rc = *ret ? 0 : -1;
    } else {
        rc = -EINVAL;
    }
    if (out != small)
        PyMem_Free(out);
    return rc;
}

/* REQUEST_URI, RAW_URI, PATH_INFO and QUERY_STRING, which hang together. */
static int put_target(struct mp_py_thread *thread, const struct mp_http_head *head,
                      const char *text)
{
    struct mp_py_seen *seen = &thread->seen;
    if (mp_py_text_is(seen->target, text + head->target.at, head->target.len) &&
        seen->form == head->form)
        return 0;
    Py_CLEAR(seen->target);

    PyObject *path = NULL;
    int rc = 0;
    if (head->form == MP_HTTP_ORIGIN || head->form == MP_HTTP_ABSOLUTE)
        rc = decode_path(text + head->path.at, head->path.len, &path);
    else
        path = Py_NewRef(thread->gateway->state->empty); /* "*" and authorities are no paths */
    if (rc < 0)
        return rc;
    if (put(thread, MP_PY_KEY_PATH_INFO, Py_NewRef(path)) < 0) {
        Py_DECREF(path);
        return -1;
    }
    PyObject *target = mp_py_text(text + head->target.at, head->target.len, path);
    Py_DECREF(path);
    if (!target)
        return -1;
    PyObject *query =
        PyUnicode_DecodeLatin1(text + head->query.at, (Py_ssize_t)head->query.len, NULL);
    if (put(thread, MP_PY_KEY_QUERY_STRING, query) < 0 ||
        put(thread, MP_PY_KEY_REQUEST_URI, Py_NewRef(target)) < 0 ||
        put(thread, MP_PY_KEY_RAW_URI, Py_NewRef(target)) < 0) {
        Py_DECREF(target);
        return -1;
    }
    seen->target = target;
    seen->form = head->form;
    return 0;
}

static int put_method(struct mp_py_thread *thread, const struct mp_http_head *head,
                      const char *text)
{
    struct mp_py_seen *seen = &thread->seen;
    struct mp_py_state *state = thread->gateway->state;
    if (seen->method != head->method || head->method == MP_HTTP_OTHER) {
        PyObject *known = state->methods[head->method];
        PyObject *method = mp_py_text(text + head->method_name.at, head->method_name.len, known);
        if (put(thread, MP_PY_KEY_REQUEST_METHOD, method) < 0)
            return -1;
        seen->method = head->method;
    }
    if (seen->minor != head->minor) {
        PyObject *protocol = state->protocols[head->minor ? 1 : 0];
        if (put(thread, MP_PY_KEY_SERVER_PROTOCOL, Py_NewRef(protocol)) < 0)
            return -1;
        seen->minor = head->minor;
    }
    return 0;
}

static bool same_address(const struct mp_sockaddr *a, const struct mp_sockaddr *b)
{
    return a->len == b->len && memcmp(&a->any, &b->any, a->len) == 0;
}

/* A port as text; "" for 0, which UNIX sockets have. */
static PyObject *port_text(uint16_t port)
{
    char text[5];
    size_t at = sizeof(text);
    for (; port; port /= 10)
        text[--at] = (char)('0' + port % 10);
    return PyUnicode_DecodeLatin1(text + at, (Py_ssize_t)(sizeof(text) - at), NULL);
}

/* The same, remembered: a thread serves the connections of its worker in turns. Clients take even
 * ports first, hence the shift. */
static PyObject *peer_port_text(struct mp_py_seen *seen, uint16_t port)
{
    struct mp_py_cached_port *place = &seen->ports[(port >> 1) & (MP_PY_PORT_CACHE - 1)];
    if (!place->text || place->port != port) {
        PyObject *text = port_text(port);
        if (!text)
            return NULL;
        place->port = port;
        Py_XSETREF(place->text, text);
    }
    return Py_NewRef(place->text);
}

/* The peer's host, which many connections share, is only formatted when it is another one. */
static bool same_host(const struct mp_sockaddr *a, const struct mp_sockaddr *b)
{
    if (a->len == 0 || b->len == 0 || a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    return a->any.sa_family == AF_INET6 &&
           memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0 &&
           a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

static int put_peer(struct mp_py_thread *thread, const struct mp_sockaddr *peer)
{
    struct mp_sockaddr *seen = &thread->seen.peer;
    if (seen->len != 0 && same_address(seen, peer))
        return 0;
    if (!same_host(seen, peer)) {
        char host[MP_SOCKADDR_TEXT];
        size_t n = mp_sockaddr_host(peer, host, sizeof(host));
        if (put(thread, MP_PY_KEY_REMOTE_ADDR, PyUnicode_DecodeLatin1(host, (Py_ssize_t)n, NULL)) <
            0)
            return -1;
    }
    seen->len = 0; /* not known until both are set */
    if (put(thread, MP_PY_KEY_REMOTE_PORT, peer_port_text(&thread->seen, mp_sockaddr_port(peer))) <
        0)
        return -1;
    *seen = *peer;
    return 0;
}

/* SERVER_NAME must not be empty: UNIX sockets, which have no host, are called localhost, port 80.
 */
static int put_local(struct mp_py_thread *thread, const struct mp_sockaddr *local)
{
    struct mp_sockaddr *seen = &thread->seen.local;
    if (seen->len != 0 && same_address(seen, local))
        return 0;
    char host[MP_SOCKADDR_TEXT + 2];
    size_t n = mp_sockaddr_host(local, host + 1, sizeof(host) - 2);
    PyObject *name;
    if (n == 0) {
        name = PyUnicode_InternFromString("localhost");
    } else if (memchr(host + 1, ':', n)) {
        host[0] = '[';
        host[n + 1] = ']';
        name = PyUnicode_DecodeLatin1(host, (Py_ssize_t)n + 2, NULL);
    } else {
        name = PyUnicode_DecodeLatin1(host + 1, (Py_ssize_t)n, NULL);
    }
    seen->len = 0;
    if (put(thread, MP_PY_KEY_SERVER_NAME, name) < 0)
        return -1;
    uint16_t port = n == 0 ? 80 : mp_sockaddr_port(local);
    if (put(thread, MP_PY_KEY_SERVER_PORT, port_text(port)) < 0)
        return -1;
    *seen = *local;
    return 0;
}

static int put_host(struct mp_py_thread *thread, const struct mp_http_head *head, const char *text)
{
    struct mp_py_seen *seen = &thread->seen;
    if (mp_py_text_is(seen->host, text + head->host.at, head->host.len))
        return 0;
    PyObject *host = PyUnicode_DecodeLatin1(text + head->host.at, (Py_ssize_t)head->host.len, NULL);
    if (!host)
        return -1;
    PyObject *key = thread->gateway->state->known[MP_HTTP_NAME_HOST];
    if (PyDict_SetItem(thread->environ, key, host) < 0) {
        Py_DECREF(host);
        return -1;
    }
    Py_XSETREF(seen->host, host);
    return 0;
}

/* The length is known, whatever the framing was, because the whole body is here. */
static int add_length(struct mp_py_thread *thread, struct mp_request *request, PyObject *env)
{
    char text[24];
    int n =
        snprintf(text, sizeof(text), "%llu", (unsigned long long)mp_request_body_length(request));
    PyObject *length = PyUnicode_DecodeLatin1(text, n, NULL);
    if (!length)
        return -1;
    PyObject *key = thread->gateway->state->known[MP_HTTP_NAME_CONTENT_LENGTH];
    int rc = PyDict_SetItem(env, key, length);
    Py_DECREF(length);
    return rc;
}

int mp_py_environ_new(struct mp_py_thread *thread, struct mp_request *request,
                      PyObject **ret_environ)
{
    const struct mp_http_head *head = mp_request_head(request);
    const char *text = mp_request_text(request);
    bool has_host = head->has_host || head->host.len > 0;

    int rc = put_target(thread, head, text);
    if (rc < 0)
        return rc;
    if (put_method(thread, head, text) < 0 || put_peer(thread, mp_request_peer(request)) < 0 ||
        put_local(thread, mp_request_local(request)) < 0 ||
        (has_host && put_host(thread, head, text) < 0))
        return -1;

    if (mp_py_waits_put(thread, request) < 0 || mp_py_forwarded_put(thread, request) < 0)
        return -1;

    PyObject *env = PyDict_Copy(thread->environ);
    if (!env)
        return -1;
    if ((!has_host && PyDict_DelItem(env, thread->gateway->state->known[MP_HTTP_NAME_HOST]) < 0) ||
        ((head->has_length || head->chunked) && add_length(thread, request, env) < 0) ||
        mp_py_fields_add(thread, head, text, env) < 0 ||
        mp_py_waits_add(thread, request, env) < 0 ||
        mp_py_forwarded_add(thread, request, env) < 0) {
        Py_DECREF(env);
        return -1;
    }
    *ret_environ = env;
    return 0;
}

void mp_py_seen_done(struct mp_py_seen *seen)
{
    Py_CLEAR(seen->target);
    Py_CLEAR(seen->host);
    for (size_t i = 0; i < MP_HTTP_NAME_COUNT; i++)
        Py_CLEAR(seen->values[i]);
    for (size_t i = 0; i < MP_PY_NAME_CACHE; i++)
        Py_CLEAR(seen->names[i].key);
    for (size_t i = 0; i < MP_PY_PORT_CACHE; i++)
        Py_CLEAR(seen->ports[i].text);
}
