/* SPDX-License-Identifier: MIT */
#include "python/fields.h"

#include <string.h>

bool mp_py_text_is(PyObject *str, const char *text, size_t n)
{
    return str && (size_t)PyUnicode_GET_LENGTH(str) == n &&
           PyUnicode_KIND(str) == PyUnicode_1BYTE_KIND &&
           memcmp(PyUnicode_1BYTE_DATA(str), text, n) == 0;
}

PyObject *mp_py_text(const char *text, size_t n, PyObject *cached)
{
    if (mp_py_text_is(cached, text, n))
        return Py_NewRef(cached);
    return PyUnicode_DecodeLatin1(text, (Py_ssize_t)n, NULL);
}

static char cgi_char(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c == '-' ? '_' : c;
}

/* "HTTP_X_NAME" of "X-Name", which is a token and so ASCII. */
static PyObject *make_key(const char *name, size_t n)
{
    PyObject *key = PyUnicode_New((Py_ssize_t)n + 5, 127);
    if (!key)
        return NULL;
    char *out = (char *)PyUnicode_1BYTE_DATA(key);
    memcpy(out, "HTTP_", 5);
    for (size_t i = 0; i < n; i++)
        out[5 + i] = cgi_char(name[i]);
    return key;
}

/*
 * The key of a name without a number, a new reference. The cache has one place for a name, found by
 * a sum that is trivial to collide with: then the places are taken in turns and keys are made anew,
 * which is what happens without a cache.
 */
static PyObject *find_key(struct mp_py_seen *seen, const char *name, size_t n)
{
    if (n == 0 || n >= MP_PY_NAME_CACHED)
        return make_key(name, n);
    unsigned sum = (unsigned)n * 7u + (unsigned char)name[n - 1] * 31u +
                   (unsigned char)name[n / 2] * 5u + (unsigned char)name[0];
    struct mp_py_cached_name *place = &seen->names[sum & (MP_PY_NAME_CACHE - 1)];
    if (place->len == n && memcmp(place->name, name, n) == 0)
        return Py_NewRef(place->key);
    PyObject *key = make_key(name, n);
    if (!key)
        return NULL;
    place->len = (unsigned char)n;
    memcpy(place->name, name, n);
    Py_XSETREF(place->key, Py_NewRef(key));
    return key;
}

/* Values that nobody else should have the use of are not kept for longer than their request. */
static bool is_secret(enum mp_http_known known)
{
    return known == MP_HTTP_NAME_COOKIE || known == MP_HTTP_NAME_AUTHORIZATION ||
           known == MP_HTTP_NAME_PROXY_AUTHORIZATION;
}

/* The value as str, a new reference; the one of the previous request if that was the same. */
static PyObject *find_value(struct mp_py_seen *seen, enum mp_http_known known, const char *value,
                            size_t n)
{
    PyObject *str = mp_py_text(value, n, seen->values[known]);
    if (str && str != seen->values[known] && known != MP_HTTP_NAME_OTHER &&
        n <= MP_PY_VALUE_CACHED && !is_secret(known))
        Py_XSETREF(seen->values[known], Py_NewRef(str));
    return str;
}

static bool same_name(const struct mp_http_field *a, const struct mp_http_field *b,
                      const char *text)
{
    if (a->known != MP_HTTP_NAME_OTHER || b->known != MP_HTTP_NAME_OTHER)
        return a->known == b->known;
    if (a->name.len != b->name.len)
        return false;
    const char *x = text + a->name.at;
    const char *y = text + b->name.at;
    for (size_t i = 0; i < a->name.len; i++) {
        if (cgi_char(x[i]) != cgi_char(y[i]))
            return false;
    }
    return true;
}

/* The values of all fields with the name of field `first`, joined. Marks them in done. */
static PyObject *join(const struct mp_http_head *head, const char *text, uint32_t first, bool *done)
{
    const struct mp_http_field *name = &head->fields[first];
    const char *glue = name->known == MP_HTTP_NAME_COOKIE ? "; " : ", ";
    size_t n = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (!same_name(name, &head->fields[i], text))
            continue;
        done[i] = true;
        n += head->fields[i].value.len + 2;
    }
    char *joined = PyMem_Malloc(n);
    if (!joined)
        return PyErr_NoMemory();
    char *end = joined;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct mp_http_span *value = &head->fields[i].value;
        if (!same_name(name, &head->fields[i], text))
            continue;
        memcpy(end, text + value->at, value->len);
        memcpy(end + value->len, glue, 2);
        end += value->len + 2;
    }
    PyObject *str = PyUnicode_DecodeLatin1(joined, (Py_ssize_t)n - 2, NULL);
    PyMem_Free(joined);
    return str;
}

static bool is_framing(const struct mp_http_head *head, const struct mp_http_field *field)
{
    return field->known == MP_HTTP_NAME_HOST || field->known == MP_HTTP_NAME_CONTENT_LENGTH ||
           (field->known == MP_HTTP_NAME_TRANSFER_ENCODING && head->chunked);
}

/* Sets one variable; `done` has the fields that were joined already. */
static int add(struct mp_py_thread *thread, const struct mp_http_head *head, const char *text,
               uint32_t i, bool *done, PyObject *env)
{
    const struct mp_http_field *field = &head->fields[i];
    struct mp_py_seen *seen = &thread->seen;
    enum mp_http_known known = (enum mp_http_known)field->known;

    PyObject *key = known != MP_HTTP_NAME_OTHER
                        ? Py_NewRef(thread->gateway->state->known[known])
                        : find_key(seen, text + field->name.at, field->name.len);
    if (!key)
        return -1;
    PyObject *value = find_value(seen, known, text + field->value.at, field->value.len);
    Py_ssize_t before = PyDict_GET_SIZE(env);
    int rc = value ? PyDict_SetItem(env, key, value) : -1;
    if (rc == 0 && mp_unlikely(PyDict_GET_SIZE(env) == before)) {
        /* The name was there before. */
        Py_SETREF(value, join(head, text, i, done));
        rc = value ? PyDict_SetItem(env, key, value) : -1;
    }
    Py_XDECREF(value);
    Py_DECREF(key);
    return rc;
}

int mp_py_fields_add(struct mp_py_thread *thread, const struct mp_http_head *head, const char *text,
                     PyObject *env)
{
    bool done[MP_HTTP_FIELDS_MAX] = {false};
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (is_framing(head, &head->fields[i]) || done[i])
            continue;
        if (add(thread, head, text, i, done, env) < 0)
            return -1;
    }
    return 0;
}
