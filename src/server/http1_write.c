/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1: responses to the socket, and the end of a connection; see http1.h.
 */
#include <errno.h>

#include "os/clock.h"
#include "os/socket.h"
#include "server/conn.h"
#include "server/http1.h"
#include "server/protocol.h"
#include "server/reactor.h"

enum {
    LINGER_TURN = 1 << 18,  /* bytes of one connection thrown away in one turn */
    LINGER_WORTH = 1 << 16, /* bytes that are worth another pause: those of who drips are not */
    OUTPUT_TURN = 1 << 20,
};

/* How long what a client sends after its last answer is read, and how long it may pause; no longer
 * than a pause when the worker is to end. */
#define LINGER_TOTAL (30 * MP_NSEC_PER_SEC)
#define LINGER_PAUSE (2 * MP_NSEC_PER_SEC)

/* ---- the end of a connection --------------------------------------------------------------- */

/* Grants it another pause. False: it has lingered for long enough. */
static bool linger_on(struct mp_conn *conn, int64_t now)
{
    const struct mp_worker_options *options = mp_http1_server(conn)->options;
    bool draining = conn->reactor->draining != 0;
    int64_t left = conn->phase_start + (draining ? LINGER_PAUSE : LINGER_TOTAL) - now;
    int64_t pause = draining ? options->drain_idle : LINGER_PAUSE;
    if (left > 0)
        mp_reactor_set_deadline(conn, now, pause < left ? pause : left);
    mp_pace_begin(&conn->pace, now, 0);
    return left > 0;
}

/*
 * Closes our side. What the client has sent and we have not read would make the kernel answer with
 * a reset, which can overtake our last response: so it is read and thrown away for a while (RFC
 * 9112 section 9.6).
 */
void mp_http1_close(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    bool unread = conn->readable || conn->stash;
    bool lost = mp_socket_shutdown_write(conn->fd) < 0;
    if (lost || !unread) {
        mp_conn_close(thread, conn);
        return;
    }
    conn->state = MP_CONN_LINGER;
    conn->phase_start = now;
    linger_on(conn, now);
    mp_http1_linger(thread, conn, now);
}

void mp_http1_linger(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    for (unsigned turns = LINGER_TURN / MP_SCRATCH; turns > 0; turns--) {
        ssize_t r = mp_socket_recv(conn->fd, thread->scratch, MP_SCRATCH);
        if (r == -EAGAIN)
            return;
        conn->pace.moved += r > 0 ? (uint64_t)r : 0;
        if (r <= 0 || (conn->pace.moved >= LINGER_WORTH && !linger_on(conn, now))) {
            mp_conn_close(thread, conn);
            return;
        }
    }
    mp_http1_again(conn);
}

/* ---- sending ----------------------------------------------------------------------------- */

void mp_http1_begin_writing(struct mp_conn *conn, int64_t now)
{
    conn->state = MP_CONN_WRITING;
    mp_pace_begin(&conn->pace, now, mp_conn_taken(conn));
    mp_reactor_set_deadline(conn, now, mp_http1_server(conn)->options->write_timeout);
}

static void after_response(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    if (conn->close_after) {
        mp_http1_close(thread, conn, now);
        return;
    }
    conn->state = MP_CONN_IDLE;
    conn->phase_start = now;
    mp_reactor_set_deadline(conn, now, mp_http1_server(conn)->options->keep_alive);
    if (conn->stash || conn->readable)
        mp_http1_next(thread, conn, now);
}

/* Gives the connection to itself: the leader comes back to it in its next turn. */
void mp_http1_again(struct mp_conn *conn)
{
    atomic_store_explicit(&conn->gate, MP_GATE_THREAD, memory_order_relaxed);
    mp_reactor_return(conn);
}

void mp_http1_send(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    uint64_t sent = 0;
    int r = mp_output_send(&conn->output, conn->fd, NULL, 0, OUTPUT_TURN, &sent, &thread->litter);
    if (r == 0)
        after_response(thread, conn, now);
    else if (r == -EBUSY)
        mp_http1_again(conn);
    else if (r != -EAGAIN)
        mp_conn_close(thread, conn);
}

void mp_http1_push(struct mp_thread *thread, struct mp_conn *conn)
{
    uint64_t sent = 0;
    int r = 0;
    (void)thread;
    /* Said before the lock is tried: the handler asks after it has let go, so one of us sends. */
    atomic_store_explicit(&conn->push_missed, true, memory_order_seq_cst);
    if (pthread_mutex_trylock(&conn->output_lock) != 0)
        return;
    atomic_store_explicit(&conn->push_missed, false, memory_order_relaxed);
    if (atomic_load_explicit(&conn->streaming, memory_order_relaxed)) {
        r = mp_output_send(&conn->output, conn->fd, NULL, 0, OUTPUT_TURN, &sent, &conn->litter);
        if (r < 0 && r != -EAGAIN && r != -EBUSY)
            atomic_store_explicit(&conn->gone, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&conn->output_lock);
    if (r == -EBUSY)
        mp_conn_rearm(conn); /* the socket is not full: it would not call again by itself */
}
