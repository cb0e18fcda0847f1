/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1: the event core's own answers; see http1.h.
 */
#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "server/access_log.h"
#include "server/canned.h"
#include "server/conn.h"
#include "server/health.h"
#include "server/http1.h"
#include "server/pool.h"
#include "server/reactor.h"
#include "server/shed.h"

#define REPORT_PAUSE MP_NSEC_PER_SEC

void mp_http1_report(const struct mp_conn *conn, int64_t now, const char *what)
{
    struct mp_reactor *reactor = conn->reactor;
    const struct mp_log *log = mp_http1_server(conn)->log;
    char peer[MP_SOCKADDR_TEXT];
    mp_sockaddr_host(&conn->peer, peer, sizeof(peer));
    const char *who = peer[0] ? peer : "a UNIX socket";
    bool due = now >= reactor->refused_report_at;
    if (!due) {
        reactor->refused_unreported++;
        mp_log(log, MP_LOG_DEBUG, "client %s: %s", who, what);
        return;
    }
    if (reactor->refused_unreported > 0)
        mp_log(log, MP_LOG_INFO, "client %s: %s (and %u more since the last such line)", who, what,
               reactor->refused_unreported);
    else
        mp_log(log, MP_LOG_INFO, "client %s: %s", who, what);
    reactor->refused_unreported = 0;
    reactor->refused_report_at = now + REPORT_PAUSE;
}

static void log_refused(const struct mp_conn *conn, int status, int64_t now)
{
    struct mp_access_log *log = mp_http1_server(conn)->access_log;
    struct mp_request *request = conn->request;
    if (!log)
        return;
    if (!request || request->head_size == 0) {
        mp_access_log_refused(log, conn, status);
        return;
    }
    request->ready_at = conn->phase_start;
    mp_access_log_answered(log, request, status, 0, now);
}

/* Has an answer take the place of the request, if there is one. False: the connection is closed. */
static bool queue_canned(struct mp_thread *thread, struct mp_conn *conn,
                         const struct mp_canned *canned, int64_t now)
{
    char text[MP_CANNED_SIZE];
    if (conn->request)
        mp_pool_request_free(conn->reactor, conn->request, true);
    conn->request = NULL;
    mp_http1_begin_writing(conn, now);
    bool queued = mp_output_copy(&conn->output, text, mp_canned_make(text, canned)) == 0;
    if (!queued)
        mp_conn_close(thread, conn);
    return queued;
}

/* Whether what has been received begins a HEAD request, as far as it could be parsed or not: such a
 * request is answered without content. */
static bool is_head(const struct mp_conn *conn)
{
    const struct mp_request *request = conn->request;
    const char *text = request ? request->text : conn->stash;
    size_t n = request ? request->size : conn->stash_size;
    if (n >= 2 && memcmp(text, "\r\n", 2) == 0) {
        text += 2;
        n -= 2;
    }
    return n >= 5 && memcmp(text, "HEAD ", 5) == 0;
}

/* The event core's own answer to a request that no handler shall see; the connection ends with it.
 */
void mp_http1_refuse(struct mp_thread *thread, struct mp_conn *conn, int status, const char *reason,
                     int64_t now)
{
    struct mp_server *server = mp_http1_server(conn);
    const struct mp_canned canned = {
        .status = status, .retry_after = status == 503 ? 1 : 0, .head_only = is_head(conn)};
    char text[160];
    snprintf(text, sizeof(text), "a request refused: %d, %s", status, reason);
    mp_http1_report(conn, now, text);
    atomic_fetch_add_explicit(&server->slot->bad_requests, 1, memory_order_relaxed);
    log_refused(conn, status, now);
    conn->close_after = true;
    conn->readable = true; /* there may be more of it: linger */
    if (queue_canned(thread, conn, &canned, now))
        mp_http1_send(thread, conn, now);
}

static enum mp_canned_connection after_answer(const struct mp_conn *conn)
{
    if (conn->close_after || conn->reactor->draining ||
        mp_http1_server(conn)->options->keep_alive == 0)
        return MP_CANNED_CLOSE;
    return conn->request->head.minor == 0 ? MP_CANNED_SAY_KEEP : MP_CANNED_KEEP;
}

/*
 * The event core's own answer to a request that is whole; others may follow on the connection. What
 * is there of them waits for the leader's next turn: a client that sends many of them at once shall
 * neither be served in one go nor make us call ourselves.
 */
static void answer(struct mp_thread *thread, struct mp_conn *conn, struct mp_canned *canned,
                   int64_t now)
{
    canned->head_only = conn->request->head.method == MP_HTTP_HEAD;
    canned->connection = after_answer(conn);
    conn->close_after = canned->connection == MP_CANNED_CLOSE;
    if (!queue_canned(thread, conn, canned, now))
        return;
    if (conn->stash || conn->readable)
        mp_http1_again(conn);
    else
        mp_http1_send(thread, conn, now);
}

void mp_http1_answer_health(struct mp_thread *thread, struct mp_conn *conn, int64_t now)
{
    static const char *const words[] = {[MP_HEALTH_OK] = "ok",
                                        [MP_HEALTH_SATURATED] = "saturated",
                                        [MP_HEALTH_DRAINING] = "draining"};
    struct mp_server *server = mp_http1_server(conn);
    enum mp_health health = mp_health_of_pool(server, now);
    struct mp_canned canned = {
        .status = health == MP_HEALTH_OK ? 200 : 503,
        .text = words[health],
        .retry_after = health == MP_HEALTH_OK ? 0 : 1,
        .no_store = true,
    };
    atomic_fetch_add_explicit(&server->slot->health, 1, memory_order_relaxed);
    answer(thread, conn, &canned, now);
}

/* Out of the FIFO again, so that the leader owns what belonged to whoever would run it. */
void mp_http1_shed(struct mp_thread *thread, struct mp_request *request, int64_t now)
{
    struct mp_conn *conn = request->conn;
    struct mp_server *server = mp_http1_server(conn);
    struct mp_canned canned = {.status = 503, .retry_after = mp_shed_retry_after(server)};
    bool gone = atomic_load_explicit(&conn->gone, memory_order_relaxed);
    mp_reactor_own(conn);
    if (server->access_log)
        mp_access_log_answered(server->access_log, request, gone ? MP_STATUS_CLIENT_GONE : 503, 0,
                               now);
    if (gone)
        mp_conn_close(thread, conn);
    else
        answer(thread, conn, &canned, now);
}
