/* SPDX-License-Identifier: MIT */
/*
 * The words for the log: how a process died, and what its threads were serving at that moment, from
 * the scoreboard, which outlives them. Texts only; every one is terminated and cut to size.
 */
#ifndef MP_MASTER_REPORT_H
#define MP_MASTER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scoreboard/scoreboard.h"

#define MP_REPORT_DEATH_SIZE 160
#define MP_REPORT_SERVING_SIZE 3072 /* fits into a line of the log with the rest */

/* "3 ms", "41.2 s", "2 min 5 s", "3 h 4 min". */
const char *mp_report_duration(int64_t ns, char *text, size_t size);

/* "512 KiB", "184 MiB", "1.9 GiB". */
const char *mp_report_bytes(uint64_t bytes, char *text, size_t size);

/* Who has sent SIGKILL. */
enum mp_killer {
    MP_KILLER_UNKNOWN = 0,
    MP_KILLER_MASTER,
    MP_KILLER_KERNEL,   /* for want of memory: the control group has counted it */
    MP_KILLER_SOMEBODY, /* the control group has counted nothing */
};

/*
 * How it ended, from a wait status: "exited with status 3", "killed by SIGSEGV (peak memory 184
 * MiB)", and of a SIGKILL that the master has not sent whose it was, or most likely was. peak:
 * bytes, 0: not known.
 */
const char *mp_report_death(int status, enum mp_killer killer, uint64_t peak, char *text,
                            size_t size);

/* Why code or configuration does not come into use, by the exit status of who was to load it. */
const char *mp_report_load_failure(int status);

/*
 * What a worker is serving: " It was serving:" and a line for each busy thread, the longest running
 * first, at most 16;
 * "" when it is idle. Read before the slot is reset.
 */
const char *mp_report_serving(struct mp_scoreboard *board, unsigned slot, int64_t now, char *text,
                              size_t size);

#endif
