/* SPDX-License-Identifier: MIT */
/* The scoreboard as Python objects. */
#ifndef MP_PYTHON_STATUS_H
#define MP_PYTHON_STATUS_H

#include "python/state.h"

#include "scoreboard/scoreboard.h"

/* Master.status(), see _core.pyi: a new list, or NULL with an exception. Entered; any process that
 * has inherited the board, any thread. */
PyObject *mp_py_status(struct mp_scoreboard *board);

/* Scoreboard.histograms(), likewise. */
PyObject *mp_py_histograms(struct mp_scoreboard *board);
/* _core.histogram_limits(): the highest value of each bucket. */
PyObject *mp_py_histogram_limits(void);

#endif
