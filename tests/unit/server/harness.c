/* SPDX-License-Identifier: MIT */
/* A worker under test; see harness.h. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "os/fd.h"

enum { CALL_LIMIT_S = 20 };

void harness_sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

void harness_listen(struct harness *h, const char *address)
{
    struct mp_listen_options options = {.backlog = 1024};
    struct mp_listen_socket *listener = &h->listeners[h->listener_count++];
    const char *why = NULL;
    int inherited = -1;
    CHECK(h->listener_count <= HARNESS_LISTENERS);
    CHECK_OK(mp_sockaddr_parse(address, &listener->addr, &inherited, &why));
    listener->fd = mp_socket_listen(&listener->addr, &options);
    CHECK(listener->fd >= 0);
    CHECK_OK(mp_socket_local(listener->fd, &listener->addr));
}

void harness_init(struct harness *h, bool locking)
{
    memset(h, 0, sizeof(*h));
    signal(SIGPIPE, SIG_IGN);
    mp_worker_options_init(&h->options);
    h->options.threads = 4;
    h->control = -1;
    h->status = -1;
    h->log = (struct mp_log){.fd = memfd_create("log", MFD_CLOEXEC), .level = MP_LOG_DEBUG};
    CHECK(h->log.fd >= 0);
    testapp_init(&h->testapp, locking);
    harness_listen(h, "127.0.0.1:0");
}

static void *run(void *arg)
{
    struct harness *h = arg;
    h->status = mp_worker_run(&h->context, &h->testapp.app);
    return NULL;
}

/* The worker has descriptors of its own, as after a fork. */
static void give_listeners(struct harness *h)
{
    for (size_t i = 0; i < h->listener_count; i++) {
        h->inherited[i] = h->listeners[i];
        h->inherited[i].fd = mp_fd_dup(h->listeners[i].fd);
        CHECK(h->inherited[i].fd >= 0);
    }
}

static void close_listeners(struct harness *h)
{
    for (size_t i = 0; i < h->listener_count; i++)
        mp_fd_close(&h->inherited[i].fd);
}

void harness_start(struct harness *h)
{
    int control[2];
    struct mp_worker_message message;
    if (!h->board)
        CHECK_OK(mp_scoreboard_new(1, mp_worker_places(h->options.threads), &h->board));
    CHECK_OK(mp_socket_pair(control));
    h->control = control[0];
    give_listeners(h);
    int signals = h->context.signals > 0 ? h->context.signals : -1;
    h->context = (struct mp_worker_context){
        .slot = h->context.slot,
        .control = control[1],
        .signals = signals,
        .listeners = h->inherited,
        .listener_count = h->listener_count,
        .board = h->board,
        .options = &h->options,
        .log = &h->log,
    };
    CHECK_OK(pthread_create(&h->thread, NULL, run, h));
    h->running = true;
    CHECK(harness_message(h, CALL_LIMIT_S * 1000, &message));
    CHECK_EQ(message.verb, MP_WORKER_READY);
}

void harness_tell(struct harness *h, enum mp_worker_verb verb, uint32_t value)
{
    struct mp_worker_message message = {.verb = (uint32_t)verb, .value = value};
    CHECK_OK(mp_socket_send_msg(h->control, &message, sizeof(message), -1));
}

int harness_dump(struct harness *h)
{
    struct mp_worker_message message = {.verb = MP_WORKER_DUMP};
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK_OK(mp_socket_send_msg(h->control, &message, sizeof(message), fds[1]));
    close(fds[1]);
    return fds[0];
}

char *harness_read_dump(int fd)
{
    size_t size = 1 << 20;
    char *text = malloc(size);
    size_t len = 0;
    ssize_t n;
    CHECK(text != NULL);
    while ((n = read(fd, text + len, size - len - 1)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(fd);
    return text;
}

bool harness_message(struct harness *h, int timeout_ms, struct mp_worker_message *ret_message)
{
    struct pollfd entry = {.fd = h->control, .events = POLLIN};
    if (poll(&entry, 1, timeout_ms) <= 0)
        return false;
    ssize_t n = mp_socket_recv_msg(h->control, ret_message, sizeof(*ret_message), NULL);
    return n == (ssize_t)sizeof(*ret_message);
}

int harness_join(struct harness *h)
{
    CHECK(h->running);
    CHECK_OK(pthread_join(h->thread, NULL));
    h->running = false;
    if (h->control >= 0)
        close(h->control);
    h->control = -1;
    if (h->status == MP_WORKER_EXIT_QUIT)
        close(h->context.control); /* as the end of a process would */
    close_listeners(h);
    return h->status;
}

void harness_drain(struct harness *h)
{
    harness_tell(h, MP_WORKER_DRAIN, 1);
    CHECK_EQ(harness_join(h), 0);
}

void harness_done(struct harness *h)
{
    CHECK(!h->running);
    CHECK_EQ(h->testapp.inside, 0);
    CHECK_EQ(h->testapp.threads, 0);
    CHECK_EQ(h->testapp.refs_wrong, 0);
    CHECK_EQ(h->testapp.refs_released, h->testapp.refs_made);
    CHECK_EQ(harness_slot(h)->connections, 0);
    for (size_t i = 0; i < h->listener_count; i++) {
        const struct mp_sockaddr *addr = &h->listeners[i].addr;
        if (addr->any.sa_family == AF_UNIX && addr->un.sun_path[0])
            unlink(addr->un.sun_path);
        close(h->listeners[i].fd);
    }
    close(h->log.fd);
    mp_scoreboard_free(h->board);
    testapp_done(&h->testapp);
}

int harness_connect(const struct harness *h, size_t listener)
{
    const struct mp_sockaddr *addr = &h->listeners[listener].addr;
    struct timeval limit = {.tv_sec = CALL_LIMIT_S};
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_OK(connect(fd, &addr->any, addr->len));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (addr->any.sa_family != AF_UNIX)
        mp_socket_set_nodelay(fd);
    return fd;
}

void harness_open(const struct harness *h, struct client *client)
{
    client_init(client, harness_connect(h, 0));
}

void harness_begin(struct harness *h, struct client *client)
{
    harness_start(h);
    harness_open(h, client);
}

void harness_finish(struct harness *h, struct client *client)
{
    client_done(client);
    harness_drain(h);
    harness_done(h);
}

void harness_get(const struct harness *h, const char *path, int status)
{
    struct client client;
    struct reply reply;
    harness_open(h, &client);
    client_get(&client, path);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, status);
    reply_done(&reply);
    client_done(&client);
}

struct mp_sb_worker *harness_slot(const struct harness *h)
{
    return mp_scoreboard_worker(h->board, h->context.slot);
}

unsigned harness_logged(const struct harness *h, const char *text)
{
    static char log[1 << 20];
    ssize_t n = pread(h->log.fd, log, sizeof(log) - 1, 0);
    unsigned count = 0;
    log[n > 0 ? n : 0] = '\0';
    for (const char *at = strstr(log, text); at; at = strstr(at + 1, text))
        count++;
    return count;
}

bool harness_await(bool (*condition)(struct harness *h), struct harness *h, int timeout_ms)
{
    for (int waited = 0; waited <= timeout_ms; waited += 2) {
        if (condition(h))
            return true;
        harness_sleep_ms(2);
    }
    return false;
}
