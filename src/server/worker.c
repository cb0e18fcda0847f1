/* SPDX-License-Identifier: MIT */
/* A worker: setting up the server in its process, running it, taking it down; see worker.h. */
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/fd.h"
#include "server/access_log.h"
#include "server/access_writer.h"
#include "server/control.h"
#include "server/inspector.h"
#include "server/internal.h"
#include "server/pool.h"
#include "server/reactor.h"
#include "server/stuck.h"
#include "server/trust.h"

/* For the access log of one that is told to leave at once. */
#define LAST_LINES_PATIENCE (200 * MP_NSEC_PER_MSEC)

void mp_worker_options_init(struct mp_worker_options *options)
{
    *options = (struct mp_worker_options){
        .threads = 16,
        .connections = 16384,
        .request_timeout = 30 * MP_NSEC_PER_SEC,
        .stuck_grace = 5 * MP_NSEC_PER_SEC,
        .hang_timeout = 30 * MP_NSEC_PER_SEC,
        .header_timeout = 30 * MP_NSEC_PER_SEC,
        .body_timeout = 30 * MP_NSEC_PER_SEC,
        .body_rate = 500,
        .write_timeout = 60 * MP_NSEC_PER_SEC,
        .write_rate = 500,
        .keep_alive = 5 * MP_NSEC_PER_SEC,
        .drain_idle = 250 * MP_NSEC_PER_MSEC,
        .limits = {.line = 8190, .fields = 100, .field_size = 8190, .head = 65536},
        .chunks_max = 1000000,
        .body_max = UINT64_C(1) << 30,
        .pipelined_max = 1000,
        .keep_alive_max = 10000,
        .body_memory = 1 << 20,
        .output_memory = 1 << 20,
        .output_file = UINT64_C(1) << 30,
        .temp_files = 10000,
        .temp_size = UINT64_C(8) << 30,
        .tmp_dir = "/tmp",
        .access_log = -1,
        .proxy_allow = "127.0.0.1,::1",
        .forwarded_allow = "127.0.0.1,::1",
        .forwarded = MP_HTTP_FORWARDED_FOR | MP_HTTP_FORWARDED_PROTO,
    };
}

/* How often a connection's deadline is looked at: no later than the shortest of them. */
static int64_t shortest_timeout(const struct mp_worker_options *options)
{
    const int64_t timeouts[] = {options->header_timeout, options->body_timeout,
                                options->write_timeout, options->keep_alive,
                                options->connection_timeout};
    int64_t shortest = 30 * MP_NSEC_PER_SEC;
    for (size_t i = 0; i < mp_array_size(timeouts); i++) {
        if (timeouts[i] > 0 && timeouts[i] < shortest)
            shortest = timeouts[i];
    }
    return shortest;
}

/* The bound and its jitter: workers that were started together need not be replaced together. */
static uint64_t choose_requests_max(const struct mp_worker_context *context, int64_t now)
{
    uint64_t bound = context->options->max_requests;
    uint64_t jitter = context->options->max_requests_jitter;
    /* SplitMix64; no secret depends on it. */
    uint64_t x = (uint64_t)now + UINT64_C(0x9e3779b97f4a7c15) * (context->slot + UINT64_C(1));
    if (bound == 0)
        return UINT64_MAX;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    if (jitter < UINT64_MAX)
        x %= jitter + 1;
    return x < UINT64_MAX - bound ? bound + x : UINT64_MAX;
}

static int server_init(struct mp_server *server, const struct mp_worker_context *context,
                       const struct mp_app *app)
{
    memset(server, 0, sizeof(*server));
    server->context = context;
    server->options = context->options;
    server->app = app;
    server->log = context->log;
    server->slot = mp_scoreboard_worker(context->board, context->slot);
    server->watcher.fd = -1;
    mp_spool_init(&server->spool, server->options->tmp_dir, server->options->temp_files,
                  server->options->temp_size);
    server->requests_max = choose_requests_max(context, mp_clock_now());
    atomic_store_explicit(&server->slot->threads, context->options->threads, memory_order_relaxed);
    /* Before anybody can ask whether it lives. */
    atomic_store_explicit(&server->slot->heartbeat, mp_clock_now(), memory_order_relaxed);
    int r = mp_reactor_init(&server->reactor, server, context->options->threads);
    server->reactor.look = shortest_timeout(context->options);
    if (r == 0)
        r = mp_wakeup_init(&server->watcher);
    if (r == 0)
        r = mp_trust_new(context->options, &server->trust);
    if (r == 0)
        r = mp_stuck_new(server, &server->stuck);
    if (r == 0)
        server->inspector = mp_inspector_new(server);
    if (r == 0 && context->options->access_log >= 0)
        r = mp_access_log_new(context->options, context->slot + 1, &server->access_log);
    if (r == 0 && server->access_log)
        r = mp_access_writer_new(server->access_log, &server->access_writer);
    return r;
}

static void server_done(struct mp_server *server)
{
    mp_inspector_free(server->inspector);
    mp_stuck_free(server->stuck);
    mp_reactor_done(&server->reactor);
    mp_wakeup_done(&server->watcher);
    (void)mp_access_writer_stop(server->access_writer, -1);
    mp_access_log_free(server->access_log);
    mp_trust_free(server->trust);
}

static int serve(struct mp_server *server)
{
    int r = mp_pool_start(&server->reactor);
    if (r < 0) {
        mp_log(server->log, MP_LOG_CRITICAL, "worker %u cannot start its %u threads: %s",
               server->context->slot + 1, server->options->threads + 1, strerror(-r));
        return 1;
    }
    mp_control_tell(server->context, MP_WORKER_READY, 0);
    int status = mp_control_run(server);
    if (status != 0 && !mp_pool_close(&server->reactor.pool))
        return status; /* handlers are running and will not be waited for */
    mp_pool_stop(&server->reactor);
    return 0;
}

int mp_worker_ask_stop(const struct mp_worker_context *context)
{
    return mp_control_tell(context, MP_WORKER_STOP, 0);
}

int mp_worker_run(const struct mp_worker_context *context, const struct mp_app *app)
{
    struct mp_server *server = aligned_alloc(MP_CACHE_LINE, sizeof(*server));
    if (!server)
        return 1;
    int status = 1;
    int r = server_init(server, context, app);
    if (r < 0)
        mp_log(context->log, MP_LOG_CRITICAL, "worker %u cannot start: %s", context->slot + 1,
               strerror(-r));
    else
        status = serve(server);
    if (status == MP_WORKER_EXIT_QUIT) {
        /* Its threads still use the server, and may talk to the master; the process is about to
         * end. */
        (void)mp_access_writer_stop(server->access_writer, LAST_LINES_PATIENCE);
        return status;
    }
    server_done(server);
    free(server);
    int control = context->control;
    mp_fd_close(&control);
    return status;
}
