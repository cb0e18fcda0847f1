/* SPDX-License-Identifier: MIT */
/* Pieces of a URI: percent-decoding of a path, authority with host and port (RFC 3986). */
#ifndef MP_HTTP_URI_H
#define MP_HTTP_URI_H

#include "http/common.h"

/*
 * Decodes the percent-escapes of a path once, into `out`, which has room for `n` bytes; n <=
 * INT_MAX. `out` may be `in` itself. Nothing else is changed: no '+', no dot segments, no UTF-8
 * check. Returns the decoded size, or -EINVAL when an escape is not '%' and two hexadecimal digits,
 * or decodes to NUL, which no path has a use for and which ends strings early in C. Answer it 400.
 */
int mp_http_path_decode(const char *in, size_t n, char *out);

/*
 * Whether `in` is a valid authority without user information: a registered name, an IPv4 address or
 * a bracketed IPv6 address, optionally a colon and a port of 0 to 65535, which may be empty.
 * An empty authority is not valid.
 */
bool mp_http_authority_valid(const char *in, size_t n);

/*
 * Splits a valid authority. The spans are relative to `in`. The brackets of an IPv6 address belong
 * to the host, as SERVER_NAME wants it (RFC 3875 section 4.1.14). `port` is empty when none is
 * given.
 */
void mp_http_authority_split(const char *in, size_t n, struct mp_http_span *ret_host,
                             struct mp_http_span *ret_port);

#endif
