/* SPDX-License-Identifier: MIT */
/*
 * Lookup of field names by a perfect hash of length, first and last two letters.
 *
 * The hash is a constant expression, and the table is made with designated initialisers: two names
 * in one slot are an overridden initialiser, which is an error in this folder's build. The factors
 * were found by trial; a name that collides needs others (any will do, as long as it compiles).
 */
#include "http/names.h"

#include <stdint.h>

#include "http/chars.h"

#pragma GCC diagnostic error "-Woverride-init"

#define SLOT(len, first, before_last, last)                                                        \
    (((len)*42u + (first)*7u + (before_last)*3u + (last)*3u) & 255u)

enum { NAME_SIZE = 31 };

/* One cache line holds two; no pointers, so that nothing is relocated in a shared library. */
static const struct name {
    char name[NAME_SIZE];
    uint8_t len;
} names[MP_HTTP_NAME_COUNT] = {
#define ROW(id, name, cgi, a, y, z) [MP_HTTP_NAME_##id] = {name, sizeof(name) - 1},
    MP_HTTP_NAMES(ROW)
#undef ROW
};

static const uint8_t slots[256] = {
#define ROW(id, name, cgi, a, y, z) [SLOT(sizeof(name) - 1, a, y, z)] = MP_HTTP_NAME_##id,
    MP_HTTP_NAMES(ROW)
#undef ROW
};

_Static_assert(MP_HTTP_NAME_COUNT <= 256, "slots are bytes");

enum mp_http_known mp_http_known_find(const char *name, size_t len)
{
    if (len < 2 || len >= NAME_SIZE)
        return MP_HTTP_NAME_OTHER;

    unsigned slot =
        SLOT((unsigned)len, (unsigned char)name[0] | 0x20u, (unsigned char)name[len - 2] | 0x20u,
             (unsigned char)name[len - 1] | 0x20u);
    const struct name *known = &names[slots[slot]];
    if (known->len != len || !mp_http_same_token(name, known->name, len))
        return MP_HTTP_NAME_OTHER;
    return (enum mp_http_known)(known - names);
}

const char *mp_http_known_name(enum mp_http_known known)
{
    if (known <= MP_HTTP_NAME_OTHER || known >= MP_HTTP_NAME_COUNT)
        return NULL;
    return names[known].name;
}

const char *mp_http_known_cgi(enum mp_http_known known)
{
    switch (known) {
#define ROW(id, name, cgi, a, y, z)                                                                \
    case MP_HTTP_NAME_##id:                                                                        \
        return cgi;
        MP_HTTP_NAMES(ROW)
#undef ROW
    case MP_HTTP_NAME_OTHER:
    case MP_HTTP_NAME_COUNT:
        break;
    }
    return NULL;
}
