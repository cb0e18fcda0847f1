/* SPDX-License-Identifier: MIT */
/*
 * The file of a UNIX socket, as something that is owned: it is removed only by the process that
 * made it, and only while the path still names the file that was made (another server may have
 * taken the path over since).
 */
#ifndef MP_OS_SOCKET_FILE_H
#define MP_OS_SOCKET_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "os/socket.h"

struct mp_socket_file {
    char *path; /* absolute; NULL: there is none */
    dev_t device;
    ino_t inode;
    pid_t owner;
};

/* Takes note of the file that binding addr has just made; none for other kinds of address. 0 or
 * -errno (*ret_file has no path then). */
int mp_socket_file_init(struct mp_socket_file *ret_file, const struct mp_sockaddr *addr);

/* Removes the file if it is ours, frees the path. Twice is harmless. */
void mp_socket_file_done(struct mp_socket_file *file);

/* Whether the path still names the file. False when there is none. */
bool mp_socket_file_exists(const struct mp_socket_file *file);

/* Leaves the file to somebody else; frees the path. Twice is harmless. */
void mp_socket_file_forget(struct mp_socket_file *file);

#endif
