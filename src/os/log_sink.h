/* SPDX-License-Identifier: MIT */
/*
 * Where the lines of a log go: to a descriptor (a file, a pipe, a terminal), or as datagrams to
 * syslog or the journal. Nothing here locks, allocates or keeps state in the process, so that it
 * may be used right after a fork. A reader that does not keep up is waited for 0.1 s; when a line
 * was lost over that, not at all, until one goes through: whoever stops reading a log must not stop
 * those who write it.
 *
 * A socket is not connected: each datagram names its address anew, so that a daemon that has been
 * started again is found again.
 */
#ifndef MP_OS_LOG_SINK_H
#define MP_OS_LOG_SINK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "os/socket.h"

enum mp_log_level {
    MP_LOG_DEBUG,
    MP_LOG_INFO,
    MP_LOG_WARNING,
    MP_LOG_ERROR,
    MP_LOG_CRITICAL,
};

enum mp_log_protocol {
    MP_LOG_FILE = 0, /* bytes */
    MP_LOG_SYSLOG,   /* to a UNIX socket as syslog(3) does; elsewhere as of RFC 5424 */
    MP_LOG_JOURNALD, /* its native protocol: fields */
};

/*
 * Lines that could not be written, counted by all processes of a pool in memory that they share.
 * All relaxed: each stands alone, and is only shown.
 */
struct mp_log_loss {
    _Atomic uint64_t lines;
    _Atomic int32_t error; /* errno of the last that was lost; 0: one has been written since */
    _Atomic uint32_t torn; /* the file ends in the beginning of a line */
};

struct mp_log_sink {
    enum mp_log_protocol protocol;
    unsigned facility;        /* syslog: 0..23 */
    const char *name;         /* who speaks, "millpond" */
    struct mp_sockaddr addr;  /* of datagrams */
    struct mp_log_loss *loss; /* NULL: nobody counts */
};

#define MP_LOG_HEAD 512 /* bytes that are more than mp_log_sink_head needs */

/* What comes before the text of a datagram: for syslog the header; for the journal fields, with the
 * text's own to follow. Returns its length. */
size_t mp_log_sink_head(const struct mp_log_sink *sink, enum mp_log_level level,
                        char text[MP_LOG_HEAD]);

/* A datagram, at once. 0, -EAGAIN (also -ENOBUFS): the socket is full for now, or -errno. Counts
 * nothing. */
int mp_log_sink_send(const struct mp_log_sink *sink, int fd, const void *data, size_t n);

/* A datagram with a line in it. 0, or -errno: counted as a line that is lost. */
int mp_log_sink_tell(const struct mp_log_sink *sink, int fd, const void *data, size_t n);

/* Whole lines to a descriptor. 0, or -errno: counted as that many lines that are lost, less those
 * that were written. What was begun of one is ended before the next. */
int mp_log_sink_write(const struct mp_log_sink *sink, int fd, const char *data, size_t n,
                      uint64_t lines);

/* For those who write or send themselves: so many are lost, for that reason (positive errno); or
 * one was written. */
void mp_log_sink_lost(const struct mp_log_sink *sink, uint64_t lines, int error);
void mp_log_sink_went(const struct mp_log_sink *sink);

/* How many of those n bytes may be written at once, most at the most: whole lines, where one ends
 * among them, since others write to the same file or pipe. */
size_t mp_log_sink_chunk(const char *data, size_t n, size_t most);
/* The lines that end in them. */
uint64_t mp_log_sink_lines(const char *data, size_t n);

/* Ends what others have left unfinished in the file. 0, -EAGAIN or -errno. */
int mp_log_sink_mend(const struct mp_log_sink *sink, int fd);
/* The caller has written a line only in part. */
void mp_log_sink_torn(const struct mp_log_sink *sink);

#endif
