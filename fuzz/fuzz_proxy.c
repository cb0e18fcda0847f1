/* SPDX-License-Identifier: MIT */
/*
 * What proxies say: the same bytes as the beginning of a connection with a PROXY header, and as the
 * field lines of a request. The first byte says who is trusted.
 *
 * Checked: a PROXY header is the same however it is split, is never complete before its last byte
 * and ends within its bounds; of the fields what comes out is valid and in the text; none is left
 * when they are removed.
 */
#include "fuzz.h"
#include "http/forwarded.h"
#include "http/proxy_protocol.h"
#include "http/uri.h"

enum { BOTH = MP_HTTP_PROXY_V1 | MP_HTTP_PROXY_V2, ALL_FIELDS = MP_HTTP_FORWARDED_OTHER * 2 - 1 };

static void check_header(const char *in, size_t n, uint8_t first)
{
    struct mp_http_proxy whole;
    struct mp_http_proxy part;
    size_t size = 0;
    size_t step;
    enum mp_http_outcome outcome = mp_http_proxy_parse(in, n, BOTH, &whole, &size);
    FUZZ_CHECK(outcome != MP_HTTP_BAD || whole.reason);
    FUZZ_CHECK(outcome != MP_HTTP_MORE || n < MP_HTTP_PROXY_V2_MAX);
    if (outcome == MP_HTTP_DONE) {
        FUZZ_CHECK(size > 0 && size <= n);
        FUZZ_CHECK(size <= (in[0] == 'P' ? MP_HTTP_PROXY_V1_MAX : MP_HTTP_PROXY_V2_MAX));
        FUZZ_CHECK(!whole.local || whole.ip.version == MP_IP_NONE);
    }
    for (size_t at = fuzz_first_split(first, n, &step); at < n; at += step) {
        char *copy = fuzz_copy(in, at);
        size_t part_size = 0;
        enum mp_http_outcome early = mp_http_proxy_parse(copy, at, BOTH, &part, &part_size);
        if (outcome == MP_HTTP_DONE && at >= size)
            FUZZ_CHECK(early == MP_HTTP_DONE && part_size == size &&
                       memcmp(&part.ip, &whole.ip, sizeof(part.ip)) == 0);
        else
            FUZZ_CHECK(early == MP_HTTP_MORE || (early == MP_HTTP_BAD && outcome == MP_HTTP_BAD));
        free(copy);
    }
}

static void check_said(const char *text, size_t n, const struct mp_http_forwarded *said)
{
    const char *prefix = text + said->prefix.at;
    FUZZ_CHECK((size_t)said->host.at + said->host.len <= n);
    FUZZ_CHECK((size_t)said->prefix.at + said->prefix.len <= n);
    FUZZ_CHECK(said->host.len == 0 ||
               mp_http_authority_valid(text + said->host.at, said->host.len));
    FUZZ_CHECK(said->prefix.len == 0 || prefix[0] == '/');
    FUZZ_CHECK(memmem(prefix, said->prefix.len, "//", 2) == NULL);
    FUZZ_CHECK(memmem(prefix, said->prefix.len, "/../", 4) == NULL);
    FUZZ_CHECK(said->ip.version == MP_IP_NONE || said->has_for);
    FUZZ_CHECK(said->scheme <= MP_HTTP_SCHEME_HTTPS);
}

static void check_fields(const char *in, size_t n, uint8_t first)
{
    static const char *const lists[] = {"", "*", "127.0.0.1,::1", "10.0.0.0/8,2001:db8::/32"};
    static const char start[] = "GET / HTTP/1.1\r\nHost: x\r\n";
    static const struct mp_http_limits limits = {8190, 128, 8190, 65536};
    struct mp_http_scan scan = {0};
    struct mp_http_head head;
    struct mp_http_forwarded said;
    struct mp_ip_set trusted;
    const char *bad;
    size_t size = 0;
    size_t head_size = sizeof(start) - 1 + n + 4;
    char *text = malloc(head_size);
    FUZZ_CHECK(text != NULL);
    memcpy(text, start, sizeof(start) - 1);
    memcpy(text + sizeof(start) - 1, in, n);
    memcpy(text + head_size - 4, "\r\n\r\n", 4);
    FUZZ_CHECK(mp_ip_set_init(&trusted, lists[first % 4], &bad, &size) == 0);
    if (mp_http_head_parse(&scan, text, head_size, &limits, &head, &size) == MP_HTTP_DONE) {
        unsigned believed = first / 4 % ALL_FIELDS;
        enum mp_http_outcome outcome =
            mp_http_forwarded_read(&head, text, believed, &trusted, &said);
        FUZZ_CHECK(outcome == MP_HTTP_DONE || (outcome == MP_HTTP_BAD && said.reason));
        if (outcome == MP_HTTP_DONE)
            check_said(text, head_size, &said);
        uint32_t before = head.field_count;
        uint32_t removed = mp_http_forwarded_remove(&head, text);
        FUZZ_CHECK(head.field_count + removed == before && head.forwarding == 0);
        for (uint32_t i = 0; i < head.field_count; i++)
            FUZZ_CHECK(mp_http_forwarded_kind(&head.fields[i], text + head.fields[i].name.at) == 0);
    }
    mp_ip_set_done(&trusted);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    char *in = fuzz_copy(data + 1, size - 1);
    check_header(in, size - 1, data[0]);
    check_fields(in, size - 1, data[0]);
    free(in);
    return 0;
}
