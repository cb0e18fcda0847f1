/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the HTTP layer share: outcomes of the parsers, limits, and spans.
 *
 * Nothing in this folder does I/O, allocates, keeps state of its own or calls the kernel. Every
 * function may be called from any thread on objects that the caller owns.
 */
#ifndef MP_HTTP_COMMON_H
#define MP_HTTP_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a parser says about the bytes it was given.
 *
 * BAD is final: no further byte makes the input acceptable, and nothing that was received on that
 * connection after the fault may be read as a request.
 */
enum mp_http_outcome {
    MP_HTTP_DONE, /* complete */
    MP_HTTP_MORE, /* a valid beginning; the end is not there yet */
    MP_HTTP_BAD,  /* refused; the parser's object has the status and the reason */
};

/* Bounds on what a client may send. All of them are exact: the number itself is still allowed. */
struct mp_http_limits {
    uint32_t line;       /* bytes of the request line, without CRLF; beyond it: 414 */
    uint32_t fields;     /* number of field lines, at most MP_HTTP_FIELDS_MAX; beyond it: 431 */
    uint32_t field_size; /* bytes of one field line, without CRLF; beyond it: 431 */
    uint32_t head;       /* bytes of the whole head, line ends included; beyond it: 431 */
};

/* A stretch of the caller's buffer, as an offset, so that the buffer may move. */
struct mp_http_span {
    uint32_t at;
    uint32_t len;
};

#endif
