/* SPDX-License-Identifier: MIT */
/* The type Inotify: changes in folders, for --reload. */
#ifndef MP_PYTHON_INOTIFY_H
#define MP_PYTHON_INOTIFY_H

#include "python/state.h"

extern PyType_Spec mp_py_inotify_spec;

#endif
