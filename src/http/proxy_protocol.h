/* SPDX-License-Identifier: MIT */
/*
 * The PROXY protocol, versions 1 and 2: what a proxy says of a connection before the connection's
 * own first byte (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
 *
 *   1   PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\n
 *   2   twelve bytes of signature, version and command, family, length; addresses; extensions
 *
 * A header is there or it is not: nothing is guessed, and what is no header is refused with the
 * first byte that shows it.
 */
#ifndef MP_HTTP_PROXY_PROTOCOL_H
#define MP_HTTP_PROXY_PROTOCOL_H

#include "base/ip.h"
#include "http/common.h"

enum {
    MP_HTTP_PROXY_V1 = 1, /* to be or-ed */
    MP_HTTP_PROXY_V2 = 2,
};

enum {
    MP_HTTP_PROXY_V1_MAX = 107,  /* bytes of a header of version 1, line end included */
    MP_HTTP_PROXY_V2_MAX = 4096, /* bytes of one of version 2 that are taken */
};

struct mp_http_proxy {
    bool local;         /* the proxy speaks for itself: the connection's own addresses count */
    struct mp_ip ip;    /* the client; MP_IP_NONE: local, or the proxy cannot say */
    uint16_t port;      /* the client's */
    const char *reason; /* on MP_HTTP_BAD, a short constant text for the log */
};

/*
 * Reads the header at the beginning of the bytes that have been received so far, in one of the
 * versions allowed. MORE needs nothing to be kept: it is called again with the same bytes and more
 * behind them. On DONE, *ret_size is the header's size. MORE is never said of
 * MP_HTTP_PROXY_V2_MAX bytes.
 *
 * A checksum (PP2_TYPE_CRC32C) is checked if there is one; other extensions have to be well formed
 * and are passed over.
 */
enum mp_http_outcome mp_http_proxy_parse(const char *buf, size_t len, unsigned versions,
                                         struct mp_http_proxy *proxy, size_t *ret_size);

#endif
