/* SPDX-License-Identifier: MIT */
/*
 * The floor: the smallest epoll program that answers a fixed HTTP response.
 *
 *   floor PORT [BODY_BYTES]
 *
 * What it costs per request is what the kernel's sockets cost: one epoll_wait shared by the ready
 * connections, one read and one write each. It has no parser, no timers, no limits and no second
 * thread, so no server that does its work can be below it; the distance to it is what a server
 * adds. The head has the fields, in the order and of the length, that Millpond sends, so that bytes
 * compare.
 *
 * It counts on what a closed-loop client on loopback does: a request comes whole, in one read, and
 * ends with the empty line. It is a measuring stick and not a server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 1 << 16, MAX_EVENTS = 512, REQUEST_MAX = 16384 };

static const char greeting[] = "Hello, pond.\n";

struct floor {
    int epoll;
    int listener;
    char *response;
    size_t size;
    size_t
        left[MAX_FD]; /* bytes of the response that the socket has not taken yet, by descriptor */
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The whole response, head and body, as one block. `body` bytes; 0 means the greeting. */
static void response_init(struct floor *floor, size_t body)
{
    char date[64];
    char head[512];
    time_t now = time(NULL);
    size_t length = body ? body : sizeof greeting - 1;

    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    int head_size = snprintf(head, sizeof head,
                             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: %s\r\n"
                             "Server: millpond\r\nContent-Length: %zu\r\n\r\n",
                             date, length);
    floor->size = (size_t)head_size + length;
    floor->response = malloc(floor->size);
    if (!floor->response)
        die("malloc");
    memcpy(floor->response, head, (size_t)head_size);
    if (body)
        memset(floor->response + head_size, 'x', length);
    else
        memcpy(floor->response + head_size, greeting, length);
}

static void listener_init(struct floor *floor, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    struct epoll_event event = {.events = EPOLLIN};
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    floor->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (floor->listener < 0)
        die("socket");
    setsockopt(floor->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(floor->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(floor->listener, (struct sockaddr *)&address, sizeof address) < 0)
        die("bind");
    if (listen(floor->listener, 4096) < 0)
        die("listen");
    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    event.data.fd = floor->listener;
    if (floor->epoll < 0 || epoll_ctl(floor->epoll, EPOLL_CTL_ADD, floor->listener, &event) < 0)
        die("epoll");
}

static void on_acceptable(struct floor *floor)
{
    int fd;

    while ((fd = accept4(floor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        floor->left[fd] = 0;
        epoll_ctl(floor->epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Writes what is left; asks for EPOLLOUT only while the socket is full. -1: the client is gone. */
static int send_rest(struct floor *floor, int fd, int was_full)
{
    const char *rest = floor->response + (floor->size - floor->left[fd]);
    ssize_t sent = send(fd, rest, floor->left[fd], MSG_NOSIGNAL);
    struct epoll_event event = {.data.fd = fd};

    if (sent < 0 && errno != EAGAIN)
        return -1;
    if (sent > 0)
        floor->left[fd] -= (size_t)sent;
    if ((floor->left[fd] > 0) == was_full)
        return 0;
    event.events = was_full ? EPOLLIN : EPOLLOUT;
    return epoll_ctl(floor->epoll, EPOLL_CTL_MOD, fd, &event);
}

static int on_readable(struct floor *floor, int fd)
{
    char request[REQUEST_MAX];
    ssize_t size = recv(fd, request, sizeof request, 0);

    if (size < 0)
        return errno == EAGAIN ? 0 : -1;
    if (size == 0)
        return -1;
    if (size < 4 || memcmp(request + size - 4, "\r\n\r\n", 4) != 0)
        return 0;
    floor->left[fd] = floor->size;
    return send_rest(floor, fd, 0);
}

static void on_event(struct floor *floor, const struct epoll_event *event)
{
    int fd = event->data.fd;
    int gone;

    if (fd == floor->listener) {
        on_acceptable(floor);
        return;
    }
    if (event->events & EPOLLIN)
        gone = on_readable(floor, fd);
    else if (event->events & EPOLLOUT)
        gone = send_rest(floor, fd, 1);
    else
        gone = -1;
    if (gone)
        close(fd);
}

int main(int argc, char **argv)
{
    static struct floor floor;
    struct epoll_event events[MAX_EVENTS];

    if (argc < 2) {
        fprintf(stderr, "usage: floor PORT [BODY_BYTES]\n");
        return 2;
    }
    response_init(&floor, argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    listener_init(&floor, atoi(argv[1]));
    for (;;) {
        int count = epoll_wait(floor.epoll, events, MAX_EVENTS, -1);

        for (int i = 0; i < count; i++)
            on_event(&floor, &events[i]);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
    }
}
