/* SPDX-License-Identifier: MIT */
/*
 * Sockets and their addresses. Descriptors come back non-blocking and CLOEXEC unless said
 * otherwise. Errors as negative errno.
 */
#ifndef MP_OS_SOCKET_H
#define MP_OS_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/compiler.h"

struct mp_sockaddr {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

#define MP_SOCKADDR_TEXT 128

/*
 * Parses a bind address: "host:port", ":port" (all IPv4 addresses), "[v6]:port", "unix:PATH",
 * "unix:@NAME" (abstract), "fd://N". Host names are resolved (getaddrinfo, the first result).
 * For "fd://N" ret_fd gets N and ret_addr that socket's own name; else ret_fd gets -1.
 * Returns 0, -EINVAL with *ret_why set to a constant text, or -errno with *ret_why NULL.
 */
int mp_sockaddr_parse(const char *spec, struct mp_sockaddr *ret_addr, int *ret_fd,
                      const char **ret_why);

/* "127.0.0.1:8000", "[::1]:8000", "unix:/run/app.sock"; always terminated. Returns its length. */
size_t mp_sockaddr_format(const struct mp_sockaddr *addr, char *text, size_t size);

/* Only the host ("127.0.0.1", "::1", "" of UNIX sockets); the port (0 of UNIX sockets). */
size_t mp_sockaddr_host(const struct mp_sockaddr *addr, char *text, size_t size);
uint16_t mp_sockaddr_port(const struct mp_sockaddr *addr);

/* Who may connect to a UNIX socket that has a file. All zero: as bind(2) makes it, by the umask. */
struct mp_socket_access {
    bool mode_set;
    mode_t mode;
    bool owner_set; /* both, -1 for one that stays */
    uid_t user;
    gid_t group;
};

struct mp_listen_options {
    int backlog;
    bool reuse_port;
    struct mp_socket_access access;
};

/*
 * socket, options (SO_REUSEADDR; IPV6_V6ONLY for v6), bind, listen. A stale UNIX socket file
 * (nobody accepts on it: connect gives ECONNREFUSED) is removed first; one that is alive gives
 * -EADDRINUSE; a file that is no socket gives -EEXIST. Its access is as wanted before anybody can
 * connect. Returns a descriptor or -errno.
 */
int mp_socket_listen(const struct mp_sockaddr *addr, const struct mp_listen_options *options);

/* Clears the way for bind: removes the file of a UNIX socket of any type that nobody listens on any
 * more. 0 or -errno as above. addr is of a UNIX socket with a file. */
int mp_socket_remove_stale(const struct mp_sockaddr *addr);

/* Checks that an inherited descriptor is a listening stream socket (-ENOTSOCK, -EPROTOTYPE: not a
 * stream, -EINVAL: does not listen) and makes it non-blocking and CLOEXEC. */
int mp_socket_adopt(int fd);

/* Checks that an inherited descriptor is a datagram socket with a name to send to (-ENOTSOCK,
 * -EPROTOTYPE: of another type, -EINVAL: not bound) and makes it CLOEXEC. Blocking or not, it stays
 * as it is: whoever else has it sends on it. */
int mp_socket_adopt_datagram(int fd);

/* accept4. Returns a descriptor or -errno; peer may be NULL. Errors of the one connection, which
 * mean "try the next": -ECONNABORTED, -EPROTO, -ENETDOWN and the like, see accept(2). */
int mp_socket_accept(int fd, struct mp_sockaddr *peer);

/* The same, but the descriptor that comes back is blocking. Whether the call itself waits depends
 * on the listening socket only. */
int mp_socket_accept_blocking(int fd, struct mp_sockaddr *peer);

int mp_socket_local(int fd, struct mp_sockaddr *ret_addr);
int mp_socket_set_nodelay(int fd);
int mp_socket_shutdown_write(int fd);
int mp_socket_shutdown(int fd); /* both ways: who waits in recv or send on it is woken */

/* Bytes that were sent and that the other side has not acknowledged (TCP) or read (UNIX, roughly),
 * or -errno. */
int64_t mp_socket_unsent(int fd);

/* Looks without taking anything and without waiting, on blocking sockets too: 1 when there are
 * bytes, 0 at the end of the stream, -EAGAIN when there is nothing yet, or -errno. */
int mp_socket_peek(int fd);

/*
 * Takes one datagram into count pieces of memory without waiting, on blocking sockets too. Returns
 * its length, which is more than the pieces hold when it was cut; -EAGAIN when there is none; or
 * -errno. peer->len is 0 when the sender has no address.
 */
ssize_t mp_socket_recv_datagram(int fd, const struct iovec *iov, int count,
                                struct mp_sockaddr *peer);

/* MSG_NOSIGNAL; bytes moved, 0 at end of stream (recv), or -errno. */
ssize_t mp_socket_recv(int fd, void *data, size_t n);
ssize_t mp_socket_send(int fd, const void *data, size_t n, bool more);
ssize_t mp_socket_sendv(int fd, const struct iovec *iov, int count, bool more);

/* Connections that wait in a listening socket to be accepted; -ENOTSUP where the kernel does not
 * say (it does for TCP). */
int mp_socket_backlog(int fd);

/* A connected pair of SOCK_SEQPACKET UNIX sockets, CLOEXEC, non-blocking. */
int mp_socket_pair(int ret_fds[2]);

/*
 * One message of n >= 1 bytes, with at most one descriptor (-1: none). send: 0 or -errno. recv:
 * bytes, 0 when the peer has gone, or -errno; *ret_fd gets the received descriptor or -1 (CLOEXEC
 * set). A message that is longer than n (-EMSGSIZE) or whose descriptor finds no free number here
 * (-EMFILE) is lost. ret_fd may be NULL: a descriptor is closed then.
 */
int mp_socket_send_msg(int sock, const void *data, size_t n, int fd);
ssize_t mp_socket_recv_msg(int sock, void *data, size_t n, int *ret_fd);

#endif
