/* SPDX-License-Identifier: MIT */
/* Includes the file under test over a listen() that can fail, and an accept4() that is interrupted.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

static int listen_fails_with;
static int interruptions;

static int test_listen(int fd, int backlog)
{
    if (listen_fails_with) {
        errno = listen_fails_with;
        return -1;
    }
    return listen(fd, backlog);
}

static int test_accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
    if (interruptions > 0) {
        interruptions--;
        *len = 0;
        errno = EINTR;
        return -1;
    }
    return accept4(fd, peer, len, flags);
}

#define listen test_listen
#define accept4 test_accept4
#include "os/listen.c"
#undef listen
#undef accept4

#include "scratch.h"

static const struct mp_listen_options plain = {.backlog = 16};

static struct mp_sockaddr parse(const char *spec)
{
    struct mp_sockaddr addr;
    const char *why;
    int fd;

    CHECK_OK(mp_sockaddr_parse(spec, &addr, &fd, &why));
    return addr;
}

static struct mp_sockaddr unix_address(struct scratch *scratch, const char *name)
{
    char spec[256];

    snprintf(spec, sizeof(spec), "unix:%s", scratch_path(scratch, name));
    return parse(spec);
}

static int connect_to(const struct mp_sockaddr *addr)
{
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_OK(connect(fd, &addr->any, addr->len));
    return fd;
}

static int accept_soon(int listener, struct mp_sockaddr *peer)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};

    CHECK_EQ(poll(&entry, 1, 10000), 1);
    return mp_socket_accept(listener, peer);
}

/* Listens, connects, accepts: all properties that callers rely on. */
static void check_serving(const struct mp_sockaddr *wanted, const char *peer_host)
{
    int listener = mp_socket_listen(wanted, &plain);
    struct mp_sockaddr addr;
    struct mp_sockaddr peer;
    char text[MP_SOCKADDR_TEXT];
    int client;
    int accepted;

    CHECK(listener >= 0);
    CHECK_EQ(fcntl(listener, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(listener, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(mp_socket_accept(listener, &peer), -EAGAIN);
    CHECK_OK(mp_socket_local(listener, &addr));
    client = connect_to(&addr);
    accepted = accept_soon(listener, &peer);
    CHECK(accepted >= 0);
    CHECK_EQ(fcntl(accepted, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(accepted, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(peer.any.sa_family, wanted->any.sa_family);
    mp_sockaddr_host(&peer, text, sizeof(text));
    CHECK_STR(text, peer_host);
    CHECK_EQ(mp_sockaddr_port(&peer) != 0, peer_host[0] != '\0');
    close(client);
    close(accepted);
    /* Without a place for the peer, too. */
    client = connect_to(&addr);
    accepted = accept_soon(listener, NULL);
    CHECK(accepted >= 0);
    close(client);
    close(accepted);
    close(listener);
}

TEST(tcp_v4_serves)
{
    struct mp_sockaddr addr = parse("127.0.0.1:0");

    check_serving(&addr, "127.0.0.1");
}

TEST(tcp_v6_serves)
{
    struct mp_sockaddr addr = parse("[::1]:0");

    check_serving(&addr, "::1");
}

TEST(unix_socket_serves)
{
    struct scratch scratch;
    struct mp_sockaddr addr;

    scratch_make(&scratch);
    addr = unix_address(&scratch, "app.sock");
    check_serving(&addr, "");
    CHECK_EQ(scratch_count(&scratch), 1);
    scratch_remove(&scratch);
}

TEST(abstract_socket_serves_and_is_taken_once)
{
    char spec[64];
    struct mp_sockaddr addr;
    int first;

    snprintf(spec, sizeof(spec), "unix:@millpond-test-%d", (int)getpid());
    addr = parse(spec);
    check_serving(&addr, "");
    first = mp_socket_listen(&addr, &plain);
    CHECK(first >= 0);
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    close(first);
}

TEST(tcp_port_in_use_is_a_result)
{
    struct mp_sockaddr addr = parse("127.0.0.1:0");
    int first = mp_socket_listen(&addr, &plain);

    CHECK(first >= 0);
    CHECK_OK(mp_socket_local(first, &addr));
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    close(first);
}

/* After a restart, connections of the old server are still in TIME_WAIT. */
TEST(tcp_port_can_be_taken_again_at_once)
{
    struct mp_sockaddr addr = parse("127.0.0.1:0");
    int listener = mp_socket_listen(&addr, &plain);
    int client;
    int accepted;
    char byte;

    CHECK_OK(mp_socket_local(listener, &addr));
    client = connect_to(&addr);
    accepted = accept_soon(listener, NULL);
    CHECK(accepted >= 0);
    close(accepted); /* first: the server's side waits */
    CHECK_EQ(read(client, &byte, 1), 0);
    close(client);
    close(listener);
    listener = mp_socket_listen(&addr, &plain);
    CHECK(listener >= 0);
    close(listener);
}

TEST(v6_leaves_the_port_of_v4_free)
{
    struct mp_sockaddr v6 = parse("[::]:0");
    struct mp_sockaddr v4 = parse("0.0.0.0:0");
    int first = mp_socket_listen(&v6, &plain);
    int second;

    CHECK(first >= 0);
    CHECK_OK(mp_socket_local(first, &v6));
    v4.in4.sin_port = v6.in6.sin6_port;
    second = mp_socket_listen(&v4, &plain);
    CHECK(second >= 0);
    close(first);
    close(second);
}

TEST(reuse_port_shares_a_port)
{
    const struct mp_listen_options shared = {.backlog = 16, .reuse_port = true};
    struct mp_sockaddr addr = parse("127.0.0.1:0");
    int first = mp_socket_listen(&addr, &shared);
    int second;

    CHECK(first >= 0);
    CHECK_OK(mp_socket_local(first, &addr));
    second = mp_socket_listen(&addr, &shared);
    CHECK(second >= 0);
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    close(first);
    close(second);
}

TEST(foreign_address_is_a_result)
{
    struct mp_sockaddr addr = parse("192.0.2.1:0");

    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRNOTAVAIL);
}

TEST(stale_unix_socket_file_is_replaced)
{
    struct scratch scratch;
    struct mp_sockaddr addr;
    int listener;

    scratch_make(&scratch);
    addr = unix_address(&scratch, "app.sock");
    listener = mp_socket_listen(&addr, &plain);
    CHECK(listener >= 0);
    close(listener); /* its process was killed: the file is still there */
    CHECK_EQ(scratch_count(&scratch), 1);
    check_serving(&addr, "");
    scratch_remove(&scratch);
}

TEST(live_unix_socket_is_in_use_and_stays)
{
    struct scratch scratch;
    struct mp_sockaddr addr;
    int listener;
    int accepted;

    scratch_make(&scratch);
    addr = unix_address(&scratch, "app.sock");
    listener = mp_socket_listen(&addr, &plain);
    CHECK(listener >= 0);
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    accepted = accept_soon(listener, NULL); /* the probe, which came and went */
    CHECK(accepted >= 0);
    close(accepted);
    close(connect_to(&addr));
    close(listener);
    scratch_remove(&scratch);
}

TEST(live_unix_socket_with_a_full_backlog_is_in_use)
{
    const struct mp_listen_options shortest = {.backlog = 0};
    struct scratch scratch;
    struct mp_sockaddr addr;
    int clients[64];
    int count = 0;
    int listener;

    scratch_make(&scratch);
    addr = unix_address(&scratch, "app.sock");
    listener = mp_socket_listen(&addr, &shortest);
    CHECK(listener >= 0);
    for (;;) {
        CHECK(count < 64);
        clients[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        CHECK(clients[count] >= 0);
        if (connect(clients[count++], &addr.any, addr.len) == -1)
            break;
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    while (count > 0)
        close(clients[--count]);
    close(listener);
    scratch_remove(&scratch);
}

TEST(unix_socket_of_another_type_is_in_use)
{
    struct scratch scratch;
    struct mp_sockaddr addr;
    int fd;

    scratch_make(&scratch);
    addr = unix_address(&scratch, "app.sock");
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_OK(bind(fd, &addr.any, addr.len));
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    close(fd);
    scratch_remove(&scratch);
}

/* What is no socket is never removed: not a file, not a directory, not a link to a socket. */
TEST(other_files_are_never_removed)
{
    static const char *const names[] = {"file", "dir", "link", "dangling"};
    struct scratch scratch;
    struct mp_sockaddr addr;
    char target[192];
    int listener;

    scratch_make(&scratch);
    scratch_write(&scratch, "file", "precious");
    CHECK_OK(mkdir(scratch_path(&scratch, "dir"), 0700));
    addr = unix_address(&scratch, "stale.sock");
    listener = mp_socket_listen(&addr, &plain);
    CHECK(listener >= 0);
    close(listener);
    snprintf(target, sizeof(target), "%s", scratch_path(&scratch, "stale.sock"));
    CHECK_OK(symlink(target, scratch_path(&scratch, "link")));
    CHECK_OK(symlink("/nonexistent/x", scratch_path(&scratch, "dangling")));
    for (size_t i = 0; i < mp_array_size(names); i++) {
        addr = unix_address(&scratch, names[i]);
        CHECK_EQ(mp_socket_listen(&addr, &plain), -EEXIST);
    }
    CHECK_EQ(scratch_count(&scratch), 5);
    scratch_remove(&scratch);
}

TEST(nothing_is_left_when_listen_fails)
{
    struct scratch scratch;
    struct mp_sockaddr addr;

    scratch_make(&scratch);
    addr = unix_address(&scratch, "app.sock");
    listen_fails_with = EADDRINUSE;
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    CHECK_EQ(scratch_count(&scratch), 0);
    addr = parse("127.0.0.1:0");
    CHECK_EQ(mp_socket_listen(&addr, &plain), -EADDRINUSE);
    scratch_remove(&scratch);
}

TEST(interrupted_accept_is_made_again)
{
    struct mp_sockaddr addr = parse("127.0.0.1:0");
    struct mp_sockaddr peer;
    int listener = mp_socket_listen(&addr, &plain);
    int client;
    int accepted;

    CHECK_OK(mp_socket_local(listener, &addr));
    client = connect_to(&addr);
    interruptions = 3;
    accepted = accept_soon(listener, &peer);
    CHECK(accepted >= 0);
    CHECK_EQ(interruptions, 0);
    CHECK_EQ(peer.len, sizeof(struct sockaddr_in));
    close(accepted);
    close(client);
    close(listener);
}

TEST(missing_directory_is_a_result)
{
    struct mp_sockaddr addr = parse("unix:/nonexistent/dir/app.sock");

    CHECK_EQ(mp_socket_listen(&addr, &plain), -ENOENT);
}

TEST(adopted_socket_becomes_nonblocking_and_cloexec)
{
    struct mp_sockaddr addr = parse("127.0.0.1:0");
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_OK(bind(fd, &addr.any, addr.len));
    CHECK_EQ(mp_socket_adopt(fd), -EINVAL); /* does not listen yet */
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_OK(listen(fd, 5));
    CHECK_OK(mp_socket_adopt(fd));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(mp_socket_accept(fd, NULL), -EAGAIN);
    close(fd);
    CHECK_EQ(mp_socket_adopt(fd), -EBADF);
}

TEST(what_is_no_listening_stream_is_not_adopted)
{
    int dgram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int seqpacket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int pair[2];

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CHECK_EQ(mp_socket_adopt(dgram), -EPROTOTYPE);
    CHECK_EQ(mp_socket_adopt(seqpacket), -EPROTOTYPE);
    CHECK_EQ(mp_socket_adopt(null), -ENOTSOCK);
    CHECK_EQ(mp_socket_adopt(pair[0]), -EINVAL);
    CHECK_EQ(mp_socket_adopt(-1), -EBADF);
    close(dgram);
    close(seqpacket);
    close(null);
    close(pair[0]);
    close(pair[1]);
}

static int bound(int family, int type, const char *spec)
{
    struct mp_sockaddr addr = parse(spec);
    int fd = socket(family, type, 0);

    CHECK(fd >= 0);
    CHECK_OK(bind(fd, &addr.any, addr.len));
    return fd;
}

/* Of all families; blocking or not, it stays as its owner has it. */
TEST(an_adopted_datagram_socket_stays_as_it_is)
{
    static const struct {
        int family;
        const char *spec;
    } kinds[] = {{AF_INET, "127.0.0.1:0"}, {AF_INET6, "[::1]:0"}, {AF_UNIX, "unix:@mp-test-dgram"}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int fd = bound(kinds[i].family, SOCK_DGRAM, kinds[i].spec);

        CHECK_OK(mp_socket_adopt_datagram(fd));
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
        CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
        CHECK_OK(mp_socket_adopt_datagram(fd));
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        close(fd);
    }
}

TEST(what_takes_no_datagrams_is_not_adopted)
{
    int inet = socket(AF_INET, SOCK_DGRAM, 0);
    int inet6 = socket(AF_INET6, SOCK_DGRAM, 0);
    int local = socket(AF_UNIX, SOCK_DGRAM, 0);
    int stream = bound(AF_INET, SOCK_STREAM, "127.0.0.1:0");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    CHECK_EQ(mp_socket_adopt_datagram(inet), -EINVAL);
    CHECK_EQ(mp_socket_adopt_datagram(inet6), -EINVAL);
    CHECK_EQ(mp_socket_adopt_datagram(local), -EINVAL);
    CHECK_EQ(fcntl(local, F_GETFD), 0);
    CHECK_EQ(mp_socket_adopt_datagram(stream), -EPROTOTYPE);
    CHECK_EQ(mp_socket_adopt_datagram(null), -ENOTSOCK);
    CHECK_EQ(mp_socket_adopt_datagram(-1), -EBADF);
    close(inet);
    close(inet6);
    close(local);
    close(stream);
    close(null);
}

static struct stat info_of(const char *path)
{
    struct stat info;

    CHECK_OK(lstat(path, &info));
    return info;
}

/* The umask has no say in a mode that was asked for. */
TEST(the_file_of_a_socket_has_the_access_that_was_asked_for)
{
    struct mp_listen_options options = {.backlog = 5, .access = {.mode_set = true, .mode = 0660}};
    struct mp_sockaddr addr;
    struct scratch scratch;
    char spec[256];
    int fd;

    scratch_make(&scratch);
    snprintf(spec, sizeof(spec), "unix:%s", scratch_path(&scratch, "app.sock"));
    addr = parse(spec);
    umask(077);
    if (geteuid() == 0) {
        options.access.owner_set = true;
        options.access.user = 65534;
        options.access.group = 65533;
    }
    fd = mp_socket_listen(&addr, &options);
    CHECK(fd >= 0);
    CHECK_EQ(info_of(scratch.path).st_mode & 07777, 0660);
    if (geteuid() == 0) {
        CHECK_EQ(info_of(scratch.path).st_uid, 65534);
        CHECK_EQ(info_of(scratch.path).st_gid, 65533);
    }
    close(fd);
    scratch_remove(&scratch);
}

static void listen_for_another_group(void *argument)
{
    const struct mp_listen_options options = {
        .backlog = 5, .access = {.owner_set = true, .user = (uid_t)-1, .group = 12345}};
    struct mp_sockaddr addr = parse(argument);

    if (geteuid() == 0)
        CHECK_OK(setresuid(65534, 65534, 65534));
    CHECK_EQ(mp_socket_listen(&addr, &options), -EPERM);
}

/* A socket that others could not reach is no socket: nothing is left. */
TEST(an_owner_that_cannot_be_given_is_an_error)
{
    struct scratch scratch;
    char spec[256];

    scratch_make(&scratch);
    CHECK_OK(chmod(scratch.dir, 0777));
    snprintf(spec, sizeof(spec), "unix:%s", scratch_path(&scratch, "app.sock"));
    in_child(listen_for_another_group, spec);
    CHECK_EQ(scratch_count(&scratch), 0);
    scratch_remove(&scratch);
}
