/* SPDX-License-Identifier: MIT */
/*
 * What proxies say of the client they speak for: X-Forwarded-For, -Proto, -Host and -Prefix, which
 * no standard has, and Forwarded (RFC 7239).
 *
 * Each proxy adds the address that it was connected from at the end of X-Forwarded-For, or an
 * element at the end of Forwarded. So the list is as trustworthy as its last addresses: it is read
 * from the end, as long as the addresses are those of proxies that are trusted, and the first that
 * is not is the client's. What stands before it may have been made up by that client.
 */
#ifndef MP_HTTP_FORWARDED_H
#define MP_HTTP_FORWARDED_H

#include "base/ip.h"
#include "http/head.h"

/* Fields of mp_http_head.forwarding; to be or-ed. */
enum {
    MP_HTTP_FORWARDED_FOR = 1,       /* X-Forwarded-For */
    MP_HTTP_FORWARDED_PROTO = 2,     /* X-Forwarded-Proto */
    MP_HTTP_FORWARDED_HOST = 4,      /* X-Forwarded-Host */
    MP_HTTP_FORWARDED_PREFIX = 8,    /* X-Forwarded-Prefix */
    MP_HTTP_FORWARDED_STANDARD = 16, /* Forwarded */
    MP_HTTP_FORWARDED_OTHER = 32,    /* X-Forwarded-*, X-Real-IP, X-Request-Start: not read here */
};

enum mp_http_scheme {
    MP_HTTP_SCHEME_NONE = 0, /* nobody has said */
    MP_HTTP_SCHEME_HTTP,
    MP_HTTP_SCHEME_HTTPS,
};

/* Elements of Forwarded, in all its lines together. */
enum { MP_HTTP_FORWARDED_MAX = 100 };

struct mp_http_forwarded {
    struct mp_ip ip;            /* the client's; MP_IP_NONE: nobody has said */
    uint16_t port;              /* 0: not known */
    bool has_for;               /* somebody has said something of the client's address */
    uint8_t scheme;             /* enum mp_http_scheme: what the client has used */
    struct mp_http_span host;   /* a valid authority; empty: nobody has said */
    struct mp_http_span prefix; /* a path without '/' at its end and escapes; empty: the same */
    const char *reason;         /* on MP_HTTP_BAD, a short constant text for the log */
};

/* Which of the fields this is, or 0; `name` is the field's own. */
unsigned mp_http_forwarded_kind(const struct mp_http_field *field, const char *name);

/* Takes all such fields out of the head. Returns how many there were. */
uint32_t mp_http_forwarded_remove(struct mp_http_head *head, const char *text);

/*
 * Reads those of the fields that are to be believed. BAD where that would be guesswork: something
 * that is no address where the client's ought to be, values that differ in a field that has one, a
 * scheme, host or prefix that is none, a Forwarded that breaks its grammar, and Forwarded and the
 * other fields saying different things.
 *
 * A client that is "unknown" or has an obfuscated name ("_hidden") leaves the nearest address that
 * is known: that of the proxy which would not tell, or MP_IP_NONE where it is the peer.
 */
enum mp_http_outcome mp_http_forwarded_read(const struct mp_http_head *head, const char *text,
                                            unsigned believed, const struct mp_ip_set *trusted,
                                            struct mp_http_forwarded *ret);

#endif
