/* SPDX-License-Identifier: MIT */
/*
 * The end of a process whose invariant does not hold. Nothing is trusted any more, not stdio and
 * not the heap: the message is put together on the stack and leaves by one write(2).
 */
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MESSAGE_SIZE = 512,
    DIGITS_MAX = 12,
};

struct message {
    char text[MESSAGE_SIZE];
    size_t len;
};

/* Appends what fits; the last byte is kept for the newline. */
static void add_text(struct message *message, const char *text)
{
    size_t room = sizeof(message->text) - 1 - message->len;
    size_t n = strlen(text);

    if (n > room)
        n = room;
    memcpy(message->text + message->len, text, n);
    message->len += n;
}

static void add_number(struct message *message, unsigned number)
{
    char digits[DIGITS_MAX];
    char *at = digits + sizeof(digits) - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    add_text(message, at);
}

_Noreturn void mp_assert_fail(const char *expr, const char *file, int line, const char *func)
{
    struct message message;
    ssize_t ignored;

    message.len = 0;
    add_text(&message, file);
    add_text(&message, ":");
    add_number(&message, (unsigned)line);
    add_text(&message, ": ");
    add_text(&message, func);
    add_text(&message, ": assertion failed: ");
    add_text(&message, expr);
    message.text[message.len++] = '\n';
    /* allowed: write: the last words of the process, below the layer that wraps it */
    ignored = write(STDERR_FILENO, message.text, message.len);
    (void)ignored;
    abort();
}
