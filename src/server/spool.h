/* SPDX-License-Identifier: MIT */
/*
 * The worker's temporary files, together: where they are made, and how many bytes they may hold.
 *
 * Bodies and responses that memory should not hold go there (body.h, output.h). Files have no name:
 * they end with their descriptors, whatever becomes of the process. Any thread; the counters stand
 * alone (relaxed): who would exceed a bound is told so by his own addition.
 */
#ifndef MP_SERVER_SPOOL_H
#define MP_SERVER_SPOOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mp_spool {
    const char *dir;
    unsigned files_max; /* 0: no bound */
    uint64_t size_max;  /* 0: no bound */
    _Atomic unsigned files;
    _Atomic uint64_t size; /* bytes in all of them, as far as they are accounted for */
    _Atomic int64_t report_at;
};

/* dir stays the caller's, and has to outlive the spool. */
void mp_spool_init(struct mp_spool *spool, const char *dir, unsigned files_max, uint64_t size_max);

/* A new file: its descriptor, -EDQUOT beyond the bound, or another -errno. */
int mp_spool_open(struct mp_spool *spool);

/* Writes n bytes at offset and accounts for them. 0, -EDQUOT beyond the bound, or another -errno:
 * then nothing is accounted for. */
int mp_spool_write(struct mp_spool *spool, int fd, const void *data, size_t n, uint64_t offset);

/* n bytes that were accounted for are no longer in a file. */
void mp_spool_release(struct mp_spool *spool, uint64_t n);

/* Closes a file, *fd, in which n bytes are accounted for; *fd is -1 afterwards. */
void mp_spool_close(struct mp_spool *spool, int *fd, uint64_t n);

/* Whether the log should be told that a file could not be had or written: now and then. */
bool mp_spool_report_due(struct mp_spool *spool, int64_t now);

/* What to say of an error of the functions above. A constant, or strerror's text. */
const char *mp_spool_error(int error);

#endif
