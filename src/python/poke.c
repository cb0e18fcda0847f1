/* SPDX-License-Identifier: MIT */
/*
 * Where a thread stands, while the interpreter is held: module faulthandler writes the frames of
 * the thread that a signal is sent to, on that thread, into a file in memory. Its own frames, and
 * not those of others, which might change or go away meanwhile.
 */
#include "python/traceback.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "os/fd.h"
#include "os/process.h"
#include "os/shm.h"
#include "os/sigaction.h"
#include "python/failure.h"
#include "python/gateway.h"
#include "python/text.h"

/* What an application hardly uses for itself. */
#define POKE_SIGNAL (SIGRTMAX - 2)

enum { POKED_SIZE = 16384 };

int mp_py_poke(void *data, pid_t tid)
{
    struct mp_py_traceback *traceback = &((struct mp_py_gateway *)data)->traceback;
    if (traceback->file < 0)
        return -ENOSYS;
    /* What the last one still has to say would be taken for this one's. */
    if (mp_sigaction_counted() != traceback->asked)
        return -EBUSY;
    int rc = mp_fd_clear(traceback->file);
    if (rc == 0)
        rc = mp_thread_kill(tid, POKE_SIGNAL);
    if (rc == 0)
        traceback->asked++;
    return rc;
}

/* Appends a line of a frame, '  File "a.py", line 3 in f'; of a recursion, it is there once. */
static void add_line(struct mp_py_text *text, const char *line, size_t len, const char *last,
                     size_t last_len)
{
    static const char frame[] = "  File ";
    if (len < sizeof(frame) - 1 || memcmp(line, frame, sizeof(frame) - 1) != 0)
        return;
    if ((len == last_len && memcmp(line, last, len) == 0) || !mp_py_text_fits(text, len + 4))
        return;
    mp_py_text_append(text, "\n    ", 5);
    mp_py_text_append(text, line + 2, len - 2);
    mp_py_text_plain(text->bytes + text->len - (len - 2), len - 2);
}

/* Appends the frames, which faulthandler writes innermost first, in the other order. */
static void reverse(const char *report, size_t n, struct mp_py_text *text)
{
    const char *last = NULL;
    size_t last_len = 0;
    size_t end = n;
    while (end > 0) {
        const char *before = end > 1 ? memrchr(report, '\n', end - 1) : NULL;
        size_t begin = before ? (size_t)(before - report) + 1 : 0;
        size_t len = end - begin;
        if (len > 0 && report[end - 1] == '\n')
            len--;
        add_line(text, report + begin, len, last, last_len);
        last = report + begin;
        last_len = len;
        end = begin;
    }
}

ssize_t mp_py_poked(void *data, char *bytes, size_t size)
{
    const struct mp_py_traceback *traceback = &((struct mp_py_gateway *)data)->traceback;
    struct mp_py_text text = {.bytes = bytes, .size = size};
    if (mp_sigaction_counted() != traceback->asked)
        return -EAGAIN;
    char *report = malloc(POKED_SIZE);
    if (!report)
        return -ENOMEM;
    bytes[0] = '\0';
    ssize_t n = mp_fd_pread(traceback->file, report, POKED_SIZE, 0);
    if (n > 0)
        reverse(report, (size_t)n, &text);
    free(report);
    return (ssize_t)text.len;
}

static PyObject *call_faulthandler(const char *name, PyObject *args, PyObject *kwargs)
{
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *function = module ? PyObject_GetAttrString(module, name) : NULL;
    PyObject *result = function ? PyObject_Call(function, args, kwargs) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(module);
    return result;
}

/* 0, or -1 with an exception. */
static int register_signal(int signo, int fd, bool all_threads)
{
    PyObject *args = Py_BuildValue("(i)", signo);
    PyObject *kwargs = Py_BuildValue("{s:i,s:O,s:O}", "file", fd, "all_threads",
                                     all_threads ? Py_True : Py_False, "chain", Py_False);
    PyObject *result = args && kwargs ? call_faulthandler("register", args, kwargs) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

void mp_py_traceback_install(struct mp_py_gateway *gateway)
{
    struct mp_py_traceback *traceback = &gateway->traceback;
    int rc = mp_shm_file("millpond-traceback");
    if (gateway->log.fd >= 0 && register_signal(MP_PY_DUMP_SIGNAL, gateway->log.fd, true) < 0)
        PyErr_Clear();
    traceback->file = rc;
    traceback->asked = mp_sigaction_counted();
    if (rc >= 0 && register_signal(POKE_SIGNAL, traceback->file, false) < 0) {
        mp_py_failure_exception(gateway->state, &gateway->log, NULL,
                                "handlers that hold the interpreter will not be seen");
        mp_fd_close(&traceback->file);
        return;
    }
    if (rc >= 0)
        rc = mp_sigaction_count(POKE_SIGNAL);
    if (rc >= 0)
        return;
    mp_log(&gateway->log, MP_LOG_WARNING, "handlers that hold the interpreter will not be seen: %s",
           strerror(-rc));
    mp_fd_close(&traceback->file);
}

void mp_py_traceback_uninstall(struct mp_py_gateway *gateway)
{
    if (gateway->traceback.file < 0)
        return;
    PyObject *args = Py_BuildValue("(i)", POKE_SIGNAL);
    PyObject *result = args ? call_faulthandler("unregister", args, NULL) : NULL;
    Py_XDECREF(result);
    Py_XDECREF(args);
    PyErr_Clear();
    mp_fd_close(&gateway->traceback.file);
}
