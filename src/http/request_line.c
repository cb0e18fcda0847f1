/* SPDX-License-Identifier: MIT */
/* The request line: method SP target SP version CRLF (RFC 9112 section 3). */
#include "http/parse.h"
#include "http/uri.h"

static const char *unfinished(struct mp_http_parse *in, const char *line)
{
    return mp_http_unfinished(in, line, in->limits->line, 414, "request line too long");
}

static enum mp_http_method method_find(const char *name, size_t len)
{
    switch (len) {
    case 3:
        if (memcmp(name, "GET", 3) == 0)
            return MP_HTTP_GET;
        return memcmp(name, "PUT", 3) == 0 ? MP_HTTP_PUT : MP_HTTP_OTHER;
    case 4:
        if (memcmp(name, "POST", 4) == 0)
            return MP_HTTP_POST;
        return memcmp(name, "HEAD", 4) == 0 ? MP_HTTP_HEAD : MP_HTTP_OTHER;
    case 5:
        if (memcmp(name, "PATCH", 5) == 0)
            return MP_HTTP_PATCH;
        return memcmp(name, "TRACE", 5) == 0 ? MP_HTTP_TRACE : MP_HTTP_OTHER;
    case 6:
        return memcmp(name, "DELETE", 6) == 0 ? MP_HTTP_DELETE : MP_HTTP_OTHER;
    case 7:
        if (memcmp(name, "OPTIONS", 7) == 0)
            return MP_HTTP_OPTIONS;
        return memcmp(name, "CONNECT", 7) == 0 ? MP_HTTP_CONNECT : MP_HTTP_OTHER;
    default:
        return MP_HTTP_OTHER;
    }
}

/* Reads the method and the space behind it. */
static const char *method(struct mp_http_parse *in, const char *p)
{
    const char *start = p;

    while (p < in->end && mp_http_char_is(*p, MP_HTTP_CHAR_METHOD))
        p++;
    size_t len = (size_t)(p - start);
    if (len > MP_HTTP_METHOD_MAX)
        return mp_http_refuse(in, 501, "method too long");
    if (p == in->end)
        return unfinished(in, start);
    if (len == 0 || *p != ' ')
        return mp_http_refuse(in, 400, "not an HTTP request: bad method");
    in->head->method_name = mp_http_span_of(in, start, p);
    in->head->method = method_find(start, len);
    return p + 1;
}

/* Reads the target and the space behind it, and splits it at the first '?'. Its form comes later.
 */
static const char *target(struct mp_http_parse *in, const char *line, const char *p)
{
    struct mp_http_head *head = in->head;
    const char *start = p;

    while (p < in->end && mp_http_char_is(*p, MP_HTTP_CHAR_PATH))
        p++;
    head->path = mp_http_span_of(in, start, p);
    if (p < in->end && *p == '?') {
        const char *query = ++p;
        while (p < in->end && mp_http_char_is(*p, MP_HTTP_CHAR_TARGET))
            p++;
        head->query = mp_http_span_of(in, query, p);
    }
    if (p == in->end)
        return unfinished(in, line);
    if (*p != ' ' || p == start)
        return mp_http_refuse(in, 400, "bad byte in request target, or no version behind it");
    head->target = mp_http_span_of(in, start, p);
    return p + 1;
}

/* A version that is not there as a whole, or not one of ours: says what is wrong with it. */
static const char *version_slow(struct mp_http_parse *in, const char *line, const char *p)
{
    static const char pattern[] = "HTTP/0.0\r\n"; /* 0: any digit */
    size_t n = (size_t)(in->end - p);

    for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
        if (i == n)
            return unfinished(in, line);
        if (pattern[i] == '0' ? !mp_http_is_digit(p[i]) : p[i] != pattern[i])
            return mp_http_refuse(in, 400, "malformed HTTP version or end of request line");
    }
    return mp_http_refuse(in, 505, "HTTP version is not 1.x");
}

static const char *version(struct mp_http_parse *in, const char *line, const char *p)
{
    if (in->end - p < 10 || memcmp(p, "HTTP/1.", 7) != 0 || !mp_http_is_digit(p[7]) ||
        p[8] != '\r' || p[9] != '\n')
        return version_slow(in, line, p);
    in->head->minor = p[7] != '0'; /* 1.2 and later: we speak 1.1 (RFC 9110 section 2.5) */
    if ((size_t)(p + 8 - line) > in->limits->line)
        return mp_http_refuse(in, 414, "request line too long");
    return p + 10;
}

/* http://authority/path?query: the authority becomes the host, the rest the path. */
static bool absolute_form(struct mp_http_parse *in)
{
    struct mp_http_head *head = in->head;
    const char *p = in->buf + head->path.at;
    const char *end = p + head->path.len; /* of what is before '?' */

    if (end - p > 7 && mp_http_same_token(p, "http", 4) && memcmp(p + 4, "://", 3) == 0)
        p += 7;
    else if (end - p > 8 && mp_http_same_token(p, "https", 5) && memcmp(p + 5, "://", 3) == 0)
        head->https = true;
    else
        return mp_http_refuse(in, 400, "bad request target");
    if (head->https)
        p += 8;

    const char *slash = memchr(p, '/', (size_t)(end - p));
    const char *authority_end = slash != NULL ? slash : end;
    if (!mp_http_authority_valid(p, (size_t)(authority_end - p)))
        return mp_http_refuse(in, 400, "bad authority in request target");
    head->form = MP_HTTP_ABSOLUTE;
    head->host = mp_http_span_of(in, p, authority_end);
    if (slash != NULL)
        head->path = mp_http_span_of(in, slash, end);
    else if (head->method == MP_HTTP_OPTIONS && head->query.len == 0)
        head->path.len = 0; /* the server as a whole (RFC 9110 section 4.2.3) */
    else
        head->path = mp_http_span_of(in, p - 1, p); /* "/": the last one of "://" lends itself */
    return true;
}

/* host:port, where the port is not optional (RFC 9110 section 9.3.6). */
static bool authority_form(struct mp_http_parse *in)
{
    struct mp_http_head *head = in->head;
    const char *p = in->buf + head->target.at;
    struct mp_http_span host, port;

    if (!mp_http_authority_valid(p, head->target.len))
        return mp_http_refuse(in, 400, "bad authority in request target");
    mp_http_authority_split(p, head->target.len, &host, &port);
    if (port.len == 0)
        return mp_http_refuse(in, 400, "no port in request target of CONNECT");
    head->form = MP_HTTP_AUTHORITY;
    head->host = head->target;
    head->path.len = 0;
    return true;
}

static bool target_form(struct mp_http_parse *in)
{
    struct mp_http_head *head = in->head;
    const char *p = in->buf + head->target.at;

    if (head->method == MP_HTTP_CONNECT)
        return authority_form(in);
    if (*p == '/') {
        head->form = MP_HTTP_ORIGIN;
        return true;
    }
    if (*p == '*' && head->target.len == 1 && head->method == MP_HTTP_OPTIONS) {
        head->form = MP_HTTP_ASTERISK;
        return true;
    }
    return absolute_form(in);
}

const char *mp_http_request_line(struct mp_http_parse *in, const char *line)
{
    const char *p = method(in, line);

    if (p != NULL)
        p = target(in, line, p);
    if (p != NULL)
        p = version(in, line, p);
    if (p != NULL && !target_form(in))
        return NULL;
    return p;
}
