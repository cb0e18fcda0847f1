/* SPDX-License-Identifier: MIT */
/*
 * Files that only their owner may use: a folder, and a listening UNIX socket. From the first moment
 * on, and not only after a chmod that comes too late for whoever was quicker. Errors as negative
 * errno.
 */
#ifndef MP_OS_PRIVATE_H
#define MP_OS_PRIVATE_H

#include <stdbool.h>

#include "os/socket.h"

/*
 * Makes the folder (its last component only, mode 0700), or finds that it exists and is a folder,
 * no symbolic link to one, of this process's user, and nobody else's to enter. -EPERM: it is
 * another's, or open to others. -ENOTDIR, -ELOOP: it is something else.
 */
int mp_private_folder(const char *path);

/*
 * A listening SOCK_SEQPACKET socket with a file of mode 0600. The file of a socket that nobody
 * listens on any more is removed first, as in mp_socket_listen. Returns a descriptor or -errno
 * (-ENAMETOOLONG: the path does not fit into a socket's address); *ret_addr is what it is bound to.
 */
int mp_private_listen(const char *path, int backlog, struct mp_sockaddr *ret_addr);

/* Removes a socket's file of this user, which somebody may be listening on still. */
void mp_private_unlink(const char *path);

/* Whether the process that has connected runs as this process's user, or as root. Its end of a pair
 * made by socketpair(2) counts as connected. */
bool mp_private_peer(int fd);

#endif
