/* SPDX-License-Identifier: MIT */
/* What the workers show at a look of the sizing (crew_sizing.h). */
#include "master/private.h"
#include "os/process.h"
#include "os/socket.h"

/*
 * Connections that wait in the listening sockets. Where the kernel does not say, it is supposed
 * that one does, unless the protocol is HTTP: what waits of that has been accepted, as a rule, but
 * streams and datagrams wait nowhere else.
 */
static unsigned count_backlog(const struct mp_master *master)
{
    bool http = master->options.worker.protocol == MP_PROTOCOL_HTTP1;
    unsigned count = 0;

    for (size_t i = 0; i < master->listener_count; i++) {
        int waiting = mp_socket_backlog(master->listeners[i].fd);

        count += waiting < 0 ? !http : (unsigned)waiting;
    }
    return count;
}

/* Relaxed throughout: each is true of some moment just now. */
static int64_t longest_wait(struct mp_sb_worker *slot, struct mp_crew_past *past, int64_t now)
{
    uint64_t waits = atomic_load_explicit(&slot->queue_wait.count, memory_order_relaxed);
    uint64_t waited = atomic_load_explicit(&slot->queue_wait.sum, memory_order_relaxed);
    int64_t since = atomic_load_explicit(&slot->waiting_since, memory_order_relaxed);
    int64_t oldest = since > 0 && now > since ? now - since : 0;
    int64_t average = 0;

    if (waits > past->waits && waited > past->waited)
        average = (int64_t)((waited - past->waited) / (waits - past->waits));
    past->waits = waits;
    past->waited = waited;
    return oldest > average ? oldest : average;
}

static int64_t cpu_since(pid_t pid, struct mp_crew_past *past)
{
    int64_t cpu = mp_process_cpu(pid);
    int64_t used = cpu > past->cpu ? cpu - past->cpu : 0;

    past->cpu = cpu > 0 ? cpu : 0;
    return used;
}

static void see_one(struct mp_master *master, const struct mp_worker_handle *handle,
                    unsigned backlog, struct mp_crew_seen *ret_seen, int64_t now)
{
    struct mp_sb_worker *slot = mp_scoreboard_worker(master->board, handle->slot);
    struct mp_crew_past *past = &master->past[handle->slot];
    bool known = past->pid == handle->pid;

    *ret_seen = (struct mp_crew_seen){
        .waiting = atomic_load_explicit(&slot->fifo_depth, memory_order_relaxed),
        .backlog = backlog,
        .handlers = atomic_load_explicit(&slot->handlers, memory_order_relaxed),
        .computing = atomic_load_explicit(&slot->computing, memory_order_relaxed),
        .waited = longest_wait(slot, past, now),
        .cpu = cpu_since(handle->pid, past),
    };
    past->pid = handle->pid;
    if (!known) {
        ret_seen->waited = 0;
        ret_seen->cpu = 0;
    }
}

bool mp_crew_see(struct mp_master *master, unsigned *ret_count, int64_t now)
{
    unsigned backlog = (count_backlog(master) + master->target - 1) / master->target;
    unsigned count = 0;

    for (unsigned i = 0; i < master->slots; i++) {
        const struct mp_worker_handle *handle = &master->workers[i];

        if (handle->state == MP_HANDLE_READY && !handle->retiring)
            see_one(master, handle, backlog, &master->seen[count++], now);
    }
    *ret_count = count;
    return count == master->target;
}
