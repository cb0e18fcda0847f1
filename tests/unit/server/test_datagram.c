/* SPDX-License-Identifier: MIT */
/* The datagram protocol: each datagram is handled once, whatever its length and sender. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "lines.h"

static int bound(const struct mp_sockaddr *addr)
{
    int fd = socket(addr->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    CHECK(fd >= 0);
    CHECK_OK(bind(fd, &addr->any, addr->len));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static int bound_to_loopback(void)
{
    struct mp_sockaddr addr;
    const char *why = NULL;
    int inherited;
    CHECK_OK(mp_sockaddr_parse("127.0.0.1:0", &addr, &inherited, &why));
    return bound(&addr);
}

/* Instead of the listening socket that the harness has made. */
static void start(struct harness *h, int fd, unsigned threads)
{
    harness_init(h, true);
    lines_init(h, MP_PROTOCOL_DATAGRAM);
    close(h->listeners[0].fd);
    h->listeners[0].fd = fd;
    CHECK_OK(mp_socket_local(fd, &h->listeners[0].addr));
    h->options.threads = threads;
    harness_start(h);
}

static void ask(const struct harness *h, int fd, const void *data, size_t n)
{
    const struct mp_sockaddr *addr = &h->listeners[0].addr;
    CHECK_EQ(sendto(fd, data, n, 0, &addr->any, addr->len), n);
}

static void exchange(const struct harness *h, int fd, const void *data, size_t n)
{
    static char got[1 << 18];
    ask(h, fd, data, n);
    CHECK_EQ(recv(fd, got, sizeof(got), 0), n);
    CHECK_MEM(got, data, n);
}

/* The answer leaves before its handler ends. */
static void await_handled(struct harness *h, uint64_t count)
{
    for (int i = 0; i < 2000 && atomic_load(&h->testapp.handled) < count; i++)
        harness_sleep_ms(1);
    CHECK_EQ(h->testapp.handled, count);
}

TEST(each_is_answered_once)
{
    struct harness h;
    start(&h, bound_to_loopback(), 4);
    int client = bound_to_loopback();
    for (int i = 0; i < 500; i++)
        exchange(&h, client, &i, sizeof(i));
    char byte;
    CHECK_EQ(recv(client, &byte, 1, MSG_DONTWAIT), -1);
    await_handled(&h, 500);
    CHECK_EQ(harness_slot(&h)->accepted, 500);
    close(client);
    harness_drain(&h);
    harness_done(&h);
}

TEST(of_every_length)
{
    struct harness h;
    static const size_t lengths[] = {0, 1, 4095, 4096, 4097, 65507};
    char *data = calloc(1, 65507);
    start(&h, bound_to_loopback(), 2);
    int client = bound_to_loopback();
    for (size_t i = 0; i < 65507; i++)
        data[i] = (char)(i * 7);
    for (size_t i = 0; i < mp_array_size(lengths); i++)
        exchange(&h, client, data, lengths[i]);
    await_handled(&h, mp_array_size(lengths));
    free(data);
    close(client);
    harness_drain(&h);
    harness_done(&h);
}

/* Longer than UDP knows them, and from a sender without a name. */
TEST(of_unix_sockets)
{
    struct harness h;
    struct mp_sockaddr addr = {.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 8)};
    size_t n = 100000;
    char *data = calloc(1, n);
    addr.un.sun_family = AF_UNIX;
    memcpy(addr.un.sun_path, "\0mp-dg-a", 8);
    start(&h, bound(&addr), 2);
    memcpy(addr.un.sun_path, "\0mp-dg-b", 8);
    int client = bound(&addr);
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * 7);
    exchange(&h, client, data, n);
    int nameless = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ask(&h, nameless, "x", 1);
    exchange(&h, client, data, 3);
    await_handled(&h, 3);
    free(data);
    close(nameless);
    close(client);
    harness_drain(&h);
    harness_done(&h);
}

TEST(as_many_at_once_as_there_are_threads)
{
    enum { MANY = 20 };
    struct harness h;
    char got[64];
    start(&h, bound_to_loopback(), 3);
    int client = bound_to_loopback();
    for (int i = 0; i < MANY; i++)
        ask(&h, client, "sleep 5000", 10);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(recv(client, got, sizeof(got), 0), 10);
    CHECK_EQ(h.testapp.most_inside, 3);
    close(client);
    harness_drain(&h);
    harness_done(&h);
}

TEST(a_handler_past_its_deadline_is_reported)
{
    struct harness h;
    struct mp_worker_message message;
    char got[64];
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_DATAGRAM);
    close(h.listeners[0].fd);
    h.listeners[0].fd = bound_to_loopback();
    CHECK_OK(mp_socket_local(h.listeners[0].fd, &h.listeners[0].addr));
    h.options.request_timeout = 100 * MP_NSEC_PER_MSEC;
    h.options.stuck_grace = 100 * MP_NSEC_PER_MSEC;
    harness_start(&h);
    int client = bound_to_loopback();
    ask(&h, client, "sleep 2000000", 13);
    CHECK(harness_message(&h, 5000, &message));
    CHECK_EQ(message.verb, MP_WORKER_RETIRE);
    CHECK_EQ(harness_logged(&h, " exceeded 0.1 s: left alone"), 1);
    CHECK_EQ(recv(client, got, sizeof(got), 0), 13);
    close(client);
    harness_drain(&h);
    harness_done(&h);
}
