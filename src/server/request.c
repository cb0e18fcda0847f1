/* SPDX-License-Identifier: MIT */
/* A request, as a handler reads it; see request.h. */
#include "server/request.h"

#include <errno.h>

#include "os/clock.h"
#include "server/internal.h"
#include "server/stuck.h"

const struct mp_http_head *mp_request_head(const struct mp_request *request)
{
    return &request->head;
}

const char *mp_request_text(const struct mp_request *request)
{
    return request->text;
}

const struct mp_sockaddr *mp_request_peer(const struct mp_request *request)
{
    return request->client.len > 0 ? &request->client : &request->conn->peer;
}

const struct mp_http_forwarded *mp_request_forwarded(const struct mp_request *request)
{
    return &request->forwarded;
}

const struct mp_sockaddr *mp_request_local(const struct mp_request *request)
{
    return &request->conn->listener->addr;
}

uint64_t mp_request_body_length(const struct mp_request *request)
{
    return request->body.length;
}

const char *mp_request_body_memory(const struct mp_request *request)
{
    return request->body.memory;
}

ssize_t mp_request_body_read(struct mp_request *request, uint64_t offset, void *data, size_t n)
{
    return mp_body_read(&request->body, offset, data, n);
}

int64_t mp_request_ready_at(const struct mp_request *request)
{
    return request->ready_at;
}

int64_t mp_request_started_at(const struct mp_request *request)
{
    return request->started_at;
}

int mp_request_extend_deadline(struct mp_request *request, int64_t ns)
{
    struct mp_thread *thread = request->thread;
    int64_t deadline = mp_clock_now() + ns;
    int64_t before = atomic_load_explicit(&thread->deadline, memory_order_relaxed);
    do {
        if (before == MP_DEADLINE_PASSED)
            return -ETIME;
    } while (!atomic_compare_exchange_weak_explicit(&thread->deadline, &before, deadline,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

void *mp_request_user(const struct mp_request *request)
{
    return request->user;
}

void mp_request_set_user(struct mp_request *request, void *user)
{
    request->user = user;
}
