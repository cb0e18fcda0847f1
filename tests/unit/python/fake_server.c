/* SPDX-License-Identifier: MIT */
#include "fake_server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/assert.h"
#include "http/response.h"
#include "server/request.h"
#include "server/response.h"
#include "server/stream.h"
#include "server/worker.h"

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
    return &request->peer;
}

const struct mp_http_forwarded *mp_request_forwarded(const struct mp_request *request)
{
    return &request->forwarded;
}

const struct mp_sockaddr *mp_request_local(const struct mp_request *request)
{
    return &request->local;
}

/* It has waited for 2 ms. */
int64_t mp_request_ready_at(const struct mp_request *request)
{
    (void)request;
    return 1000000;
}

int64_t mp_request_started_at(const struct mp_request *request)
{
    (void)request;
    return 3000000;
}

int mp_request_take_socket(struct mp_request *request)
{
    int fd = request->socket;
    request->socket = -1;
    return fd >= 0 ? fd : -EBADF;
}

int mp_worker_ask_stop(const struct mp_worker_context *context)
{
    return context->control;
}

uint64_t mp_request_body_length(const struct mp_request *request)
{
    return request->body_length;
}

const char *mp_request_body_memory(const struct mp_request *request)
{
    return request->spooled || request->body_length == 0 ? NULL : request->body;
}

ssize_t mp_request_body_read(struct mp_request *request, uint64_t offset, void *data, size_t n)
{
    if (request->disk_ms > 0)
        usleep(request->disk_ms * 1000);
    if (request->disk_fails)
        return -EIO;
    mp_assert(offset <= request->body_length);
    uint64_t left = request->body_length - offset;
    if (n > left)
        n = (size_t)left;
    if (n > 70000) /* short reads happen */
        n = 70000;
    memcpy(data, request->body + offset, n);
    return (ssize_t)n;
}

static int append(struct mp_buffer *buffer, const void *data, size_t n)
{
    return n > 0 ? mp_buffer_append(buffer, data, n) : 0;
}

int mp_response_begin(struct mp_request *request, int status, const char *reason, size_t reason_len)
{
    mp_assert(!request->ended);
    if (request->committed || request->status)
        return -EALREADY;
    if (status < 200 || status > 599 || !mp_http_reason_valid(reason, reason_len))
        return -EINVAL;
    request->status = status;
    request->declared = -1;
    return append(&request->reason, reason, reason_len);
}

static int parse_length(struct mp_request *request, const char *value, size_t n)
{
    int64_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9' || length > 100000000000)
            return -EINVAL;
        length = length * 10 + (value[i] - '0');
    }
    if (n == 0)
        return -EINVAL;
    request->declared = length;
    return 0;
}

int mp_response_field(struct mp_request *request, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    mp_assert(request->status);
    if (request->committed)
        return -EALREADY;
    if (!mp_http_name_valid(name, name_len) || !mp_http_value_valid(value, value_len))
        return -EINVAL;
    if (mp_http_is_hop_by_hop(name, name_len))
        return -EPERM;
    if (request->fields.len + name_len + value_len > 65536)
        return -E2BIG;
    if (name_len == 14 && strncasecmp(name, "content-length", 14) == 0 &&
        parse_length(request, value, value_len) < 0)
        return -EINVAL;
    if (append(&request->fields, name, name_len) < 0 || append(&request->fields, ": ", 2) < 0 ||
        append(&request->fields, value, value_len) < 0 || append(&request->fields, "\n", 1) < 0)
        return -ENOMEM;
    return 0;
}

int mp_response_reset(struct mp_request *request)
{
    if (request->committed)
        return -EALREADY;
    request->status = 0;
    request->declared = -1;
    request->reason.len = 0;
    request->fields.len = 0;
    return 0;
}

bool mp_response_committed(const struct mp_request *request)
{
    return request->committed;
}

bool mp_response_begun(const struct mp_request *request)
{
    return request->status != 0;
}

bool mp_response_ended(const struct mp_request *request)
{
    return request->ended;
}

int mp_response_write(struct mp_request *request, const void *data, size_t n, void *ref)
{
    mp_assert(request->status && !request->ended);
    if (ref) {
        mp_assert(request->ref_count < FAKE_REFS_MAX);
        request->refs[request->ref_count++] = ref;
    }
    if (request->gone_after >= 0 && request->written + n > (uint64_t)request->gone_after)
        return -EPIPE;
    int rc = 0;
    if (request->declared >= 0 && request->written + n > (uint64_t)request->declared) {
        n = (size_t)((uint64_t)request->declared - request->written);
        rc = -EMSGSIZE;
        request->truncated = true;
    }
    request->committed = request->committed || n > 0;
    request->written += n;
    if (append(&request->out, data, n) < 0)
        return -ENOMEM;
    return rc;
}

int mp_response_sendfile(struct mp_request *request, int fd, uint64_t offset, uint64_t n)
{
    char block[4096];
    request->files++;
    while (n > 0) {
        ssize_t got = pread(fd, block, n < sizeof(block) ? n : sizeof(block), (off_t)offset);
        mp_assert(got > 0);
        offset += (uint64_t)got;
        n -= (uint64_t)got;
        int rc = mp_response_write(request, block, (size_t)got, NULL);
        if (rc < 0) {
            close(fd);
            return rc;
        }
    }
    close(fd);
    return 0;
}

/* A piece that was cut short may be copied now and its reference dropped, for which the caller
 * would have to be entered: a response that is complete must be ended, not flushed. */
int mp_response_flush(struct mp_request *request)
{
    mp_assert(!request->ended && !request->truncated);
    request->flushes++;
    uint64_t at = request->out.len;
    if (append(&request->flushed, &at, sizeof(at)) < 0)
        return -ENOMEM;
    return request->flush_fails ? -ENOSPC : 0;
}

int mp_response_end(struct mp_request *request)
{
    mp_assert(request->status && !request->ended);
    request->ended = true;
    return request->declared >= 0 && request->written < (uint64_t)request->declared ? -ENODATA : 0;
}

void mp_response_fail(struct mp_request *request)
{
    mp_assert(!request->ended);
    request->ended = true;
    request->failed = true;
    if (!request->committed)
        request->status = 500;
}

int mp_response_reply(struct mp_request *request, int status, const char *content_type,
                      const char *body, size_t n)
{
    int rc = mp_response_begin(request, status, "", 0);
    mp_assert(rc == 0);
    rc = mp_response_field(request, "Content-Type", 12, content_type, strlen(content_type));
    mp_assert(rc == 0);
    rc = mp_response_write(request, body, n, NULL);
    mp_assert(rc == 0);
    return mp_response_end(request);
}

void fake_request_done(struct mp_request *request)
{
    mp_buffer_done(&request->reason);
    mp_buffer_done(&request->fields);
    mp_buffer_done(&request->out);
    mp_buffer_done(&request->flushed);
}

int mp_request_extend_deadline(struct mp_request *request, int64_t ns)
{
    if (request->late)
        return -ETIME;
    request->extended = ns;
    return 0;
}
