/* SPDX-License-Identifier: MIT */
/*
 * What of the options a reload can change. A new zygote reads the configuration anew, in its own
 * process, and has its workers go by it; what the master itself goes by comes back in a message.
 *
 * What was made before the first fork stays as it is until the master is another: sockets, the size
 * of the shared memory (so many workers, so many threads in each), descriptors of logs.
 */
#include "master/private.h"
#include "os/clock.h"
#include "os/process.h"

static unsigned at_most(unsigned value, unsigned most)
{
    return value < most ? value : most;
}

static int64_t or_default(int64_t idle)
{
    return idle > 0 ? idle : MP_CREW_IDLE;
}

/* Of the worker's options, those that are not its own to change. */
static void keep_fixed(struct mp_worker_options *worker, const struct mp_worker_options *old,
                       unsigned threads_max)
{
    worker->protocol = old->protocol;
    worker->admission = old->admission;
    worker->access_log = old->access_log;
    worker->access_sink = old->access_sink;
    worker->log_path = old->log_path;
    worker->access_path = old->access_path;
    worker->multiprocess = old->multiprocess;
    worker->threads = at_most(worker->threads, threads_max);
    worker->threads_min = at_most(worker->threads_min, worker->threads);
}

void mp_settings_take(struct mp_master *master, const struct mp_master_options *fresh)
{
    struct mp_master_options *options = &master->options;
    const struct mp_master_options old = *options;

    *options = *fresh;
    options->workers_max = old.workers_max;
    options->control_socket = old.control_socket;
    options->title = old.title;
    options->dump_signal = old.dump_signal;
    options->log = old.log;
    options->log.level = fresh->log.level;
    options->workers = at_most(fresh->workers, old.workers_max);
    options->workers_limit = at_most(fresh->workers_limit, old.workers_max);
    if (options->workers_limit < options->workers)
        options->workers_limit = options->workers;
    options->worker.workers_most = options->workers_limit;
    keep_fixed(&options->worker, &old.worker, master->threads_max);
}

struct mp_settings mp_settings_tell(const struct mp_master *master)
{
    const struct mp_master_options *options = &master->options;

    return (struct mp_settings){.workers = options->workers,
                                .workers_limit = options->workers_limit,
                                .threads = options->worker.threads,
                                .threads_min = options->worker.threads_min,
                                .max_concurrency = options->worker.max_concurrency,
                                .connections = options->worker.connections,
                                .log_level = (uint32_t)options->log.level,
                                .preload = options->preload,
                                .workers_idle = options->workers_idle,
                                .max_lifetime = options->max_lifetime,
                                .max_memory = options->max_memory,
                                .graceful_timeout = options->graceful_timeout,
                                .load_timeout = options->load_timeout,
                                .heartbeat_timeout = options->heartbeat_timeout,
                                .request_timeout = options->worker.request_timeout};
}

/* The number of workers starts anew where its bounds, or what they are compared with, are other
 * ones; else it stays where the load, or somebody, has put it. */
static void apply_sizes(struct mp_master *master, const struct mp_settings *settings)
{
    struct mp_master_options *options = &master->options;
    unsigned most = settings->workers_limit;
    bool same = options->workers == settings->workers && options->workers_limit == most &&
                options->worker.threads == settings->threads &&
                options->workers_idle == settings->workers_idle;

    if (most < settings->workers)
        most = settings->workers;
    options->worker.threads = settings->threads;
    options->worker.threads_min = settings->threads_min;
    options->worker.workers_most = most;
    options->workers_idle = settings->workers_idle;
    if (same)
        return;
    if (options->workers != settings->workers || options->workers_limit != settings->workers_limit)
        master->target = settings->workers;
    options->workers = settings->workers;
    options->workers_limit = settings->workers_limit;
    mp_crew_sizing_init(&master->sizing, settings->workers, most, settings->threads, mp_cpu_count(),
                        or_default(settings->workers_idle), mp_clock_now());
}

void mp_settings_apply(struct mp_master *master, const struct mp_settings *settings)
{
    struct mp_master_options *options = &master->options;

    apply_sizes(master, settings);
    options->worker.max_concurrency = settings->max_concurrency;
    options->worker.connections = settings->connections;
    options->worker.request_timeout = settings->request_timeout;
    options->log.level = (enum mp_log_level)settings->log_level;
    options->preload = settings->preload;
    options->max_lifetime = settings->max_lifetime;
    options->max_memory = settings->max_memory;
    options->graceful_timeout = settings->graceful_timeout;
    options->load_timeout = settings->load_timeout;
    options->heartbeat_timeout = settings->heartbeat_timeout;
    master->limits.load_timeout = settings->load_timeout;
    master->limits.heartbeat_timeout = settings->heartbeat_timeout;
}
