/* SPDX-License-Identifier: MIT */
/*
 * Writer of response heads (RFC 9112 sections 4 and 5) into a buffer of fixed size.
 *
 * Every function appends a whole line or nothing, and returns 0, -ENOSPC when the line does not
 * fit, or -EINVAL when it would break the head: a CR, LF, NUL or other control byte never gets out,
 * whoever asks for it. After an error the buffer is as it was, so the caller may give it more room
 * and repeat the call.
 */
#ifndef MP_HTTP_RESPONSE_H
#define MP_HTTP_RESPONSE_H

#include "http/common.h"
#include "http/date.h"

struct mp_http_out {
    char *buf; /* the caller's */
    size_t cap;
    size_t len; /* bytes written so far; begin with 0 */
};

/* "HTTP/1.1 404 Not Found". `reason` NULL means the usual text. `status` is 100 to 999. */
int mp_http_out_status(struct mp_http_out *out, int status, const char *reason, size_t reason_len);

/* "name: value". -EINVAL unless mp_http_name_valid and mp_http_value_valid. */
int mp_http_out_field(struct mp_http_out *out, const char *name, size_t name_len, const char *value,
                      size_t value_len);

/* "name: 1234", such as Content-Length. */
int mp_http_out_number(struct mp_http_out *out, const char *name, size_t name_len, uint64_t value);

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT", with a date that mp_http_date_format made. */
int mp_http_out_date(struct mp_http_out *out, const char date[MP_HTTP_DATE_SIZE]);

/*
 * Appends constant lines that are known to be well-formed, CRLF included, without looking at them.
 * For string literals only: MP_HTTP_OUT_LINES(&out, "Connection: close\r\n").
 */
int mp_http_out_lines(struct mp_http_out *out, const char *lines, size_t len);
#define MP_HTTP_OUT_LINES(out, literal) mp_http_out_lines((out), "" literal, sizeof(literal) - 1)

/* The empty line that ends the head. */
int mp_http_out_end(struct mp_http_out *out);

/* The largest head of a chunk: 16 hexadecimal digits and CRLF. */
enum { MP_HTTP_CHUNK_HEAD_MAX = 18 };
#define MP_HTTP_CHUNK_END "\r\n"       /* behind the data of every chunk */
#define MP_HTTP_CHUNK_LAST "0\r\n\r\n" /* behind the last chunk */

/*
 * Writes the size line of a chunk and returns its length. `size` must not be 0, which would end the
 * body: leave empty chunks out.
 */
size_t mp_http_chunk_head(char out[MP_HTTP_CHUNK_HEAD_MAX], uint64_t size);

/* The usual reason phrase; "Unknown" for statuses without one. Never NULL. */
const char *mp_http_reason(int status);

/* A response with this status has no body, whatever its fields say: 1xx, 204, 304. */
bool mp_http_status_bodyless(int status);

/* A token (RFC 9110 section 5.6.2), at least one byte. */
bool mp_http_name_valid(const char *name, size_t len);

/* A field value: no control bytes but HTAB. Surrounding white space and empty are harmless. */
bool mp_http_value_valid(const char *value, size_t len);

/* A reason phrase: no control bytes but HTAB; may be empty. */
bool mp_http_reason_valid(const char *reason, size_t len);

/*
 * A field that belongs to the connection and therefore to the server, whatever its case:
 * Connection, Keep-Alive, Proxy-Authenticate, Proxy-Authorization, Proxy-Connection, TE,
 * Trailer(s), Transfer-Encoding, Upgrade. PEP 3333 forbids applications to send them.
 */
bool mp_http_is_hop_by_hop(const char *name, size_t len);

#endif
