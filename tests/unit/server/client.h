/* SPDX-License-Identifier: MIT */
/* A blocking HTTP client for tests: sends what it is told, reads one answer after the other. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct client {
    int fd;
    char *in; /* received, not taken yet */
    size_t size;
    size_t capacity;
};

struct reply {
    int status;
    char head[8192]; /* NUL-terminated, with the empty line */
    char *body;
    size_t size;
    bool complete; /* false: the connection ended before its end */
    bool chunked;
    bool until_close;
};

/* Takes the descriptor over. */
void client_init(struct client *client, int fd);
void client_done(struct client *client);
/* Sends everything; false when the peer is gone. */
bool client_try_send(struct client *client, const void *data, size_t n);
void client_send(struct client *client, const void *data, size_t n);
void client_puts(struct client *client, const char *text);
void client_get(struct client *client, const char *path); /* HTTP/1.1 with Host */
/* The next answer; head_only: to a HEAD. False: the connection ended before its first byte. */
bool client_reply(struct client *client, bool head_only, struct reply *reply);
/* Sends text, expects one whole answer of that status. */
void client_exchange(struct client *client, const char *text, int status, struct reply *reply);
/* Expects that status as the last answer, and the end of the connection. */
void client_refused(struct client *client, int status);
/* True when the peer has closed, nothing else having come. Waits at most that long. */
bool client_at_end(struct client *client, int timeout_ms);
/* True when nothing, not even the end, comes within that time. */
bool client_silent(struct client *client, int timeout_ms);
/* Bytes there are until the end of the stream, dropped. */
size_t client_drop(struct client *client);
/* Closes with a reset. */
void client_reset(struct client *client);

/* The value of a field, or NULL; valid until the next call. Names are compared without case. */
const char *reply_field(const struct reply *reply, const char *name);
void reply_done(struct reply *reply);

#endif
