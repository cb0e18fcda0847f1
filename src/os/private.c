/* SPDX-License-Identifier: MIT */
/*
 * The file of a socket gets the mode that the socket's own inode has when it is bound (less the
 * umask), so fchmod before bind leaves no moment in which others could connect. The umask of the
 * process, which all its threads share, stays as it is.
 *
 * A folder of our own in a place where everybody may write, such as /tmp, is as good as its sticky
 * bit: nobody but us can rename it, so what was checked once stays true.
 */
#include "os/private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"

enum {
    FOLDER_MODE = 0700,
    SOCKET_MODE = 0600,
    OTHERS = 077, /* what a private file grants nobody */
};

static int check_folder(int fd)
{
    struct stat info;

    if (fstat(fd, &info) == -1)
        return -errno;
    return info.st_uid == geteuid() && (info.st_mode & OTHERS) == 0 ? 0 : -EPERM;
}

int mp_private_folder(const char *path)
{
    int err;
    int fd;

    if (mkdir(path, FOLDER_MODE) == -1 && errno != EEXIST)
        return -errno;
    fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    err = check_folder(fd);
    mp_fd_close(&fd);
    return err;
}

static int set_address(const char *path, struct mp_sockaddr *addr)
{
    size_t length = strlen(path);

    memset(addr, 0, sizeof(*addr));
    if (length == 0 || length >= sizeof(addr->un.sun_path))
        return length == 0 ? -ENOENT : -ENAMETOOLONG;
    addr->un.sun_family = AF_UNIX;
    memcpy(addr->un.sun_path, path, length + 1);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

int mp_private_listen(const char *path, int backlog, struct mp_sockaddr *ret_addr)
{
    struct mp_sockaddr addr;
    int err = set_address(path, &addr);
    int fd;

    if (!err)
        err = mp_socket_remove_stale(&addr);
    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -errno;
    if (fchmod(fd, SOCKET_MODE) == -1 || bind(fd, &addr.any, addr.len) == -1) {
        err = -errno;
    } else if (listen(fd, backlog) == -1) {
        err = -errno;
        (void)unlink(path); /* ours: bind has just made it */
    }
    if (err) {
        mp_fd_close(&fd);
        return err;
    }
    *ret_addr = addr;
    return fd;
}

void mp_private_unlink(const char *path)
{
    struct stat info;

    if (lstat(path, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_uid == geteuid())
        (void)unlink(path);
}

bool mp_private_peer(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1)
        return false;
    return peer.uid == geteuid() || peer.uid == 0;
}
