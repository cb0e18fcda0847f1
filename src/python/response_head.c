/* SPDX-License-Identifier: MIT */
#include "python/response_head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/response.h"
#include "server/response.h"

/* The latin-1 bytes of a str; or NULL with an exception that calls it `what`. */
static const char *latin1(PyObject *str, const char *what, size_t *ret_n)
{
    if (!PyUnicode_Check(str)) {
        PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what, Py_TYPE(str)->tp_name);
        return NULL;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(str) < 0)
        return NULL;
#endif
    if (PyUnicode_KIND(str) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s has characters outside of latin-1: %R", what, str);
        return NULL;
    }
    *ret_n = (size_t)PyUnicode_GET_LENGTH(str);
    return (const char *)PyUnicode_1BYTE_DATA(str);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int begin(struct mp_request *request, PyObject *status)
{
    size_t n;
    const char *text = latin1(status, "the status", &n);
    if (!text)
        return -1;
    if (n < 4 || !is_digit(text[0]) || !is_digit(text[1]) || !is_digit(text[2]) || text[3] != ' ') {
        PyErr_Format(PyExc_ValueError,
                     "the status must be three digits, a space and a reason, not %R", status);
        return -1;
    }
    int number = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    int rc = mp_response_begin(request, number, text + 4, n - 4);
    if (rc == -EINVAL && (number < 200 || number > 599))
        PyErr_Format(PyExc_ValueError, "the status must be 200 to 599, not %d", number);
    else if (rc == -EINVAL)
        PyErr_Format(PyExc_ValueError, "the status has control characters: %R", status);
    else if (rc == -EALREADY)
        PyErr_SetString(PyExc_AssertionError, "the head of the response was sent already");
    else if (rc < 0)
        PyErr_NoMemory();
    return rc < 0 ? -1 : 0;
}

static void raise_field(int rc, PyObject *item, const char *name, size_t name_len)
{
    switch (rc) {
    case -EPERM:
        PyErr_Format(PyExc_AssertionError,
                     "%R is a hop-by-hop header, which only the server may send",
                     PyTuple_GET_ITEM(item, 0));
        return;
    case -EINVAL:
        PyErr_Format(PyExc_ValueError,
                     mp_http_name_valid(name, name_len)
                         ? "the header %R has an invalid value (control characters, or no number)"
                         : "the header %R has an invalid name",
                     item);
        return;
    case -E2BIG:
        PyErr_SetString(PyExc_ValueError, "the headers are larger than 64 KiB");
        return;
    case -EALREADY:
        PyErr_SetString(PyExc_AssertionError, "the head of the response was sent already");
        return;
    default:
        PyErr_NoMemory();
    }
}

/* Remembers what the server has checked to be a number. */
static void note_length(struct mp_py_call *call, const char *value, size_t n)
{
    int64_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_digit(value[i]))
            length = length * 10 + (value[i] - '0');
    }
    call->declared = length;
}

static int field(struct mp_py_call *call, PyObject *item)
{
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
        PyErr_Format(PyExc_TypeError, "a header must be a tuple (name, value), not %R", item);
        return -1;
    }
    size_t name_len;
    size_t value_len;
    const char *name = latin1(PyTuple_GET_ITEM(item, 0), "a header's name", &name_len);
    const char *value =
        name ? latin1(PyTuple_GET_ITEM(item, 1), "a header's value", &value_len) : NULL;
    if (!value)
        return -1;
    int rc = mp_response_field(call->request, name, name_len, value, value_len);
    if (mp_unlikely(rc < 0)) {
        raise_field(rc, item, name, name_len);
        return -1;
    }
    if (name_len == 14 && (name[8] | 0x20) == 'l' && strncasecmp(name, "content-length", 14) == 0)
        note_length(call, value, value_len);
    return 0;
}

int mp_py_head_begin(struct mp_py_thread *thread, PyObject *status, PyObject *headers)
{
    struct mp_py_call *call = &thread->call;

    call->declared = -1;
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "the headers must be a list of tuples, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    if (begin(call->request, status) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(headers, i));
        int rc = field(call, item);
        Py_DECREF(item);
        if (rc < 0) {
            mp_response_reset(call->request);
            call->declared = -1;
            return -1;
        }
    }
    return 0;
}
