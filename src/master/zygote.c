/* SPDX-License-Identifier: MIT */
/*
 * In the zygote: loads the application, then forks a worker for each order, until the master's end
 * of the socket is closed. One thread, no signals but SIGKILL (with which it also follows its
 * master).
 *
 * It forks twice, so that the worker becomes the master's child (its subreaper): the first child
 * forks the worker, tells the master its pid and ends; then the kernel gives the worker to the
 * master. The pid is thus in the master's socket before the master can possibly reap it.
 */
#include <errno.h>
#include <unistd.h>

#include "master/private.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/poll.h"
#include "os/process.h"
#include "os/socket.h"

pid_t mp_master_fork(const struct mp_master *master)
{
    return master->ops.fork ? master->ops.fork(master->ops.data) : mp_child_fork();
}

void mp_master_leave_child(const struct mp_master *master, int status, bool graceful)
{
    if (master->ops.exit)
        master->ops.exit(master->ops.data, status, graceful);
    mp_child_exit(status);
}

/* What the master alone has a use for. Descriptors of the program around it are the application's
 * business. */
static void close_masters_own(struct mp_master *master)
{
    mp_fd_close(&master->signal_fd);
    mp_link_close(master);
    mp_control_socket_done(&master->control);
    mp_fd_close(&master->upgrade.link);
    mp_fd_close(&master->handover.link);
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        mp_fd_close(&master->zygotes[i].control);
    for (unsigned i = 0; i < master->slots; i++)
        mp_fd_close(&master->workers[i].control);
}

/* Waits while the socket is full. A master that is gone is noticed when the next order is waited
 * for. */
static void tell_master(const struct mp_zygote *zygote, const struct mp_zygote_message *message)
{
    while (mp_socket_send_msg(zygote->control, message, sizeof(*message), -1) == -EAGAIN) {
        if (mp_poll_one(zygote->control, POLLOUT))
            return;
    }
}

static void answer(const struct mp_zygote *zygote, const struct mp_zygote_message *order,
                   uint32_t verb, pid_t pid, int status)
{
    struct mp_zygote_message message = {
        .verb = verb, .slot = order->slot, .serial = order->serial, .pid = pid, .status = status};

    tell_master(zygote, &message);
}

/* Between zygote and worker. The worker's life does not depend on it any more once it has ended. */
_Noreturn static void run_first_child(const struct mp_zygote *zygote,
                                      const struct mp_zygote_message *order, int control)
{
    pid_t self = getpid();
    pid_t pid = mp_master_fork(zygote->master);

    if (pid == 0)
        mp_newborn_run(zygote, order, control, self);
    if (pid < 0)
        answer(zygote, order, MP_ZYGOTE_SPAWN_FAILED, 0, -pid);
    else
        answer(zygote, order, MP_ZYGOTE_SPAWNED, pid, 0);
    mp_child_exit(0);
}

static void spawn(const struct mp_zygote *zygote, const struct mp_zygote_message *order,
                  int control)
{
    const struct mp_master_ops *ops = &zygote->master->ops;
    int status = 0;
    pid_t pid;

    if (ops->pre_fork)
        ops->pre_fork(ops->data, order->slot);
    if (ops->before_fork)
        ops->before_fork(ops->data);
    pid = mp_master_fork(zygote->master);
    if (pid == 0)
        run_first_child(zygote, order, control);
    if (ops->after_fork_parent)
        ops->after_fork_parent(ops->data);
    if (pid < 0) {
        answer(zygote, order, MP_ZYGOTE_SPAWN_FAILED, 0, -pid);
        return;
    }
    /* An error here: the application has SIGCHLD ignored. Then the end of the worker's socket
     * tells. */
    if (mp_process_wait(pid, &status) == pid && status != 0)
        answer(zygote, order, MP_ZYGOTE_SPAWN_FAILED, 0, ECANCELED);
}

static void check_loaded(const struct mp_zygote *zygote, int status)
{
    struct mp_zygote_message message = {.verb = MP_ZYGOTE_LOAD_FAILED, .status = status};

    if (status == 0)
        return;
    tell_master(zygote, &message);
    mp_master_leave_child(zygote->master, status, true);
}

/* Configuration, then code. fresh: with a configuration of its own, since it is not, or not any
 * more, that with which the master was started. */
static void load(const struct mp_zygote *zygote, bool fresh)
{
    const struct mp_master_ops *ops = &zygote->master->ops;
    struct mp_zygote_message message = {.verb = MP_ZYGOTE_LOADED};
    int64_t start = mp_clock_now();

    if (ops->configure)
        check_loaded(zygote, ops->configure(ops->data, fresh));
    if (zygote->master->options.preload) {
        if (ops->load)
            check_loaded(zygote, ops->load(ops->data));
        message.time = mp_clock_now() - start;
        if (ops->freeze)
            ops->freeze(ops->data);
    }
    message.settings = mp_settings_tell(zygote->master);
    tell_master(zygote, &message);
}

/* What the master lets the embedding program know. */
static void tell_program(const struct mp_zygote *zygote, const struct mp_zygote_message *message)
{
    const struct mp_master_ops *ops = &zygote->master->ops;

    if (!ops->on_event)
        return;
    if (message->verb == MP_ZYGOTE_POOL_READY)
        ops->on_event(ops->data, &(struct mp_master_event){.kind = MP_MASTER_EVENT_READY});
    else if (message->verb == MP_ZYGOTE_WORKER_ENDED)
        ops->on_event(ops->data, &(struct mp_master_event){.kind = MP_MASTER_EVENT_WORKER_ENDED,
                                                           .slot = message->slot,
                                                           .pid = message->pid,
                                                           .status = message->status});
}

/* Takes orders until there are no more. */
static void serve_orders(const struct mp_zygote *zygote)
{
    for (;;) {
        struct mp_zygote_message order;
        int control = -1;
        ssize_t n;

        if (mp_poll_one(zygote->control, POLLIN))
            return;
        n = mp_socket_recv_msg(zygote->control, &order, sizeof(order), &control);
        if (n == -EAGAIN)
            continue;
        /* -EMFILE: the order is lost, and with it the worker's socket, whose end tells the master.
         */
        if (n == -EMFILE || n == -EMSGSIZE)
            continue;
        if (n <= 0)
            return;
        if (n == sizeof(order) && order.verb == MP_ZYGOTE_SPAWN && control >= 0)
            spawn(zygote, &order, control);
        else if (n == sizeof(order) && order.verb == MP_ZYGOTE_REOPEN)
            mp_logs_reopen_quietly(zygote->master);
        else if (n == sizeof(order))
            tell_program(zygote, &order);
        mp_fd_close(&control);
    }
}

void mp_zygote_run(struct mp_master *master, struct mp_zygote_handle *handle, int control)
{
    struct mp_zygote zygote = {.master = master, .control = control};
    bool fresh = master->reloaded || handle != &master->zygotes[master->current];

    if (mp_process_die_with_parent(SIGKILL, master->pid))
        mp_child_exit(1);
    close_masters_own(master);
    mp_signals_reset_in_zygote(master);
    mp_thread_set_name("millpond-zygote");
    if (master->ops.after_fork_child)
        master->ops.after_fork_child(master->ops.data);
    load(&zygote, fresh);
    serve_orders(&zygote);
    /* Whatever its last words in Python take: clients must not wait in a queue that nobody serves,
     * and the end of control tells the master that they do not. */
    mp_listeners_close(master);
    mp_fd_close(&zygote.control);
    mp_master_leave_child(master, 0, true);
}
