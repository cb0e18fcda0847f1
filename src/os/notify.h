/* SPDX-License-Identifier: MIT */
/* Telling a service manager (systemd's sd_notify protocol): datagrams to the socket that it names
 * in NOTIFY_SOCKET. */
#ifndef MP_OS_NOTIFY_H
#define MP_OS_NOTIFY_H

/*
 * Sends one datagram, lines such as "READY=1\nSTATUS=...". address: an absolute path, or "@" and an
 * abstract name. Never blocks: -EAGAIN when the manager has too much to read. 0 or -errno (-EINVAL:
 * no such address, -ENAMETOOLONG). The socket is opened for each: a manager that was started anew
 * has another behind the same path.
 */
int mp_notify_send(const char *address, const char *text);

#endif
