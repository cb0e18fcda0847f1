/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_pond.h"
#include "os/socket.h"
#include "runner.h"

static int serve_nothing(void *data, const struct mp_worker_context *context)
{
    (void)data;
    (void)context;
    return 1;
}

static struct mp_master *new_master_of(enum mp_protocol_kind protocol)
{
    const struct mp_master_ops ops = {.serve = serve_nothing};
    struct mp_master_options options;
    struct mp_master *master;

    mp_master_options_init(&options);
    options.worker.protocol = protocol;
    CHECK_OK(mp_master_new(&options, &ops, &master));
    return master;
}

static struct mp_master *new_master(void)
{
    return new_master_of(MP_PROTOCOL_HTTP1);
}

static void bind_ok(struct mp_master *master, const char *spec)
{
    const char *why;

    CHECK_OK(mp_master_bind(master, spec, 16, &why));
}

static bool exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

struct place {
    char directory[32];
    char path[64];
    char spec[80];
};

static void make_place(struct place *place)
{
    snprintf(place->directory, sizeof(place->directory), "/tmp/mp-master-XXXXXX");
    CHECK(mkdtemp(place->directory) != NULL);
    snprintf(place->path, sizeof(place->path), "%s/s", place->directory);
    snprintf(place->spec, sizeof(place->spec), "unix:%s", place->path);
}

TEST(several_addresses_and_what_they_became)
{
    struct mp_master *master = new_master();
    const struct mp_listen_socket *listeners;
    size_t count;

    bind_ok(master, "127.0.0.1:0");
    bind_ok(master, "unix:@mp-test-master-abstract");
    bind_ok(master, "127.0.0.1:0");
    listeners = mp_master_listeners(master, &count);
    CHECK_EQ(count, 3);
    CHECK(mp_sockaddr_port(&listeners[0].addr) != 0);
    CHECK(mp_sockaddr_port(&listeners[2].addr) != mp_sockaddr_port(&listeners[0].addr));
    mp_master_free(master);
}

TEST(bad_addresses)
{
    struct mp_master *master = new_master();
    const char *why;
    char spec[64];
    size_t count;

    CHECK_EQ(mp_master_bind(master, "no such thing:::", 16, &why), -EINVAL);
    CHECK(why != NULL);
    bind_ok(master, "127.0.0.1:0");
    snprintf(spec, sizeof(spec), "127.0.0.1:%d",
             mp_sockaddr_port(&mp_master_listeners(master, &count)[0].addr));
    CHECK_EQ(mp_master_bind(master, spec, 16, &why), -EADDRINUSE);
    CHECK(why == NULL);
    CHECK_EQ(mp_master_bind(master, "fd://0", 16, &why), -ENOTSOCK);
    CHECK_EQ(mp_master_bind(master, "fd://999", 16, &why), -EBADF);
    mp_master_listeners(master, &count);
    CHECK_EQ(count, 1);
    mp_master_free(master);
}

TEST(an_inherited_socket_stays_the_callers)
{
    struct mp_master *master = new_master();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *why;
    char spec[32];
    int on;
    socklen_t size = sizeof(on);

    snprintf(spec, sizeof(spec), "fd://%d", fd);
    CHECK_EQ(mp_master_bind(master, spec, 16, &why), -EINVAL);
    CHECK(strstr(why, "does not listen"));
    CHECK_OK(listen(fd, 4));
    bind_ok(master, spec);
    mp_master_free(master);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size));
    close(fd);
}

/* ---- sockets that a program has made ------------------------------------------------------- */

static int make_socket(const char *spec, int type)
{
    struct mp_sockaddr addr;
    const char *why;
    int unused;
    int fd;

    CHECK_OK(mp_sockaddr_parse(spec, &addr, &unused, &why));
    fd = socket(addr.any.sa_family, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_OK(bind(fd, &addr.any, addr.len));
    if (type == SOCK_STREAM)
        CHECK_OK(listen(fd, 4));
    return fd;
}

static bool is_nonblocking(int fd)
{
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

/* What is sent to the address that the master knows arrives at its descriptor. */
static void check_it_serves(const struct mp_listen_socket *listener, int type)
{
    int client = socket(listener->addr.any.sa_family, type | SOCK_CLOEXEC, 0);
    char byte = 0;
    int accepted;

    CHECK_OK(connect(client, &listener->addr.any, listener->addr.len));
    if (type == SOCK_DGRAM) {
        CHECK_EQ(send(client, "x", 1, 0), 1);
        CHECK_EQ(recv(listener->fd, &byte, 1, MSG_DONTWAIT), 1);
        CHECK_EQ(byte, 'x');
    } else {
        accepted = mp_socket_accept(listener->fd, NULL);
        CHECK(accepted >= 0);
        close(accepted);
    }
    close(client);
}

static void check_passed(const char *spec, int type, enum mp_protocol_kind protocol)
{
    struct mp_master *master = new_master_of(protocol);
    int fd = make_socket(spec, type);
    const struct mp_listen_socket *listeners;
    char passed[32];
    size_t count;

    snprintf(passed, sizeof(passed), "fd://%d", fd);
    bind_ok(master, passed);
    listeners = mp_master_listeners(master, &count);
    CHECK_EQ(count, 1);
    CHECK(listeners[0].fd != fd);
    CHECK_EQ(is_nonblocking(fd), type == SOCK_STREAM);
    check_it_serves(&listeners[0], type);
    mp_master_free(master);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

/* A path must not be removed by the master: it is of the program that has bound it. */
static void check_passed_path(int type, enum mp_protocol_kind protocol)
{
    struct place place;

    make_place(&place);
    check_passed(place.spec, type, protocol);
    CHECK(exists(place.path));
    CHECK_OK(unlink(place.path));
    CHECK_OK(rmdir(place.directory));
}

TEST(a_stream_socket_of_any_family_is_passed)
{
    static const enum mp_protocol_kind protocols[] = {MP_PROTOCOL_HTTP1, MP_PROTOCOL_STREAM};

    for (size_t i = 0; i < 2; i++) {
        check_passed("127.0.0.1:0", SOCK_STREAM, protocols[i]);
        check_passed("[::1]:0", SOCK_STREAM, protocols[i]);
        check_passed("unix:@mp-test-master-passed", SOCK_STREAM, protocols[i]);
        check_passed_path(SOCK_STREAM, protocols[i]);
    }
}

TEST(a_datagram_socket_of_any_family_is_passed)
{
    check_passed("127.0.0.1:0", SOCK_DGRAM, MP_PROTOCOL_DATAGRAM);
    check_passed("[::1]:0", SOCK_DGRAM, MP_PROTOCOL_DATAGRAM);
    check_passed("unix:@mp-test-master-passed", SOCK_DGRAM, MP_PROTOCOL_DATAGRAM);
    check_passed_path(SOCK_DGRAM, MP_PROTOCOL_DATAGRAM);
}

static void check_refused(int fd, enum mp_protocol_kind protocol, int err, const char *reason)
{
    struct mp_master *master = new_master_of(protocol);
    const char *why;
    char spec[32];
    size_t count;

    snprintf(spec, sizeof(spec), "fd://%d", fd);
    CHECK_EQ(mp_master_bind(master, spec, 16, &why), err);
    CHECK_STR(why, reason);
    mp_master_listeners(master, &count);
    CHECK_EQ(count, 0);
    mp_master_free(master);
    close(fd);
}

TEST(a_socket_of_the_wrong_kind_is_refused_with_the_reason)
{
    check_refused(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), MP_PROTOCOL_STREAM, -EINVAL,
                  "this descriptor is a socket that does not listen");
    check_refused(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), MP_PROTOCOL_DATAGRAM, -EINVAL,
                  "this descriptor is a socket that is not bound");
    check_refused(make_socket("127.0.0.1:0", SOCK_DGRAM), MP_PROTOCOL_STREAM, -EPROTOTYPE,
                  "this descriptor is no stream socket");
    check_refused(make_socket("127.0.0.1:0", SOCK_STREAM), MP_PROTOCOL_DATAGRAM, -EPROTOTYPE,
                  "this descriptor is no datagram socket");
}

TEST(a_datagram_socket_is_not_made_here)
{
    struct mp_master *master = new_master_of(MP_PROTOCOL_DATAGRAM);
    const char *why;

    CHECK_EQ(mp_master_bind(master, "127.0.0.1:0", 16, &why), -EINVAL);
    CHECK_STR(why, "a datagram socket must be passed as fd://N");
    mp_master_free(master);
}

/* ---- the files of UNIX sockets ------------------------------------------------------------ */

TEST(a_socket_file_is_removed_also_after_chdir)
{
    struct mp_master *master = new_master();
    struct place place;

    make_place(&place);
    CHECK_OK(chdir(place.directory));
    bind_ok(master, "unix:s");
    CHECK(exists(place.path));
    CHECK_OK(chdir("/"));
    mp_master_free(master);
    CHECK(!exists(place.path));
    CHECK_OK(rmdir(place.directory));
}

TEST(a_childs_copy_removes_nothing)
{
    struct mp_master *master = new_master();
    struct place place;
    pid_t pid;

    make_place(&place);
    bind_ok(master, place.spec);
    pid = fork();
    if (pid == 0) {
        mp_master_free(master);
        _exit(0);
    }
    CHECK_EQ(pond_reap_all(), 1);
    CHECK(exists(place.path));
    mp_master_free(master);
    CHECK(!exists(place.path));
    CHECK_OK(rmdir(place.directory));
}

TEST(a_file_that_another_server_has_made_since_stays)
{
    struct mp_master *master = new_master();
    struct mp_master *successor = new_master();
    struct place place;

    make_place(&place);
    bind_ok(master, place.spec);
    CHECK_OK(unlink(place.path));
    bind_ok(successor, place.spec);
    mp_master_free(master);
    CHECK(exists(place.path));
    mp_master_free(successor);
    CHECK(!exists(place.path));
    CHECK_OK(rmdir(place.directory));
}

TEST(a_pool_leaves_no_socket_file)
{
    struct pond *pond = pond_new();
    struct place place;

    make_place(&place);
    pond_start(pond, &(struct pond_options){.workers = 2, .bind = place.spec});
    pond_wait_ready(pond);
    CHECK(exists(place.path));
    CHECK_EQ(atomic_load(&pond->workers[0].sockets), 2);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_wait_life(pond, 0, 1);
    CHECK(exists(place.path));
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK(!exists(place.path));
    CHECK_OK(rmdir(place.directory));
    pond_free(pond);
}
