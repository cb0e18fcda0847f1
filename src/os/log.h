/* SPDX-License-Identifier: MIT */
/*
 * The error log of a process: whole lines, each by one write(2) or one datagram, so that the lines
 * of several processes do not mix. Used by master and worker only; the layers below return errors.
 *
 * The log is a small object that is inherited by fork. No locks, no allocation: safe from any
 * thread, and after fork; errno is kept. The time is UTC. "2026-11-22 20:14:23.123 WARNING [4180]
 * text", or {"time":"2026-11-22T20:14:23.123Z","level":"WARNING","pid":4180,"message":"text"}.
 */
#ifndef MP_OS_LOG_H
#define MP_OS_LOG_H

#include <stddef.h>

#include "base/compiler.h"
#include "os/log_sink.h"

enum mp_log_form {
    MP_LOG_TEXT = 0,
    MP_LOG_JSON, /* an object in each line */
};

struct mp_log {
    int fd;                  /* a file, or a socket for the sink's datagrams */
    enum mp_log_level level; /* lines below it are dropped */
    enum mp_log_form form;
    struct mp_log_sink sink;
};

/* A line has 4096 bytes at most (PIPE_BUF: pipes do not mix them); longer ones are cut and marked.
 * Control characters and bytes that are no UTF-8 are escaped, except that "\n    " (continuation
 * lines) is kept in files and in the journal; newlines at the end are dropped. A full disk, or a
 * reader that does not keep up (log_sink.h), loses the line, which is counted: -errno; else 0. */
int mp_log(const struct mp_log *log, enum mp_log_level level, const char *format, ...)
    MP_PRINTF(3, 4);

/* The same for a text of n bytes, which may have any. */
int mp_log_bytes(const struct mp_log *log, enum mp_log_level level, const char *text, size_t n);

/* How many bytes of a line the text takes, escaped as in that log. What takes MP_LOG_ROOM is not
 * cut, whatever else the line has. */
#define MP_LOG_ROOM 3900
size_t mp_log_size(const struct mp_log *log, const char *text, size_t n);

/* Lines that the application has written itself, whatever the level. As they are, where the log is
 * plain text. */
void mp_log_lines(const struct mp_log *log, const char *text, size_t n);

#endif
