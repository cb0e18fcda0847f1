/* SPDX-License-Identifier: MIT */
/*
 * A request's body while it is collected and read: in place behind the head, in a block of memory,
 * or in an unlinked file once it exceeds what memory should hold. Owned by the request.
 */
#ifndef MP_SERVER_BODY_H
#define MP_SERVER_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/spool.h"

struct mp_body {
    uint64_t length;        /* bytes collected */
    const char *memory;     /* all of them, when in memory */
    char *block;            /* the memory, when it is ours */
    size_t capacity;        /* of block */
    int fd;                 /* the file, or -1 */
    struct mp_spool *spool; /* that the file is of */
};

/* Where bodies may go. */
struct mp_body_limits {
    size_t memory; /* bytes above it go to a file */
    struct mp_spool *spool;
};

void mp_body_init(struct mp_body *body);
void mp_body_done(struct mp_body *body);

/* The body lies complete in memory that outlives it. */
void mp_body_in_place(struct mp_body *body, const char *data, size_t n);

/* Prepares for a body of expected bytes (0: unknown). Nothing is done for one that will not stay in
 * memory: who only announces much costs nothing. 0 or -errno. */
int mp_body_prepare(struct mp_body *body, uint64_t expected, const struct mp_body_limits *limits);

/* Appends n bytes, moving to a file when the limit is passed. 0 or -errno. */
int mp_body_append(struct mp_body *body, const void *data, size_t n,
                   const struct mp_body_limits *limits);

/* Room for bytes to be received straight into memory, NULL when there is none (a file, or full);
 * then tell with mp_body_received how many came. */
char *mp_body_room(struct mp_body *body, size_t *ret_n);
void mp_body_received(struct mp_body *body, size_t n);

/* Gives back memory that holds none of the body. */
void mp_body_trim(struct mp_body *body);

/* Copies at most n bytes from offset: bytes, 0 at the end, or -errno. */
ssize_t mp_body_read(const struct mp_body *body, uint64_t offset, void *data, size_t n);

#endif
