/* SPDX-License-Identifier: MIT */
/*
 * The application of the tests of streams and datagrams. A handler reads one line and does what it
 * says; of a datagram the line is what came.
 *
 *   echo TEXT    the line back
 *   sleep N      drops the interpreter lock for N microseconds, then "done"
 *   cpu N        computes for N microseconds of CPU, then "done"
 *   never        reads until the connection ends
 *   keep         leaves the socket open: lines_kept
 */
#ifndef LINES_H
#define LINES_H

#include "harness.h"

/* Makes the harness's application that; the protocol and the listeners are the test's. */
void lines_init(struct harness *h, enum mp_protocol_kind protocol);
/* The same of streams, with handlers that do not take the socket. */
void lines_init_untaken(struct harness *h);

/* Sends a line on a connection of its own; the descriptor. */
int lines_ask(const struct harness *h, const char *line);
/* What comes on it until its end must be text. Closes it. */
void lines_expect(int fd, const char *text);
/* A line on a connection of its own, and its answer. */
void lines_exchange(const struct harness *h, const char *line, const char *answer);

/* The socket that "keep" has left, the caller's from now on, or -1. */
int lines_kept(void);

#endif
