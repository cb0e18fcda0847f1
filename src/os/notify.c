/* SPDX-License-Identifier: MIT */
#include "os/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "os/fd.h"

static int parse(const char *address, struct sockaddr_un *addr, socklen_t *ret_size)
{
    size_t length = strlen(address);

    if ((address[0] != '/' && address[0] != '@') || length < 2)
        return -EINVAL;
    if (length > sizeof(addr->sun_path) - 1)
        return -ENAMETOOLONG;
    memset(addr, 0, sizeof(*addr));
    addr->sun_family = AF_UNIX;
    memcpy(addr->sun_path, address, length);
    if (address[0] == '@') /* an abstract name is as long as the length says */
        addr->sun_path[0] = '\0';
    else
        length++;
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return 0;
}

int mp_notify_send(const char *address, const char *text)
{
    struct sockaddr_un addr;
    socklen_t size;
    ssize_t n;
    int fd;
    int err = parse(address, &addr, &size);

    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -errno;
    do {
        n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&addr, size);
    } while (n == -1 && errno == EINTR);
    err = n == -1 ? -errno : 0;
    mp_fd_close(&fd);
    return err;
}
