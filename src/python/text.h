/* SPDX-License-Identifier: MIT */
/* Texts for logs and terminals. */
#ifndef MP_PYTHON_TEXT_H
#define MP_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A text that is appended to, and cut where it is full. */
struct mp_py_text {
    char *bytes;
    size_t size;
    size_t len;
};

static inline bool mp_py_text_fits(const struct mp_py_text *text, size_t n)
{
    return text->len + n < text->size;
}

static inline void mp_py_text_append(struct mp_py_text *text, const char *bytes, size_t n)
{
    if (!mp_py_text_fits(text, n))
        n = text->size - 1 - text->len;
    memcpy(text->bytes + text->len, bytes, n);
    text->len += n;
    text->bytes[text->len] = '\0';
}

/* For terminals as well as for logs: names and source may hold anything. */
static inline void mp_py_text_plain(char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f)
            bytes[i] = ' ';
    }
}

#endif
