/* SPDX-License-Identifier: MIT */
/*
 * The race: an application may hand its input to another Python thread, and return while that
 * one reads the spool file with the interpreter left. The request is gone soon after. So a
 * disk read is announced in `reading`, under the lock, and detaching waits for its end. Bodies in
 * memory are only touched with the interpreter entered and need none of that.
 */
#include "python/input.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/buffer.h"
#include "server/request.h"

enum {
    WINDOW_SIZE = 64 * 1024, /* read from the file at once, to look for lines in it */
};

struct mp_py_input {
    PyObject_HEAD struct mp_request *request; /* NULL: detached */
    const char *memory; /* the whole body, or NULL: it is in a file or empty */
    uint64_t length;
    uint64_t offset; /* of the next byte to be read */
    char *window;    /* bytes of the file, or NULL */
    uint64_t window_at;
    size_t window_len;
    pthread_mutex_t lock; /* guards reading, which is set with the interpreter entered */
    pthread_cond_t idle;
    bool reading;
};

static struct mp_py_input *input_of(PyObject *self)
{
    return (struct mp_py_input *)self;
}

PyObject *mp_py_input_new(struct mp_py_state *state)
{
    struct mp_py_input *in = PyObject_New(struct mp_py_input, state->input_type);
    if (!in)
        return NULL;
    in->request = NULL;
    in->memory = NULL;
    in->window = NULL;
    in->length = in->offset = in->window_at = 0;
    in->window_len = 0;
    in->reading = false;
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->idle, NULL);
    return (PyObject *)in;
}

void mp_py_input_attach(PyObject *input, struct mp_request *request)
{
    struct mp_py_input *in = input_of(input);
    in->request = request;
    in->memory = mp_request_body_memory(request);
    in->length = mp_request_body_length(request);
    in->offset = 0;
    in->window_len = 0;
}

/* Waits until no thread reads the file; new reads are refused already. */
static void wait_idle(struct mp_py_input *in)
{
    pthread_mutex_lock(&in->lock);
    bool reading = in->reading;
    pthread_mutex_unlock(&in->lock);
    if (!reading)
        return;
    Py_BEGIN_ALLOW_THREADS pthread_mutex_lock(&in->lock);
    while (in->reading)
        pthread_cond_wait(&in->idle, &in->lock);
    pthread_mutex_unlock(&in->lock);
    Py_END_ALLOW_THREADS
}

void mp_py_input_detach(PyObject *input)
{
    struct mp_py_input *in = input_of(input);
    bool in_file = in->request && !in->memory && in->length > 0;
    in->request = NULL;
    in->memory = NULL;
    if (in_file) {
        wait_idle(in);
        PyMem_Free(in->window);
        in->window = NULL;
    }
}

static void input_dealloc(PyObject *self)
{
    struct mp_py_input *in = input_of(self);
    PyTypeObject *type = Py_TYPE(self);
    pthread_cond_destroy(&in->idle);
    pthread_mutex_destroy(&in->lock);
    PyMem_Free(in->window);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int check_open(const struct mp_py_input *in)
{
    if (mp_likely(in->request && !in->reading))
        return 0;
    PyErr_SetString(in->request ? PyExc_RuntimeError : PyExc_ValueError,
                    in->request ? "wsgi.input is being read by another thread"
                                : "wsgi.input was used after the end of its request");
    return -1;
}

/* Reads exactly n bytes of the file at the offset, with the interpreter left. 0 or -errno. */
static int read_file(struct mp_py_input *in, uint64_t offset, char *out, size_t n)
{
    struct mp_request *request = in->request;
    ssize_t got = 1;

    pthread_mutex_lock(&in->lock);
    in->reading = true;
    pthread_mutex_unlock(&in->lock);
    Py_BEGIN_ALLOW_THREADS while (n > 0 && got > 0)
    {
        got = mp_request_body_read(request, offset, out, n);
        if (got > 0) {
            offset += (uint64_t)got;
            out += got;
            n -= (size_t)got;
        }
    }
    pthread_mutex_lock(&in->lock);
    in->reading = false;
    pthread_cond_broadcast(&in->idle);
    pthread_mutex_unlock(&in->lock);
    Py_END_ALLOW_THREADS if (got < 0) return (int)got;
    return n == 0 ? 0 : -EIO;
}

static int raise_io(int rc)
{
    errno = -rc;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* What the window holds from the offset on; 0 bytes when the offset is outside of it. */
static size_t window_left(const struct mp_py_input *in, const char **ret_bytes)
{
    if (in->offset < in->window_at || in->offset >= in->window_at + in->window_len)
        return 0;
    size_t skip = (size_t)(in->offset - in->window_at);
    *ret_bytes = in->window + skip;
    return in->window_len - skip;
}

/* The next n <= remaining bytes as bytes. */
static PyObject *take(struct mp_py_input *in, uint64_t n)
{
    if (n > (uint64_t)PY_SSIZE_T_MAX)
        return PyErr_NoMemory();
    if (in->memory || n == 0) {
        const char *from = in->memory ? in->memory + in->offset : NULL;
        in->offset += n;
        return PyBytes_FromStringAndSize(from, (Py_ssize_t)n);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (!bytes)
        return NULL;
    char *out = PyBytes_AS_STRING(bytes);
    const char *ready = NULL;
    size_t have = window_left(in, &ready);
    if (have > n)
        have = (size_t)n;
    if (have > 0)
        memcpy(out, ready, have);
    int rc = have < n ? read_file(in, in->offset + have, out + have, (size_t)n - have) : 0;
    if (rc < 0) {
        Py_DECREF(bytes);
        raise_io(rc);
        return NULL;
    }
    in->offset += n;
    return bytes;
}

/* Fills the window from the offset on. 0, or -1 with an exception. */
static int fill_window(struct mp_py_input *in)
{
    uint64_t left = in->length - in->offset;
    size_t n = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;
    if (!in->window) {
        in->window = PyMem_Malloc(WINDOW_SIZE);
        if (!in->window) {
            PyErr_NoMemory();
            return -1;
        }
    }
    in->window_len = 0;
    int rc = read_file(in, in->offset, in->window, n);
    if (rc < 0)
        return raise_io(rc);
    if (!in->request) {
        PyErr_SetString(PyExc_ValueError, "wsgi.input was used after the end of its request");
        return -1;
    }
    in->window_at = in->offset;
    in->window_len = n;
    return 0;
}

/* Length of the line at `bytes`, with its end; n when it does not end there. */
static size_t line_length(const char *bytes, size_t n, bool *ret_ended)
{
    const char *end = n > 0 ? memchr(bytes, '\n', n) : NULL;
    *ret_ended = end != NULL;
    return end ? (size_t)(end - bytes) + 1 : n;
}

/* A line of the file, which may span windows. */
static PyObject *take_line_of_file(struct mp_py_input *in, uint64_t limit)
{
    struct mp_buffer line;
    PyObject *result = NULL;
    bool ended = false;

    mp_buffer_init(&line);
    while (!ended && line.len < limit) {
        const char *bytes = NULL;
        size_t have = window_left(in, &bytes);
        if (have == 0) {
            if (fill_window(in) < 0)
                goto done;
            continue;
        }
        if (have > limit - line.len)
            have = (size_t)(limit - line.len);
        have = line_length(bytes, have, &ended);
        if (mp_buffer_append(&line, bytes, have) < 0) {
            PyErr_NoMemory();
            goto done;
        }
        in->offset += have;
    }
    result = PyBytes_FromStringAndSize(line.data, (Py_ssize_t)line.len);
done:
    mp_buffer_done(&line);
    return result;
}

static PyObject *take_line(struct mp_py_input *in, uint64_t limit)
{
    uint64_t left = in->length - in->offset;
    bool ended;
    if (limit > left)
        limit = left;
    if (limit == 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    if (!in->memory)
        return take_line_of_file(in, limit);
    return take(in, line_length(in->memory + in->offset, (size_t)limit, &ended));
}

/* The optional size argument: UINT64_MAX for none, None and negative ones. */
static int parse_size(const char *function, PyObject *const *args, Py_ssize_t n, uint64_t *ret)
{
    *ret = UINT64_MAX;
    if (n > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", function, n);
        return -1;
    }
    if (n == 0 || args[0] == Py_None)
        return 0;
    Py_ssize_t size = PyNumber_AsSsize_t(args[0], NULL);
    if (size == -1 && PyErr_Occurred())
        return -1;
    if (size >= 0)
        *ret = (uint64_t)size;
    return 0;
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct mp_py_input *in = input_of(self);
    uint64_t size;
    if (parse_size("read", args, n, &size) < 0 || check_open(in) < 0)
        return NULL;
    uint64_t left = in->length - in->offset;
    return take(in, size < left ? size : left);
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct mp_py_input *in = input_of(self);
    uint64_t size;
    if (parse_size("readline", args, n, &size) < 0 || check_open(in) < 0)
        return NULL;
    return take_line(in, size);
}

/* All lines, or as many as have `hint` bytes together; 0 means all. */
static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct mp_py_input *in = input_of(self);
    uint64_t hint;
    uint64_t total = 0;
    if (parse_size("readlines", args, n, &hint) < 0)
        return NULL;
    PyObject *lines = PyList_New(0);
    if (!lines)
        return NULL;
    while (hint == 0 || total < hint) {
        PyObject *line = check_open(in) == 0 ? take_line(in, UINT64_MAX) : NULL;
        if (!line)
            goto fail;
        Py_ssize_t size = PyBytes_GET_SIZE(line);
        int rc = size > 0 ? PyList_Append(lines, line) : 0;
        Py_DECREF(line);
        if (rc < 0)
            goto fail;
        if (size == 0)
            break;
        total += (uint64_t)size;
    }
    return lines;
fail:
    Py_DECREF(lines);
    return NULL;
}

static PyObject *input_next(PyObject *self)
{
    struct mp_py_input *in = input_of(self);
    if (check_open(in) < 0)
        return NULL;
    if (in->offset == in->length)
        return NULL;
    return take_line(in, UINT64_MAX);
}

static PyMethodDef input_methods[] = {
    {"read", MP_PY_FUNCTION(input_read), METH_FASTCALL,
     PyDoc_STR("read($self, size=-1, /)\n--\n\nAt most size bytes of the body; b'' at its end.")},
    {"readline", MP_PY_FUNCTION(input_readline), METH_FASTCALL,
     PyDoc_STR("readline($self, size=-1, /)\n--\n\nThe next line, at most size bytes of it.")},
    {"readlines", MP_PY_FUNCTION(input_readlines), METH_FASTCALL,
     PyDoc_STR(
         "readlines($self, hint=-1, /)\n--\n\nThe lines that are left, or about hint bytes.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The body of a request (wsgi.input).")},
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {Py_tp_methods, input_methods},
    {0, NULL},
};

PyType_Spec mp_py_input_spec = {
    .name = "millpond._core.Input",
    .basicsize = sizeof(struct mp_py_input),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = input_slots,
};
