/* SPDX-License-Identifier: MIT */
/*
 * Decoder of the chunked transfer coding (RFC 9112 section 7.1), in place and in any pieces.
 *
 *   struct mp_http_span data;
 *   size_t used;
 *   while (n > 0) {
 *       outcome = mp_http_chunked_next(&c, in, n, &used, &data);
 *       if (outcome == MP_HTTP_BAD)
 *           refuse with c.status, close;
 *       keep(in + data.at, data.len);
 *       in += used, n -= used;
 *       if (outcome == MP_HTTP_DONE)
 *           break;                      // in, n: the next request, if any
 *   }
 *
 * Stricter than the letter: white space around a chunk's size and in its extensions ("BWS") is
 * refused. Trailer fields are checked, bounded and dropped; they never become fields of the
 * request.
 */
#ifndef MP_HTTP_CHUNKED_H
#define MP_HTTP_CHUNKED_H

#include "http/common.h"

/* Embedded in whatever reads the body. The caller may read body, chunks, status and reason. */
struct mp_http_chunked {
    uint64_t left;         /* of the chunk at hand: its size so far, then the data still to come */
    uint64_t body;         /* body bytes announced by all chunk sizes so far; <= INT64_MAX */
    uint64_t extension;    /* bytes of extensions in all chunks so far */
    uint32_t trailer_size; /* bytes of the trailer section so far */
    uint32_t trailer_line; /* bytes of the trailer field line at hand */
    uint32_t trailers;     /* trailer field lines so far */
    uint64_t chunks;       /* so far, without the last, empty one */
    uint8_t state;         /* enum in chunked.c */
    uint8_t digits;        /* of the chunk size at hand */
    struct mp_http_limits limits;
    int status;         /* on MP_HTTP_BAD, the answer: 400 or 431 */
    const char *reason; /* on MP_HTTP_BAD, a short constant text for the log */
};

/*
 * Begins a body. The limits of the head hold for the trailer section as well: `fields`,
 * `field_size`, and `head` for its total. Extensions may have `field_size` bytes in all, and one
 * more for every 64 bytes of body: a body of tiny chunks cannot be inflated with them.
 */
void mp_http_chunked_init(struct mp_http_chunked *c, const struct mp_http_limits *limits);

/*
 * Consumes some of the `n` > 0 bytes at `in`: `*ret_used` bytes, and says in `*ret_data` where
 * among them a run of body bytes is, relative to `in`; its length is 0 when there is none.
 *
 * MORE: a run was produced or all was consumed; call again with what is left or what comes next.
 * DONE: the body and its trailer section are complete; what is behind `*ret_used` is not part of
 * it. BAD: refuse and close; the outputs are untouched, and every later call says BAD as well.
 *
 * The end of the input before DONE is a body cut short: an error, which only the caller can see.
 */
enum mp_http_outcome mp_http_chunked_next(struct mp_http_chunked *c, const char *in, size_t n,
                                          size_t *ret_used, struct mp_http_span *ret_data);

#endif
