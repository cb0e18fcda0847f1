/* SPDX-License-Identifier: MIT */
/* The WSGI gateway: struct mp_app for a Python application. */
#ifndef MP_PYTHON_APP_H
#define MP_PYTHON_APP_H

#include "python/thread.h"

/* mp_py_gateway_init for application, a callable. */
int mp_py_wsgi_init(struct mp_py_gateway *gateway, PyObject *module, PyObject *application,
                    const struct mp_log *log, bool multithread, bool multiprocess);

#endif
