/* SPDX-License-Identifier: MIT */
/* Lines of the access log as datagrams, for syslog or the journal, and a buffer of them. */
#ifndef MP_SERVER_ACCESS_DATAGRAM_H
#define MP_SERVER_ACCESS_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "os/log_sink.h"
#include "server/access_format.h"

/* Bytes of the longest, with its size in front: the line, the head, and fields for the journal. */
#define MP_ACCESS_DATAGRAM (MP_ACCESS_LINE + MP_LOG_HEAD + 4096)

/* The line with what the sink wants around it. Returns the bytes that it takes in a buffer. */
size_t mp_access_datagram_make(const struct mp_log_sink *sink,
                               const struct mp_access_record *record,
                               const struct mp_access_line *line, char out[MP_ACCESS_DATAGRAM]);

/* Sends what is in a buffer from *at on, as far as the socket takes it without waiting. Those that
 * it never will are lost. Returns their number. */
uint64_t mp_access_datagrams_send(const struct mp_log_sink *sink, int fd, const char *buffer,
                                  size_t size, size_t *at);

#endif
