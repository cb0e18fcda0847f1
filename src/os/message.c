/* SPDX-License-Identifier: MIT */
/*
 * Messages between processes over a pair of SOCK_SEQPACKET sockets: each arrives whole or not at
 * all, in order, and may carry one descriptor.
 *
 * A peer that closes while it has not read everything leaves ECONNRESET on our end, once, before
 * what it has still sent can be read: that error is passed over, the end of the stream comes by
 * itself.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "os/fd.h"
#include "os/socket.h"

/* Aligned as the control data's header wants it; room for one descriptor (and for a second in the
 * padding behind it, which the kernel would use). */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int mp_socket_pair(int ret_fds[2])
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1)
        return -errno;
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

int mp_socket_send_msg(int sock, const void *data, size_t n, int fd)
{
    struct iovec iov = {.iov_base = (void *)data, .iov_len = n};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    union control control;
    ssize_t sent;

    if (n == 0)
        return -EINVAL; /* an empty message looks like the end to the other side */
    if (fd >= 0) {
        struct cmsghdr *header;

        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    }
    do {
        sent = sendmsg(sock, &message, MSG_NOSIGNAL);
    } while (sent == -1 && errno == EINTR);
    return sent == -1 ? -errno : 0;
}

/* The first descriptor that came with the message, or -1; any more are closed. */
static int take_descriptor(struct msghdr *message)
{
    int taken = -1;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        size_t count;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd), sizeof(fd));
            if (taken == -1)
                taken = fd;
            else
                mp_fd_close(&fd);
        }
    }
    return taken;
}

ssize_t mp_socket_recv_msg(int sock, void *data, size_t n, int *ret_fd)
{
    struct iovec iov = {.iov_base = data, .iov_len = n};
    union control control;
    struct msghdr message;
    ssize_t got;
    int fd;

    do {
        message = (struct msghdr){.msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof(control.bytes)};
        got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    } while (got == -1 && (errno == EINTR || errno == ECONNRESET));
    if (got == -1)
        return -errno;
    fd = take_descriptor(&message);
    if (message.msg_flags & MSG_TRUNC || (fd == -1 && message.msg_flags & MSG_CTRUNC)) {
        mp_fd_close(&fd);
        return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : -EMFILE;
    }
    if (ret_fd)
        *ret_fd = fd;
    else
        mp_fd_close(&fd);
    return got;
}
