/* SPDX-License-Identifier: MIT */
/*
 * The poller: a thin cover over epoll.
 *
 * Data is a caller's 64-bit word, handed back with each event. Who recycles objects puts a
 * generation into it (a file descriptor that a forked child still holds keeps reporting after our
 * close, see close(2) and epoll(7) Q6), so that a late event can be told from a current one.
 *
 * add, modify and remove may be called from any thread; wait by one thread at a time.
 */
#ifndef MP_EVENT_POLLER_H
#define MP_EVENT_POLLER_H

#include <stdint.h>
#include <sys/epoll.h>

struct mp_poller {
    int fd;
};

#define MP_POLL_IN EPOLLIN
#define MP_POLL_OUT EPOLLOUT
#define MP_POLL_RDHUP EPOLLRDHUP
#define MP_POLL_HUP EPOLLHUP
#define MP_POLL_ERR EPOLLERR
#define MP_POLL_EDGE EPOLLET
#define MP_POLL_EXCLUSIVE EPOLLEXCLUSIVE

int mp_poller_init(struct mp_poller *poller);
void mp_poller_done(struct mp_poller *poller);

int mp_poller_add(struct mp_poller *poller, int fd, uint32_t events, uint64_t data);
int mp_poller_modify(struct mp_poller *poller, int fd, uint32_t events, uint64_t data);
int mp_poller_remove(struct mp_poller *poller, int fd);

/* Waits at most timeout_ms (-1: for ever, 0: not at all). Number of events (0 on a signal too)
 * or -errno. */
int mp_poller_wait(struct mp_poller *poller, struct epoll_event *events, int max, int timeout_ms);

#endif
