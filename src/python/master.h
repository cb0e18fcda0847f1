/* SPDX-License-Identifier: MIT */
/*
 * millpond._core.Master: the master process, and the callbacks by which it asks Python to load the
 * application, to get ready for forks and to end processes.
 */
#ifndef MP_PYTHON_MASTER_H
#define MP_PYTHON_MASTER_H

#include "python/state.h"

extern PyType_Spec mp_py_master_spec;

#endif
