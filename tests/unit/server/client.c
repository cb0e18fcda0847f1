/* SPDX-License-Identifier: MIT */
/* A blocking HTTP client for tests; see client.h. */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runner.h"

void client_init(struct client *client, int fd)
{
    *client = (struct client){.fd = fd};
}

void client_done(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    free(client->in);
    client_init(client, -1);
}

bool client_try_send(struct client *client, const void *data, size_t n)
{
    const char *at = data;
    while (n > 0) {
        ssize_t r = send(client->fd, at, n, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return false;
        at += r;
        n -= (size_t)r;
    }
    return true;
}

void client_send(struct client *client, const void *data, size_t n)
{
    CHECK(client_try_send(client, data, n));
}

void client_puts(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

void client_get(struct client *client, const char *path)
{
    char text[512];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    client_puts(client, text);
}

/* Receives more. False at the end of the stream, a reset included. */
static bool more(struct client *client)
{
    if (client->capacity - client->size < 65536) {
        client->capacity = client->capacity * 2 + 131072;
        char *grown = realloc(client->in, client->capacity);
        CHECK(grown);
        client->in = grown;
    }
    ssize_t n;
    do
        n = recv(client->fd, client->in + client->size, client->capacity - client->size, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        TEST_FAIL("no answer in time; %zu bytes so far", client->size);
    if (n <= 0)
        return false;
    client->size += (size_t)n;
    return true;
}

static void take(struct client *client, size_t n)
{
    memmove(client->in, client->in + n, client->size - n);
    client->size -= n;
}

/* The end of the head in what was received, or 0. */
static size_t head_size(const struct client *client)
{
    if (client->size < 4)
        return 0;
    const char *end = memmem(client->in, client->size, "\r\n\r\n", 4);
    return end ? (size_t)(end - client->in) + 4 : 0;
}

const char *reply_field(const struct reply *reply, const char *name)
{
    static _Thread_local char value[1024];
    size_t len = strlen(name);
    for (const char *line = strstr(reply->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        line += len + 1;
        line += strspn(line, " ");
        size_t n = strcspn(line, "\r");
        snprintf(value, sizeof(value), "%.*s", (int)n, line);
        return value;
    }
    return NULL;
}

/* Powers of two: a body of many chunks is not moved for each. */
static size_t room_for(size_t n)
{
    size_t room = 4096;
    while (room < n)
        room *= 2;
    return room;
}

static void body_add(struct reply *reply, struct client *client, size_t n)
{
    char *grown = realloc(reply->body, room_for(reply->size + n + 1));
    CHECK(grown);
    reply->body = grown;
    memcpy(reply->body + reply->size, client->in, n);
    reply->size += n;
    reply->body[reply->size] = '\0';
    take(client, n);
}

static bool read_counted(struct client *client, struct reply *reply, size_t n)
{
    while (client->size < n) {
        if (!more(client)) {
            body_add(reply, client, client->size);
            return false;
        }
    }
    body_add(reply, client, n);
    return true;
}

/* One line ending in CRLF, without it, into text. */
static bool read_line(struct client *client, char *text, size_t size)
{
    const char *end;
    while (!(end = client->size ? memmem(client->in, client->size, "\r\n", 2) : NULL)) {
        if (!more(client))
            return false;
    }
    size_t n = (size_t)(end - client->in);
    CHECK(n < size);
    memcpy(text, client->in, n);
    text[n] = '\0';
    take(client, n + 2);
    return true;
}

static bool read_chunked(struct client *client, struct reply *reply)
{
    char line[64];
    for (;;) {
        char *end;
        if (!read_line(client, line, sizeof(line)))
            return false;
        size_t n = strtoul(line, &end, 16);
        CHECK(end > line && *end == '\0');
        if (n > 0 && !read_counted(client, reply, n))
            return false;
        if (!read_line(client, line, sizeof(line)))
            return false;
        CHECK_STR(line, "");
        if (n == 0)
            return true;
    }
}

static bool read_body(struct client *client, struct reply *reply)
{
    const char *coding = reply_field(reply, "Transfer-Encoding");
    if (coding) {
        CHECK_STR(coding, "chunked");
        CHECK(!reply_field(reply, "Content-Length"));
        reply->chunked = true;
        return read_chunked(client, reply);
    }
    const char *length = reply_field(reply, "Content-Length");
    if (length)
        return read_counted(client, reply, strtoul(length, NULL, 10));
    reply->until_close = true;
    while (more(client))
        ;
    body_add(reply, client, client->size);
    return true;
}

bool client_reply(struct client *client, bool head_only, struct reply *reply)
{
    size_t n;
    memset(reply, 0, sizeof(*reply));
    while ((n = head_size(client)) == 0) {
        if (more(client))
            continue;
        CHECK_EQ(client->size, 0); /* half a head is no answer at all */
        return false;
    }
    CHECK(n < sizeof(reply->head));
    memcpy(reply->head, client->in, n);
    take(client, n);
    CHECK(memcmp(reply->head, "HTTP/1.1 ", 9) == 0);
    reply->status = (int)strtol(reply->head + 9, NULL, 10);
    bool bodyless =
        head_only || reply->status < 200 || reply->status == 204 || reply->status == 304;
    reply->body = calloc(1, 1);
    reply->complete = bodyless || read_body(client, reply);
    return true;
}

void client_exchange(struct client *client, const char *text, int status, struct reply *reply)
{
    client_puts(client, text);
    CHECK(client_reply(client, false, reply));
    CHECK_EQ(reply->status, status);
    CHECK(reply->complete);
}

bool client_silent(struct client *client, int timeout_ms)
{
    struct pollfd entry = {.fd = client->fd, .events = POLLIN};
    return client->size == 0 && poll(&entry, 1, timeout_ms) == 0;
}

bool client_at_end(struct client *client, int timeout_ms)
{
    char byte;
    if (client->size > 0 || client_silent(client, timeout_ms))
        return false;
    return recv(client->fd, &byte, 1, MSG_PEEK) <= 0;
}

size_t client_drop(struct client *client)
{
    size_t total = client->size;
    client->size = 0;
    while (more(client)) {
        total += client->size;
        client->size = 0;
    }
    return total;
}

void client_reset(struct client *client)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    client_done(client);
}

void reply_done(struct reply *reply)
{
    free(reply->body);
    reply->body = NULL;
}

void client_refused(struct client *client, int status)
{
    struct reply reply;
    CHECK(client_reply(client, false, &reply));
    CHECK_EQ(reply.status, status);
    CHECK(reply.complete);
    CHECK_STR(reply_field(&reply, "Connection"), "close");
    CHECK(client_at_end(client, 5000));
    reply_done(&reply);
}
