/* SPDX-License-Identifier: MIT */
/* What the protocols have in common; see protocol.h. */
#include "server/protocol.h"

#include <stdio.h>

#include "os/fd.h"
#include "server/conn.h"
#include "server/pool.h"
#include "server/reactor.h"
#include "server/request.h"

const struct mp_protocol *mp_protocol_of(const struct mp_worker_options *options)
{
    switch (options->protocol) {
    case MP_PROTOCOL_STREAM:
        return options->admission == MP_ADMISSION_READABLE ? &mp_protocol_stream_readable
                                                           : &mp_protocol_stream;
    case MP_PROTOCOL_DATAGRAM:
        return &mp_protocol_datagram;
    case MP_PROTOCOL_HTTP1:
        break;
    }
    return &mp_protocol_http1;
}

void mp_protocol_ready_once(struct mp_conn *conn, int64_t now)
{
    struct mp_request *request = conn->request;
    request->conn = conn;
    request->route = MP_ROUTE_ONLY;
    request->ready_at = now;
    request->response.ended = true; /* there is none */
    conn->state = MP_CONN_RUNNING;
    mp_reactor_set_deadline(conn, now, 0);
    /* Release: who finds the gate closed leaves the rest alone; the FIFO's lock publishes the rest.
     */
    atomic_store_explicit(&conn->gate, MP_GATE_THREAD, memory_order_release);
    mp_pool_push(conn->reactor, request);
}

void mp_protocol_finish_once(struct mp_thread *thread, struct mp_request *request, bool leading,
                             int64_t now)
{
    struct mp_conn *conn = request->conn;
    (void)now;
    conn->request = NULL;
    mp_pool_request_free(conn->reactor, request, leading);
    mp_fd_close(&conn->fd);
    if (leading)
        mp_conn_close(thread, conn);
    else
        mp_reactor_return_idly(conn);
}

void mp_protocol_shed_once(struct mp_thread *thread, struct mp_request *request, int64_t now)
{
    mp_protocol_finish_once(thread, request, true, now);
}

void mp_protocol_close(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    (void)now;
    mp_conn_close(thread, conn);
}

void mp_protocol_describe(const struct mp_request *request, const char *what, char *text,
                          size_t size)
{
    char peer[MP_SOCKADDR_TEXT];
    size_t n = mp_sockaddr_format(mp_request_peer(request), peer, sizeof(peer));
    if (n > 0)
        snprintf(text, size, "a %s from %s", what, peer);
    else
        snprintf(text, size, "a %s of a UNIX socket", what);
}

void mp_protocol_show(struct mp_thread *thread, const struct mp_request *request,
                      const char *method, size_t method_len, const char *path, size_t path_len,
                      int64_t now)
{
    const struct mp_sockaddr *peer = mp_request_peer(request);
    const void *address = NULL;
    size_t size = 0;
    if (peer->any.sa_family == AF_INET) {
        address = &peer->in4.sin_addr;
        size = sizeof(peer->in4.sin_addr);
    } else if (peer->any.sa_family == AF_INET6) {
        address = &peer->in6.sin6_addr;
        size = sizeof(peer->in6.sin6_addr);
    }
    mp_sb_thread_begin(thread->slot, now, method, method_len, path, path_len, address, size,
                       mp_sockaddr_port(peer));
}
