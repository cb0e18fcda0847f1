/* SPDX-License-Identifier: MIT */
/* What both generators need of the system: the clock, a connecting socket, waiting in ns. */
#ifndef BENCH_LOAD_NET_H
#define BENCH_LOAD_NET_H

#include <stdint.h>
#include <sys/epoll.h>

/* CLOCK_MONOTONIC in ns. */
uint64_t net_now(void);

/* Starts a non-blocking connection to 127.0.0.1:port, TCP_NODELAY set. `receive_buffer` in bytes, 0
 * leaves the kernel's choice. Returns the descriptor, which the caller owns, or a negative errno.
 */
int net_connect(int port, int receive_buffer);

/* The connection's pending error as a negative errno, 0 when there is none. */
int net_connect_result(int fd);

/* epoll_wait until `deadline` (net_now's clock), with its precision. Returns the count of events,
 * 0 for the deadline or a signal, or a negative errno. */
int net_wait(int epoll, struct epoll_event *events, int room, uint64_t deadline);

#endif
