/* SPDX-License-Identifier: MIT */
/*
 * The error log of a process: whole lines to one descriptor, each by one write(2), so that the
 * lines of several processes do not mix. Used by master and worker only; the layers below return
 * errors.
 *
 * The sink is a small object that is inherited by fork. No locks, no allocation: safe from any
 * thread, and after fork; errno is kept. The time is UTC. "2026-11-22 20:14:23.123 WARNING [4180]
 * text"
 */
#ifndef MP_OS_LOG_H
#define MP_OS_LOG_H

#include "base/compiler.h"

enum mp_log_level {
    MP_LOG_DEBUG,
    MP_LOG_INFO,
    MP_LOG_WARNING,
    MP_LOG_ERROR,
    MP_LOG_CRITICAL,
};

struct mp_log {
    int fd;
    enum mp_log_level level; /* lines below it are dropped */
};

/* A line has 4096 bytes at most (PIPE_BUF: pipes do not mix them); longer ones are cut and marked.
 * Control characters and bytes that are no UTF-8 are escaped, except that "\n    " (continuation
 * lines) is kept; newlines at the end are dropped. Never fails: a full disk, or a full pipe that
 * does not block, loses the line. A full pipe that blocks, blocks. */
void mp_log(const struct mp_log *log, enum mp_log_level level, const char *format, ...)
    MP_PRINTF(3, 4);

#endif
