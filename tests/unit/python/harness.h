/* SPDX-License-Identifier: MIT */
/* Module _harness: its parts. */
#ifndef MP_TEST_HARNESS_H
#define MP_TEST_HARNESS_H

#include "python/state.h"

extern PyType_Spec harness_sockets_spec;
extern PyMethodDef harness_functions[];

#endif
