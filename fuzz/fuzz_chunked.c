/* SPDX-License-Identifier: MIT */
/*
 * The chunked coding. The first byte chooses the limits, the rest is received.
 *
 * Checked: in one piece, split at every byte and byte by byte the outcome and the body are the
 * same; nothing behind the end is consumed; a decoded body, encoded again, is decoded to itself.
 */
#include "fuzz.h"
#include "http/chunked.h"
#include "http/response.h"

enum { SPLIT_MAX = 512 };

struct decoded {
    enum mp_http_outcome outcome;
    size_t used;
    size_t len;
    char *body; /* as large as the input */
};

static const struct mp_http_limits limits[] = {
    {8190, 100, 8190, 65536},
    {8190, 2, 12, 20},
};

/* One piece, in a buffer of its own. False: the outcome is final. */
static bool feed(struct mp_http_chunked *c, struct decoded *d, const char *text, size_t n)
{
    char *copy = fuzz_copy(text, n);

    for (size_t at = 0; at < n && d->outcome == MP_HTTP_MORE;) {
        struct mp_http_span data;
        size_t used;
        d->outcome = mp_http_chunked_next(c, copy + at, n - at, &used, &data);
        if (d->outcome == MP_HTTP_BAD) {
            FUZZ_CHECK(c->reason != NULL && (c->status == 400 || c->status == 431));
            break;
        }
        FUZZ_CHECK(used > 0 && used <= n - at && (size_t)data.at + data.len <= used);
        memcpy(d->body + d->len, copy + at + data.at, data.len);
        d->len += data.len;
        d->used += used;
        at += used;
    }
    free(copy);
    return d->outcome == MP_HTTP_MORE;
}

static struct decoded decode(const char *text, size_t n, size_t first, size_t piece,
                             const struct mp_http_limits *l)
{
    struct decoded d = {.outcome = MP_HTTP_MORE, .body = fuzz_copy(text, n)};
    struct mp_http_chunked c;

    mp_http_chunked_init(&c, l);
    for (size_t at = 0, len = first; at < n; at += len, len = piece) {
        if (len > n - at)
            len = n - at;
        if (!feed(&c, &d, text + at, len))
            break;
    }
    FUZZ_CHECK(c.body <= INT64_MAX);
    return d;
}

static void check_same(const struct decoded *whole, struct decoded parts)
{
    FUZZ_CHECK(parts.outcome == whole->outcome && parts.len == whole->len);
    FUZZ_CHECK(memcmp(parts.body, whole->body, whole->len) == 0);
    FUZZ_CHECK(parts.used == whole->used || whole->outcome == MP_HTTP_BAD);
    free(parts.body);
}

/* Encodes the body in chunks of growing size, and decodes that. */
static void check_round_trip(const struct decoded *whole, const struct mp_http_limits *l)
{
    char *text = malloc(whole->len * 6 + 64);
    size_t n = 0, at = 0;

    FUZZ_CHECK(text != NULL);
    for (size_t size = 1; at < whole->len; at += size, size += 3) {
        if (size > whole->len - at)
            size = whole->len - at;
        n += mp_http_chunk_head(text + n, size);
        memcpy(text + n, whole->body + at, size);
        n += size;
        text[n++] = '\r';
        text[n++] = '\n';
    }
    memcpy(text + n, MP_HTTP_CHUNK_LAST, sizeof(MP_HTTP_CHUNK_LAST));
    n += sizeof(MP_HTTP_CHUNK_LAST) - 1;
    struct decoded again = decode(text, n, n, n, l);
    FUZZ_CHECK(again.outcome == MP_HTTP_DONE && again.used == n && again.len == whole->len);
    FUZZ_CHECK(memcmp(again.body, whole->body, whole->len) == 0);
    free(again.body);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct mp_http_limits *l = &limits[data[0] % (sizeof(limits) / sizeof(limits[0]))];
    const char *text = (const char *)data + 1;
    size_t n = size - 1;
    struct decoded whole = decode(text, n, n, n, l);

    size_t step;
    size_t first = fuzz_first_split(data[0], n, &step);
    if (FUZZ_ALL_SPLITS)
        check_same(&whole, decode(text, n, 1, 1, l));
    for (size_t at = first > 0 ? first : 1; n <= SPLIT_MAX && at < n; at += step)
        check_same(&whole, decode(text, n, at, n, l));
    if (whole.outcome == MP_HTTP_DONE) {
        FUZZ_CHECK(whole.used >= 5 && memcmp(text + whole.used - 2, "\r\n", 2) == 0);
        check_same(&whole, decode(text, whole.used, whole.used, n, l));
        for (size_t cut = first > 0 ? first : 1; cut < whole.used && n <= SPLIT_MAX; cut += step) {
            struct decoded part = decode(text, cut, cut, cut, l);
            FUZZ_CHECK(part.outcome == MP_HTTP_MORE);
            free(part.body);
        }
        check_round_trip(&whole, l);
    }
    free(whole.body);
    return 0;
}
