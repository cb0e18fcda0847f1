/* SPDX-License-Identifier: MIT */
/* environ: the dictionary that describes a request to the application (PEP 3333, RFC 3875). */
#ifndef MP_PYTHON_ENVIRON_H
#define MP_PYTHON_ENVIRON_H

#include "python/thread.h"

struct mp_request;

/*
 * The dictionary that every environ of this thread begins as a copy of: all keys that every environ
 * has, and HTTP_HOST. New reference, or NULL with an exception.
 */
PyObject *mp_py_environ_template(struct mp_py_thread *thread);

/*
 * The environ of a request: a new reference in *ret_environ. thread->input must be that of the
 * request. Returns 0, -EINVAL when the path cannot be decoded (answer it 400), or -1 with a Python
 * exception (-EINVAL is not -1).
 */
int mp_py_environ_new(struct mp_py_thread *thread, struct mp_request *request,
                      PyObject **ret_environ);

/* Its waits, in seconds: millpond.queue_wait in the template, millpond.proxy_wait in env, if a
 * proxy has said when it took the request. 0, or -1 with an exception. */
int mp_py_waits_put(struct mp_py_thread *thread, const struct mp_request *request);
int mp_py_waits_add(struct mp_py_thread *thread, const struct mp_request *request, PyObject *env);

/* What trusted proxies have said: wsgi.url_scheme in the template; in env SERVER_NAME, SERVER_PORT,
 * SCRIPT_NAME and PATH_INFO, where they have said something about those. 0, or -1 with an
 * exception.
 */
int mp_py_forwarded_put(struct mp_py_thread *thread, const struct mp_request *request);
int mp_py_forwarded_add(const struct mp_py_thread *thread, const struct mp_request *request,
                        PyObject *env);

/* Drops the strings that are kept for the next request. */
void mp_py_seen_done(struct mp_py_seen *seen);

#endif
