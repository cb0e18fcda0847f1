/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The file under test over calls that can be interrupted. */
#include "os/socket.h"

static int interruptions;

static int is_interrupted(void)
{
    if (interruptions == 0)
        return 0;
    interruptions--;
    errno = EINTR;
    return 1;
}

/* Which of these are used depends on the build: see kernel_recv(). */
static MP_UNUSED ssize_t test_recv(int fd, void *data, size_t n, int flags)
{
    return is_interrupted() ? -1 : recv(fd, data, n, flags);
}

static MP_UNUSED ssize_t test_send(int fd, const void *data, size_t n, int flags)
{
    return is_interrupted() ? -1 : send(fd, data, n, flags);
}

/* recvfrom and sendto: descriptor, bytes, their number, flags, no address. */
static MP_UNUSED long test_syscall(long number, ...)
{
    va_list args;
    int fd;
    void *data;
    size_t n;
    int flags;

    va_start(args, number);
    fd = va_arg(args, int);
    data = va_arg(args, void *);
    n = va_arg(args, size_t);
    flags = va_arg(args, int);
    va_end(args);
    return is_interrupted() ? -1 : syscall(number, fd, data, n, flags, NULL, 0);
}

static ssize_t test_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return is_interrupted() ? -1 : sendmsg(fd, message, flags);
}

static ssize_t test_recvmsg(int fd, struct msghdr *message, int flags)
{
    return is_interrupted() ? -1 : recvmsg(fd, message, flags);
}

#define syscall test_syscall
#define recv test_recv
#define send test_send
#define sendmsg test_sendmsg
#define recvmsg test_recvmsg
#include "os/socket.c"
#undef syscall
#undef recv
#undef send
#undef sendmsg
#undef recvmsg

#include "support/runner.h"

static void make_pair(int fds[2])
{
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
}

/* A connected pair over TCP on loopback. */
static void make_tcp_pair(int fds[2])
{
    struct mp_sockaddr addr = {.len = sizeof(struct sockaddr_in), .in4 = {.sin_family = AF_INET}};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_OK(bind(listener, &addr.any, addr.len));
    CHECK_OK(listen(listener, 1));
    CHECK_OK(mp_socket_local(listener, &addr));
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_OK(connect(fds[0], &addr.any, addr.len));
    fds[1] = accept(listener, NULL, NULL);
    CHECK(fds[1] >= 0);
    close(listener);
}

static void close_pair(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

TEST(bytes_go_through)
{
    struct iovec iov[2] = {{.iov_base = (char[]){"po"}, .iov_len = 2},
                           {.iov_base = (char[]){"nd"}, .iov_len = 2}};
    char text[16] = "";
    int fds[2];

    make_pair(fds);
    CHECK_EQ(mp_socket_recv(fds[0], text, sizeof(text)), -EAGAIN);
    CHECK_EQ(mp_socket_send(fds[1], "mill", 4, false), 4);
    CHECK_EQ(mp_socket_sendv(fds[1], iov, 2, false), 4);
    CHECK_EQ(mp_socket_recv(fds[0], text, sizeof(text)), 8);
    CHECK_STR(text, "millpond");
    CHECK_OK(mp_socket_shutdown_write(fds[1]));
    CHECK_EQ(mp_socket_recv(fds[0], text, sizeof(text)), 0);
    CHECK_EQ(mp_socket_send(fds[0], "back", 4, false), 4);
    CHECK_EQ(mp_socket_recv(fds[1], text, sizeof(text)), 4);
    close_pair(fds);
}

TEST(interrupted_calls_are_made_again)
{
    struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
    char text[4];
    int fds[2];

    make_pair(fds);
    interruptions = 3;
    CHECK_EQ(mp_socket_send(fds[0], "x", 1, false), 1);
    interruptions = 3;
    CHECK_EQ(mp_socket_sendv(fds[0], &iov, 1, false), 1);
    interruptions = 3;
    CHECK_EQ(mp_socket_recv(fds[1], text, sizeof(text)), 2);
    CHECK_EQ(interruptions, 0);
    close_pair(fds);
}

/* SIGPIPE has its default here: the process would end. */
TEST(peer_that_is_gone_is_an_error_and_no_signal)
{
    struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
    int fds[2];

    make_pair(fds);
    close(fds[1]);
    CHECK_EQ(mp_socket_send(fds[0], "x", 1, false), -EPIPE);
    CHECK_EQ(mp_socket_send(fds[0], "x", 1, true), -EPIPE);
    CHECK_EQ(mp_socket_sendv(fds[0], &iov, 1, false), -EPIPE);
    close(fds[0]);
}

TEST(full_socket_takes_a_part_then_says_again)
{
    static char block[1 << 20];
    int fds[2];
    ssize_t n;

    make_pair(fds);
    n = mp_socket_send(fds[0], block, sizeof(block), false);
    CHECK(n > 0);
    CHECK(n < (ssize_t)sizeof(block));
    while (n > 0)
        n = mp_socket_send(fds[0], block, sizeof(block), false);
    CHECK_EQ(n, -EAGAIN);
    close_pair(fds);
}

TEST(more_pieces_than_the_kernel_takes_are_a_short_write)
{
    static struct iovec iov[IOV_MAX + 500];
    char byte = 'x';
    int fds[2];

    for (size_t i = 0; i < mp_array_size(iov); i++)
        iov[i] = (struct iovec){.iov_base = &byte, .iov_len = 1};
    make_pair(fds);
    CHECK_EQ(mp_socket_sendv(fds[0], iov, IOV_MAX + 500, false), IOV_MAX);
    close_pair(fds);
}

TEST(more_holds_a_segment_back_until_the_rest)
{
    char text[8];
    int fds[2];

    make_tcp_pair(fds);
    CHECK_EQ(mp_socket_send(fds[0], "mill", 4, true), 4);
    CHECK_EQ(recv(fds[1], text, sizeof(text), MSG_DONTWAIT), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(mp_socket_send(fds[0], "pond", 4, false), 4);
    CHECK_EQ(recv(fds[1], text, 8, MSG_WAITALL), 8);
    CHECK_MEM(text, "millpond", 8);
    close_pair(fds);
}

TEST(nodelay_is_for_tcp)
{
    socklen_t len = sizeof(int);
    int on = 0;
    int fds[2];

    make_tcp_pair(fds);
    CHECK_OK(mp_socket_set_nodelay(fds[0]));
    CHECK_OK(getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len));
    CHECK(on);
    close_pair(fds);
    make_pair(fds);
    CHECK_EQ(mp_socket_set_nodelay(fds[0]), -EOPNOTSUPP);
    close_pair(fds);
}

TEST(errors_are_results)
{
    struct mp_sockaddr addr;
    char byte;
    int fds[2];

    CHECK_OK(pipe(fds));
    CHECK_EQ(mp_socket_local(fds[0], &addr), -ENOTSOCK);
    CHECK_EQ(mp_socket_recv(fds[0], &byte, 1), -ENOTSOCK);
    CHECK_EQ(mp_socket_shutdown_write(fds[0]), -ENOTSOCK);
    close_pair(fds);
    CHECK_EQ(mp_socket_send(fds[0], &byte, 1, false), -EBADF);
}

TEST(peek_takes_nothing_and_does_not_wait)
{
    char text[4];
    int fds[2];

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds)); /* blocking */
    CHECK_EQ(mp_socket_peek(fds[0]), -EAGAIN);
    CHECK_EQ(send(fds[1], "pond", 4, 0), 4);
    CHECK_EQ(mp_socket_peek(fds[0]), 1);
    CHECK_EQ(mp_socket_peek(fds[0]), 1);
    CHECK_EQ(recv(fds[0], text, 4, MSG_DONTWAIT), 4);
    CHECK_MEM(text, "pond", 4);
    CHECK_OK(shutdown(fds[1], SHUT_WR));
    CHECK_EQ(mp_socket_peek(fds[0]), 0);
    close_pair(fds);
    CHECK_EQ(mp_socket_peek(fds[0]), -EBADF);
}

TEST(shutdown_wakes_who_waits_on_another_descriptor_of_the_socket)
{
    char byte;
    int fds[2];
    int other;

    make_tcp_pair(fds);
    other = dup(fds[0]);
    CHECK(other >= 0);
    CHECK_OK(mp_socket_shutdown(fds[0]));
    CHECK_EQ(recv(other, &byte, 1, 0), 0);
    CHECK_EQ(recv(fds[1], &byte, 1, 0), 0);
    CHECK_EQ(mp_socket_send(other, "x", 1, false), -EPIPE);
    close(other);
    close_pair(fds);
    CHECK_EQ(mp_socket_shutdown(fds[0]), -EBADF);
}

/* A blocking socket of that family, bound by the kernel's choice. */
static int make_datagram(int family, struct mp_sockaddr *ret_addr)
{
    int fd = socket(family, SOCK_DGRAM, 0);
    struct mp_sockaddr addr = {.len = sizeof(addr.in4), .in4.sin_family = AF_INET};

    CHECK(fd >= 0);
    if (family == AF_UNIX) {
        addr.any.sa_family = AF_UNIX;
        addr.len = sizeof(sa_family_t); /* an abstract name */
    } else {
        addr.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    CHECK_OK(bind(fd, &addr.any, addr.len));
    CHECK_OK(mp_socket_local(fd, ret_addr));
    return fd;
}

TEST(datagrams_come_whole_with_their_sender)
{
    struct mp_sockaddr to;
    struct mp_sockaddr from;
    struct mp_sockaddr peer;
    char front[4];
    char rest[8];
    struct iovec iov[2] = {{front, sizeof(front)}, {rest, sizeof(rest)}};
    int fds[2] = {make_datagram(AF_INET, &to), make_datagram(AF_INET, &from)};

    CHECK_EQ(mp_socket_recv_datagram(fds[0], iov, 2, &peer), -EAGAIN);
    CHECK_EQ(sendto(fds[1], "", 0, 0, &to.any, to.len), 0);
    CHECK_EQ(sendto(fds[1], "millpond", 8, 0, &to.any, to.len), 8);
    CHECK_EQ(sendto(fds[1], "0123456789abcdef", 16, 0, &to.any, to.len), 16);
    interruptions = 1;
    CHECK_EQ(mp_socket_recv_datagram(fds[0], iov, 2, &peer), 0);
    CHECK_EQ(peer.len, from.len);
    CHECK_EQ(mp_sockaddr_port(&peer), mp_sockaddr_port(&from));
    CHECK_EQ(mp_socket_recv_datagram(fds[0], iov, 2, &peer), 8);
    CHECK_MEM(front, "mill", 4);
    CHECK_MEM(rest, "pond", 4);
    CHECK_EQ(mp_socket_recv_datagram(fds[0], iov, 2, &peer), 16); /* cut, and says so */
    close_pair(fds);
}

TEST(datagrams_of_unix_sockets_may_have_no_sender)
{
    struct mp_sockaddr to;
    struct mp_sockaddr peer;
    char text[4];
    struct iovec iov = {text, sizeof(text)};
    int fds[2] = {make_datagram(AF_UNIX, &to), socket(AF_UNIX, SOCK_DGRAM, 0)};

    CHECK_EQ(sendto(fds[1], "mill", 4, 0, &to.any, to.len), 4);
    CHECK_EQ(mp_socket_recv_datagram(fds[0], &iov, 1, &peer), 4);
    CHECK_EQ(peer.len, 0);
    close_pair(fds);
}

TEST(backlog_of_a_listening_socket)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    int fds[2];
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int clients[3];

    CHECK_OK(bind(listening, (struct sockaddr *)&addr, size));
    CHECK_OK(listen(listening, 16));
    CHECK_OK(getsockname(listening, (struct sockaddr *)&addr, &size));
    CHECK_EQ(mp_socket_backlog(listening), 0);
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_OK(connect(clients[i], (struct sockaddr *)&addr, size));
    }
    CHECK_EQ(mp_socket_backlog(listening), 3);
    CHECK_EQ(mp_socket_backlog(clients[0]), -ENOTSUP);
    CHECK_OK(mp_socket_pair(fds));
    CHECK_EQ(mp_socket_backlog(fds[0]), -ENOTSUP);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    close(fds[0]);
    close(fds[1]);
    close(listening);
}
