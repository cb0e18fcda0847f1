/* SPDX-License-Identifier: MIT */
/* Environ's HTTP_ variables, from the fields of a request. */
#ifndef MP_PYTHON_FIELDS_H
#define MP_PYTHON_FIELDS_H

#include "python/thread.h"

/*
 * Sets the variables of all fields but Host, Content-Length and, of a chunked body,
 * Transfer-Encoding. Values are decoded as latin-1; fields that are repeated are joined with ", "
 * (Cookie: "; ", RFC 9113 section 8.2.3), in linear time. Returns 0, or -1 with an exception.
 */
int mp_py_fields_add(struct mp_py_thread *thread, const struct mp_http_head *head, const char *text,
                     PyObject *env);

/* A new reference to the text as str, the same object as *cached when that has this text already.
 */
PyObject *mp_py_text(const char *text, size_t n, PyObject *cached);

/* Whether a str has exactly these latin-1 bytes. NULL has not. */
bool mp_py_text_is(PyObject *str, const char *text, size_t n);

#endif
