/* SPDX-License-Identifier: MIT */
/* A request whose body comes slowly, folded up; see parked.h. */
#include "server/parked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "server/pool.h"
#include "server/trust.h"

struct mp_parked {
    struct mp_body body;
    struct mp_http_chunked chunked;
    uint32_t head_size;
    char head[];
};

void mp_parked_put(struct mp_conn *conn)
{
    struct mp_request *request = conn->request;
    struct mp_parked *parked = malloc(sizeof(*parked) + request->head_size);
    if (!parked)
        return;
    mp_body_trim(&request->body);
    parked->body = request->body;
    mp_body_init(&request->body);
    parked->chunked = request->chunked;
    parked->head_size = (uint32_t)request->head_size;
    memcpy(parked->head, request->text, request->head_size);
    conn->parked = parked;
    conn->request = NULL;
    mp_pool_request_free(conn->reactor, request, true);
}

/* The text of a head goes where the request keeps it. 0 or -ENOMEM. */
static int restore_text(struct mp_request *request, const struct mp_parked *parked)
{
    if (parked->head_size > request->capacity) {
        char *text = malloc(parked->head_size);
        if (!text)
            return -ENOMEM;
        request->text = text;
        request->capacity = parked->head_size;
    }
    memcpy(request->text, parked->head, parked->head_size);
    request->size = parked->head_size;
    return 0;
}

int mp_parked_take(struct mp_conn *conn)
{
    struct mp_parked *parked = conn->parked;
    const struct mp_http_limits *limits = &conn->reactor->server->options->limits;
    struct mp_http_scan scan = {0};
    if (!parked)
        return 0;
    struct mp_request *request = mp_pool_request_new(conn->reactor);
    if (!request)
        return -ENOMEM;
    int r = restore_text(request, parked);
    if (r < 0) {
        mp_pool_request_free(conn->reactor, request, true);
        return r;
    }
    enum mp_http_outcome outcome = mp_http_head_parse(&scan, request->text, request->size, limits,
                                                      &request->head, &request->head_size);
    mp_assert(outcome == MP_HTTP_DONE); /* as it was the first time */
    request->conn = conn;
    request->body = parked->body;
    request->chunked = parked->chunked;
    conn->request = request;
    bool clear = request->head.forwarding == 0 || mp_trust_read_forwarded(conn);
    mp_assert(clear); /* the same */
    conn->parked = NULL;
    free(parked);
    return 0;
}

uint64_t mp_parked_body_length(const struct mp_parked *parked)
{
    return parked->body.length;
}

void mp_parked_free(struct mp_parked *parked)
{
    if (!parked)
        return;
    mp_body_done(&parked->body);
    free(parked);
}
