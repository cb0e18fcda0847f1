/* SPDX-License-Identifier: MIT */
/* The master's end of the control socket, and its clients. control_socket.c says how they live. */
#ifndef MP_MASTER_CONTROL_SOCKET_H
#define MP_MASTER_CONTROL_SOCKET_H

#include <stdint.h>

#include "os/socket_file.h"

/* At once. One more takes the place of the one that has been silent longest. */
#define MP_CONTROL_CLIENTS 8

struct mp_control_client {
    int fd;         /* owned; -1: none */
    uint64_t heard; /* the turn in which it last said something, or came */
};

struct mp_control_socket {
    int listener; /* owned; -1: there is no control socket */
    struct mp_socket_file file;
    struct mp_control_client clients[MP_CONTROL_CLIENTS];
    uint64_t turn;
    int64_t look_at;      /* whether its file is there */
    int64_t paused_until; /* not accepting: no descriptor was free; 0: accepting */
};

struct mp_master;
struct pollfd;

void mp_control_socket_init(struct mp_control_socket *control);

/* As the options say: makes the socket and its folder. replace: another process may listen there
 * still, and is to be followed. A failure is a warning in the log. */
void mp_control_socket_open(struct mp_master *master, bool replace);
/* Closes everything, and removes the file if this process has made it. Twice is harmless. */
void mp_control_socket_done(struct mp_control_socket *control);

/* Puts what is to be waited for into polls, at most MP_CONTROL_POLLS; returns how many. The same
 * entries go to mp_control_socket_read, which does what was asked. */
#define MP_CONTROL_POLLS (1 + MP_CONTROL_CLIENTS)
unsigned mp_control_socket_fill_polls(const struct mp_control_socket *control,
                                      struct pollfd *polls);
void mp_control_socket_read(struct mp_master *master, const struct pollfd *polls, unsigned count,
                            int64_t now);
int64_t mp_control_socket_next_look(const struct mp_control_socket *control);
void mp_control_socket_tick(struct mp_master *master, int64_t now);

#endif
