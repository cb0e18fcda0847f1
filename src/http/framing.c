/* SPDX-License-Identifier: MIT */
/*
 * What fields mean for the server itself: who is asked (Host), how long the body is, what becomes
 * of the connection. Here requests get smuggled when two servers disagree, so whatever can be read
 * in two ways is refused (RFC 9112 sections 3.2, 6 and 9; RFC 9110 sections 7.6.1 and 10.1.1).
 */
#include "http/forwarded.h"
#include "http/parse.h"
#include "http/uri.h"

/* What is left of a list of members between commas. */
struct members {
    const char *at; /* NULL: nothing */
    const char *end;
};

static bool host(struct mp_http_parse *in, const char *value, size_t len, struct mp_http_span span)
{
    struct mp_http_head *head = in->head;

    if (head->has_host)
        return mp_http_refuse(in, 400, "more than one Host");
    /* Empty is what a client sends that has no authority (RFC 9110 section 7.2). */
    if (len > 0 && !mp_http_authority_valid(value, len))
        return mp_http_refuse(in, 400, "bad Host");
    head->has_host = true;
    if (head->form != MP_HTTP_ABSOLUTE && head->form != MP_HTTP_AUTHORITY)
        head->host = span;
    return true;
}

static bool content_length(struct mp_http_parse *in, const char *value, size_t len)
{
    struct mp_http_head *head = in->head;
    uint64_t number = 0;

    if (head->has_length)
        return mp_http_refuse(in, 400, "more than one Content-Length");
    if (len == 0)
        return mp_http_refuse(in, 400, "empty Content-Length");
    for (size_t i = 0; i < len; i++) {
        if (!mp_http_is_digit(value[i]))
            return mp_http_refuse(in, 400, "Content-Length is not a number");
        unsigned digit = (unsigned)(value[i] - '0');
        if (number > ((uint64_t)INT64_MAX - digit) / 10)
            return mp_http_refuse(in, 400, "Content-Length is too large a number");
        number = number * 10 + digit;
    }
    head->has_length = true;
    head->content_length = number;
    return true;
}

/* The members of a list, without the white space around them; they may be empty. False: at its end,
 * which is behind the last comma too. */
static bool next_member(struct members *list, const char **ret_member, size_t *ret_len)
{
    const char *p = list->at;
    if (p == NULL)
        return false;
    const char *comma = memchr(p, ',', (size_t)(list->end - p));
    const char *end = comma != NULL ? comma : list->end;
    list->at = comma != NULL ? comma + 1 : NULL;
    while (p < end && mp_http_is_space(*p))
        p++;
    while (end > p && mp_http_is_space(end[-1]))
        end--;
    *ret_member = p;
    *ret_len = (size_t)(end - p);
    return true;
}

/*
 * With chunked once and last the body could be delimited, if not decoded: 501. Otherwise nobody can
 * tell where it ends: 400 (RFC 9112 sections 6.1 and 6.3). Empty members are no exception here, for
 * not everybody skips them.
 */
static bool refuse_codings(struct mp_http_parse *in, const char *value, size_t len)
{
    struct members list = {value, value + len};
    const char *coding;
    size_t size;
    unsigned chunked = 0;
    bool empty = false;
    bool last = false;

    while (next_member(&list, &coding, &size)) {
        last = MP_HTTP_IS_TOKEN(coding, size, "chunked");
        chunked += last;
        empty |= size == 0;
    }
    if (last && chunked == 1 && !empty)
        return mp_http_refuse(in, 501, "transfer coding other than chunked");
    return mp_http_refuse(in, 400, "Transfer-Encoding that is not chunked once and last");
}

static bool transfer_encoding(struct mp_http_parse *in, const char *value, size_t len)
{
    if (in->saw_transfer_encoding)
        return mp_http_refuse(in, 400, "more than one Transfer-Encoding");
    in->saw_transfer_encoding = true;
    if (!MP_HTTP_IS_TOKEN(value, len, "chunked"))
        return refuse_codings(in, value, len);
    in->head->chunked = true;
    return true;
}

static void connection_option(struct mp_http_parse *in, const char *option, size_t len)
{
    if (MP_HTTP_IS_TOKEN(option, len, "close"))
        in->option_close = true;
    else if (MP_HTTP_IS_TOKEN(option, len, "keep-alive"))
        in->option_keep_alive = true;
    else if (MP_HTTP_IS_TOKEN(option, len, "upgrade"))
        in->option_upgrade = true;
}

/* A list of options; it may have empty elements and go on in other Connection fields. */
static bool connection(struct mp_http_parse *in, const char *p, size_t len)
{
    const char *end = p + len;

    while (p < end) {
        const char *option = p;
        while (p < end && *p != ',' && !mp_http_is_space(*p))
            p++;
        connection_option(in, option, (size_t)(p - option));
        while (p < end && mp_http_is_space(*p))
            p++;
        if (p < end && *p == ',')
            p++;
        while (p < end && mp_http_is_space(*p))
            p++;
    }
    return true;
}

/* A list; its empty members are nothing (RFC 9110 sections 5.6.1.2 and 10.1.1). */
static bool expect(struct mp_http_parse *in, const char *value, size_t len)
{
    struct members list = {value, value + len};
    const char *member;
    size_t size;

    if (in->head->minor == 0) /* to be ignored */
        return true;
    while (next_member(&list, &member, &size)) {
        if (size > 0 && !MP_HTTP_IS_TOKEN(member, size, "100-continue"))
            return mp_http_refuse(in, 417, "Expect other than 100-continue");
        in->saw_expect |= size > 0;
    }
    return true;
}

bool mp_http_framing_field(struct mp_http_parse *in, const struct mp_http_field *field)
{
    const char *value = in->buf + field->value.at;
    size_t len = field->value.len;

    switch (field->known) {
    case MP_HTTP_NAME_HOST:
        return host(in, value, len, field->value);
    case MP_HTTP_NAME_CONTENT_LENGTH:
        return content_length(in, value, len);
    case MP_HTTP_NAME_TRANSFER_ENCODING:
        return transfer_encoding(in, value, len);
    case MP_HTTP_NAME_CONNECTION:
        return connection(in, value, len);
    case MP_HTTP_NAME_EXPECT:
        return expect(in, value, len);
    case MP_HTTP_NAME_UPGRADE:
        in->saw_upgrade = true;
        return true;
    case MP_HTTP_NAME_OTHER:
    case MP_HTTP_NAME_FORWARDED:
    case MP_HTTP_NAME_X_FORWARDED_FOR:
    case MP_HTTP_NAME_X_FORWARDED_HOST:
    case MP_HTTP_NAME_X_FORWARDED_PORT:
    case MP_HTTP_NAME_X_FORWARDED_PREFIX:
    case MP_HTTP_NAME_X_FORWARDED_PROTO:
    case MP_HTTP_NAME_X_REAL_IP:
    case MP_HTTP_NAME_X_REQUEST_START:
        in->head->forwarding |= (uint8_t)mp_http_forwarded_kind(field, in->buf + field->name.at);
        return true;
    default:
        return true;
    }
}

bool mp_http_framing_settle(struct mp_http_parse *in)
{
    struct mp_http_head *head = in->head;

    if (!head->has_host && head->minor >= 1)
        return mp_http_refuse(in, 400, "no Host");
    if (head->chunked && head->has_length)
        return mp_http_refuse(in, 400, "both Transfer-Encoding and Content-Length");
    if (head->chunked && head->minor == 0)
        return mp_http_refuse(in, 400, "Transfer-Encoding in HTTP/1.0");
    if (head->form == MP_HTTP_ABSOLUTE || head->form == MP_HTTP_AUTHORITY)
        head->has_host = true;
    head->keep_alive = !in->option_close && (head->minor >= 1 || in->option_keep_alive);
    head->expect_continue = in->saw_expect && (head->chunked || head->content_length > 0);
    head->upgrade = head->minor >= 1 && in->saw_upgrade && in->option_upgrade;
    return true;
}
