/* SPDX-License-Identifier: MIT */
/* The poller: epoll with errors as results. What data means, and why it should hold a generation,
 * is in the header. */
#include "event/poller.h"

#include <errno.h>
#include <stddef.h>

#include "os/fd.h"

int mp_poller_init(struct mp_poller *poller)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd == -1)
        return -errno;
    poller->fd = fd;
    return 0;
}

void mp_poller_done(struct mp_poller *poller)
{
    mp_fd_close(&poller->fd);
}

static int control(struct mp_poller *poller, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    return epoll_ctl(poller->fd, operation, fd, &event) == -1 ? -errno : 0;
}

int mp_poller_add(struct mp_poller *poller, int fd, uint32_t events, uint64_t data)
{
    return control(poller, EPOLL_CTL_ADD, fd, events, data);
}

int mp_poller_modify(struct mp_poller *poller, int fd, uint32_t events, uint64_t data)
{
    return control(poller, EPOLL_CTL_MOD, fd, events, data);
}

int mp_poller_remove(struct mp_poller *poller, int fd)
{
    return control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

int mp_poller_wait(struct mp_poller *poller, struct epoll_event *events, int max, int timeout_ms)
{
    int n = epoll_wait(poller->fd, events, max, timeout_ms);

    if (n >= 0)
        return n;
    return errno == EINTR ? 0 : -errno;
}
