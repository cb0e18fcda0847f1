/* SPDX-License-Identifier: MIT */
/*
 * The field Forwarded (RFC 7239 section 4), from its beginning on, because of its quoted strings:
 *
 *   element *( "," element ),  element = [ pair ] *( ";" [ pair ] ),  pair = token "=" value
 *
 * The element that counts is the last that was not added on behalf of a proxy that is trusted; if
 * all were, the first. Spaces are allowed around commas and semicolons.
 */
#include "http/forwarded_private.h"
#include "http/uri.h"

/* What one element says. */
struct element {
    struct mp_http_node from;
    struct mp_http_span host;
    struct mp_http_span proto;
    bool has_for;
    bool has_host;
    bool has_proto;
    bool has_by;
};

struct reader {
    const char *text;
    const char *p;
    const char *end;
    struct mp_http_span value; /* of the pair that was read last, without its quotes */
    bool escaped;              /* it has quoted pairs */
};

static void skip_space(struct reader *in)
{
    while (in->p < in->end && mp_http_is_space(*in->p))
        in->p++;
}

/* How many characters of a token come next. */
static size_t token_size(const struct reader *in)
{
    const char *p = in->p;
    while (p < in->end && mp_http_char_is(*p, MP_HTTP_CHAR_TOKEN))
        p++;
    return (size_t)(p - in->p);
}

/* From behind the first quotation mark; false when the last is missing. */
static bool read_quoted(struct reader *in)
{
    const char *start = in->p;
    while (in->p < in->end && *in->p != '"') {
        if (*in->p == '\\') {
            in->escaped = true;
            in->p++;
        }
        if (in->p == in->end || mp_http_char_is(*in->p, MP_HTTP_CHAR_CONTROL))
            return false;
        in->p++;
    }
    if (in->p == in->end)
        return false;
    in->value = (struct mp_http_span){(uint32_t)(start - in->text), (uint32_t)(in->p - start)};
    in->p++;
    return true;
}

static bool read_value(struct reader *in)
{
    in->escaped = false;
    if (in->p < in->end && *in->p == '"') {
        in->p++;
        return read_quoted(in);
    }
    size_t n = token_size(in);
    in->value = (struct mp_http_span){(uint32_t)(in->p - in->text), (uint32_t)n};
    in->p += n;
    return n > 0;
}

/* Each may be there once. A value that we use needs no quoted pairs; who hides it so means to be
 * read differently by others. */
static bool keep(const struct reader *in, bool *has)
{
    bool first = !*has;
    *has = true;
    return first && !in->escaped;
}

static bool read_pair(struct reader *in, struct element *element)
{
    const char *name = in->p;
    size_t n = token_size(in);
    in->p += n;
    if (n == 0 || in->p == in->end || *in->p++ != '=' || !read_value(in))
        return false;
    if (MP_HTTP_IS_TOKEN(name, n, "for"))
        return keep(in, &element->has_for) &&
               mp_http_node_parse(in->text + in->value.at, in->value.len, false, &element->from);
    if (MP_HTTP_IS_TOKEN(name, n, "host")) {
        element->host = in->value;
        return keep(in, &element->has_host);
    }
    if (MP_HTTP_IS_TOKEN(name, n, "proto")) {
        element->proto = in->value;
        return keep(in, &element->has_proto);
    }
    return !MP_HTTP_IS_TOKEN(name, n, "by") || keep(in, &element->has_by);
}

/* Up to the next comma, or the end. *ret_empty: it has no pair. */
static bool read_element(struct reader *in, struct element *element, bool *ret_empty)
{
    *element = (struct element){0};
    *ret_empty = true;
    for (;;) {
        skip_space(in);
        if (in->p < in->end && *in->p != ';' && *in->p != ',') {
            *ret_empty = false;
            if (!read_pair(in, element))
                return false;
            skip_space(in);
        }
        if (in->p == in->end || *in->p == ',')
            return true;
        if (*in->p++ != ';')
            return false;
    }
}

/* All elements, in order, and which of them counts. */
struct chain {
    const struct mp_ip_set *trusted;
    unsigned count;
    struct element chosen;
    struct mp_http_node near; /* the nearest known proxy behind the chosen element */
};

static void add(struct chain *chain, const struct element *element)
{
    bool passes = mp_ip_set_has(chain->trusted, &element->from.ip);
    if (chain->count++ == 0 || !passes) {
        chain->chosen = *element;
        chain->near = element->from;
    } else if (chain->near.ip.version == MP_IP_NONE) {
        chain->near = element->from;
    }
}

static bool read_line(const char *text, struct mp_http_span line, struct chain *chain)
{
    struct reader in = {.text = text, .p = text + line.at, .end = text + line.at + line.len};
    struct element element;
    bool empty;
    for (;;) {
        if (!read_element(&in, &element, &empty))
            return false;
        if (!empty)
            add(chain, &element);
        if (in.p == in.end)
            return true;
        if (chain->count > MP_HTTP_FORWARDED_MAX)
            return false;
        in.p++;
    }
}

static bool take(const char *text, const struct chain *chain, struct mp_http_forwarded *said)
{
    const struct element *chosen = &chain->chosen;
    said->ip = chain->near.ip;
    said->port = chain->near.port;
    said->has_for = chosen->has_for;
    if (chosen->has_proto) {
        said->scheme =
            (uint8_t)mp_http_forwarded_scheme(text + chosen->proto.at, chosen->proto.len);
        if (said->scheme == MP_HTTP_SCHEME_NONE)
            return mp_http_forwarded_refuse(said, "Forwarded with another proto than http, https");
    }
    if (chosen->has_host && !mp_http_authority_valid(text + chosen->host.at, chosen->host.len))
        return mp_http_forwarded_refuse(said, "Forwarded with a bad host");
    said->host = chosen->host;
    return true;
}

bool mp_http_forwarded_standard(const struct mp_http_head *head, const char *text,
                                const struct mp_ip_set *trusted, struct mp_http_forwarded *said)
{
    struct chain chain = {.trusted = trusted};
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct mp_http_field *field = &head->fields[i];
        if (field->known == MP_HTTP_NAME_FORWARDED && !read_line(text, field->value, &chain))
            return mp_http_forwarded_refuse(said, "malformed Forwarded");
    }
    return take(text, &chain, said);
}
