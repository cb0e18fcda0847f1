/* SPDX-License-Identifier: MIT */
/*
 * What a line of the access log looks like: a format is compiled once into a short program, which
 * makes a line of each answer.
 *
 *   "combined"    Apache's, with the duration behind it
 *   "json"        an object, always with the same keys
 *   other text    with gunicorn's atoms, %(h)s, or Apache's, %h; docs/user/logs.md has the table
 *
 * A line is a line whatever a client sends: values are escaped, and those that are too long are cut
 * and say so. It has 4096 bytes at most (PIPE_BUF: pipes do not mix them).
 */
#ifndef MP_SERVER_ACCESS_FORMAT_H
#define MP_SERVER_ACCESS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/escape.h"

struct mp_access_format;
struct mp_conn;
struct mp_request;
struct mp_thread;

/* An answer. */
struct mp_access_record {
    const struct mp_request *request; /* NULL: its head was not understood */
    const struct mp_conn *conn;
    const char *head; /* of the response, up to its empty line; NULL: not at hand */
    int status;
    uint64_t size; /* of the body */
    int64_t now;   /* monotonic ns */
    unsigned worker;
};

enum {
    MP_ACCESS_LINE = 4096,
    MP_ACCESS_WHY = 256,
};

struct mp_access_line {
    char text[MP_ACCESS_LINE];
    size_t size;
    enum mp_escape how;
    bool full; /* the rest does not fit */
};

/* NULL means "combined". 0, -ENOMEM, or -EINVAL: why says what is wrong with it, and where. */
int mp_access_format_new(const char *text, struct mp_access_format **ret_format,
                         char why[MP_ACCESS_WHY]);
void mp_access_format_free(struct mp_access_format *format); /* NULL is harmless */

/* Any thread. The line ends in a newline, and has no other. */
void mp_access_format_make(const struct mp_access_format *format,
                           const struct mp_access_record *record, struct mp_access_line *line);

#endif
