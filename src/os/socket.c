/* SPDX-License-Identifier: MIT */
/* Connected sockets: bytes in and out, and their options. None of it raises SIGPIPE. */
#include "os/socket.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int mp_socket_local(int fd, struct mp_sockaddr *ret_addr)
{
    struct mp_sockaddr addr = {.len = sizeof(addr) - offsetof(struct mp_sockaddr, any)};

    if (getsockname(fd, &addr.any, &addr.len) == -1)
        return -errno;
    *ret_addr = addr;
    return 0;
}

int mp_socket_set_nodelay(int fd)
{
    int on = 1;

    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 ? -errno : 0;
}

int mp_socket_shutdown_write(int fd)
{
    return shutdown(fd, SHUT_WR) == -1 ? -errno : 0;
}

int64_t mp_socket_unsent(int fd)
{
    int n = 0;
    return ioctl(fd, SIOCOUTQ, &n) == -1 ? -errno : n;
}

int mp_socket_shutdown(int fd)
{
    return shutdown(fd, SHUT_RDWR) == -1 ? -errno : 0;
}

int mp_socket_peek(int fd)
{
    char byte;
    ssize_t seen;

    do {
        seen = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
    } while (seen == -1 && errno == EINTR);
    return seen == -1 ? -errno : (int)seen;
}

ssize_t mp_socket_recv_datagram(int fd, const struct iovec *iov, int count,
                                struct mp_sockaddr *peer)
{
    struct msghdr message;
    ssize_t length;

    do {
        memset(peer, 0, sizeof(*peer));
        message = (struct msghdr){
            .msg_name = &peer->any,
            .msg_namelen = sizeof(*peer) - offsetof(struct mp_sockaddr, any),
            .msg_iov = (struct iovec *)iov,
            .msg_iovlen = (size_t)count,
        };
        length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);
    } while (length == -1 && errno == EINTR);
    if (length == -1)
        return -errno;
    peer->len = message.msg_namelen;
    return length;
}

/*
 * recv and send are what a request costs. In a program with threads the C library wraps both into
 * the switching on and off of asynchronous cancellation, which nobody uses here: straight to the
 * kernel then. Sanitizers want to see the calls.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define MP_SANITIZED 1
#endif
#endif

#ifdef MP_SANITIZED
static ssize_t kernel_recv(int fd, void *data, size_t n)
{
    return recv(fd, data, n, 0);
}

static ssize_t kernel_send(int fd, const void *data, size_t n, int flags)
{
    return send(fd, data, n, flags);
}
#else
static ssize_t kernel_recv(int fd, void *data, size_t n)
{
    return syscall(SYS_recvfrom, fd, data, n, 0, NULL, NULL);
}

static ssize_t kernel_send(int fd, const void *data, size_t n, int flags)
{
    return syscall(SYS_sendto, fd, data, n, flags, NULL, 0);
}
#endif

ssize_t mp_socket_recv(int fd, void *data, size_t n)
{
    ssize_t moved;

    do {
        moved = kernel_recv(fd, data, n);
    } while (moved == -1 && errno == EINTR);
    return moved == -1 ? -errno : moved;
}

ssize_t mp_socket_send(int fd, const void *data, size_t n, bool more)
{
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    ssize_t moved;

    do {
        moved = kernel_send(fd, data, n, flags);
    } while (moved == -1 && errno == EINTR);
    return moved == -1 ? -errno : moved;
}

ssize_t mp_socket_sendv(int fd, const struct iovec *iov, int count, bool more)
{
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    struct msghdr message = {.msg_iov = (struct iovec *)iov};
    ssize_t moved;

    /* What goes beyond the kernel's bound stays for the next call, like any other short write. */
    message.msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX);
    do {
        moved = sendmsg(fd, &message, flags);
    } while (moved == -1 && errno == EINTR);
    return moved == -1 ? -errno : moved;
}

int mp_socket_backlog(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == -1)
        return -ENOTSUP;
    return info.tcpi_state == TCP_LISTEN ? (int)info.tcpi_unacked : -ENOTSUP;
}
