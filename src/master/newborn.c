/* SPDX-License-Identifier: MIT */
/*
 * In a worker, from its fork until it serves.
 *
 * The worker notices its master's death in two ways. The control thread sees the end of its socket
 * and ends the worker; and the kernel kills it (parent-death signal), which also reaches a worker
 * that loads its application, is stopped, or has a control thread that hangs. What is being served
 * is lost with either; with the second it is certain that nobody keeps the listening sockets.
 */
#include <stdio.h>

#include "master/private.h"
#include "os/child.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/socket.h"

static void set_name(unsigned slot)
{
    char name[16];

    snprintf(name, sizeof(name), "millpond-w%u", (slot + 1) % 100000);
    mp_thread_set_name(name);
}

/* What the program does before it serves; without preload it loads the application. */
static void begin(const struct mp_master *master, unsigned slot, int control)
{
    const struct mp_master_ops *ops = &master->ops;
    struct mp_worker_message message = {.verb = MP_WORKER_LOAD_FAILED};
    int status = ops->post_fork ? ops->post_fork(ops->data, slot) : 0;

    if (status == 0 && !master->options.preload && ops->load)
        status = ops->load(ops->data);

    if (status == 0)
        return;
    message.value = (uint32_t)status;
    (void)mp_socket_send_msg(control, &message, sizeof(message), -1);
    mp_master_leave_child(master, status, true);
}

void mp_newborn_run(const struct mp_zygote *zygote, const struct mp_zygote_message *order,
                    int control, pid_t first)
{
    const struct mp_master *master = zygote->master;
    struct mp_worker_context context = {.slot = order->slot,
                                        .generation = order->generation,
                                        .control = control,
                                        .listeners = master->listeners,
                                        .listener_count = master->listener_count,
                                        .board = master->board,
                                        .options = &master->options.worker,
                                        .log = &master->options.log};
    int zygote_end = zygote->control;
    int status;

    mp_fd_close(&zygote_end);
    if (mp_child_await_adoption(first, master->pid) ||
        mp_process_die_with_parent(SIGKILL, master->pid))
        mp_child_exit(1);
    set_name(order->slot);
    if (master->ops.after_fork_child)
        master->ops.after_fork_child(master->ops.data);
    begin(master, order->slot, control);
    context.signals = mp_signals_prepare_worker(master);
    if (context.signals < 0) {
        mp_log(&master->options.log, MP_LOG_CRITICAL, "worker %u: no descriptor for signals",
               order->slot + 1);
        mp_master_leave_child(master, 1, true);
    }
    status = master->ops.serve(master->ops.data, &context);
    mp_master_leave_child(master, status, status != MP_WORKER_EXIT_QUIT);
}
