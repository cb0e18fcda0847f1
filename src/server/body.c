/* SPDX-License-Identifier: MIT */
/* A request's body; see body.h. */
#include "server/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/fd.h"

void mp_body_init(struct mp_body *body)
{
    *body = (struct mp_body){.fd = -1};
}

void mp_body_done(struct mp_body *body)
{
    free(body->block);
    mp_spool_close(body->spool, &body->fd, body->length);
    mp_body_init(body);
}

void mp_body_in_place(struct mp_body *body, const char *data, size_t n)
{
    body->memory = data;
    body->length = n;
}

static int grow(struct mp_body *body, size_t capacity)
{
    char *block = realloc(body->block, capacity);
    if (!block)
        return -ENOMEM;
    body->block = block;
    body->memory = block;
    body->capacity = capacity;
    return 0;
}

static int move_to_file(struct mp_body *body, struct mp_spool *spool)
{
    int fd = mp_spool_open(spool);
    if (fd < 0)
        return fd;
    int r = mp_spool_write(spool, fd, body->block, (size_t)body->length, 0);
    if (r < 0) {
        mp_spool_close(spool, &fd, 0);
        return r;
    }
    free(body->block);
    body->block = NULL;
    body->memory = NULL;
    body->capacity = 0;
    body->spool = spool;
    body->fd = fd;
    return 0;
}

int mp_body_prepare(struct mp_body *body, uint64_t expected, const struct mp_body_limits *limits)
{
    if (expected == 0 || expected > limits->memory)
        return 0;
    return grow(body, (size_t)expected);
}

int mp_body_append(struct mp_body *body, const void *data, size_t n,
                   const struct mp_body_limits *limits)
{
    int r = 0;
    if (n == 0)
        return 0;
    if (body->fd < 0 && body->length + n > limits->memory)
        r = move_to_file(body, limits->spool);
    if (r == 0 && body->fd >= 0) {
        r = mp_spool_write(body->spool, body->fd, data, n, body->length);
    } else if (r == 0) {
        size_t need = (size_t)body->length + n;
        size_t doubled = body->capacity * 2 > 1024 ? body->capacity * 2 : 1024;
        if (need > body->capacity)
            r = grow(body, doubled > need ? doubled : need);
        if (r == 0)
            memcpy(body->block + body->length, data, n);
    }
    if (r == 0)
        body->length += n;
    return r;
}

char *mp_body_room(struct mp_body *body, size_t *ret_n)
{
    *ret_n = body->capacity - (size_t)(body->fd < 0 ? body->length : 0);
    if (body->fd >= 0 || *ret_n == 0)
        return NULL;
    return body->block + body->length;
}

void mp_body_received(struct mp_body *body, size_t n)
{
    body->length += n;
}

void mp_body_trim(struct mp_body *body)
{
    if (!body->block || body->length == body->capacity)
        return;
    char *block = body->length > 0 ? realloc(body->block, (size_t)body->length) : NULL;
    if (body->length > 0 && !block)
        return; /* nothing is lost */
    if (body->length == 0)
        free(body->block);
    body->block = block;
    body->memory = block;
    body->capacity = (size_t)body->length;
}

ssize_t mp_body_read(const struct mp_body *body, uint64_t offset, void *data, size_t n)
{
    if (offset >= body->length)
        return 0;
    if (n > body->length - offset)
        n = (size_t)(body->length - offset);
    if (body->fd >= 0) {
        ssize_t r = mp_fd_pread(body->fd, data, n, offset);
        return r == 0 && n > 0 ? -EIO : r;
    }
    memcpy(data, body->memory + offset, n);
    return (ssize_t)n;
}
