/* SPDX-License-Identifier: MIT */
/* poll(2): for a process that watches few descriptors and wants no registrations. */
#ifndef MP_OS_POLL_H
#define MP_OS_POLL_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Waits until one of the descriptors has something, for at most timeout_ns (negative: for ever).
 * Entries with a negative descriptor are passed over. Number of entries with revents, 0 when the
 * time has passed, or -errno (-EINTR: a signal was handled); on 0 and -errno every revents is 0.
 */
int mp_poll(struct pollfd *fds, size_t count, int64_t timeout_ns);

/* The same for one descriptor and without an end: 0 when one of events (or an error) has come. */
int mp_poll_one(int fd, short events);

#endif
