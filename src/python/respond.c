/* SPDX-License-Identifier: MIT */
/*
 * Every piece is handed to the server and let go before the next one is asked for, as PEP 3333
 * demands, except that the pieces of a list or a tuple are all there already: those leave together,
 * with a length.
 */
#include "python/respond.h"

#include <errno.h>

#include "os/fd.h"
#include "python/failure.h"
#include "python/file_wrapper.h"
#include "server/request.h"
#include "server/response.h"

enum {
    COPY_MAX = 4096, /* bytes; up to it a copy is cheaper than to keep and to drop later */
};

static int raise_errno(int rc, const char *what)
{
    if (rc == -ENOMEM) {
        PyErr_NoMemory();
        return -1;
    }
    errno = -rc;
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", -rc, what);
    if (error) {
        PyErr_SetObject(PyExc_OSError, error);
        Py_DECREF(error);
    }
    return -1;
}

static void raise_not_bytes(PyObject *piece)
{
    PyErr_Format(PyExc_TypeError, "the body must be made of bytes, not %.100s",
                 Py_TYPE(piece)->tp_name);
}

static int check_started(const struct mp_py_call *call)
{
    if (mp_likely(call->started))
        return 0;
    PyErr_SetString(PyExc_AssertionError,
                    "the application has sent a body without calling start_response()");
    return -1;
}

/* What the server says of a piece of n bytes. */
static int take_result(struct mp_py_call *call, int rc, uint64_t n)
{
    call->written += n;
    if (mp_likely(rc == 0))
        return 0;
    if (rc == -EPIPE) {
        call->gone = true;
        return 0;
    }
    if (rc == -EMSGSIZE) {
        call->cut = true;
        return 0;
    }
    return raise_errno(rc, "the response cannot be written");
}

int mp_py_respond_piece(struct mp_py_thread *thread, PyObject *piece)
{
    struct mp_py_call *call = &thread->call;
    if (mp_unlikely(!PyBytes_Check(piece))) {
        raise_not_bytes(piece);
        return -1;
    }
    if (check_started(call) < 0)
        return -1;
    size_t n = (size_t)PyBytes_GET_SIZE(piece);
    if (n == 0 || call->gone || call->cut)
        return 0;
    void *ref = n > COPY_MAX ? Py_NewRef(piece) : NULL;
    return take_result(call, mp_response_write(call->request, PyBytes_AS_STRING(piece), n, ref), n);
}

int mp_py_respond_flush(struct mp_py_thread *thread)
{
    struct mp_py_call *call = &thread->call;
    int rc;
    if (call->gone || call->cut)
        return 0; /* what is complete leaves at the end */
    Py_BEGIN_ALLOW_THREADS rc = mp_response_flush(call->request);
    Py_END_ALLOW_THREADS return take_result(call, rc, 0);
}

/* No more of the body is wanted. A body that nobody sees may be endless: its beginning will do. */
static bool is_enough(const struct mp_py_call *call)
{
    return call->gone || call->cut || (call->head_only && call->written > 0);
}

/* Exact lists and tuples, whose items need no Python to get at. */
static int send_sequence(struct mp_py_thread *thread, PyObject *sequence)
{
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        if (mp_py_respond_piece(thread, PySequence_Fast_GET_ITEM(sequence, i)) < 0)
            return -1;
        if (thread->call.gone)
            return 0;
    }
    return check_started(&thread->call);
}

static int send_iterable(struct mp_py_thread *thread, PyObject *iterable)
{
    PyObject *piece;
    PyObject *iterator = PyObject_GetIter(iterable);
    if (!iterator)
        return -1;
    while (!is_enough(&thread->call) && (piece = PyIter_Next(iterator))) {
        bool empty = PyBytes_Check(piece) && PyBytes_GET_SIZE(piece) == 0;
        int rc = mp_py_respond_piece(thread, piece);
        Py_DECREF(piece);
        if (rc == 0 && !empty)
            rc = mp_py_respond_flush(thread);
        if (rc < 0)
            break;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : check_started(&thread->call);
}

/* By sendfile: 1 when done, 0 when the file must be iterated over, -1 with an exception. */
static int send_file(struct mp_py_thread *thread, PyObject *wrapper)
{
    struct mp_py_call *call = &thread->call;
    int fd;
    uint64_t offset;
    uint64_t n;
    if (check_started(call) < 0)
        return -1;
    int rc = mp_py_file_wrapper_open(wrapper, thread->gateway->state, &fd, &offset, &n);
    if (rc <= 0)
        return rc;
    /* PEP 3333: no more of the file than Content-Length says. */
    if (call->declared >= 0) {
        uint64_t left =
            (uint64_t)call->declared > call->written ? (uint64_t)call->declared - call->written : 0;
        n = n < left ? n : left;
    }
    if (n == 0) {
        mp_fd_close(&fd);
        return 1;
    }
    rc = mp_response_sendfile(call->request, fd, offset, n);
    return take_result(call, rc, n) < 0 ? -1 : 1;
}

static int send_body(struct mp_py_thread *thread, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(thread, result);
    if (PyBytes_Check(result) || PyUnicode_Check(result) || result == Py_None) {
        PyErr_Format(PyExc_TypeError,
                     "the application must return an iterable of bytes, such as a list, not %.100s",
                     Py_TYPE(result)->tp_name);
        return -1;
    }
    if (Py_IS_TYPE(result, thread->gateway->state->file_wrapper_type)) {
        int rc = send_file(thread, result);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
    }
    return send_iterable(thread, result);
}

/* Ends the response; the body was sent as far as it could be. */
static void end(struct mp_py_thread *thread)
{
    struct mp_py_call *call = &thread->call;
    const struct mp_log *log = &thread->gateway->log;

    call->over = true;
    if (call->gone) {
        mp_py_failure_note(log, MP_LOG_DEBUG, call->request, "the client has gone");
        mp_response_fail(call->request);
        return;
    }
    if (call->cut)
        mp_py_failure_note(log, MP_LOG_ERROR, call->request,
                           "the application has sent more bytes than its Content-Length says; the "
                           "rest was left out");
    int rc = mp_response_end(call->request);
    if (rc == -ENODATA && !call->head_only)
        mp_py_failure_note(log, MP_LOG_ERROR, call->request,
                           "the application has sent fewer bytes than its Content-Length says; the "
                           "connection is closed");
}

/*
 * What has ended the application is the server's own doing, and has been logged: not again. Neither
 * is an exception wanted any more that has not come up yet, or it would spoil what follows.
 */
static bool is_interrupted(const struct mp_py_thread *thread)
{
    PyThreadState_SetAsyncExc(thread->ident, NULL);
    if (!PyErr_ExceptionMatches(thread->gateway->state->request_timeout))
        return false;
    PyErr_Clear();
    return true;
}

static void close_result(struct mp_py_thread *thread, PyObject *result)
{
    PyObject *method;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
    int rc = mp_py_optional_attr(result, thread->gateway->state->names[MP_PY_NAME_CLOSE], &method);
    if (rc == 0)
        return;
    PyObject *closed = rc > 0 ? PyObject_CallNoArgs(method) : NULL;
    if (!closed && !is_interrupted(thread))
        mp_py_failure_exception(thread->gateway->state, &thread->gateway->log, thread->call.request,
                                "exception in close() of the response");
    Py_XDECREF(closed);
    if (rc > 0)
        Py_DECREF(method);
}

void mp_py_respond_failure(struct mp_py_thread *thread)
{
    if (!is_interrupted(thread))
        mp_py_failure_exception(thread->gateway->state, &thread->gateway->log, thread->call.request,
                                "exception in the application");
    thread->call.over = true;
    thread->call.failed = !mp_response_committed(thread->call.request);
    mp_response_fail(thread->call.request);
}

void mp_py_respond(struct mp_py_thread *thread, PyObject *result)
{
    if (send_body(thread, result) == 0)
        end(thread);
    else
        mp_py_respond_failure(thread);
    close_result(thread, result);
}
