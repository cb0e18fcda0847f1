/* SPDX-License-Identifier: MIT */
#include "base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int mp_ip_parse(const char *text, size_t n, struct mp_ip *ret_ip)
{
    char copy[INET6_ADDRSTRLEN];
    struct mp_ip ip = {.version = MP_IP_V4};
    if (n == 0 || n >= sizeof(copy) || memchr(text, '\0', n))
        return -EINVAL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    if (memchr(text, ':', n))
        ip.version = MP_IP_V6;
    if (inet_pton(ip.version == MP_IP_V6 ? AF_INET6 : AF_INET, copy, ip.bytes) != 1)
        return -EINVAL;
    *ret_ip = ip;
    return 0;
}

/* The address of IPv4 that a mapped one stands for; others as they are. */
static struct mp_ip unmapped(const struct mp_ip *ip)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    struct mp_ip plain = {.version = MP_IP_V4};
    if (ip->version != MP_IP_V6 || memcmp(ip->bytes, prefix, sizeof(prefix)) != 0)
        return *ip;
    memcpy(plain.bytes, ip->bytes + sizeof(prefix), 4);
    return plain;
}

static unsigned width(const struct mp_ip *ip)
{
    return ip->version == MP_IP_V4 ? 32 : 128;
}

/* Whether the first bits of both are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

static bool has_bits_behind(const struct mp_ip *ip, unsigned bits)
{
    for (unsigned i = bits; i < width(ip); i++) {
        if (ip->bytes[i / 8] >> (7 - i % 8) & 1)
            return true;
    }
    return false;
}

/* One to three digits without leading zeros. Returns the number or -1. */
static int parse_bits(const char *text, size_t n)
{
    int number = 0;
    if (n == 0 || n > 3 || (n > 1 && text[0] == '0'))
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

static int parse_net(const char *text, size_t n, struct mp_ip_net *ret_net)
{
    const char *slash = memchr(text, '/', n);
    size_t size = slash ? (size_t)(slash - text) : n;
    struct mp_ip ip;
    if (mp_ip_parse(text, size, &ip) < 0)
        return -EINVAL;
    int bits = slash ? parse_bits(slash + 1, n - size - 1) : (int)width(&ip);
    if (bits < 0 || (unsigned)bits > width(&ip) || has_bits_behind(&ip, (unsigned)bits))
        return -EINVAL;
    struct mp_ip plain = unmapped(&ip);
    /* The mapped addresses as a whole, and wider: of no use, and not what was meant. */
    if (plain.version != ip.version && bits < 96)
        return -EINVAL;
    if (plain.version != ip.version)
        bits -= 96;
    *ret_net = (struct mp_ip_net){.base = plain, .bits = (uint8_t)bits};
    return 0;
}

static size_t trim(const char **text, size_t n)
{
    while (n > 0 && **text == ' ') {
        (*text)++;
        n--;
    }
    while (n > 0 && (*text)[n - 1] == ' ')
        n--;
    return n;
}

static int fill(struct mp_ip_set *set, const char *list, const char **ret_bad, size_t *ret_size)
{
    for (const char *next; list; list = next) {
        const char *comma = strchr(list, ',');
        const char *text = list;
        size_t n = trim(&text, comma ? (size_t)(comma - list) : strlen(list));
        next = comma ? comma + 1 : NULL;
        if (n == 1 && *text == '*') {
            set->all = true;
        } else if (parse_net(text, n, &set->nets[set->count++]) < 0) {
            *ret_bad = text;
            *ret_size = n;
            return -EINVAL;
        }
    }
    return 0;
}

int mp_ip_set_init(struct mp_ip_set *set, const char *list, const char **ret_bad, size_t *ret_size)
{
    size_t most = 1;
    const char *text = list;
    *set = (struct mp_ip_set){0};
    if (trim(&text, strlen(list)) == 0)
        return 0;
    for (const char *p = list; *p; p++)
        most += *p == ',';
    set->nets = calloc(most, sizeof(*set->nets));
    if (!set->nets)
        return -ENOMEM;
    int r = fill(set, list, ret_bad, ret_size);
    if (r < 0)
        mp_ip_set_done(set);
    return r;
}

void mp_ip_set_done(struct mp_ip_set *set)
{
    free(set->nets);
    *set = (struct mp_ip_set){0};
}

bool mp_ip_set_has(const struct mp_ip_set *set, const struct mp_ip *ip)
{
    if (ip->version == MP_IP_NONE || set->all)
        return ip->version != MP_IP_NONE;
    struct mp_ip plain = unmapped(ip);
    for (size_t i = 0; i < set->count; i++) {
        const struct mp_ip_net *net = &set->nets[i];
        if (net->base.version == plain.version &&
            same_bits(net->base.bytes, plain.bytes, net->bits))
            return true;
    }
    return false;
}
