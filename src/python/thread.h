/* SPDX-License-Identifier: MIT */
/*
 * What each thread of the WSGI gateway keeps from one request to the next: its Python thread state,
 * the objects that are handed to the application again and again, and the strings
 * that were seen last. Nothing here is shared between threads; everything is used with the
 * interpreter entered.
 */
#ifndef MP_PYTHON_THREAD_H
#define MP_PYTHON_THREAD_H

#include "python/gateway.h"

#include "http/head.h"
#include "os/socket.h"

/* The request that a thread is in. */
struct mp_py_call {
    struct mp_request *request; /* NULL between requests */
    bool started;               /* the head was given by start_response */
    bool over;                  /* the response was ended or failed */
    bool head_only;             /* HEAD: nobody sees the body */
    bool gone;                  /* the client has gone: nothing more is to be made */
    bool cut;                   /* more was written than declared */
    int64_t declared;           /* Content-Length of the response, or -1 */
    bool failed;                /* the client gets an error instead of what was begun */
    uint64_t written;           /* bytes of body that were handed to the server */
    PyObject *hook_status;      /* what start_response was given; NULL without hooks */
    PyObject *hook_headers;
};

#define MP_PY_NAME_CACHE 64u   /* names that have no number of their own; a power of two */
#define MP_PY_NAME_CACHED 44u  /* bytes; longer names are made anew each time */
#define MP_PY_PORT_CACHE 128u  /* ports of clients; a power of two */
#define MP_PY_VALUE_CACHED 512 /* bytes; the same for values */

struct mp_py_cached_name {
    unsigned char len; /* 0: unused */
    char name[MP_PY_NAME_CACHED - 1];
    PyObject *key;
};

struct mp_py_cached_port {
    uint16_t port;
    PyObject *text; /* NULL: unused */
};

/*
 * What the template of environ holds at present, to see quickly what a request changes in it. The
 * objects are strong references. All of it is bounded, and a miss costs a new string: a client
 * can make the cache useless, not large.
 */
struct mp_py_seen {
    PyObject *target;
    PyObject *host; /* NULL: HTTP_HOST is a placeholder */
    enum mp_http_method method;
    enum mp_http_form form;
    int minor;
    bool https; /* wsgi.url_scheme */
    struct mp_sockaddr peer;
    struct mp_sockaddr local;
    PyObject *values[MP_HTTP_NAME_COUNT];
    struct mp_py_cached_name names[MP_PY_NAME_CACHE];
    struct mp_py_cached_port ports[MP_PY_PORT_CACHE];
};

struct mp_py_thread {
    struct mp_py_gateway *gateway;
    PyThreadState *tstate;
    unsigned long ident;
    struct mp_py_call call;
    PyObject *environ; /* the template */
    PyObject *errors;  /* wsgi.errors of it */
    PyObject *input;
    PyObject *start_response;
    PyObject *write;
    PyObject *extend_deadline;
    struct mp_py_seen seen;
};

/*
 * Makes the calling thread one of the interpreter and gives it a name, "millpond-4" for index 3.
 * Not entered, before and after. Returns 0 or -ENOMEM.
 */
int mp_py_thread_new(struct mp_py_gateway *gateway, unsigned index,
                     struct mp_py_thread **ret_thread);

/* Undoes it; on the same thread, not entered. */
void mp_py_thread_free(struct mp_py_thread *thread);

/* Makes what a request needs and the last one has taken away (the application has kept it).
 * 0, or -1 with an exception. */
int mp_py_thread_prepare(struct mp_py_thread *thread);

#endif
