/* SPDX-License-Identifier: MIT */
/*
 * The gateway to servers of socketserver: struct mp_app for the protocols stream and datagram. What
 * is served is a PoolAdapter (_core.pyi).
 */
#ifndef MP_PYTHON_SOCKETS_H
#define MP_PYTHON_SOCKETS_H

#include "python/gateway.h"

#include "os/socket.h"
#include "server/worker.h"

/* Read-only while threads exist. */
struct mp_py_sockets {
    struct mp_py_gateway gateway; /* first: the callbacks' data is either */
    bool fast;                    /* no hook is overridden; else the members below are NULL */
    PyObject *handler_class;
    PyObject *server;
    PyObject *socket_type;      /* stream: of connections */
    PyObject *socket_args;      /* stream: (family, type, proto) */
    PyObject *socket;           /* datagram: the server's, for answers */
    Py_ssize_t max_packet_size; /* datagram */
};

/* mp_py_gateway_init for an adapter that has started. kind: stream or datagram. */
int mp_py_sockets_init(struct mp_py_sockets *sockets, PyObject *module, PyObject *adapter,
                       const struct mp_log *log, enum mp_protocol_kind kind);

/* Clears what init has taken, the gateway too. Entered. */
void mp_py_sockets_done(struct mp_py_sockets *sockets);

/* An address as socket.accept() and recvfrom() have it. A new reference, or NULL with an
 * exception. */
PyObject *mp_py_address(const struct mp_sockaddr *addr);

#endif
