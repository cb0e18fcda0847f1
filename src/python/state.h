/* SPDX-License-Identifier: MIT */
/*
 * What one instance of the module millpond._core owns: its types and the strings that every request
 * needs. Filled when the module is executed, read-only afterwards except for the worker, freed with
 * the module; it outlives every gateway, because a running server holds the module.
 *
 * Include this header first: it brings in Python.h.
 */
#ifndef MP_PYTHON_STATE_H
#define MP_PYTHON_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/head.h"
#include "os/log.h"

#define MP_PY_METHOD_COUNT (MP_HTTP_PATCH + 1)

/* Keys of environ that are in every environ. */
#define MP_PY_KEYS(X)                                                                              \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                            \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                  \
    X(PATH_INFO, "PATH_INFO")                                                                      \
    X(QUERY_STRING, "QUERY_STRING")                                                                \
    X(REQUEST_URI, "REQUEST_URI")                                                                  \
    X(RAW_URI, "RAW_URI")                                                                          \
    X(SERVER_NAME, "SERVER_NAME")                                                                  \
    X(SERVER_PORT, "SERVER_PORT")                                                                  \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                          \
    X(SERVER_SOFTWARE, "SERVER_SOFTWARE")                                                          \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                  \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                  \
    X(WSGI_VERSION, "wsgi.version")                                                                \
    X(WSGI_URL_SCHEME, "wsgi.url_scheme")                                                          \
    X(WSGI_INPUT, "wsgi.input")                                                                    \
    X(WSGI_INPUT_TERMINATED, "wsgi.input_terminated")                                              \
    X(WSGI_ERRORS, "wsgi.errors")                                                                  \
    X(WSGI_MULTITHREAD, "wsgi.multithread")                                                        \
    X(WSGI_MULTIPROCESS, "wsgi.multiprocess")                                                      \
    X(WSGI_RUN_ONCE, "wsgi.run_once")                                                              \
    X(WSGI_FILE_WRAPPER, "wsgi.file_wrapper")                                                      \
    X(EXTEND_DEADLINE, "millpond.extend_deadline")                                                 \
    X(QUEUE_WAIT, "millpond.queue_wait")

/* Attribute and argument names. */
#define MP_PY_NAMES(X)                                                                             \
    X(ACCEPT, "accept")                                                                            \
    X(CLOSE, "close")                                                                              \
    X(EXC_INFO, "exc_info")                                                                        \
    X(FAILED, "failed")                                                                            \
    X(FILENO, "fileno")                                                                            \
    X(FLUSH, "flush")                                                                              \
    X(HANDLE_ERROR, "handle_error")                                                                \
    X(HEADERS, "headers")                                                                          \
    X(NAME, "name")                                                                                \
    X(DAEMONIC, "_daemonic")                                                                       \
    X(RAW, "raw")                                                                                  \
    X(READ, "read")                                                                                \
    X(PROXY_WAIT, "millpond.proxy_wait")                                                           \
    X(RECEIVE, "receive")                                                                          \
    X(RESPONSE_HEADERS, "response_headers")                                                        \
    X(SHUTDOWN, "shutdown")                                                                        \
    X(STATUS, "status")                                                                            \
    X(TELL, "tell")

enum mp_py_key {
#define MP_PY_KEY_ENUM(id, text) MP_PY_KEY_##id,
    MP_PY_KEYS(MP_PY_KEY_ENUM)
#undef MP_PY_KEY_ENUM
        MP_PY_KEY_COUNT
};

enum mp_py_name {
#define MP_PY_NAME_ENUM(id, text) MP_PY_NAME_##id,
    MP_PY_NAMES(MP_PY_NAME_ENUM)
#undef MP_PY_NAME_ENUM
        MP_PY_NAME_COUNT
};

struct mp_worker_context;

struct mp_py_state {
    /* The worker that a process is, from its start until its server has ended; NULL: none. Changed
     * and read with the interpreter entered. */
    const struct mp_worker_context *worker;
    pid_t worker_pid;
    struct mp_log log; /* of the master that was made last: what _core.log goes by */

    PyTypeObject *master_type;
    PyTypeObject *scoreboard_type;
    PyTypeObject *inotify_type;
    PyTypeObject *input_type;
    PyTypeObject *errors_type;
    PyTypeObject *start_response_type;
    PyTypeObject *write_type;
    PyTypeObject *extend_deadline_type;
    PyTypeObject *file_wrapper_type;

    /* Of module io: the files whose descriptor and position are known to mean what they say. */
    PyTypeObject *file_io_type;
    PyTypeObject *buffered_reader_type;
    PyTypeObject *buffered_random_type;

    PyObject *format_exception; /* traceback.format_exception */
    PyObject *current_thread;   /* threading.current_thread */
    PyObject *getline;          /* linecache.getline */
    PyObject *request_timeout;  /* millpond.RequestTimeout */
    PyObject *package;          /* the folder of the package, with a slash: whose frames are ours */
    PyObject *set_wakeup_fd;    /* signal.set_wakeup_fd */

    PyObject *keys[MP_PY_KEY_COUNT];
    PyObject *names[MP_PY_NAME_COUNT];
    PyObject *known[MP_HTTP_NAME_COUNT];   /* "HTTP_HOST"; NULL for MP_HTTP_NAME_OTHER */
    PyObject *methods[MP_PY_METHOD_COUNT]; /* "GET"; NULL for MP_HTTP_OTHER */
    PyObject *protocols[2];                /* "HTTP/1.0", "HTTP/1.1" */
    PyObject *empty;                       /* "" */
};

/* The state of the module that a type of it, or a subtype, belongs to. */
struct mp_py_state *mp_py_state_of(PyTypeObject *type);

/* A function with METH_FASTCALL or METH_KEYWORDS as PyMethodDef wants it. */
#define MP_PY_FUNCTION(function) ((PyCFunction)(void (*)(void))(function))

/* obj.name: 1 with a new reference in *ret, 0 when there is none, -1 with an exception. */
int mp_py_optional_attr(PyObject *obj, PyObject *name, PyObject **ret);

#endif
