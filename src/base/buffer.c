/* SPDX-License-Identifier: MIT */
/* The growable buffer: capacity doubles, so that n bytes appended one by one are copied O(n) times.
 */
#include "base/buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    CAPACITY_MIN = 256,
};

void mp_buffer_done(struct mp_buffer *buffer)
{
    free(buffer->data);
    mp_buffer_init(buffer);
}

int mp_buffer_reserve(struct mp_buffer *buffer, size_t extra)
{
    size_t cap = buffer->cap < CAPACITY_MIN / 2 ? CAPACITY_MIN / 2 : buffer->cap;
    size_t need;
    char *data;

    if (extra <= buffer->cap - buffer->len)
        return 0;
    if (extra > PTRDIFF_MAX - buffer->len)
        return -ENOMEM;
    need = buffer->len + extra;
    cap = cap > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : cap * 2;
    if (cap < need)
        cap = need;
    data = realloc(buffer->data, cap);
    if (!data)
        return -ENOMEM;
    buffer->data = data;
    buffer->cap = cap;
    return 0;
}

int mp_buffer_append(struct mp_buffer *buffer, const void *data, size_t n)
{
    int err;

    if (n == 0)
        return 0;
    err = mp_buffer_reserve(buffer, n);
    if (err)
        return err;
    memcpy(buffer->data + buffer->len, data, n);
    buffer->len += n;
    return 0;
}

void mp_buffer_consume(struct mp_buffer *buffer, size_t n)
{
    mp_assert(n <= buffer->len);
    buffer->len -= n;
    if (n > 0 && buffer->len > 0)
        memmove(buffer->data, buffer->data + n, buffer->len);
}
