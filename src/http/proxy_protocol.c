/* SPDX-License-Identifier: MIT */
#include "http/proxy_protocol.h"

#include "http/chars.h"

#define V1_START "PROXY "
#define V2_START "\r\n\r\n\0\r\nQUIT\n"

enum {
    V1_START_SIZE = sizeof(V1_START) - 1,
    V2_START_SIZE = sizeof(V2_START) - 1,
    V2_HEADER = 16, /* bytes before the addresses */
    V2_TLV = 3,     /* bytes before an extension's value */
    TYPE_CRC32C = 3,
};

static enum mp_http_outcome refuse(struct mp_http_proxy *proxy, const char *reason)
{
    proxy->reason = reason;
    return MP_HTTP_BAD;
}

/* ---- version 1 ----------------------------------------------------------------------------- */

/* A stretch of text that is read word by word. */
struct words {
    const char *p;
    const char *end;
};

/* What is before the next space or the end; false when it is empty. */
static bool next_word(struct words *words, const char **ret_word, size_t *ret_size)
{
    const char *space = memchr(words->p, ' ', (size_t)(words->end - words->p));
    const char *end = space ? space : words->end;
    *ret_word = words->p;
    *ret_size = (size_t)(end - words->p);
    words->p = space ? space + 1 : end;
    return *ret_size > 0;
}

static bool next_ip(struct words *words, enum mp_ip_version version, struct mp_ip *ret_ip)
{
    const char *word;
    size_t n;
    return next_word(words, &word, &n) && mp_ip_parse(word, n, ret_ip) == 0 &&
           ret_ip->version == version;
}

static bool next_port(struct words *words, uint16_t *ret_port)
{
    const char *word;
    size_t n;
    unsigned number = 0;
    if (!next_word(words, &word, &n) || n > 5 || (n > 1 && word[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!mp_http_is_digit(word[i]))
            return false;
        number = number * 10 + (unsigned)(word[i] - '0');
    }
    *ret_port = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* The text between "PROXY " and the line's end. */
static enum mp_http_outcome read_line(struct words words, struct mp_http_proxy *proxy)
{
    struct mp_ip ip_ignored;
    uint16_t port_ignored;
    const char *word;
    size_t n;
    if (!next_word(&words, &word, &n))
        return refuse(proxy, "PROXY line without a family");
    /* What follows it is to be ignored. */
    if (n == 7 && memcmp(word, "UNKNOWN", 7) == 0)
        return MP_HTTP_DONE;
    if (n != 4 || memcmp(word, "TCP", 3) != 0 || (word[3] != '4' && word[3] != '6'))
        return refuse(proxy, "PROXY line of a family that is none");
    enum mp_ip_version version = word[3] == '4' ? MP_IP_V4 : MP_IP_V6;
    if (!next_ip(&words, version, &proxy->ip) || !next_ip(&words, version, &ip_ignored))
        return refuse(proxy, "PROXY line with a bad address");
    /* A space behind the last word would leave an empty one. */
    if (!next_port(&words, &proxy->port) || !next_port(&words, &port_ignored) ||
        words.end[-1] == ' ' || words.p != words.end)
        return refuse(proxy, "PROXY line with a bad port, or something behind it");
    return MP_HTTP_DONE;
}

static enum mp_http_outcome parse_v1(const char *buf, size_t len, struct mp_http_proxy *proxy,
                                     size_t *ret_size)
{
    const char *end = buf + (len < MP_HTTP_PROXY_V1_MAX ? len : MP_HTTP_PROXY_V1_MAX);
    size_t n = len < V1_START_SIZE ? len : V1_START_SIZE;
    if (memcmp(buf, V1_START, n) != 0)
        return refuse(proxy, "no PROXY header");
    if (n < V1_START_SIZE)
        return MP_HTTP_MORE;
    const char *p = buf + n;
    while (p < end && *p >= ' ' && *p <= '~')
        p++;
    if (p + 1 >= end && len >= MP_HTTP_PROXY_V1_MAX)
        return refuse(proxy, "PROXY line too long");
    if (p < end && *p != '\r')
        return refuse(proxy, "bad byte in PROXY line");
    if (p + 1 >= end)
        return MP_HTTP_MORE;
    if (p[1] != '\n')
        return refuse(proxy, "bare CR in PROXY line");
    *ret_size = (size_t)(p + 2 - buf);
    return read_line((struct words){buf + n, p}, proxy);
}

/* ---- version 2 ----------------------------------------------------------------------------- */

static unsigned read_u16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* CRC-32C, four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < n; i++) {
        crc = crc >> 4 ^ table[(crc ^ p[i]) & 15];
        crc = crc >> 4 ^ table[(crc ^ (uint32_t)p[i] >> 4) & 15];
    }
    return crc;
}

/* Whether the four bytes at `sum` are the checksum of the header, in which they count as zeros. */
static bool checksum_is_right(const uint8_t *header, size_t size, const uint8_t *sum)
{
    static const uint8_t zeros[4];
    size_t before = (size_t)(sum - header);
    uint32_t crc = crc32c(UINT32_MAX, header, before);
    crc = crc32c(crc, zeros, sizeof(zeros));
    crc = ~crc32c(crc, sum + 4, size - before - 4);
    return crc == ((uint32_t)read_u16(sum) << 16 | read_u16(sum + 2));
}

static enum mp_http_outcome read_extensions(const uint8_t *header, size_t size, size_t at,
                                            struct mp_http_proxy *proxy)
{
    bool summed = false;
    while (at < size) {
        const uint8_t *tlv = header + at;
        size_t left = size - at;
        if (left < V2_TLV || read_u16(tlv + 1) > left - V2_TLV)
            return refuse(proxy, "PROXY header with an extension that is cut");
        size_t length = read_u16(tlv + 1);
        if (tlv[0] == TYPE_CRC32C) {
            if (summed || length != 4 || !checksum_is_right(header, size, tlv + V2_TLV))
                return refuse(proxy, "PROXY header with a wrong checksum");
            summed = true;
        }
        at += V2_TLV + length;
    }
    return MP_HTTP_DONE;
}

/* A header that is there as a whole. */
static enum mp_http_outcome read_header(const uint8_t *header, size_t size,
                                        struct mp_http_proxy *proxy)
{
    static const struct {
        uint8_t family;
        uint8_t version; /* of IP */
        uint8_t width;   /* bytes of an address */
        uint8_t size;    /* of all addresses and ports */
    } kinds[] = {{0x11, MP_IP_V4, 4, 12}, {0x21, MP_IP_V6, 16, 36}, {0x31, MP_IP_NONE, 0, 216}};
    const uint8_t *addresses = header + V2_HEADER;
    /* Of those two the rest is to be ignored: a proxy's own connection, and one of a kind that the
     * protocol has no addresses for. */
    proxy->local = (header[12] & 15) == 0;
    if (proxy->local || header[13] == 0x00)
        return MP_HTTP_DONE;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].family != header[13])
            continue;
        if (size - V2_HEADER < kinds[i].size)
            return refuse(proxy, "PROXY header too short for its addresses");
        if (kinds[i].version != MP_IP_NONE) {
            proxy->ip.version = kinds[i].version;
            memcpy(proxy->ip.bytes, addresses, kinds[i].width);
            proxy->port = (uint16_t)read_u16(addresses + 2 * kinds[i].width);
        }
        return read_extensions(header, size, V2_HEADER + kinds[i].size, proxy);
    }
    return refuse(proxy, "PROXY header of a family that is none, or not of streams");
}

static enum mp_http_outcome parse_v2(const char *buf, size_t len, struct mp_http_proxy *proxy,
                                     size_t *ret_size)
{
    const uint8_t *header = (const uint8_t *)buf;
    size_t n = len < V2_START_SIZE ? len : V2_START_SIZE;
    if (memcmp(buf, V2_START, n) != 0)
        return refuse(proxy, "no PROXY header");
    if (len > 12 && header[12] != 0x20 && header[12] != 0x21)
        return refuse(proxy, "PROXY header of another version, or with an unknown command");
    if (len < V2_HEADER)
        return MP_HTTP_MORE;
    size_t size = V2_HEADER + read_u16(header + 14);
    if (size > MP_HTTP_PROXY_V2_MAX)
        return refuse(proxy, "PROXY header too long");
    if (len < size)
        return MP_HTTP_MORE;
    *ret_size = size;
    return read_header(header, size, proxy);
}

enum mp_http_outcome mp_http_proxy_parse(const char *buf, size_t len, unsigned versions,
                                         struct mp_http_proxy *proxy, size_t *ret_size)
{
    size_t size = 0;
    *proxy = (struct mp_http_proxy){0};
    if (len == 0)
        return MP_HTTP_MORE;
    bool binary = buf[0] == V2_START[0];
    if (!(versions & (binary ? MP_HTTP_PROXY_V2 : MP_HTTP_PROXY_V1)))
        return refuse(proxy, "no PROXY header of the version that is expected");
    enum mp_http_outcome outcome =
        binary ? parse_v2(buf, len, proxy, &size) : parse_v1(buf, len, proxy, &size);
    if (outcome == MP_HTTP_DONE)
        *ret_size = size;
    return outcome;
}
