/* SPDX-License-Identifier: MIT */
/* Between the files that read what proxies say. Private to this folder. */
#ifndef MP_HTTP_FORWARDED_PRIVATE_H
#define MP_HTTP_FORWARDED_PRIVATE_H

#include "http/chars.h"
#include "http/forwarded.h"

/* Who a request comes from, as RFC 7239 section 6 writes it. */
struct mp_http_node {
    struct mp_ip ip; /* MP_IP_NONE: "unknown", or an obfuscated name */
    uint16_t port;   /* 0: none, or an obfuscated one */
};

/*
 * "192.0.2.1", "192.0.2.1:4711", "[2001:db8::1]", "[2001:db8::1]:4711", "unknown", "_name"; with
 * bare also "2001:db8::1", as X-Forwarded-For has it. False: it is none of them.
 */
bool mp_http_node_parse(const char *text, size_t n, bool bare, struct mp_http_node *ret_node);

enum mp_http_scheme mp_http_forwarded_scheme(const char *text, size_t n);

/* Notes the reason; always false. */
bool mp_http_forwarded_refuse(struct mp_http_forwarded *said, const char *reason);

/* The field Forwarded alone. False: refused. */
bool mp_http_forwarded_standard(const struct mp_http_head *head, const char *text,
                                const struct mp_ip_set *trusted, struct mp_http_forwarded *said);

#endif
