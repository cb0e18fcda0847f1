/* SPDX-License-Identifier: MIT */
/* Finds where a response ends: see the header. */
#define _GNU_SOURCE
#include "response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void response_init(struct response *response)
{
    response->status = 0;
    response->closes = false;
    response->in_body = false;
    response->body_left = 0;
    response->head_size = 0;
}

/* The value of a field in a NUL-terminated head, NULL when it is not there. */
static const char *field_value(const char *head, const char *name)
{
    size_t size = strlen(name);
    const char *line = strstr(head, "\r\n");

    while (line) {
        line += 2;
        if (strncasecmp(line, name, size) == 0 && line[size] == ':')
            return line + size + 1 + strspn(line + size + 1, " \t");
        line = strstr(line, "\r\n");
    }
    return NULL;
}

static enum response_outcome head_done(struct response *response)
{
    const char *head = response->head;
    const char *length;
    const char *connection;

    if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12)
        return RESPONSE_BAD;
    response->status = atoi(head + 9);
    length = field_value(head, "Content-Length");
    if (!length)
        return RESPONSE_BAD;
    connection = field_value(head, "Connection");
    if (connection && strncasecmp(connection, "close", 5) == 0)
        response->closes = true;
    else if (head[7] == '0')
        response->closes = !connection || strncasecmp(connection, "keep-alive", 10) != 0;
    response->body_left = strtoull(length, NULL, 10);
    response->in_body = true;
    return RESPONSE_MORE;
}

static enum response_outcome body_feed(struct response *response, size_t size)
{
    if (size > response->body_left)
        return RESPONSE_BAD;
    response->body_left -= size;
    return response->body_left ? RESPONSE_MORE : RESPONSE_DONE;
}

enum response_outcome response_feed(struct response *response, const char *data, size_t size)
{
    size_t room = RESPONSE_HEAD_MAX - response->head_size;
    size_t taken = size < room ? size : room;
    size_t before = response->head_size;
    const char *end;
    size_t head_size;

    if (response->in_body)
        return body_feed(response, size);
    memcpy(response->head + before, data, taken);
    response->head_size += taken;
    end = memmem(response->head, response->head_size, "\r\n\r\n", 4);
    if (!end)
        return taken < size || response->head_size == RESPONSE_HEAD_MAX ? RESPONSE_BAD
                                                                        : RESPONSE_MORE;
    head_size = (size_t)(end - response->head) + 4;
    response->head[head_size - 2] = '\0';
    if (head_done(response) == RESPONSE_BAD)
        return RESPONSE_BAD;
    return body_feed(response, size - (head_size - before));
}

enum response_outcome response_feed_echo(struct response *response, const char *data, size_t size,
                                         const char *expected, size_t expected_size)
{
    size_t before = response->head_size;

    if (size > expected_size - before || memcmp(expected + before, data, size) != 0)
        return RESPONSE_BAD;
    response->status = 200;
    response->head_size += size;
    return response->head_size == expected_size ? RESPONSE_DONE : RESPONSE_MORE;
}
