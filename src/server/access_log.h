/* SPDX-License-Identifier: MIT */
/*
 * The access log of a worker: threads add lines to a buffer in memory, and one of its own writes it
 * out (access_writer.h), so that nobody waits for a disk, a pipe or a socket. What a line looks
 * like: access_format.h.
 */
#ifndef MP_SERVER_ACCESS_LOG_H
#define MP_SERVER_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* As nginx has it: the client closed before the answer. */
#define MP_STATUS_CLIENT_GONE 499

struct mp_access_log;
struct mp_conn;
struct mp_request;
struct mp_worker_options;

/* The descriptor stays the caller's. worker: its number. 0 or -errno (-EINVAL: no such format). */
int mp_access_log_new(const struct mp_worker_options *options, unsigned worker,
                      struct mp_access_log **ret_log);
/* Writes what is left. NULL is harmless. */
void mp_access_log_free(struct mp_access_log *log);

/* Any thread: a line for a request that has been answered. When the buffer is full, the line is
 * lost and counted. */
void mp_access_log_add(struct mp_access_log *log, const struct mp_request *request, int64_t now);

/* The same for a request that the event core has answered itself: size bytes of body. */
void mp_access_log_answered(struct mp_access_log *log, const struct mp_request *request, int status,
                            uint64_t size, int64_t now);

/* The same for what was refused before its head could be understood. */
void mp_access_log_refused(struct mp_access_log *log, const struct mp_conn *conn, int status);

/* Any thread: whether something waits to be written. */
bool mp_access_log_has_lines(struct mp_access_log *log);

/* Any thread: so much is waiting that lines may be lost before the usual time to write comes. */
bool mp_access_log_is_urgent(struct mp_access_log *log);

/* The writer, whoever that is: writes what is there, as far as it can without waiting for a reader.
 * Returns the number of lines that were lost since the last call; the sink has counted them. */
uint64_t mp_access_log_write(struct mp_access_log *log);

/* The writer: when to write again, because a reader took no more; INT64_MAX: nothing waits for
 * that. */
int64_t mp_access_log_next_look(const struct mp_access_log *log, int64_t now);

#endif
