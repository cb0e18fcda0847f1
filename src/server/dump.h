/* SPDX-License-Identifier: MIT */
/*
 * MP_WORKER_DUMP: where all threads of a worker stand, written to a descriptor. The control thread
 * goes on with it between its other duties: it asks the inspector about one thread after the other,
 * then writes what the reader takes. The text:
 *
 *   worker 2 (pid 4180): 3 threads in handlers, 62 not
 *     thread 7: working for 5.0 s on GET /report, from 10.0.0.9:4711
 *       File "shop/views.py", line 88, in report
 *           rows = cursor.fetchall()
 *     threads of the application:
 *       thread mailer:
 *       File ...
 *
 * A dump is over, with a line that says so, when it takes longer than MP_DUMP_PATIENCE; a reader
 * that does not read for so long gets no more. Everything here is the control thread's.
 */
#ifndef MP_SERVER_DUMP_H
#define MP_SERVER_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

#define MP_DUMP_PATIENCE (10 * MP_NSEC_PER_SEC)

struct mp_dump;
struct mp_server;

/* Takes fd over, a pipe or a socket of which this is the only writer: it is made non-blocking, and
 * closed when the dump is over. *dump is NULL without one; dumps that are asked for meanwhile
 * follow. */
void mp_dump_begin(struct mp_dump **dump, int fd, int64_t now);

/* Goes on. Nobody else may use the inspector when it returns true. */
bool mp_dump_step(struct mp_dump **dump, struct mp_server *server, int64_t now);

/* When to go on at the latest; INT64_MAX without a dump. */
int64_t mp_dump_next_look(const struct mp_dump *dump, int64_t now);

void mp_dump_free(struct mp_dump **dump);

#endif
