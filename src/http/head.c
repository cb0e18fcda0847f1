/* SPDX-License-Identifier: MIT */
/*
 * The head as a whole: lines in order, up to the empty one.
 *
 * Two ways lead through the input. parse_all() reads from the start and fills in the head; a head
 * that arrives in one piece needs nothing else. When it stops at the end of the input, the next
 * call goes through resume(): that looks for line ends in the new bytes only, checks each line when
 * it is complete, and lets parse_all() have the whole once the empty line is there.
 */
#include "http/head.h"

#include "http/parse.h"

_Static_assert(sizeof(struct mp_http_head) <= 3072, "a head is embedded in every connection");
_Static_assert(sizeof(struct mp_http_scan) <= 16, "a scan is kept by every waiting connection");

/* As long as no more than this was seen, all of it is read again: that finds a bad method as soon
 * as it shows, and costs each of few bytes this often at most. */
enum { RESTART_BELOW = 32 };

const char *mp_http_refuse(struct mp_http_parse *in, int status, const char *reason)
{
    in->head->status = status;
    in->head->reason = reason;
    return NULL;
}

const char *mp_http_unfinished(struct mp_http_parse *in, const char *line, uint32_t limit,
                               int status, const char *reason)
{
    size_t len = (size_t)(in->end - line);

    if (len > 0 && in->end[-1] == '\r')
        len--;
    return len > limit ? mp_http_refuse(in, status, reason) : NULL;
}

static void reset(struct mp_http_parse *in)
{
    memset(in->head, 0, offsetof(struct mp_http_head, fields));
}

/* Remembers where the input ended. A CR there is looked at again, with what follows it. */
static enum mp_http_outcome more(const struct mp_http_parse *in, struct mp_http_scan *scan,
                                 const char *line, uint32_t lines)
{
    const char *seen = in->end;

    if (seen > line && seen[-1] == '\r')
        seen--;
    scan->seen = (uint32_t)(seen - in->buf);
    scan->line = (uint32_t)(line - in->buf);
    scan->lines = lines;
    return MP_HTTP_MORE;
}

/* The CR at `p` belongs to an empty line, if the next byte agrees. True: it does. */
static bool is_empty_line(struct mp_http_parse *in, const char *p)
{
    if (p + 1 == in->end)
        return false;
    if (p[1] != '\n')
        return mp_http_refuse(in, 400, "bare CR");
    return true;
}

/* Counts and reads the field line at `p`. */
static const char *field(struct mp_http_parse *in, const char *p, uint32_t count,
                         struct mp_http_field *ret_field, bool *ret_drop)
{
    if (count >= in->limits->fields || count >= MP_HTTP_FIELDS_MAX)
        return mp_http_refuse(in, 431, "too many fields");
    return mp_http_field_line(in, p, ret_field, ret_drop);
}

/* Reads the field lines from `p` on. */
static enum mp_http_outcome fields(struct mp_http_parse *in, struct mp_http_scan *scan,
                                   const char *p, size_t *ret_size)
{
    struct mp_http_head *head = in->head;
    uint32_t count = 0;

    for (;;) {
        if (p == in->end)
            return more(in, scan, p, 1 + count);
        if (*p == '\r')
            break;
        struct mp_http_field *next = &head->fields[head->field_count];
        bool drop;
        const char *behind = field(in, p, count, next, &drop);
        if (behind == NULL)
            return head->status != 0 ? MP_HTTP_BAD : more(in, scan, p, 1 + count);
        if (drop)
            head->dropped++;
        else if (!mp_http_framing_field(in, next))
            return MP_HTTP_BAD;
        else
            head->field_count++;
        p = behind;
        count++;
    }
    if (!is_empty_line(in, p))
        return head->status != 0 ? MP_HTTP_BAD : more(in, scan, p, 1 + count);
    if (!mp_http_framing_settle(in))
        return MP_HTTP_BAD;
    *ret_size = (size_t)(p + 2 - in->buf);
    return MP_HTTP_DONE;
}

static enum mp_http_outcome parse_all(struct mp_http_parse *in, struct mp_http_scan *scan,
                                      size_t *ret_size)
{
    const char *p = in->buf;

    reset(in);
    if (p < in->end && *p == '\r') {
        if (!is_empty_line(in, p))
            return in->head->status != 0 ? MP_HTTP_BAD : more(in, scan, p, 0);
        p += 2;
    }
    const char *behind = mp_http_request_line(in, p);
    if (behind == NULL)
        return in->head->status != 0 ? MP_HTTP_BAD : more(in, scan, p, 0);
    return fields(in, scan, behind, ret_size);
}

/* Checks a line that has just become complete, by itself. False: refused. */
static bool line_complete(struct mp_http_parse *in, const char *line, uint32_t lines)
{
    struct mp_http_field field_ignored;
    bool drop_ignored;

    reset(in);
    if (lines == 0)
        return mp_http_request_line(in, line) != NULL;
    return field(in, line, lines - 1, &field_ignored, &drop_ignored) != NULL;
}

/* Refuses a line as soon as it is longer than any that is allowed. */
static bool line_bounded(struct mp_http_parse *in, size_t len, uint32_t lines)
{
    if (lines == 0 && len > in->limits->line)
        return mp_http_refuse(in, 414, "request line too long");
    if (lines > 0 && len > in->limits->field_size)
        return mp_http_refuse(in, 431, "field line too long");
    return true;
}

static enum mp_http_outcome resume(struct mp_http_parse *in, struct mp_http_scan *scan,
                                   size_t *ret_size)
{
    const char *line = in->buf + scan->line;
    const char *p = in->buf + scan->seen;
    uint32_t lines = scan->lines;

    reset(in);
    for (;;) {
        p = mp_http_text_end(p, in->end);
        if (!line_bounded(in, (size_t)(p - line), lines))
            return MP_HTTP_BAD;
        if (p == in->end || (*p == '\r' && p + 1 == in->end))
            return more(in, scan, line, lines);
        if (p[0] != '\r' || p[1] != '\n') {
            mp_http_refuse(in, 400, "control byte or line that does not end in CRLF");
            return MP_HTTP_BAD;
        }
        if (p == line)
            return parse_all(in, scan, ret_size);
        if (!line_complete(in, line, lines))
            return MP_HTTP_BAD;
        p += 2;
        line = p;
        lines++;
    }
}

/* The end of the head is behind all that the limits allow to look at. */
static enum mp_http_outcome too_large(struct mp_http_parse *in, const struct mp_http_scan *scan)
{
    if (scan->lines == 0)
        mp_http_refuse(in, 414, "request line too long");
    else
        mp_http_refuse(in, 431, "head too large");
    return MP_HTTP_BAD;
}

enum mp_http_outcome mp_http_head_parse(struct mp_http_scan *scan, const char *buf, size_t len,
                                        const struct mp_http_limits *limits,
                                        struct mp_http_head *head, size_t *ret_size)
{
    struct mp_http_parse in = {
        .buf = buf,
        .end = buf + (len < limits->head ? len : limits->head),
        .limits = limits,
        .head = head,
    };
    enum mp_http_outcome outcome =
        scan->seen < RESTART_BELOW ? parse_all(&in, scan, ret_size) : resume(&in, scan, ret_size);

    if (outcome == MP_HTTP_MORE && len >= limits->head)
        return too_large(&in, scan);
    return outcome;
}
