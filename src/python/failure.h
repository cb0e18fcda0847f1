/* SPDX-License-Identifier: MIT */
/* What went wrong, in the error log. Nothing of it ever reaches a client. */
#ifndef MP_PYTHON_FAILURE_H
#define MP_PYTHON_FAILURE_H

#include "python/state.h"

#include "os/log.h"

struct mp_request;

/* Takes the exception that is set, as an instance with its traceback; NULL when none is. */
PyObject *mp_py_take_exception(void);

/*
 * Logs the exception that is set, with its traceback, below the line "GET /path: what" (without a
 * request: "what"), and clears it. Any exception, SystemExit too.
 */
void mp_py_failure_exception(struct mp_py_state *state, const struct mp_log *log,
                             const struct mp_request *request, const char *what);

/* Logs "GET /path: what". The query is left out: it may hold secrets. */
void mp_py_failure_note(const struct mp_log *log, enum mp_log_level level,
                        const struct mp_request *request, const char *what);

#endif
