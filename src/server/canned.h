/* SPDX-License-Identifier: MIT */
/* Whole responses that the event core makes by itself. */
#ifndef MP_SERVER_CANNED_H
#define MP_SERVER_CANNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any of them, in bytes. */
enum { MP_CANNED_SIZE = 512 };

/* What becomes of the connection, and whether the client has to be told (RFC 9112 section 9.3). */
enum mp_canned_connection {
    MP_CANNED_CLOSE = 0,
    MP_CANNED_KEEP,     /* goes without saying in HTTP/1.1 */
    MP_CANNED_SAY_KEEP, /* but not in HTTP/1.0 */
};

struct mp_canned {
    int status;
    enum mp_canned_connection connection;
    const char *text;     /* one short line without its end; NULL: the status's reason */
    uint64_t retry_after; /* seconds; 0: nothing is said */
    bool no_store;        /* no cache shall keep it */
    bool head_only;       /* of a HEAD request: no body follows */
};

/* Writes it into text, of MP_CANNED_SIZE bytes. Returns its size. */
size_t mp_canned_make(char *text, const struct mp_canned *canned);

#endif
