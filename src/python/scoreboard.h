/* SPDX-License-Identifier: MIT */
/* The scoreboard of another process, from the descriptor that its control socket gives. */
#ifndef MP_PYTHON_SCOREBOARD_H
#define MP_PYTHON_SCOREBOARD_H

#include "python/state.h"

/* millpond._core.Scoreboard, see _core.pyi. */
extern PyType_Spec mp_py_scoreboard_spec;

#endif
