/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets: made, adopted, accepted from. Their files' end is socket_file.h's matter.
 *
 * The file of a UNIX socket outlives the process that made it, and bind() refuses a name that
 * exists. Whether someone still listens is known only by connecting. Between that probe and the
 * removal another server may take the name over; it would then lose its file. Two servers started
 * on the same path in the same millisecond is a mistake that nothing here can repair.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/socket.h"

/* True for a UNIX socket that has a file (neither abstract nor unnamed). */
static bool has_file(const struct mp_sockaddr *addr)
{
    return addr->any.sa_family == AF_UNIX && addr->len > offsetof(struct sockaddr_un, sun_path) &&
           addr->un.sun_path[0] != '\0';
}

/* 0 when nobody listens on the path, -EADDRINUSE when somebody does, or -errno. */
static int probe_unix(const struct mp_sockaddr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int err = 0;

    if (fd == -1)
        return -errno;
    if (connect(fd, &addr->any, addr->len) == -1)
        err = errno;
    mp_fd_close(&fd);
    switch (err) {
    case ECONNREFUSED:
    case ENOENT:
        return 0;
    case 0:
    case EAGAIN:     /* its backlog is full */
    case EPROTOTYPE: /* it is of another type, and bound */
        return -EADDRINUSE;
    default:
        return -err;
    }
}

int mp_socket_remove_stale(const struct mp_sockaddr *addr)
{
    struct stat info;
    int err;

    if (lstat(addr->un.sun_path, &info) == -1)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(info.st_mode))
        return -EEXIST;
    err = probe_unix(addr);
    if (err)
        return err;
    return unlink(addr->un.sun_path) == -1 && errno != ENOENT ? -errno : 0;
}

static int set_option(int fd, int level, int name)
{
    int on = 1;

    return setsockopt(fd, level, name, &on, sizeof(on)) == -1 ? -errno : 0;
}

static int set_listen_options(int fd, int family, const struct mp_listen_options *options)
{
    int err;

    if (family == AF_UNIX)
        return 0;
    err = set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (!err && family == AF_INET6)
        err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (!err && options->reuse_port)
        err = set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    return err;
}

/*
 * By a descriptor of the file itself: where the folder is others' too, its name may be another
 * file's by now, and no link is followed.
 */
static int set_access(const struct mp_sockaddr *addr, const struct mp_socket_access *access)
{
    char path[64];
    struct stat info;
    int err = 0;
    int fd;

    if (!access->mode_set && !access->owner_set)
        return 0;
    fd = open(addr->un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fstat(fd, &info) == -1)
        err = -errno;
    else if (!S_ISSOCK(info.st_mode) || info.st_uid != geteuid())
        err = -EEXIST;
    else if (access->mode_set && chmod(path, access->mode) == -1)
        err = -errno;
    else if (access->owner_set &&
             fchownat(fd, "", access->user, access->group, AT_EMPTY_PATH) == -1)
        err = -errno;
    mp_fd_close(&fd);
    return err;
}

/* Nobody can connect before it listens. */
static int listen_as(int fd, const struct mp_sockaddr *addr,
                     const struct mp_listen_options *options)
{
    int err = has_file(addr) ? set_access(addr, &options->access) : 0;

    if (!err && listen(fd, options->backlog) == -1)
        err = -errno;
    if (err && has_file(addr))
        (void)unlink(addr->un.sun_path); /* ours: bind has just made it */
    return err;
}

int mp_socket_listen(const struct mp_sockaddr *addr, const struct mp_listen_options *options)
{
    int family = addr->any.sa_family;
    int err = has_file(addr) ? mp_socket_remove_stale(addr) : 0;
    int fd;

    if (err)
        return err;
    fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -errno;
    err = set_listen_options(fd, family, options);
    if (err)
        goto fail;
    if (bind(fd, &addr->any, addr->len) == -1) {
        err = -errno;
        goto fail;
    }
    err = listen_as(fd, addr, options);
    if (!err)
        return fd;
fail:
    mp_fd_close(&fd);
    return err;
}

static int get_option(int fd, int name, int *ret_value)
{
    socklen_t len = sizeof(*ret_value);

    return getsockopt(fd, SOL_SOCKET, name, ret_value, &len) == -1 ? -errno : 0;
}

int mp_socket_adopt(int fd)
{
    int type = 0;
    int listening = 0;
    int err = get_option(fd, SO_TYPE, &type);

    if (!err)
        err = get_option(fd, SO_ACCEPTCONN, &listening);
    if (err)
        return err;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    if (!listening)
        return -EINVAL;
    err = mp_fd_set_cloexec(fd, true);
    return err ? err : mp_fd_set_nonblock(fd, true);
}

static int accept_with(int fd, struct mp_sockaddr *peer, int flags)
{
    struct mp_sockaddr ignored;
    int accepted;

    if (!peer)
        peer = &ignored;
    do {
        memset(peer, 0, sizeof(*peer));
        peer->len = sizeof(*peer) - offsetof(struct mp_sockaddr, any);
        accepted = accept4(fd, &peer->any, &peer->len, SOCK_CLOEXEC | flags);
    } while (accepted == -1 && errno == EINTR);
    return accepted == -1 ? -errno : accepted;
}

static bool is_bound(const struct mp_sockaddr *addr)
{
    switch (addr->any.sa_family) {
    case AF_INET:
    case AF_INET6:
        return mp_sockaddr_port(addr) != 0;
    case AF_UNIX:
        return addr->len > offsetof(struct sockaddr_un, sun_path);
    default:
        return true;
    }
}

int mp_socket_adopt_datagram(int fd)
{
    struct mp_sockaddr addr;
    int type = 0;
    int err = get_option(fd, SO_TYPE, &type);

    if (!err)
        err = mp_socket_local(fd, &addr);
    if (err)
        return err;
    if (type != SOCK_DGRAM)
        return -EPROTOTYPE;
    if (!is_bound(&addr))
        return -EINVAL;
    return mp_fd_set_cloexec(fd, true);
}

int mp_socket_accept(int fd, struct mp_sockaddr *peer)
{
    return accept_with(fd, peer, SOCK_NONBLOCK);
}

int mp_socket_accept_blocking(int fd, struct mp_sockaddr *peer)
{
    return accept_with(fd, peer, 0);
}
