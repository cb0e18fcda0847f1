/* SPDX-License-Identifier: MIT */
/*
 * Slow clients, of three kinds, all at once:
 *
 *   slow --port P --seconds S [--head N] [--body N] [--noread N] [--interval-ms MS]
 *        [--body-path PATH] [--noread-path PATH]
 *
 *   head    sends a request head one byte an interval, and never ends it
 *   body    sends the head of a POST at once, then its body one byte an interval
 *   noread  asks for a large answer at once and reads nothing of it, with a small receive buffer
 *
 * The clients' bytes are spread over the interval. A client that the server throws out comes back
 * after an interval, so the pressure stays. "ready" is printed when every connection is made and
 * its first bytes are sent (or five seconds have passed): measure from then on. At the end one JSON
 * object tells, for each kind, how many were open and how many had been thrown out.
 */
#include "net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 512, NOREAD_BUFFER = 4096, BODY_SIZE = 1000000, HEAD_MAX = 512 };

enum kind { KIND_HEAD, KIND_BODY, KIND_NOREAD, KINDS };

static const char *const kind_names[KINDS] = {"head", "body", "noread"};

struct client {
    enum kind kind;
    int fd;           /* -1 while it is down */
    int is_connected; /* and its first bytes are sent */
};

struct slow {
    int port;
    int epoll;
    double seconds;
    uint64_t interval; /* ns */
    int wanted[KINDS];
    uint64_t opened[KINDS];
    uint64_t thrown_out[KINDS];
    uint64_t answered[KINDS]; /* read from: an answer to a request that was never finished */
    uint64_t bytes[KINDS];
    int count;
    int connected;
    struct client *clients;
    char first[KINDS][HEAD_MAX]; /* what a client sends at once */
    const char *body_path;
    const char *noread_path;
};

static void client_close(struct slow *slow, struct client *client)
{
    slow->thrown_out[client->kind]++;
    slow->connected -= client->is_connected;
    close(client->fd);
    client->fd = -1;
    client->is_connected = 0;
}

static void client_open(struct slow *slow, struct client *client)
{
    uint32_t wanted = EPOLLOUT | EPOLLRDHUP | (client->kind == KIND_NOREAD ? 0u : EPOLLIN);
    struct epoll_event event = {.events = wanted, .data.ptr = client};

    client->fd = net_connect(slow->port, client->kind == KIND_NOREAD ? NOREAD_BUFFER : 0);
    client->is_connected = 0;
    if (client->fd < 0)
        return;
    slow->opened[client->kind]++;
    if (epoll_ctl(slow->epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
        client_close(slow, client);
}

static void client_send(struct slow *slow, struct client *client, const char *data, size_t size)
{
    ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL);

    if (sent > 0)
        slow->bytes[client->kind] += (uint64_t)sent;
    else
        client_close(slow, client);
}

static void on_connected(struct slow *slow, struct client *client)
{
    uint32_t wanted = EPOLLRDHUP | (client->kind == KIND_NOREAD ? 0u : EPOLLIN);
    struct epoll_event event = {.events = wanted, .data.ptr = client};
    const char *first = slow->first[client->kind];

    if (net_connect_result(client->fd) < 0 ||
        epoll_ctl(slow->epoll, EPOLL_CTL_MOD, client->fd, &event) < 0) {
        client_close(slow, client);
        return;
    }
    client->is_connected = 1;
    slow->connected++;
    client_send(slow, client, first, strlen(first));
}

static void on_readable(struct slow *slow, struct client *client)
{
    char buffer[4096];
    ssize_t size = recv(client->fd, buffer, sizeof buffer, 0);

    if (size > 0)
        slow->answered[client->kind]++;
    else
        client_close(slow, client);
}

static void on_event(struct slow *slow, const struct epoll_event *event)
{
    struct client *client = event->data.ptr;

    if (client->fd < 0)
        return;
    if (!client->is_connected)
        on_connected(slow, client);
    else if (event->events & EPOLLIN)
        on_readable(slow, client);
    else
        client_close(slow, client);
}

/* One client's turn: its next byte, or its return after it was thrown out. */
static void client_turn(struct slow *slow, struct client *client)
{
    if (client->fd < 0)
        client_open(slow, client);
    else if (client->is_connected && client->kind != KIND_NOREAD)
        client_send(slow, client, "x", 1);
}

static void report_ready(const struct slow *slow, uint64_t start, int *is_told)
{
    if (*is_told || (slow->connected < slow->count && net_now() - start < 5000000000u))
        return;
    printf("ready\n");
    fflush(stdout);
    *is_told = 1;
}

/* Turns go round the clients, one each interval / count. */
static void run(struct slow *slow)
{
    struct epoll_event events[MAX_EVENTS];
    uint64_t start = net_now();
    uint64_t end = start + (uint64_t)(slow->seconds * 1e9);
    uint64_t step = slow->interval / (uint64_t)slow->count;
    uint64_t due = start + slow->interval;
    int turn = 0;
    int is_told = 0;

    for (int i = 0; i < slow->count; i++)
        client_open(slow, &slow->clients[i]);
    while (net_now() < end) {
        int count = net_wait(slow->epoll, events, MAX_EVENTS, due);

        for (int i = 0; i < count; i++)
            on_event(slow, &events[i]);
        for (; due <= net_now(); due += step) {
            client_turn(slow, &slow->clients[turn]);
            turn = (turn + 1) % slow->count;
        }
        report_ready(slow, start, &is_told);
    }
}

static void print_kind(const struct slow *slow, enum kind kind)
{
    int open = 0;

    for (int i = 0; i < slow->count; i++)
        open += slow->clients[i].kind == kind && slow->clients[i].is_connected;
    printf("\"%s\": {\"wanted\": %d, \"open\": %d, \"opened\": %" PRIu64, kind_names[kind],
           slow->wanted[kind], open, slow->opened[kind]);
    printf(", \"thrown_out\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
           slow->thrown_out[kind], slow->answered[kind], slow->bytes[kind]);
}

static void usage(void)
{
    fprintf(stderr, "usage: slow --port P --seconds S [--head N] [--body N] [--noread N] "
                    "[--interval-ms MS] [--body-path PATH] [--noread-path PATH]\n");
    exit(2);
}

static void parse_option(struct slow *slow, const char *name, const char *value)
{
    if (strcmp(name, "--port") == 0)
        slow->port = atoi(value);
    else if (strcmp(name, "--seconds") == 0)
        slow->seconds = atof(value);
    else if (strcmp(name, "--head") == 0)
        slow->wanted[KIND_HEAD] = atoi(value);
    else if (strcmp(name, "--body") == 0)
        slow->wanted[KIND_BODY] = atoi(value);
    else if (strcmp(name, "--noread") == 0)
        slow->wanted[KIND_NOREAD] = atoi(value);
    else if (strcmp(name, "--interval-ms") == 0)
        slow->interval = strtoull(value, NULL, 10) * 1000000u;
    else if (strcmp(name, "--body-path") == 0)
        slow->body_path = value;
    else if (strcmp(name, "--noread-path") == 0)
        slow->noread_path = value;
    else
        usage();
}

static void clients_init(struct slow *slow)
{
    int next = 0;

    snprintf(slow->first[KIND_HEAD], HEAD_MAX, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ");
    snprintf(slow->first[KIND_BODY], HEAD_MAX,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
             "Content-Length: %d\r\n\r\n",
             slow->body_path, BODY_SIZE);
    snprintf(slow->first[KIND_NOREAD], HEAD_MAX, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
             slow->noread_path);
    slow->clients = calloc((size_t)slow->count, sizeof *slow->clients);
    if (!slow->clients)
        exit(1);
    for (int i = 0; next < slow->count; i++)
        for (enum kind kind = 0; kind < KINDS; kind++)
            if (i < slow->wanted[kind])
                slow->clients[next++] = (struct client){.kind = kind, .fd = -1};
}

int main(int argc, char **argv)
{
    static struct slow slow = {
        .interval = 1000000000u, .body_path = "/fast", .noread_path = "/big"};

    if (argc % 2 == 0)
        usage();
    for (int i = 1; i + 1 < argc; i += 2)
        parse_option(&slow, argv[i], argv[i + 1]);
    for (enum kind kind = 0; kind < KINDS; kind++)
        slow.count += slow.wanted[kind];
    if (!slow.port || slow.seconds <= 0 || slow.count < 1 || !slow.interval)
        usage();
    clients_init(&slow);
    slow.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (slow.epoll < 0) {
        perror("epoll_create1");
        return 1;
    }
    run(&slow);
    printf("{");
    for (enum kind kind = 0; kind < KINDS; kind++) {
        printf("%s", kind ? ", " : "");
        print_kind(&slow, kind);
    }
    printf("}\n");
    free(slow.clients);
    return 0;
}
