/* SPDX-License-Identifier: MIT */
/* poll(2) with nanoseconds and negative errors. */
#include "os/poll.h"

#include <errno.h>
#include <time.h>

#include "os/clock.h"

int mp_poll(struct pollfd *fds, size_t count, int64_t timeout_ns)
{
    struct timespec time;
    int ready;
    int err;

    if (timeout_ns >= 0) {
        time.tv_sec = (time_t)(timeout_ns / MP_NSEC_PER_SEC);
        time.tv_nsec = (long)(timeout_ns % MP_NSEC_PER_SEC);
    }
    ready = ppoll(fds, (nfds_t)count, timeout_ns >= 0 ? &time : NULL, NULL);
    if (ready > 0)
        return ready;
    err = ready == -1 ? -errno : 0;
    for (size_t i = 0; i < count; i++)
        fds[i].revents = 0;
    return err;
}

int mp_poll_one(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    int ready;

    do {
        ready = mp_poll(&one, 1, -1);
    } while (ready == 0 || ready == -EINTR);
    return ready < 0 ? ready : 0;
}
