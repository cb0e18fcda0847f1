/* SPDX-License-Identifier: MIT */
/*
 * IP addresses as bytes, and sets of addresses and networks.
 *
 * An address of IPv4 that is written as one of IPv6 (::ffff:192.0.2.1), as sockets for both kinds
 * show them, is the same as the one of IPv4 when it is looked for in a set.
 */
#ifndef MP_BASE_IP_H
#define MP_BASE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mp_ip_version {
    MP_IP_NONE = 0,
    MP_IP_V4 = 4,
    MP_IP_V6 = 6,
};

struct mp_ip {
    uint8_t version;   /* enum mp_ip_version */
    uint8_t bytes[16]; /* in network order; of MP_IP_V4 the first four */
};

struct mp_ip_net {
    struct mp_ip base; /* never a mapped one */
    uint8_t bits;      /* that an address has in common with base */
};

struct mp_ip_set {
    bool all;
    size_t count;
    struct mp_ip_net *nets;
};

/*
 * Four decimal numbers without leading zeros, or the text of an IPv6 address (RFC 4291 section 2.2)
 * without zone and brackets. Nothing before or behind it. 0 or -EINVAL.
 */
int mp_ip_parse(const char *text, size_t n, struct mp_ip *ret_ip);

/*
 * "*", or addresses and networks ("10.0.0.0/8", "2001:db8::/32") with commas between them and
 * spaces around; nothing at all is the empty set. A network's address has no bits behind its own.
 * Returns 0, -ENOMEM, or -EINVAL with *ret_bad and *ret_size saying which element it is.
 */
int mp_ip_set_init(struct mp_ip_set *set, const char *list, const char **ret_bad, size_t *ret_size);

void mp_ip_set_done(struct mp_ip_set *set);

/* False for MP_IP_NONE, in whatever set. */
bool mp_ip_set_has(const struct mp_ip_set *set, const struct mp_ip *ip);

#endif
