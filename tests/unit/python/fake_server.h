/* SPDX-License-Identifier: MIT */
/*
 * A server made of memory: requests are given as bytes, responses are recorded. It keeps to the
 * contracts of server/request.h, server/stream.h and server/response.h, and is told what should go
 * wrong: a worker's context says by its `control` what mp_worker_ask_stop returns.
 */
#ifndef MP_TEST_FAKE_SERVER_H
#define MP_TEST_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "http/forwarded.h"
#include "http/head.h"
#include "os/socket.h"

enum {
    FAKE_REFS_MAX = 64,
};

struct mp_request {
    /* The request. */
    struct mp_http_head head;
    const char *text;
    const char *body;
    uint64_t body_length;
    bool spooled;     /* mp_request_body_memory says NULL */
    bool disk_fails;  /* reading the body gives -EIO */
    unsigned disk_ms; /* reading the body takes so long */
    struct mp_sockaddr peer;
    struct mp_sockaddr local;
    struct mp_http_forwarded forwarded;

    /* What happens to the response. */
    int64_t gone_after; /* bytes of body after which the client is gone; -1: stays */
    bool flush_fails;   /* the spool is full: -ENOSPC */
    bool late;          /* its deadline has passed */

    /* What is known of it. */
    int status; /* 0: not begun */
    bool committed;
    bool ended;
    bool failed;
    bool truncated; /* -EMSGSIZE was told */
    int64_t declared;
    uint64_t written;
    unsigned flushes;
    int64_t extended; /* ns that it was given last; 0: never */
    unsigned files;   /* calls of mp_response_sendfile */
    struct mp_buffer reason;
    struct mp_buffer fields;   /* "name: value\n" */
    struct mp_buffer out;      /* the body */
    struct mp_buffer flushed;  /* lengths of out at each flush, as uint64_t */
    int socket;                /* of a stream, until it is taken; -1 */
    void *refs[FAKE_REFS_MAX]; /* to be released */
    size_t ref_count;
};

void fake_request_done(struct mp_request *request);

#endif
