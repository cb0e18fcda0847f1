/* SPDX-License-Identifier: MIT */
/* The fields one by one; forwarded_standard.c has the one of RFC 7239, forwarded_node.c addresses.
 */
#include "http/forwarded_private.h"

#include "http/uri.h"

static const char other_prefix[] = "X-Forwarded-";

unsigned mp_http_forwarded_kind(const struct mp_http_field *field, const char *name)
{
    switch (field->known) {
    case MP_HTTP_NAME_X_FORWARDED_FOR:
        return MP_HTTP_FORWARDED_FOR;
    case MP_HTTP_NAME_X_FORWARDED_PROTO:
        return MP_HTTP_FORWARDED_PROTO;
    case MP_HTTP_NAME_X_FORWARDED_HOST:
        return MP_HTTP_FORWARDED_HOST;
    case MP_HTTP_NAME_X_FORWARDED_PREFIX:
        return MP_HTTP_FORWARDED_PREFIX;
    case MP_HTTP_NAME_FORWARDED:
        return MP_HTTP_FORWARDED_STANDARD;
    case MP_HTTP_NAME_X_FORWARDED_PORT:
    case MP_HTTP_NAME_X_REAL_IP:
    case MP_HTTP_NAME_X_REQUEST_START:
        return MP_HTTP_FORWARDED_OTHER;
    case MP_HTTP_NAME_OTHER:
        if (field->name.len >= sizeof(other_prefix) - 1 &&
            mp_http_same_token(name, other_prefix, sizeof(other_prefix) - 1))
            return MP_HTTP_FORWARDED_OTHER;
        return 0;
    default:
        return 0;
    }
}

uint32_t mp_http_forwarded_remove(struct mp_http_head *head, const char *text)
{
    uint32_t kept = 0;
    uint32_t count = head->field_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_http_field *field = &head->fields[i];
        if (mp_http_forwarded_kind(field, text + field->name.at) == 0)
            head->fields[kept++] = *field;
    }
    head->field_count = kept;
    head->dropped += count - kept;
    head->forwarding = 0;
    return count - kept;
}

/* ---- lists ------------------------------------------------------------------------------- */

/* The elements of all fields of a name, empty ones left out, from the first on. */
struct elements {
    const struct mp_http_head *head;
    const char *text;
    uint16_t known;
    uint32_t next_field;
    uint32_t at; /* in the text: what is left of the present field */
    uint32_t end;
};

/* Without spaces around it. */
static struct mp_http_span trimmed(const char *text, uint32_t at, uint32_t end)
{
    while (at < end && mp_http_is_space(text[at]))
        at++;
    while (end > at && mp_http_is_space(text[end - 1]))
        end--;
    return (struct mp_http_span){at, end - at};
}

static bool next_field(struct elements *elements)
{
    const struct mp_http_head *head = elements->head;
    while (elements->next_field < head->field_count) {
        const struct mp_http_field *field = &head->fields[elements->next_field++];
        if (field->known != elements->known)
            continue;
        elements->at = field->value.at;
        elements->end = field->value.at + field->value.len;
        return true;
    }
    return false;
}

static bool next_element(struct elements *elements, struct mp_http_span *ret)
{
    const char *text = elements->text;
    do {
        while (elements->at < elements->end) {
            const char *p = text + elements->at;
            const char *comma = memchr(p, ',', elements->end - elements->at);
            uint32_t end = comma ? (uint32_t)(comma - text) : elements->end;
            *ret = trimmed(text, elements->at, end);
            elements->at = comma ? end + 1 : end;
            if (ret->len > 0)
                return true;
        }
    } while (next_field(elements));
    return false;
}

/* The one value that a field of one value has, however often it is repeated. False: there are
 * several. Empty: there is none. */
static bool one_value(const struct mp_http_head *head, const char *text, enum mp_http_known known,
                      struct mp_http_span *ret)
{
    struct elements elements = {.head = head, .text = text, .known = (uint16_t)known};
    struct mp_http_span next;
    *ret = (struct mp_http_span){0, 0};
    while (next_element(&elements, &next)) {
        if (ret->len == 0)
            *ret = next;
        else if (ret->len != next.len || memcmp(text + ret->at, text + next.at, next.len) != 0)
            return false;
    }
    return true;
}

/* ---- the fields -------------------------------------------------------------------------- */

bool mp_http_forwarded_refuse(struct mp_http_forwarded *said, const char *reason)
{
    said->reason = reason;
    return false;
}

enum mp_http_scheme mp_http_forwarded_scheme(const char *text, size_t n)
{
    if (MP_HTTP_IS_TOKEN(text, n, "https") || MP_HTTP_IS_TOKEN(text, n, "wss"))
        return MP_HTTP_SCHEME_HTTPS;
    if (MP_HTTP_IS_TOKEN(text, n, "http") || MP_HTTP_IS_TOKEN(text, n, "ws"))
        return MP_HTTP_SCHEME_HTTP;
    return MP_HTTP_SCHEME_NONE;
}

/* One line of X-Forwarded-For, from its end on. *ret_over: nothing further is to be looked at. */
static bool read_for_line(const char *text, struct mp_http_span line,
                          const struct mp_ip_set *trusted, struct mp_http_forwarded *said,
                          bool *ret_over)
{
    uint32_t end = line.at + line.len;
    while (end > line.at) {
        const char *comma = memrchr(text + line.at, ',', end - line.at);
        uint32_t start = comma ? (uint32_t)(comma - text) + 1 : line.at;
        struct mp_http_span one = trimmed(text, start, end);
        struct mp_http_node node;
        end = comma ? start - 1 : line.at;
        if (one.len == 0)
            continue;
        if (!mp_http_node_parse(text + one.at, one.len, true, &node))
            return mp_http_forwarded_refuse(said, "X-Forwarded-For with no address in its place");
        said->has_for = true;
        *ret_over = node.ip.version == MP_IP_NONE || !mp_ip_set_has(trusted, &node.ip);
        if (node.ip.version != MP_IP_NONE) {
            said->ip = node.ip;
            said->port = node.port;
        }
        if (*ret_over)
            return true;
    }
    return true;
}

static bool read_for(const struct mp_http_head *head, const char *text,
                     const struct mp_ip_set *trusted, struct mp_http_forwarded *said)
{
    bool over = false;
    for (uint32_t i = head->field_count; i > 0 && !over; i--) {
        const struct mp_http_field *field = &head->fields[i - 1];
        if (field->known == MP_HTTP_NAME_X_FORWARDED_FOR &&
            !read_for_line(text, field->value, trusted, said, &over))
            return false;
    }
    return true;
}

static bool read_proto(const struct mp_http_head *head, const char *text,
                       struct mp_http_forwarded *said)
{
    struct elements elements = {
        .head = head, .text = text, .known = MP_HTTP_NAME_X_FORWARDED_PROTO};
    struct mp_http_span next;
    while (next_element(&elements, &next)) {
        enum mp_http_scheme scheme = mp_http_forwarded_scheme(text + next.at, next.len);
        if (scheme == MP_HTTP_SCHEME_NONE)
            return mp_http_forwarded_refuse(said, "X-Forwarded-Proto is neither http nor https");
        if (said->scheme != MP_HTTP_SCHEME_NONE && said->scheme != scheme)
            return mp_http_forwarded_refuse(said, "X-Forwarded-Proto says two things");
        said->scheme = (uint8_t)scheme;
    }
    return true;
}

static bool read_host(const struct mp_http_head *head, const char *text,
                      struct mp_http_forwarded *said)
{
    if (!one_value(head, text, MP_HTTP_NAME_X_FORWARDED_HOST, &said->host))
        return mp_http_forwarded_refuse(said, "X-Forwarded-Host says two things");
    if (said->host.len > 0 && !mp_http_authority_valid(text + said->host.at, said->host.len))
        return mp_http_forwarded_refuse(said, "bad X-Forwarded-Host");
    return true;
}

/* "/shop": whole segments, none of them empty or dots, nothing that would have to be decoded. */
static bool is_prefix(const char *p, size_t n)
{
    const char *end = p + n;
    while (p < end) {
        if (*p++ != '/')
            return false;
        const char *segment = p;
        while (p < end && *p != '/' && *p != '%' && *p != '\\' &&
               mp_http_char_is(*p, MP_HTTP_CHAR_PATH))
            p++;
        size_t size = (size_t)(p - segment);
        if (size == 0 || (size <= 2 && memcmp(segment, "..", size) == 0))
            return false;
    }
    return true;
}

static bool read_prefix(const struct mp_http_head *head, const char *text,
                        struct mp_http_forwarded *said)
{
    if (!one_value(head, text, MP_HTTP_NAME_X_FORWARDED_PREFIX, &said->prefix))
        return mp_http_forwarded_refuse(said, "X-Forwarded-Prefix says two things");
    if (said->prefix.len > 0 && text[said->prefix.at + said->prefix.len - 1] == '/')
        said->prefix.len--;
    if (!is_prefix(text + said->prefix.at, said->prefix.len))
        return mp_http_forwarded_refuse(said, "bad X-Forwarded-Prefix");
    return true;
}

/* ---- all of them ------------------------------------------------------------------------- */

static bool same_host(const char *text, struct mp_http_span a, struct mp_http_span b)
{
    return a.len == b.len && memcmp(text + a.at, text + b.at, a.len) == 0;
}

/* Adds what Forwarded says to what the other fields have said. */
static bool merge(const char *text, const struct mp_http_forwarded *standard,
                  struct mp_http_forwarded *said)
{
    static const char reason[] = "Forwarded and X-Forwarded-* say different things";
    if (standard->scheme != MP_HTTP_SCHEME_NONE) {
        if (said->scheme != MP_HTTP_SCHEME_NONE && said->scheme != standard->scheme)
            return mp_http_forwarded_refuse(said, reason);
        said->scheme = standard->scheme;
    }
    if (standard->host.len > 0) {
        if (said->host.len > 0 && !same_host(text, said->host, standard->host))
            return mp_http_forwarded_refuse(said, reason);
        said->host = standard->host;
    }
    if (standard->has_for) {
        if (said->has_for && memcmp(&said->ip, &standard->ip, sizeof(said->ip)) != 0)
            return mp_http_forwarded_refuse(said, reason);
        said->ip = standard->ip;
        said->has_for = true;
        said->port = said->port > 0 ? said->port : standard->port;
    }
    return true;
}

enum mp_http_outcome mp_http_forwarded_read(const struct mp_http_head *head, const char *text,
                                            unsigned believed, const struct mp_ip_set *trusted,
                                            struct mp_http_forwarded *ret)
{
    struct mp_http_forwarded standard = {0};
    unsigned fields = head->forwarding & believed;
    *ret = (struct mp_http_forwarded){0};
    if (((fields & MP_HTTP_FORWARDED_FOR) && !read_for(head, text, trusted, ret)) ||
        ((fields & MP_HTTP_FORWARDED_PROTO) && !read_proto(head, text, ret)) ||
        ((fields & MP_HTTP_FORWARDED_HOST) && !read_host(head, text, ret)) ||
        ((fields & MP_HTTP_FORWARDED_PREFIX) && !read_prefix(head, text, ret)))
        return MP_HTTP_BAD;
    if (!(fields & MP_HTTP_FORWARDED_STANDARD))
        return MP_HTTP_DONE;
    if (!mp_http_forwarded_standard(head, text, trusted, &standard)) {
        ret->reason = standard.reason;
        return MP_HTTP_BAD;
    }
    return merge(text, &standard, ret) ? MP_HTTP_DONE : MP_HTTP_BAD;
}
