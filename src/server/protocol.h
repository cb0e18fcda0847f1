/* SPDX-License-Identifier: MIT */
/*
 * A protocol: what a worker's listening sockets bring, and how that becomes requests. One for all
 * of a worker's sockets, chosen by its options. Reactor and pool know protocols by this table only.
 *
 *   http1      connections on which requests come one after the other (http1.c)
 *   stream     connections that are handed to handlers as they are (stream.c), at once or when the
 *              client has said something
 *   datagram   datagrams, each a request (datagram.c)
 *
 * "Leader": for the holder of the token in IO mode, and for connections whose gate is the
 * reactor's. Any such call may close the connection.
 */
#ifndef MP_SERVER_PROTOCOL_H
#define MP_SERVER_PROTOCOL_H

#include "server/internal.h"

struct mp_protocol {
    /* Each thing taken from a listening socket wants a handler soon: it stays there for others
     * while this worker has no thread for it. */
    bool whole;
    /* Of all its requests; 0: each has one of its own. Where all are of one kind, a handler that is
     * seen waiting teaches that at once, not only when it ends: some never end. */
    uint64_t route;

    /* Leader: takes one connection or datagram from a listening socket. 0, or -errno of that. */
    int (*take)(struct mp_thread *thread, const struct mp_listen_socket *listener, int64_t now);
    /* Leader, once a turn while there are newcomers: looks at them. NULL where there are none. */
    void (*on_turn)(struct mp_thread *thread, int64_t now);
    /* Leader, before it sleeps while there are newcomers: has the poller watch them. */
    void (*on_rest)(struct mp_thread *thread, int64_t now);
    /* Leader: its socket has something to say. */
    void (*on_event)(struct mp_thread *thread, struct mp_conn *conn, uint32_t events, int64_t now);
    /* Leader: its thread has given it back. */
    void (*resume)(struct mp_thread *thread, struct mp_conn *conn, int64_t now);
    /* Leader: its request, which was ready, has been taken out of the FIFO again, having waited for
     * too long: tells the client. */
    void (*shed)(struct mp_thread *thread, struct mp_request *request, int64_t now);
    /* Leader: its deadline has passed. True when it was closed. */
    bool (*on_timeout)(struct mp_thread *thread, struct mp_conn *conn, int64_t now);
    /* Leader: the worker drains from now on. */
    void (*on_drain)(struct mp_thread *thread, struct mp_conn *conn, int64_t now);
    /* Leader: an event for a connection that a thread owns, whose output may be sent all the same
     * (conn->streaming). NULL where that never is so. */
    void (*push)(struct mp_thread *thread, struct mp_conn *conn);

    /* The thread that is about to run the request's handler: shows it on the scoreboard. */
    void (*show)(struct mp_thread *thread, const struct mp_request *request, int64_t now);
    /* That thread, the handler being over: does what is left, frees the request and gives the
     * connection back. leading: it holds the token, and goes on with the connection itself. Neither
     * is the thread's any more afterwards. */
    void (*finish)(struct mp_thread *thread, struct mp_request *request, bool leading, int64_t now);
    /* Control thread, the handler being claimed (struct mp_thread): it is past its deadline. Deals
     * with its client; returns what has been done, for the log. */
    const char *(*time_out)(struct mp_server *server, struct mp_request *request);
    /* Owner, or control thread as above: the request for the log, "GET /path". */
    void (*describe)(const struct mp_request *request, char *text, size_t size);
};

extern const struct mp_protocol mp_protocol_http1;
extern const struct mp_protocol mp_protocol_stream;
extern const struct mp_protocol mp_protocol_stream_readable;
extern const struct mp_protocol mp_protocol_datagram;

/* The one that the options ask for. */
const struct mp_protocol *mp_protocol_of(const struct mp_worker_options *options);

#define MP_ROUTE_ONLY UINT64_C(1)

/*
 * For protocols whose connections have one request, without a response: conn->request, which is
 * complete, becomes ready, and the connection its thread's (leader); its end closes the descriptor,
 * if there still is one, and then the connection, as soon as the leader has it.
 */
void mp_protocol_ready_once(struct mp_conn *conn, int64_t now);
void mp_protocol_shed_once(struct mp_thread *thread, struct mp_request *request, int64_t now);
void mp_protocol_finish_once(struct mp_thread *thread, struct mp_request *request, bool leading,
                             int64_t now);
/* Leader: resume of these. */
void mp_protocol_close(struct mp_thread *thread, struct mp_conn *conn, int64_t now);

/* "a connection from 127.0.0.1:5123"; what: "connection". */
void mp_protocol_describe(const struct mp_request *request, const char *what, char *text,
                          size_t size);

/* For show: a request by its method and path, with its connection's peer. */
void mp_protocol_show(struct mp_thread *thread, const struct mp_request *request,
                      const char *method, size_t method_len, const char *path, size_t path_len,
                      int64_t now);

#endif
