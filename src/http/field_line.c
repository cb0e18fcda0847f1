/* SPDX-License-Identifier: MIT */
/* One field line: name ":" OWS value OWS CRLF (RFC 9112 section 5). */
#include "http/parse.h"

/* A byte that is neither of a name nor the colon behind it. */
static const char *bad_name(struct mp_http_parse *in, const char *line, const char *p)
{
    if (!mp_http_is_space(*p))
        return mp_http_refuse(in, 400, "bad byte in field name");
    if (p == line)
        return mp_http_refuse(in, 400, "folded field line");
    return mp_http_refuse(in, 400, "space in field name or before its colon");
}

/* Checks the CRLF at `p`, where the text of the line ends; both bytes are there. */
static const char *line_end(struct mp_http_parse *in, const char *line, const char *p)
{
    if (p[0] != '\r')
        return mp_http_refuse(in, 400, p[0] == '\n' ? "bare LF" : "control byte in field value");
    if (p[1] != '\n')
        return mp_http_refuse(in, 400, "bare CR");
    if ((size_t)(p - line) > in->limits->field_size)
        return mp_http_refuse(in, 431, "field line too long");
    return p + 2;
}

const char *mp_http_field_line(struct mp_http_parse *in, const char *line,
                               struct mp_http_field *ret_field, bool *ret_drop)
{
    const char *end = in->end;
    const char *p = line;
    unsigned classes = 0;

    for (; p < end; p++) {
        unsigned class = mp_http_chars[(unsigned char)*p];
        if (!(class & MP_HTTP_CHAR_TOKEN))
            break;
        classes |= class;
    }
    if (p == end)
        return mp_http_unfinished(in, line, in->limits->field_size, 431, "field line too long");
    if (*p != ':')
        return bad_name(in, line, p);
    if (p == line)
        return mp_http_refuse(in, 400, "empty field name");

    const char *value = p + 1;
    while (value < end && mp_http_is_space(*value))
        value++;
    const char *text_end = mp_http_text_end(value, end);
    if (text_end == end || (text_end + 1 == end && *text_end == '\r'))
        return mp_http_unfinished(in, line, in->limits->field_size, 431, "field line too long");
    const char *next = line_end(in, line, text_end);
    if (next == NULL)
        return NULL;
    while (text_end > value && mp_http_is_space(text_end[-1]))
        text_end--;

    enum mp_http_known known = mp_http_known_find(line, (size_t)(p - line));
    ret_field->name = mp_http_span_of(in, line, p);
    ret_field->value = mp_http_span_of(in, value, text_end);
    ret_field->known = (uint16_t)known;
    *ret_drop = (classes & MP_HTTP_CHAR_UNDERSCORE) || known == MP_HTTP_NAME_PROXY;
    return next;
}
