/* SPDX-License-Identifier: MIT */
/*
 * The request parser for callers that are not C: one request, head and body, read from one buffer
 * into a flat record. differential.py compiles it with src/http and calls it through ctypes.
 */
#include "http/chunked.h"
#include "http/head.h"

#include <string.h>

struct shim_request {
    uint32_t outcome;   /* of the whole: enum mp_http_outcome */
    uint32_t head_done; /* the head by itself is complete and good */
    int32_t status;
    uint32_t minor;
    uint32_t chunked;
    uint32_t has_length;
    uint32_t keep_alive;
    uint32_t dropped;
    uint64_t content_length;
    uint64_t used;     /* bytes of the request, with its body */
    uint64_t body_len; /* bytes written into the body */
    const char *reason;
    uint32_t method[2]; /* offset, length */
    uint32_t target[2];
    uint32_t field_count;
    uint32_t fields[MP_HTTP_FIELDS_MAX][4]; /* offset, length of the name; of the value */
};

__attribute__((visibility("default"))) void shim_read(const char *buf, size_t n, char *body,
                                                      struct shim_request *r);

static const struct mp_http_limits limits = {8190, 100, 8190, 65536};

static void flatten(const struct mp_http_head *head, struct shim_request *r)
{
    r->head_done = 1;
    r->minor = head->minor;
    r->chunked = head->chunked;
    r->has_length = head->has_length;
    r->keep_alive = head->keep_alive;
    r->dropped = head->dropped;
    r->content_length = head->content_length;
    memcpy(r->method, &head->method_name, sizeof(r->method));
    memcpy(r->target, &head->target, sizeof(r->target));
    r->field_count = head->field_count;
    for (uint32_t i = 0; i < head->field_count; i++) {
        memcpy(&r->fields[i][0], &head->fields[i].name, sizeof(struct mp_http_span));
        memcpy(&r->fields[i][2], &head->fields[i].value, sizeof(struct mp_http_span));
    }
}

static void read_length(const char *in, size_t n, char *body, struct shim_request *r)
{
    bool whole = r->content_length <= n;

    r->body_len = whole ? r->content_length : n;
    memcpy(body, in, r->body_len);
    r->used += r->body_len;
    r->outcome = whole ? MP_HTTP_DONE : MP_HTTP_MORE;
}

static void read_chunked(const char *in, size_t n, char *body, struct shim_request *r)
{
    struct mp_http_chunked c;
    enum mp_http_outcome outcome = MP_HTTP_MORE;

    mp_http_chunked_init(&c, &limits);
    while (n > 0 && outcome == MP_HTTP_MORE) {
        struct mp_http_span data;
        size_t used;
        outcome = mp_http_chunked_next(&c, in, n, &used, &data);
        if (outcome == MP_HTTP_BAD)
            break;
        memcpy(body + r->body_len, in + data.at, data.len);
        r->body_len += data.len;
        r->used += used;
        in += used;
        n -= used;
    }
    r->outcome = outcome;
    r->status = c.status;
    r->reason = c.reason;
}

/* Reads the request at the beginning of `buf`; `body` has room for `n` bytes. */
void shim_read(const char *buf, size_t n, char *body, struct shim_request *r)
{
    struct mp_http_scan scan = {0};
    struct mp_http_head head;
    size_t size = 0;

    memset(r, 0, offsetof(struct shim_request, fields));
    r->outcome = mp_http_head_parse(&scan, buf, n, &limits, &head, &size);
    if (r->outcome == MP_HTTP_BAD) {
        r->status = head.status;
        r->reason = head.reason;
    }
    if (r->outcome != MP_HTTP_DONE)
        return;
    flatten(&head, r);
    r->used = size;
    if (head.chunked)
        read_chunked(buf + size, n - size, body, r);
    else
        read_length(buf + size, n - size, body, r);
}
