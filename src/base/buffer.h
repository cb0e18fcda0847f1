/* SPDX-License-Identifier: MIT */
/* A growable byte buffer on the heap. Not thread-safe. */
#ifndef MP_BASE_BUFFER_H
#define MP_BASE_BUFFER_H

#include <stddef.h>

#include "base/compiler.h"

struct mp_buffer {
    char *data;
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
};

static inline void mp_buffer_init(struct mp_buffer *buffer)
{
    buffer->data = NULL;
    buffer->len = 0;
    buffer->cap = 0;
}

/* Frees the memory; the buffer is empty and may be used again. */
void mp_buffer_done(struct mp_buffer *buffer);

/* Makes room for at least extra more bytes. Returns 0 or -ENOMEM (contents unchanged). */
MP_WARN_UNUSED int mp_buffer_reserve(struct mp_buffer *buffer, size_t extra);

/* Appends n bytes, which do not lie in the buffer itself. Returns 0 or -ENOMEM (contents
 * unchanged). */
MP_WARN_UNUSED int mp_buffer_append(struct mp_buffer *buffer, const void *data, size_t n);

/* Removes the first n bytes (n <= len); moves the rest: not for long queues of small pieces. */
void mp_buffer_consume(struct mp_buffer *buffer, size_t n);

#endif
