/* SPDX-License-Identifier: MIT */
/* The application of the tests of streams and datagrams; see lines.h. */
#include "lines.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/request.h"
#include "server/stream.h"

enum { LINE = 1000 };

static _Atomic int kept = -1;

int lines_kept(void)
{
    return atomic_exchange(&kept, -1);
}

static void answer(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void read_line(struct testapp *testapp, int fd, char *line)
{
    size_t n = 0;
    testapp_leave(testapp);
    while (n < LINE - 1 && (n == 0 || line[n - 1] != '\n')) {
        ssize_t r = recv(fd, line + n, LINE - 1 - n, 0);
        if (r <= 0)
            break;
        n += (size_t)r;
    }
    testapp_enter(testapp);
    line[n] = '\0';
}

static void wait_for_end(struct testapp *testapp, int fd)
{
    char byte;
    testapp_leave(testapp);
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    testapp_enter(testapp);
}

static void compute(long us)
{
    int64_t end = mp_clock_thread_cpu() + us * MP_NSEC_PER_USEC;
    while (mp_clock_thread_cpu() < end)
        ;
}

/* True when the socket is to be closed. */
static bool obey(struct testapp *testapp, int fd, const char *line)
{
    long n = 0;
    if (strncmp(line, "echo", 4) == 0) {
        answer(fd, line);
    } else if (sscanf(line, "sleep %ld", &n) == 1) {
        testapp_nap(testapp, n * MP_NSEC_PER_USEC);
        answer(fd, "done");
    } else if (sscanf(line, "cpu %ld", &n) == 1) {
        compute(n);
        answer(fd, "done");
    } else if (strncmp(line, "never", 5) == 0) {
        wait_for_end(testapp, fd);
    } else if (strncmp(line, "keep", 4) == 0) {
        atomic_store(&kept, fd);
        return false;
    }
    return true;
}

static void count(struct testapp *testapp)
{
    unsigned inside = atomic_fetch_add(&testapp->inside, 1) + 1;
    unsigned most = atomic_load(&testapp->most_inside);
    while (inside > most && !atomic_compare_exchange_weak(&testapp->most_inside, &most, inside))
        ;
}

static void handle_stream(void *data, void *thread, struct mp_request *request)
{
    struct testapp *testapp = data;
    char line[LINE];
    (void)thread;
    count(testapp);
    int fd = mp_request_take_socket(request);
    CHECK(fd >= 0);
    CHECK_EQ(mp_request_take_socket(request), -EBADF);
    read_line(testapp, fd, line);
    if (obey(testapp, fd, line))
        close(fd);
    atomic_fetch_add(&testapp->handled, 1);
    atomic_fetch_sub(&testapp->inside, 1);
}

static void handle_untaken(void *data, void *thread, struct mp_request *request)
{
    struct testapp *testapp = data;
    (void)thread;
    (void)request;
    atomic_fetch_add(&testapp->handled, 1);
}

/* The answer goes out by the listening socket, as a UDPServer's does. */
static void handle_datagram(void *data, void *thread, struct mp_request *request)
{
    struct testapp *testapp = data;
    const struct mp_sockaddr *peer = mp_request_peer(request);
    struct harness *h = testapp->custom_data;
    size_t n = (size_t)mp_request_body_length(request);
    const char *line = n > 0 ? mp_request_body_memory(request) : "";
    long us = 0;
    char text[64] = {0};
    (void)thread;
    count(testapp);
    CHECK_EQ(mp_request_take_socket(request), -EBADF);
    memcpy(text, line, n < sizeof(text) - 1 ? n : sizeof(text) - 1);
    if (sscanf(text, "sleep %ld", &us) == 1)
        testapp_nap(testapp, us * MP_NSEC_PER_USEC);
    if (peer->len > 0)
        (void)!sendto(h->listeners[0].fd, line, n, 0, &peer->any, peer->len);
    atomic_fetch_add(&testapp->handled, 1);
    atomic_fetch_sub(&testapp->inside, 1);
}

void lines_init(struct harness *h, enum mp_protocol_kind protocol)
{
    h->options.protocol = protocol;
    h->options.request_timeout = 0;
    h->testapp.custom_data = h;
    h->testapp.app.handle = protocol == MP_PROTOCOL_STREAM ? handle_stream : handle_datagram;
}

void lines_init_untaken(struct harness *h)
{
    lines_init(h, MP_PROTOCOL_STREAM);
    h->testapp.app.handle = handle_untaken;
}

int lines_ask(const struct harness *h, const char *line)
{
    int fd = harness_connect(h, 0);
    CHECK_EQ(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
    CHECK_EQ(send(fd, "\n", 1, MSG_NOSIGNAL), 1);
    return fd;
}

void lines_expect(int fd, const char *text)
{
    char got[LINE] = {0};
    size_t n = 0;
    ssize_t r;
    while (n < LINE - 1 && (r = recv(fd, got + n, LINE - 1 - n, 0)) > 0)
        n += (size_t)r;
    CHECK_STR(got, text);
    close(fd);
}

void lines_exchange(const struct harness *h, const char *line, const char *text)
{
    lines_expect(lines_ask(h, line), text);
}
