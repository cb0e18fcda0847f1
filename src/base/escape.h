/* SPDX-License-Identifier: MIT */
/*
 * Text that others have chosen, as it may stand in a log: a line stays a line, and a terminal that
 * shows it is not steered. Taken in units that are never cut: a character, or one escape.
 */
#ifndef MP_BASE_ESCAPE_H
#define MP_BASE_ESCAPE_H

#include <stddef.h>

enum mp_escape {
    MP_ESCAPE_TEXT,   /* UTF-8 stays; controls and bytes that are no UTF-8: \t \n \r \xNN */
    MP_ESCAPE_QUOTED, /* between quotes, as Apache does: \" \\, and \xNN for all but ASCII */
    MP_ESCAPE_JSON,   /* inside of a JSON string; bytes that are no UTF-8 become the text \xNN */
};

enum { MP_ESCAPE_UNIT = 6 }; /* bytes of the longest */

/* Writes the unit that stands for the beginning of text (n >= 1 bytes). Returns its bytes;
 * *ret_used: the bytes of the text that it stands for. */
size_t mp_escape_unit(enum mp_escape how, const char *text, size_t n, char out[MP_ESCAPE_UNIT],
                      size_t *ret_used);

#endif
