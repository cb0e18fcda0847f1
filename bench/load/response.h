/* SPDX-License-Identifier: MIT */
/*
 * Finds where a response ends. It knows what the benchmark's applications send: a head of at most
 * RESPONSE_HEAD_MAX bytes and a body counted by Content-Length. Anything else is an error, which
 * the report shows: a server that is measured must answer as the application said.
 */
#ifndef BENCH_LOAD_RESPONSE_H
#define BENCH_LOAD_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESPONSE_HEAD_MAX = 4096 };

enum response_outcome {
    RESPONSE_MORE, /* all bytes were taken, the response is not at its end */
    RESPONSE_DONE, /* complete; status and closes are valid */
    RESPONSE_BAD,  /* not an HTTP/1.x head, no Content-Length, or bytes after the end */
};

struct response {
    int status;
    bool closes; /* the server said Connection: close, or speaks HTTP/1.0 without keep-alive */
    bool in_body;
    uint64_t body_left;
    size_t head_size; /* for an echo: the bytes that have come */
    char head[RESPONSE_HEAD_MAX + 1];
};

void response_init(struct response *response);

/* Takes all `size` bytes of `data`. After RESPONSE_DONE: response_init before the next one. */
enum response_outcome response_feed(struct response *response, const char *data, size_t size);

/* The same for an echo: the answer is to be `expected`, and has the status 200. */
enum response_outcome response_feed_echo(struct response *response, const char *data, size_t size,
                                         const char *expected, size_t expected_size);

#endif
