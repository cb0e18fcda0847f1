/* SPDX-License-Identifier: MIT */
/*
 * The request head. The first byte chooses the limits, the rest is received.
 *
 * Checked: in one piece, split at every byte and byte by byte the outcome is the same; a proper
 * prefix of a good head wants more; and what a good head says agrees with a second, naive reading
 * of its lines.
 */
#include "fuzz.h"
#include "http/head.h"
#include "http/response.h"
#include "http/uri.h"

enum { SPLIT_MAX = 512, DRIP_MAX = 4096 };

struct result {
    enum mp_http_outcome outcome;
    size_t size;
    struct mp_http_head head;
};

static const struct mp_http_limits limits[] = {
    {8190, 100, 8190, 65536},
    {24, 3, 20, 80},
    {200, 128, 64, 300},
    {8190, 100, 8190, 40},
};

static void parse(struct result *r, struct mp_http_scan *scan, const char *text, size_t n,
                  const struct mp_http_limits *l)
{
    char *copy = fuzz_copy(text, n);

    memset(&r->head, 0x5a, sizeof(r->head));
    r->outcome = mp_http_head_parse(scan, copy, n, l, &r->head, &r->size);
    if (r->outcome == MP_HTTP_BAD)
        FUZZ_CHECK(r->head.status >= 400 && r->head.status < 600 && r->head.reason != NULL);
    if (r->outcome == MP_HTTP_MORE)
        FUZZ_CHECK(scan->seen <= n && scan->seen + 1 >= n && scan->line <= scan->seen);
    free(copy);
}

static void check_same(const struct result *whole, const struct result *parts, bool has_end)
{
    if (whole->outcome == MP_HTTP_DONE) {
        FUZZ_CHECK(parts->outcome == MP_HTTP_DONE && parts->size == whole->size);
        FUZZ_CHECK(memcmp(&parts->head, &whole->head, offsetof(struct mp_http_head, fields)) == 0);
        FUZZ_CHECK(memcmp(parts->head.fields, whole->head.fields,
                          whole->head.field_count * sizeof(struct mp_http_field)) == 0);
    } else if (whole->outcome == MP_HTTP_MORE) {
        FUZZ_CHECK(parts->outcome == MP_HTTP_MORE);
    } else {
        FUZZ_CHECK(parts->outcome == MP_HTTP_BAD || (parts->outcome == MP_HTTP_MORE && !has_end));
    }
}

static bool starts_with(struct mp_http_span span, const char *text, const char *with)
{
    return span.len >= strlen(with) && memcmp(text + span.at, with, strlen(with)) == 0;
}

static void check_request_line(const struct mp_http_head *h, const char *text)
{
    FUZZ_CHECK(mp_http_name_valid(text + h->method_name.at, h->method_name.len));
    FUZZ_CHECK(h->method_name.len <= MP_HTTP_METHOD_MAX && h->minor <= 1);
    FUZZ_CHECK(h->target.at == h->method_name.at + h->method_name.len + 1);
    for (size_t i = 0; i < h->target.len; i++) {
        unsigned char c = (unsigned char)text[h->target.at + i];
        FUZZ_CHECK(c > ' ' && c != 0x7f && c != '#');
    }
    FUZZ_CHECK(memcmp(text + h->target.at + h->target.len, " HTTP/1.", 8) == 0);
    FUZZ_CHECK(h->path.len > 0 || h->method == MP_HTTP_CONNECT ||
               (h->method == MP_HTTP_OPTIONS && h->form == MP_HTTP_ABSOLUTE));
    if (h->path.len > 0 && (h->form == MP_HTTP_ORIGIN || h->form == MP_HTTP_ABSOLUTE))
        FUZZ_CHECK(starts_with(h->path, text, "/"));
    if (h->query.len > 0)
        FUZZ_CHECK(text[h->query.at - 1] == '?');
    if (h->host.len > 0)
        FUZZ_CHECK(h->has_host && mp_http_authority_valid(text + h->host.at, h->host.len));
}

/* Reads the field lines again: cut at CRLF, then at the first colon, then trimmed. */
static void check_fields(const struct result *r, const char *text)
{
    const char *end = text + r->size;
    const char *line =
        (const char *)memmem(text + r->head.target.at, r->size - r->head.target.at, "\r\n", 2) + 2;
    uint32_t kept = 0, dropped = 0;

    while (line + 2 < end) {
        const char *line_end = memmem(line, (size_t)(end - line), "\r\n", 2);
        const char *colon = memchr(line, ':', (size_t)(line_end - line));
        FUZZ_CHECK(colon != NULL && mp_http_name_valid(line, (size_t)(colon - line)));
        const char *value = colon + 1, *value_end = line_end;
        FUZZ_CHECK(mp_http_value_valid(value, (size_t)(value_end - value)));
        while (value < value_end && (*value == ' ' || *value == '\t'))
            value++;
        while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
            value_end--;
        if (memchr(line, '_', (size_t)(colon - line)) != NULL ||
            (colon - line == 5 && strncasecmp(line, "proxy", 5) == 0)) {
            dropped++;
        } else {
            const struct mp_http_field *f = &r->head.fields[kept++];
            FUZZ_CHECK(text + f->name.at == line && line + f->name.len == colon);
            FUZZ_CHECK(text + f->value.at == value && value + f->value.len == value_end);
        }
        line = line_end + 2;
    }
    FUZZ_CHECK(kept == r->head.field_count && dropped == r->head.dropped);
}

static void check_framing(const struct mp_http_head *h)
{
    FUZZ_CHECK(h->has_host || h->minor == 0);
    FUZZ_CHECK(!(h->chunked && (h->has_length || h->minor == 0)));
    FUZZ_CHECK(h->content_length <= INT64_MAX && (h->has_length || h->content_length == 0));
    FUZZ_CHECK(!h->expect_continue || h->chunked || h->content_length > 0);
    FUZZ_CHECK(!h->upgrade || h->minor == 1);
    FUZZ_CHECK(h->status == 0 && h->reason == NULL);
}

static void check_good(const struct result *r, const char *text, const struct mp_http_limits *l)
{
    FUZZ_CHECK(r->size >= strlen("G / HTTP/1.0\r\n\r\n") && r->size <= l->head);
    FUZZ_CHECK(memcmp(text + r->size - 4, "\r\n\r\n", 4) == 0);
    FUZZ_CHECK(r->head.field_count + r->head.dropped <= l->fields);
    check_request_line(&r->head, text);
    check_fields(r, text);
    check_framing(&r->head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, parts;

    if (size < 1)
        return 0;
    const struct mp_http_limits *l = &limits[data[0] % (sizeof(limits) / sizeof(limits[0]))];
    const char *text = (const char *)data + 1;
    size_t n = size - 1;
    bool has_end = memmem(text, n, "\r\n\r\n", 4) != NULL;

    whole.size = parts.size = 0;
    parse(&whole, &(struct mp_http_scan){0}, text, n, l);
    if (whole.outcome == MP_HTTP_DONE)
        check_good(&whole, text, l);

    size_t step;
    for (size_t at = fuzz_first_split(data[0], n, &step); n <= SPLIT_MAX && at < n; at += step) {
        struct mp_http_scan scan = {0};
        parse(&parts, &scan, text, at, l);
        if (whole.outcome == MP_HTTP_DONE && at < whole.size)
            FUZZ_CHECK(parts.outcome == MP_HTTP_MORE);
        if (parts.outcome == MP_HTTP_MORE)
            parse(&parts, &scan, text, n, l);
        check_same(&whole, &parts, has_end);
    }
    if (FUZZ_ALL_SPLITS && n <= DRIP_MAX) {
        struct mp_http_scan scan = {0};
        parts.outcome = MP_HTTP_MORE;
        for (size_t len = 0; len <= n && parts.outcome == MP_HTTP_MORE; len++)
            parse(&parts, &scan, text, len, l);
        check_same(&whole, &parts, has_end);
    }
    return 0;
}
