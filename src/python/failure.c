/* SPDX-License-Identifier: MIT */
#include "python/failure.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "server/request.h"

enum {
    SUBJECT_SIZE = 512, /* of "GET /path: what"; longer paths are cut */
    RECORD_SIZE = 3600, /* bytes of traceback in one record, so that mp_log does not cut it */
};

/* "GET /path: what" */
static void describe(char out[SUBJECT_SIZE], const struct mp_request *request, const char *what)
{
    if (!request) {
        snprintf(out, SUBJECT_SIZE, "%s", what);
        return;
    }
    const struct mp_http_head *head = mp_request_head(request);
    const char *text = mp_request_text(request);
    struct mp_http_span path = head->path.len > 0 ? head->path : head->target;
    int len = path.len < 256 ? (int)path.len : 256;
    snprintf(out, SUBJECT_SIZE, "%.*s %.*s: %s", (int)head->method_name.len,
             text + head->method_name.at, len, text + path.at, what);
}

void mp_py_failure_note(const struct mp_log *log, enum mp_log_level level,
                        const struct mp_request *request, const char *what)
{
    char subject[SUBJECT_SIZE];
    if (level < log->level)
        return;
    describe(subject, request, what);
    mp_log(log, level, "%s", subject);
}

/*
 * Writes text, whose lines all become continuation lines, below the subject, in as many records as
 * it needs: a traceback is worth most at its end, which must not be cut off.
 */
static void log_block(const struct mp_log *log, const char *subject, const char *text, size_t n)
{
    struct mp_buffer record;
    mp_buffer_init(&record);
    const char *prefix = "";
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) : n;
        size_t used = end ? line + 1 : line;
        if (line > RECORD_SIZE)
            line = RECORD_SIZE;
        if (record.len > 0 && record.len + line > RECORD_SIZE) {
            mp_log(log, MP_LOG_ERROR, "%s%s%.*s", subject, prefix, (int)record.len, record.data);
            prefix = " (continued)";
            record.len = 0;
        }
        if (mp_buffer_append(&record, "\n    ", 5) < 0 || mp_buffer_append(&record, text, line) < 0)
            break;
        text += used;
        n -= used;
    }
    mp_log(log, MP_LOG_ERROR, "%s%s%.*s", subject, prefix, (int)record.len,
           record.data ? record.data : "");
    mp_buffer_done(&record);
}

/* The traceback as UTF-8 bytes, or NULL (an exception may be set). */
static PyObject *format(struct mp_py_state *state, PyObject *exception)
{
    PyObject *lines = PyObject_CallOneArg(state->format_exception, exception);
    if (!lines)
        return NULL;
    PyObject *text = PyUnicode_Join(state->empty, lines);
    Py_DECREF(lines);
    if (!text)
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    Py_DECREF(text);
    return bytes;
}

PyObject *mp_py_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

void mp_py_failure_exception(struct mp_py_state *state, const struct mp_log *log,
                             const struct mp_request *request, const char *what)
{
    char subject[SUBJECT_SIZE];
    PyObject *exception = mp_py_take_exception();

    describe(subject, request, what);
    PyObject *text = exception ? format(state, exception) : NULL;
    if (text) {
        log_block(log, subject, PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text));
    } else {
        /* Not even the traceback can be made: say what kind it was. */
        mp_log(log, MP_LOG_ERROR, "%s: %s", subject,
               exception ? Py_TYPE(exception)->tp_name : "no exception is set");
    }
    Py_XDECREF(text);
    Py_XDECREF(exception);
    PyErr_Clear();
}
