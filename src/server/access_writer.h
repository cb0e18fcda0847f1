/* SPDX-License-Identifier: MIT */
/*
 * The thread that writes a worker's access log. A disk can make a write take seconds (a full page
 * cache, a file server that is away), and a terminal can be stopped: nobody that has anything else
 * to do may be the one who waits.
 */
#ifndef MP_SERVER_ACCESS_WRITER_H
#define MP_SERVER_ACCESS_WRITER_H

#include <stdbool.h>
#include <stdint.h>

struct mp_access_log;
struct mp_access_writer;

/* The log is the caller's, and must outlive the writer. From here on nobody else may call
 * mp_access_log_write. 0 or -errno. */
int mp_access_writer_new(struct mp_access_log *log, struct mp_access_writer **ret_writer);

/* One thread, the control thread: there may be something to write. Does not wait. */
void mp_access_writer_poke(struct mp_access_writer *writer);

/* The control thread, once: writes what there is, and waits for that so long (ns; -1: as long as it
 * takes). True: the thread has ended, and the writer is freed; false: it is still at it, and what
 * it uses must stay until the process ends. NULL: true. */
bool mp_access_writer_stop(struct mp_access_writer *writer, int64_t patience);

#endif
