/* SPDX-License-Identifier: MIT */
#include "python/failure.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "server/request.h"

enum { SUBJECT_SIZE = 512 }; /* of "GET /path: what"; longer paths are cut */

static const char indent[] = "\n    ";

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

/* The records of a text that may be too long for one line of the log. */
struct block {
    const struct mp_log *log;
    const char *subject;
    struct mp_buffer record;
    size_t size; /* of record, as the log will have it; 0: nothing is in it yet */
    bool failed; /* no memory */
};

static void append(struct block *block, const char *text, size_t n)
{
    block->size += mp_log_size(block->log, text, n);
    block->failed = block->failed || mp_buffer_append(&block->record, text, n) < 0;
}

static void flush_record(struct block *block)
{
    if (block->record.len > 0)
        mp_log_bytes(block->log, MP_LOG_ERROR, block->record.data, block->record.len);
    else
        mp_log(block->log, MP_LOG_ERROR, "%s", block->subject);
    block->record.len = 0;
    block->size = 0;
}

static void begin_record(struct block *block, const char *prefix)
{
    append(block, block->subject, strlen(block->subject));
    append(block, prefix, strlen(prefix));
}

/*
 * Writes text, whose lines all become continuation lines, below the subject, in as many records as
 * it needs: a traceback is worth most at its end, which must not be cut off.
 */
static void log_block(const struct mp_log *log, const char *subject, const char *text, size_t n)
{
    struct block block = {.log = log, .subject = subject};
    mp_buffer_init(&block.record);
    begin_record(&block, "");
    for (size_t lines = 0; n > 0 && !block.failed; lines++) {
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) : n;
        size_t used = end ? line + 1 : line;
        size_t indented = sizeof(indent) - 1 + mp_log_size(log, text, line);
        if (lines > 0 && block.size + indented > MP_LOG_ROOM) {
            flush_record(&block);
            begin_record(&block, " (continued)");
            lines = 0;
        }
        append(&block, indent, sizeof(indent) - 1);
        append(&block, text, line);
        text += used;
        n -= used;
    }
    flush_record(&block);
    mp_buffer_done(&block.record);
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
