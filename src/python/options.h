/* SPDX-License-Identifier: MIT */
/* The options of a master, from keyword arguments. */
#ifndef MP_PYTHON_OPTIONS_H
#define MP_PYTHON_OPTIONS_H

#include "python/state.h"

#include "master/master.h"

/*
 * Sets the options named in the dictionary; those that it lacks keep their values. Times are
 * numbers of seconds. 0, or -1 with TypeError or ValueError that names the option. Strings are
 * borrowed from the dictionary's values.
 */
int mp_py_options_set(struct mp_master_options *options, PyObject *dict);

#endif
