/* SPDX-License-Identifier: MIT */
/*
 * The public functions: what is made before the first fork, and taken down after the last child.
 * Everything that the loop needs is allocated here, so that it cannot run out of memory later.
 */
#include "master/master.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/private.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"

enum {
    SLOTS_PER_WORKER = 2, /* each worker may have one that drains beside it */
    WORKERS_SANE = 4096,
};

void mp_master_options_init(struct mp_master_options *options)
{
    memset(options, 0, sizeof(*options));
    options->workers = 1;
    options->workers_max = mp_cpu_count();
    options->preload = true;
    options->graceful_timeout = 30 * MP_NSEC_PER_SEC;
    options->load_timeout = 300 * MP_NSEC_PER_SEC;
    options->heartbeat_timeout = 30 * MP_NSEC_PER_SEC;
    options->log = (struct mp_log){.fd = STDERR_FILENO, .level = MP_LOG_INFO};
    mp_worker_options_init(&options->worker);
}

static bool makes_sense(const struct mp_master_options *options, const struct mp_master_ops *ops)
{
    return ops->serve && options->workers >= 1 && options->workers_max >= options->workers &&
           options->workers_max >= options->workers_limit && options->workers_max <= WORKERS_SANE &&
           options->worker.threads >= 1 && options->max_lifetime >= 0 &&
           options->graceful_timeout >= 0 && options->load_timeout >= 0 &&
           options->heartbeat_timeout >= 0;
}

static void init_sizing(struct mp_master *master, const struct mp_master_options *options)
{
    unsigned most = options->workers_limit;

    if (most < options->workers)
        most = options->workers;
    mp_crew_sizing_init(
        &master->sizing, options->workers, most, options->worker.threads, mp_cpu_count(),
        options->workers_idle > 0 ? options->workers_idle : MP_CREW_IDLE, mp_clock_now());
    master->options.workers_limit = most;
    master->options.worker.workers_most = most;
}

static void init(struct mp_master *master, const struct mp_master_options *options,
                 const struct mp_master_ops *ops)
{
    master->options = *options;
    master->ops = *ops;
    if (options->workers_max > 1)
        master->options.worker.multiprocess = true;
    master->limits = (struct mp_handle_limits){.load_timeout = options->load_timeout,
                                               .heartbeat_timeout = options->heartbeat_timeout};
    master->link = -1;
    master->upgrade.link = -1;
    master->upgrade.deadline = MP_HANDLE_NEVER;
    master->handover.link = -1;
    master->parent_fd = -1;
    master->signal_fd = -1;
    mp_control_socket_init(&master->control);
    master->slots = options->workers_max * SLOTS_PER_WORKER;
    master->target = options->workers;
    init_sizing(master, options);
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        mp_zygote_handle_init(&master->zygotes[i], i == 0 ? mp_clock_now() : MP_HANDLE_NEVER);
    master->zygotes[0].code = master->codes = 1;
    master->reload.prover = MP_RELOAD_NOBODY;
    master->threads_max = options->worker.threads;
}

int mp_master_new(const struct mp_master_options *options, const struct mp_master_ops *ops,
                  struct mp_master **ret_master)
{
    struct mp_master *master;
    int err = -ENOMEM;

    if (!makes_sense(options, ops))
        return -EINVAL;
    master = calloc(1, sizeof(*master));
    if (!master)
        return -ENOMEM;
    init(master, options, ops);
    master->workers = calloc(master->slots, sizeof(*master->workers));
    master->polls =
        calloc(master->slots + MP_POLL_WORKERS + MP_CONTROL_POLLS, sizeof(*master->polls));
    master->poll_slots = calloc(master->slots + MP_POLL_WORKERS, sizeof(*master->poll_slots));
    master->seen = calloc(master->slots, sizeof(*master->seen));
    master->past = calloc(master->slots, sizeof(*master->past));
    if (!master->workers || !master->polls || !master->poll_slots || !master->seen || !master->past)
        goto fail;
    for (unsigned i = 0; i < master->slots; i++)
        mp_worker_handle_init(&master->workers[i], i);
    master->oom_kills = mp_memory_oom_kills();
    /* The pool has a thread more than handlers may run: the one that leads meanwhile. */
    err =
        mp_scoreboard_new(master->slots, mp_worker_places(options->worker.threads), &master->board);
    if (err)
        goto fail;
    err = mp_logs_init(master);
    if (err)
        goto fail;
    *ret_master = master;
    return 0;
fail:
    mp_master_free(master);
    return err;
}

/* Only those of processes that not even SIGKILL has ended are still open. */
static void close_controls(struct mp_master *master)
{
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        mp_fd_close(&master->zygotes[i].control);
    for (unsigned i = 0; i < master->slots; i++)
        mp_fd_close(&master->workers[i].control);
}

/* True: nothing has begun, and nothing is left but the sockets. */
static bool cannot_begin(struct mp_master *master)
{
    const struct mp_log *log = &master->options.log;
    int err = mp_signals_take(master);

    if (err) {
        mp_log(log, MP_LOG_CRITICAL, "cannot take over the signals: %s", strerrordesc_np(-err));
        return true;
    }
    err = mp_child_subreaper(true, &master->was_subreaper);
    if (err) {
        mp_log(log, MP_LOG_CRITICAL, "cannot become a subreaper: %s", strerrordesc_np(-err));
        mp_signals_give_back(master);
        return true;
    }
    return false;
}

int mp_master_run(struct mp_master *master)
{
    master->pid = getpid();
    if (cannot_begin(master)) {
        mp_link_tell(master, MP_LINK_FAILED, 1);
        mp_link_close(master);
        return 1;
    }
    master->started = mp_clock_now();
    mp_notify_init(master, master->started);
    mp_handover_done(master);
    mp_handover_begin(master);
    if (!master->handover.pending)
        mp_control_socket_open(master, false);
    mp_loop_run(master);
    mp_control_socket_done(&master->control);
    close_controls(master);
    mp_fd_close(&master->upgrade.link);
    mp_fd_close(&master->handover.link);
    mp_listeners_close(master);
    (void)mp_child_subreaper(master->was_subreaper, NULL);
    mp_signals_give_back(master);
    mp_link_close(master);
    return master->exit_status;
}

void mp_master_free(struct mp_master *master)
{
    if (!master)
        return;
    mp_signals_give_back(master); /* taken only if it was embedded, and did not run */
    mp_link_close(master);
    mp_control_socket_done(&master->control);
    mp_handover_done(master);
    mp_listeners_done(master);
    mp_logs_done(master);
    mp_scoreboard_free(master->board);
    free(master->past);
    free(master->seen);
    free(master->poll_slots);
    free(master->polls);
    free(master->workers);
    free(master);
}

void mp_master_set_options(struct mp_master *master, const struct mp_master_options *options)
{
    mp_settings_take(master, options);
}

const struct mp_log *mp_master_log(const struct mp_master *master)
{
    return &master->options.log;
}

struct mp_scoreboard *mp_master_board(struct mp_master *master)
{
    return master->board;
}

const struct mp_listen_socket *mp_master_listeners(const struct mp_master *master,
                                                   size_t *ret_count)
{
    *ret_count = master->listener_count;
    return master->listeners;
}
