/* SPDX-License-Identifier: MIT */
/*
 * The parts of lines in the access log: what each atom of a format stands for.
 * Private to access_format.c.
 */
#ifndef MP_SERVER_ACCESS_ATOMS_H
#define MP_SERVER_ACCESS_ATOMS_H

#include "server/access_format.h"

enum mp_access_atom {
    MP_ATOM_TEXT, /* of the format itself */
    MP_ATOM_NONE, /* always "-" */
    MP_ATOM_CLIENT,
    MP_ATOM_CLIENT_PORT,
    MP_ATOM_USER, /* of basic authentication, which nobody has checked */
    MP_ATOM_TIME, /* [01/Jan/2026:12:00:00 +0100], when the line is made */
    MP_ATOM_REQUEST_LINE,
    MP_ATOM_METHOD,
    MP_ATOM_TARGET,
    MP_ATOM_PATH,
    MP_ATOM_PATH_DECODED,
    MP_ATOM_QUERY,
    MP_ATOM_QUERY_MARKED, /* with its '?' */
    MP_ATOM_PROTOCOL,
    MP_ATOM_HOST,
    MP_ATOM_STATUS,
    MP_ATOM_SIZE,
    MP_ATOM_SIZE_OR_NONE, /* "-" for 0 */
    MP_ATOM_SECONDS,
    MP_ATOM_DURATION, /* seconds with six digits behind the point */
    MP_ATOM_MILLISECONDS,
    MP_ATOM_MICROSECONDS,
    MP_ATOM_QUEUE_WAIT,   /* seconds likewise */
    MP_ATOM_HANDLER_TIME, /* seconds likewise */
    MP_ATOM_WORKER,
    MP_ATOM_THREAD,
    MP_ATOM_PID,
    MP_ATOM_REQUEST_FIELD,
    MP_ATOM_RESPONSE_FIELD,
};

/* One step of the program. text: of the format, or a field's name. */
struct mp_access_step {
    enum mp_access_atom atom;
    const char *text;
    size_t len;
};

void mp_access_atom_put(struct mp_access_line *line, const struct mp_access_step *step,
                        const struct mp_access_record *record);

/* A whole line of JSON, without the newline. */
void mp_access_json_put(struct mp_access_line *line, const struct mp_access_record *record);

#endif
