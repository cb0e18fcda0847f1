/* SPDX-License-Identifier: MIT */
/*
 * millpond._core.Master: the master process. What it asks Python to do meanwhile is in callbacks.c.
 */
#ifndef MP_PYTHON_MASTER_H
#define MP_PYTHON_MASTER_H

#include "python/state.h"

extern PyType_Spec mp_py_master_spec;

#endif
