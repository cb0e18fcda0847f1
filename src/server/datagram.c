/* SPDX-License-Identifier: MIT */
/*
 * The datagram protocol: each datagram is a request, with its bytes as the body.
 *
 * A datagram is read by the one worker whose recvfrom(2) gets it, and only while that worker has a
 * thread for it; the others wait in the kernel's buffer, for whoever is free first. The connection
 * that its request belongs to has no descriptor: it holds the sender's address.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "server/conn.h"
#include "server/pool.h"
#include "server/protocol.h"
#include "server/reactor.h"

enum { SCRATCH_AND_HEAD = MP_SCRATCH + MP_THREAD_HEAD + MP_RESPONSE_COPY };

/* Copies what lies in the thread's two buffers. 0 or -ENOMEM. */
static int fill(struct mp_request *request, const struct mp_thread *thread, size_t n)
{
    size_t first = n < MP_SCRATCH ? n : MP_SCRATCH;
    if (n > request->capacity) {
        char *text = malloc(n);
        if (!text)
            return -ENOMEM;
        request->text = text;
        request->capacity = n;
    }
    memcpy(request->text, thread->scratch, first);
    if (n > first)
        memcpy(request->text + first, thread->head, n - first);
    request->size = n;
    mp_body_in_place(&request->body, request->text, n);
    return 0;
}

/* The request of a datagram that lies in the thread's buffers. 0 or -ENOMEM. */
static int make_ready(struct mp_thread *thread, struct mp_conn *conn, size_t n, int64_t now)
{
    conn->request = mp_pool_request_new(conn->reactor);
    if (!conn->request || fill(conn->request, thread, n) < 0)
        return -ENOMEM;
    mp_protocol_ready_once(conn, now);
    return 0;
}

static int take(struct mp_thread *thread, const struct mp_listen_socket *listener, int64_t now)
{
    const struct iovec iov[] = {{thread->scratch, MP_SCRATCH},
                                {thread->head, MP_THREAD_HEAD + MP_RESPONSE_COPY}};
    struct mp_sockaddr peer;
    struct mp_conn *conn;
    ssize_t n = mp_socket_recv_datagram(listener->fd, iov, 2, &peer);
    if (n < 0)
        return (int)n;
    int r = mp_conn_new(thread->reactor, -1, &peer, listener, now, &conn);
    if (r < 0)
        return r;
    r = make_ready(thread, conn, n < SCRATCH_AND_HEAD ? (size_t)n : SCRATCH_AND_HEAD, now);
    if (r < 0)
        mp_conn_close(thread, conn);
    return r;
}

/* Nobody watches them, and they are never the reactor's while it looks. */
static void on_event(struct mp_thread *thread, struct mp_conn *conn, uint32_t events, int64_t now)
{
    (void)thread;
    (void)conn;
    (void)events;
    (void)now;
    mp_assert(false);
}

static bool on_timeout(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    on_event(thread, conn, 0, now);
    return false;
}

static void on_drain(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    on_event(thread, conn, 0, now);
}

static void show(struct mp_thread *thread, const struct mp_request *request, int64_t now)
{
    bool local = request->conn->listener->addr.any.sa_family == AF_UNIX;
    const char *method = local ? "UNIX" : "UDP";
    mp_protocol_show(thread, request, method, strlen(method), "", 0, now);
}

static void describe(const struct mp_request *request, char *text, size_t size)
{
    mp_protocol_describe(request, "datagram", text, size);
}

static const char *time_out(struct mp_server *server, struct mp_request *request)
{
    (void)server;
    (void)request;
    return "left alone";
}

const struct mp_protocol mp_protocol_datagram = {
    .whole = true,
    .route = MP_ROUTE_ONLY,
    .take = take,
    .on_event = on_event,
    .resume = mp_protocol_close,
    .shed = mp_protocol_shed_once,
    .on_timeout = on_timeout,
    .on_drain = on_drain,
    .show = show,
    .finish = mp_protocol_finish_once,
    .time_out = time_out,
    .describe = describe,
};
