/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the head parser: head.c drives, request_line.c and field_line.c read one
 * line each, framing.c knows what fields mean for the server. Private to this folder.
 */
#ifndef MP_HTTP_PARSE_H
#define MP_HTTP_PARSE_H

#include "http/chars.h"
#include "http/head.h"

struct mp_http_parse {
    const char *buf;
    const char *end; /* of the bytes that may be looked at */
    const struct mp_http_limits *limits;
    struct mp_http_head *head;
    bool saw_transfer_encoding;
    bool saw_upgrade;
    bool saw_expect;   /* 100-continue */
    bool option_close; /* the options of Connection */
    bool option_keep_alive;
    bool option_upgrade;
};

static inline struct mp_http_span mp_http_span_of(const struct mp_http_parse *in, const char *from,
                                                  const char *to)
{
    return (struct mp_http_span){(uint32_t)(from - in->buf), (uint32_t)(to - from)};
}

/* Notes a refusal. Returns NULL, for functions that return a position, and false for the others. */
const char *mp_http_refuse(struct mp_http_parse *in, int status, const char *reason);

/* The line has not ended where the input does: wants more, unless it is longer than `limit`
 * already, its CR not counted. Returns NULL. */
const char *mp_http_unfinished(struct mp_http_parse *in, const char *line, uint32_t limit,
                               int status, const char *reason);

/*
 * Both read the line at `p` and return the position behind its CRLF, or NULL: refused when
 * head->status is set, otherwise the line goes on behind the end.
 */
const char *mp_http_request_line(struct mp_http_parse *in, const char *p);
const char *mp_http_field_line(struct mp_http_parse *in, const char *p,
                               struct mp_http_field *ret_field, bool *ret_drop);

/* Takes notice of a field that governs the connection or the body. False: refused. */
bool mp_http_framing_field(struct mp_http_parse *in, const struct mp_http_field *field);

/* Draws the conclusions when all fields have been read. False: refused. */
bool mp_http_framing_settle(struct mp_http_parse *in);

#endif
