/* SPDX-License-Identifier: MIT */
/*
 * The request head: request line and field lines (RFC 9112 sections 2 to 6, RFC 9110, RFC 3986).
 *
 * The parser is strict where leniency has let requests be smuggled: lines end in CRLF and nothing
 * else, no line folding, no space before the colon, no control bytes, Host exactly once, body
 * framing by either one Content-Length of digits or one Transfer-Encoding of exactly "chunked".
 */
#ifndef MP_HTTP_HEAD_H
#define MP_HTTP_HEAD_H

#include "http/common.h"
#include "http/names.h"

enum {
    MP_HTTP_FIELDS_MAX = 128,
    MP_HTTP_METHOD_MAX = 20, /* bytes of a method name */
};

enum mp_http_method {
    MP_HTTP_OTHER = 0, /* a valid token that is none of the below; see method_name */
    MP_HTTP_GET,
    MP_HTTP_HEAD,
    MP_HTTP_POST,
    MP_HTTP_PUT,
    MP_HTTP_DELETE,
    MP_HTTP_CONNECT,
    MP_HTTP_OPTIONS,
    MP_HTTP_TRACE,
    MP_HTTP_PATCH,
};

/* The four forms of a request target (RFC 9112 section 3.2). */
enum mp_http_form {
    MP_HTTP_ORIGIN,    /* /path?query */
    MP_HTTP_ABSOLUTE,  /* http://authority/path?query */
    MP_HTTP_AUTHORITY, /* host:port, CONNECT only */
    MP_HTTP_ASTERISK,  /* *, OPTIONS only */
};

struct mp_http_field {
    struct mp_http_span name;
    struct mp_http_span value; /* without surrounding white space; may be empty */
    uint16_t known;            /* enum mp_http_known */
};

/*
 * How far a head that arrives in pieces has been looked at. Zero-initialise it for every new head.
 * It is all that has to be kept between two calls, besides the bytes themselves.
 */
struct mp_http_scan {
    uint32_t seen;  /* bytes looked at */
    uint32_t line;  /* where the unfinished line begins */
    uint32_t lines; /* finished lines; 0 while in the request line */
};

/*
 * A parsed head. Everything but `status` and `reason` is meaningful only after MP_HTTP_DONE.
 * Spans refer to the buffer that was parsed.
 */
struct mp_http_head {
    enum mp_http_method method;
    enum mp_http_form form;
    struct mp_http_span method_name;
    struct mp_http_span target; /* as it was sent */
    struct mp_http_span path;   /* not decoded; begins with '/', or is "*", or is empty, for
                                 * CONNECT, and for OPTIONS of an absolute target without one */
    struct mp_http_span query;  /* without '?'; empty when there is none */
    struct mp_http_span host;   /* authority in effect: that of an absolute target, or else Host */
    uint8_t minor;              /* the 1.x spoken: 0 or 1 */
    bool https;                 /* an absolute target names a resource of the https scheme */
    bool has_host;              /* false: HTTP/1.0 without Host */
    bool keep_alive;            /* the client wants, or at least allows, another request */
    bool has_length;            /* Content-Length was sent */
    bool chunked;               /* the body is in chunked coding; excludes has_length */
    bool expect_continue;       /* the client waits for 100 before it sends the body it announced */
    bool upgrade;               /* HTTP/1.1 with Upgrade and "Connection: upgrade" */
    uint64_t content_length;    /* 0 unless has_length; never above INT64_MAX */
    uint8_t forwarding;         /* which fields there are that only proxies send; forwarded.h */
    uint32_t dropped;           /* field lines left out, because they could pass for others */
    uint32_t field_count;
    int status;         /* on MP_HTTP_BAD, the answer: 400, 414, 417, 431, 501 or 505 */
    const char *reason; /* on MP_HTTP_BAD, a short constant text for the log */
    struct mp_http_field fields[MP_HTTP_FIELDS_MAX];
};

/*
 * Parses the head at the beginning of `buf`, which holds `len` bytes received so far.
 *
 * A head that is there as a whole is parsed in one pass. Otherwise the answer is MORE; the caller
 * keeps `scan` and calls again with the same bytes, perhaps moved, and more behind them. `head`
 * need not be kept in between. However finely the bytes are split, the total work is linear in
 * them: each byte is looked at once for line ends and control bytes, each line once more when it is
 * complete, and everything once when the head is. Limits and control bytes are refused as soon as
 * they are visible, as is a beginning that cannot become a request, such as a TLS handshake.
 *
 * The outcome of a complete head does not depend on how it was split. When a bad head has several
 * faults, which of them is reported may.
 *
 * One empty line before the request line is skipped (RFC 9112 section 2.2). On DONE, `*ret_size` is
 * the size of the head in bytes with that line and the final empty line; otherwise it is untouched.
 *
 * Fields whose name has an underscore, and the field Proxy, are checked and counted but left out of
 * `fields`: in CGI variables they would pass for others (CVE-2015-0219, CVE-2016-5385).
 */
enum mp_http_outcome mp_http_head_parse(struct mp_http_scan *scan, const char *buf, size_t len,
                                        const struct mp_http_limits *limits,
                                        struct mp_http_head *head, size_t *ret_size);

#endif
