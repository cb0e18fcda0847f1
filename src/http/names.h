/* SPDX-License-Identifier: MIT */
/*
 * Field names that are worth a number, so that nobody compares or upper-cases them again.
 *
 * The list below is the only place to extend. The last three columns are what the lookup hashes
 * besides the length: the first, the second to last and the last letter. Two names that fall into
 * the same slot do not compile (see names.c).
 */
#ifndef MP_HTTP_NAMES_H
#define MP_HTTP_NAMES_H

#include <stddef.h>

/* clang-format off */
#define MP_HTTP_NAMES(X)                                                                            \
    X(ACCEPT, "Accept", "HTTP_ACCEPT", 'a', 'p', 't')                                               \
    X(ACCEPT_CHARSET, "Accept-Charset", "HTTP_ACCEPT_CHARSET", 'a', 'e', 't')                       \
    X(ACCEPT_ENCODING, "Accept-Encoding", "HTTP_ACCEPT_ENCODING", 'a', 'n', 'g')                    \
    X(ACCEPT_LANGUAGE, "Accept-Language", "HTTP_ACCEPT_LANGUAGE", 'a', 'g', 'e')                    \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "Access-Control-Request-Headers",                             \
      "HTTP_ACCESS_CONTROL_REQUEST_HEADERS", 'a', 'r', 's')                                         \
    X(ACCESS_CONTROL_REQUEST_METHOD, "Access-Control-Request-Method",                               \
      "HTTP_ACCESS_CONTROL_REQUEST_METHOD", 'a', 'o', 'd')                                          \
    X(AUTHORIZATION, "Authorization", "HTTP_AUTHORIZATION", 'a', 'o', 'n')                          \
    X(CACHE_CONTROL, "Cache-Control", "HTTP_CACHE_CONTROL", 'c', 'o', 'l')                          \
    X(CONNECTION, "Connection", "HTTP_CONNECTION", 'c', 'o', 'n')                                   \
    X(CONTENT_ENCODING, "Content-Encoding", "HTTP_CONTENT_ENCODING", 'c', 'n', 'g')                 \
    X(CONTENT_LENGTH, "Content-Length", "CONTENT_LENGTH", 'c', 't', 'h')                            \
    X(CONTENT_TYPE, "Content-Type", "CONTENT_TYPE", 'c', 'p', 'e')                                  \
    X(COOKIE, "Cookie", "HTTP_COOKIE", 'c', 'i', 'e')                                               \
    X(DATE, "Date", "HTTP_DATE", 'd', 't', 'e')                                                     \
    X(DNT, "DNT", "HTTP_DNT", 'd', 'n', 't')                                                        \
    X(EXPECT, "Expect", "HTTP_EXPECT", 'e', 'c', 't')                                               \
    X(FORWARDED, "Forwarded", "HTTP_FORWARDED", 'f', 'e', 'd')                                      \
    X(FROM, "From", "HTTP_FROM", 'f', 'o', 'm')                                                     \
    X(HOST, "Host", "HTTP_HOST", 'h', 's', 't')                                                     \
    X(IF_MATCH, "If-Match", "HTTP_IF_MATCH", 'i', 'c', 'h')                                         \
    X(IF_MODIFIED_SINCE, "If-Modified-Since", "HTTP_IF_MODIFIED_SINCE", 'i', 'c', 'e')              \
    X(IF_NONE_MATCH, "If-None-Match", "HTTP_IF_NONE_MATCH", 'i', 'c', 'h')                          \
    X(IF_RANGE, "If-Range", "HTTP_IF_RANGE", 'i', 'g', 'e')                                         \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since", "HTTP_IF_UNMODIFIED_SINCE", 'i', 'c', 'e')        \
    X(KEEP_ALIVE, "Keep-Alive", "HTTP_KEEP_ALIVE", 'k', 'v', 'e')                                   \
    X(MAX_FORWARDS, "Max-Forwards", "HTTP_MAX_FORWARDS", 'm', 'd', 's')                             \
    X(ORIGIN, "Origin", "HTTP_ORIGIN", 'o', 'i', 'n')                                               \
    X(PRAGMA, "Pragma", "HTTP_PRAGMA", 'p', 'm', 'a')                                               \
    X(PRIORITY, "Priority", "HTTP_PRIORITY", 'p', 't', 'y')                                         \
    X(PROXY, "Proxy", "HTTP_PROXY", 'p', 'x', 'y')                                                  \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization", "HTTP_PROXY_AUTHORIZATION", 'p', 'o', 'n')        \
    X(PROXY_CONNECTION, "Proxy-Connection", "HTTP_PROXY_CONNECTION", 'p', 'o', 'n')                 \
    X(RANGE, "Range", "HTTP_RANGE", 'r', 'g', 'e')                                                  \
    X(REFERER, "Referer", "HTTP_REFERER", 'r', 'e', 'r')                                            \
    X(SEC_CH_UA, "Sec-CH-UA", "HTTP_SEC_CH_UA", 's', 'u', 'a')                                      \
    X(SEC_CH_UA_MOBILE, "Sec-CH-UA-Mobile", "HTTP_SEC_CH_UA_MOBILE", 's', 'l', 'e')                 \
    X(SEC_CH_UA_PLATFORM, "Sec-CH-UA-Platform", "HTTP_SEC_CH_UA_PLATFORM", 's', 'r', 'm')           \
    X(SEC_FETCH_DEST, "Sec-Fetch-Dest", "HTTP_SEC_FETCH_DEST", 's', 's', 't')                       \
    X(SEC_FETCH_MODE, "Sec-Fetch-Mode", "HTTP_SEC_FETCH_MODE", 's', 'd', 'e')                       \
    X(SEC_FETCH_SITE, "Sec-Fetch-Site", "HTTP_SEC_FETCH_SITE", 's', 't', 'e')                       \
    X(SEC_FETCH_USER, "Sec-Fetch-User", "HTTP_SEC_FETCH_USER", 's', 'e', 'r')                       \
    X(SEC_GPC, "Sec-GPC", "HTTP_SEC_GPC", 's', 'p', 'c')                                            \
    X(SEC_WEBSOCKET_EXTENSIONS, "Sec-WebSocket-Extensions", "HTTP_SEC_WEBSOCKET_EXTENSIONS",        \
      's', 'n', 's')                                                                                \
    X(SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key", "HTTP_SEC_WEBSOCKET_KEY", 's', 'e', 'y')              \
    X(SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol", "HTTP_SEC_WEBSOCKET_PROTOCOL",              \
      's', 'o', 'l')                                                                                \
    X(SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version", "HTTP_SEC_WEBSOCKET_VERSION", 's', 'o', 'n')  \
    X(TE, "TE", "HTTP_TE", 't', 't', 'e')                                                           \
    X(TRACEPARENT, "Traceparent", "HTTP_TRACEPARENT", 't', 'n', 't')                                \
    X(TRACESTATE, "Tracestate", "HTTP_TRACESTATE", 't', 't', 'e')                                   \
    X(TRAILER, "Trailer", "HTTP_TRAILER", 't', 'e', 'r')                                            \
    X(TRANSFER_ENCODING, "Transfer-Encoding", "HTTP_TRANSFER_ENCODING", 't', 'n', 'g')              \
    X(UPGRADE, "Upgrade", "HTTP_UPGRADE", 'u', 'd', 'e')                                            \
    X(UPGRADE_INSECURE_REQUESTS, "Upgrade-Insecure-Requests", "HTTP_UPGRADE_INSECURE_REQUESTS",     \
      'u', 't', 's')                                                                                \
    X(USER_AGENT, "User-Agent", "HTTP_USER_AGENT", 'u', 'n', 't')                                   \
    X(VIA, "Via", "HTTP_VIA", 'v', 'i', 'a')                                                        \
    X(X_CSRFTOKEN, "X-CSRFToken", "HTTP_X_CSRFTOKEN", 'x', 'e', 'n')                                \
    X(X_FORWARDED_FOR, "X-Forwarded-For", "HTTP_X_FORWARDED_FOR", 'x', 'o', 'r')                    \
    X(X_FORWARDED_HOST, "X-Forwarded-Host", "HTTP_X_FORWARDED_HOST", 'x', 's', 't')                 \
    X(X_FORWARDED_PORT, "X-Forwarded-Port", "HTTP_X_FORWARDED_PORT", 'x', 'r', 't')                 \
    X(X_FORWARDED_PREFIX, "X-Forwarded-Prefix", "HTTP_X_FORWARDED_PREFIX", 'x', 'i', 'x')           \
    X(X_FORWARDED_PROTO, "X-Forwarded-Proto", "HTTP_X_FORWARDED_PROTO", 'x', 't', 'o')              \
    X(X_REAL_IP, "X-Real-IP", "HTTP_X_REAL_IP", 'x', 'i', 'p')                                      \
    X(X_REQUEST_ID, "X-Request-ID", "HTTP_X_REQUEST_ID", 'x', 'i', 'd')                             \
    X(X_REQUEST_START, "X-Request-Start", "HTTP_X_REQUEST_START", 'x', 'r', 't')                    \
    X(X_REQUESTED_WITH, "X-Requested-With", "HTTP_X_REQUESTED_WITH", 'x', 't', 'h')
/* clang-format on */

enum mp_http_known {
    MP_HTTP_NAME_OTHER = 0,
#define MP_HTTP_NAME_ENUM(id, name, cgi, a, y, z) MP_HTTP_NAME_##id,
    MP_HTTP_NAMES(MP_HTTP_NAME_ENUM)
#undef MP_HTTP_NAME_ENUM
        MP_HTTP_NAME_COUNT
};

/*
 * The number of a field name, whatever its case; MP_HTTP_NAME_OTHER when it has none. `name` must
 * be a token (RFC 9110 section 5.6.2).
 */
enum mp_http_known mp_http_known_find(const char *name, size_t len);

/* The usual spelling, "Host"; NULL for MP_HTTP_NAME_OTHER. */
const char *mp_http_known_name(enum mp_http_known known);

/*
 * The variable of CGI and WSGI, "HTTP_HOST"; NULL for MP_HTTP_NAME_OTHER. "CONTENT_TYPE" and
 * "CONTENT_LENGTH" have no prefix.
 */
const char *mp_http_known_cgi(enum mp_http_known known);

#endif
