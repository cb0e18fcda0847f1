/* SPDX-License-Identifier: MIT */
/*
 * The workers as a set: how many there are to be, which slot comes next, who leaves.
 *
 * The number is kept by comparing what is with what shall be, at every step of the loop, and not by
 * reacting to single events: whatever happened meanwhile, balance() finds what is missing or too
 * much.
 */
#include <errno.h>
#include <stdio.h>

#include "master/private.h"
#include "master/report.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/socket.h"
#include "scoreboard/seats.h"

/* A worker that is told to leave before it serves has nothing to finish. */
#define STARTING_LEAVE_TIMEOUT MP_NSEC_PER_SEC
/* The zygote's socket takes no more orders for the moment. */
#define ORDER_PAUSE (100 * MP_NSEC_PER_MSEC)

static int64_t beat_of(const struct mp_master *master, const struct mp_worker_handle *handle)
{
    return atomic_load_explicit(&mp_scoreboard_worker(master->board, handle->slot)->heartbeat,
                                memory_order_relaxed);
}

static void show_state(struct mp_master *master, const struct mp_worker_handle *handle,
                       enum mp_sb_worker_state state)
{
    atomic_store_explicit(&mp_scoreboard_worker(master->board, handle->slot)->state,
                          (uint32_t)state, memory_order_relaxed);
}

static unsigned count_active(const struct mp_master *master)
{
    unsigned count = 0;

    for (unsigned i = 0; i < master->slots; i++)
        count += mp_worker_handle_active(&master->workers[i]);
    return count;
}

static struct mp_worker_handle *find_free(struct mp_master *master)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].state == MP_HANDLE_FREE)
            return &master->workers[i];
    }
    return NULL;
}

static struct mp_worker_handle *successor_of(struct mp_master *master,
                                             const struct mp_worker_handle *retiring)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].replaces == (int)retiring->slot)
            return &master->workers[i];
    }
    return NULL;
}

/* A worker that retires and that nobody is to replace yet. */
static struct mp_worker_handle *find_unreplaced(struct mp_master *master)
{
    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (handle->state == MP_HANDLE_READY && handle->retiring && !successor_of(master, handle))
            return handle;
    }
    return NULL;
}

/* Old code before new, and otherwise the one that was started last. */
static bool goes_before(const struct mp_worker_handle *one, const struct mp_worker_handle *other)
{
    if (one->code != other->code)
        return one->code < other->code;
    return one->started > other->started;
}

/* Whom to let go first: one that serves nobody, because it does not exist yet or has been killed,
 * then one of older code, then the one started last. One whose pid is not known cannot be told
 * apart from one that never comes: it is passed over until it is known. */
static struct mp_worker_handle *find_youngest(struct mp_master *master)
{
    struct mp_worker_handle *youngest = NULL;

    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (!mp_worker_handle_active(handle) || handle->state == MP_HANDLE_SPAWNING)
            continue;
        if (handle->state == MP_HANDLE_WAITING || handle->state == MP_HANDLE_KILLED)
            return handle;
        if (!youngest || goes_before(handle, youngest))
            youngest = handle;
    }
    return youngest;
}

static void note_replaced(struct mp_worker_handle *handle, const struct mp_worker_handle *retiring,
                          int64_t now)
{
    handle->replaces = (int)retiring->slot;
    handle->old_slot = retiring->slot;
    handle->old_pid = retiring->pid;
    handle->old_time = now;
}

static void want_one(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    const struct mp_worker_handle *retiring = find_unreplaced(master);

    mp_worker_handle_want(handle, now);
    if (retiring)
        note_replaced(handle, retiring, now);
}

void mp_crew_free_seats(struct mp_master *master, const struct mp_worker_handle *handle)
{
    if (handle->state == MP_HANDLE_FREE)
        mp_seats_set(master->board, handle->slot, 0);
}

static void unwant(struct mp_master *master, struct mp_worker_handle *handle)
{
    mp_worker_handle_unwant(handle);
    mp_crew_free_seats(master, handle);
}

/* One that is wanted in the place of another, which retires and serves as long as nobody comes. */
static struct mp_worker_handle *find_waiting_successor(struct mp_master *master)
{
    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (handle->state == MP_HANDLE_WAITING && handle->replaces >= 0)
            return handle;
    }
    return NULL;
}

/* A slot of one that drains will be free; that of a successor which dies again and again will not:
 * it gives way, or the new code, which may be the remedy, would never get its turn. */
struct mp_worker_handle *mp_crew_add_prover(struct mp_master *master, int64_t now)
{
    struct mp_worker_handle *handle = find_free(master);

    if (!handle) {
        handle = find_waiting_successor(master);
        if (!handle)
            return NULL;
        unwant(master, handle);
    }
    mp_worker_handle_want(handle, now);
    handle->proving = true;
    return handle;
}

static void let_go(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    if (handle->state == MP_HANDLE_WAITING) {
        unwant(master, handle);
        return;
    }
    handle->replaces = -1;
    if (handle->state == MP_HANDLE_KILLED) {
        handle->asked_to_leave = true; /* ends anyhow, and nobody comes after it */
        return;
    }
    mp_crew_drain(master, handle, false, now + master->options.graceful_timeout);
}

static void balance(struct mp_master *master, int64_t now)
{
    unsigned active = count_active(master);
    struct mp_worker_handle *handle;

    for (; active < master->target && (handle = find_free(master)); active++)
        want_one(master, handle, now);
    for (; active > master->target && (handle = find_youngest(master)); active--)
        let_go(master, handle, now);
    /* A retiring worker has a successor, unless the pool has shrunk since: then it is the one to
     * go. */
    while (active >= master->target && (handle = find_unreplaced(master)))
        mp_crew_drain(master, handle, false, now + master->options.graceful_timeout);
}

/*
 * Whether a worker may be ordered now. Without preload the first one goes ahead alone until an
 * application has once been loaded: an application that cannot be loaded says so once, and ends the
 * program.
 */
static bool may_spawn(struct mp_master *master, const struct mp_worker_handle *handle)
{
    if (mp_reload_zygote_for(master, handle)->state != MP_ZYGOTE_WAITING)
        return false;
    if (master->options.preload || master->ever_ready)
        return true;
    for (unsigned i = 0; i < master->slots; i++) {
        if (mp_worker_handle_alive(&master->workers[i]))
            return false;
    }
    return true;
}

void mp_crew_refused(struct mp_master *master, struct mp_worker_handle *handle, int error,
                     int64_t now)
{
    int64_t delay = mp_backoff_refused(&handle->refusals);
    char text[32];

    if (handle->refusals.stepped && !handle->asked_to_leave)
        mp_log(&master->options.log, MP_LOG_WARNING,
               "worker %u cannot be started: %s; next try in %s", MP_WORKER_NUMBER(handle),
               strerrordesc_np(error), mp_report_duration(delay, text, sizeof(text)));
    mp_fd_close(&handle->control);
    show_state(master, handle, MP_SB_WORKER_FREE);
    mp_worker_handle_refused(handle, now + delay);
    mp_crew_free_seats(master, handle);
}

/*
 * Of the bound on all threads: those that a worker begins with, as far as there are any, and one in
 * any case: who replaces another must be able to serve before that one leaves.
 */
static void take_seats(struct mp_master *master, unsigned slot, unsigned seats)
{
    unsigned bound = master->options.worker.max_concurrency;
    unsigned first = mp_growth_first_threads(master);

    if (bound == 0)
        return;
    mp_seats_set(master->board, slot, seats);
    if (seats < first)
        seats += mp_seats_take(master->board, slot, first - seats, bound);
    if (seats == 0)
        mp_seats_set(master->board, slot, 1);
}

static void prepare_slot(struct mp_master *master, const struct mp_worker_handle *handle,
                         unsigned generation, int64_t now)
{
    struct mp_sb_worker *slot = mp_scoreboard_worker(master->board, handle->slot);

    unsigned seats = mp_seats_of(master->board, handle->slot);

    mp_scoreboard_reset_worker(master->board, handle->slot);
    take_seats(master, handle->slot, seats);
    atomic_store_explicit(&slot->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&slot->started, now, memory_order_relaxed);
    show_state(master, handle, MP_SB_WORKER_STARTING);
}

static void spawn(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    struct mp_zygote_message order = {.verb = MP_ZYGOTE_SPAWN, .slot = handle->slot};
    struct mp_zygote_handle *zygote = mp_reload_zygote_for(master, handle);
    int fds[2];
    int err = mp_socket_pair(fds);

    if (err) {
        mp_crew_refused(master, handle, -err, now);
        return;
    }
    order.serial = ++master->serial;
    order.generation = zygote->generation;
    prepare_slot(master, handle, zygote->generation, now);
    err = mp_zygote_handle_order(zygote, &order, fds[1]);
    mp_fd_close(&fds[1]);
    if (err) {
        mp_fd_close(&fds[0]);
        show_state(master, handle, MP_SB_WORKER_FREE);
        handle->due = now + ORDER_PAUSE;
        return;
    }
    mp_worker_handle_asked(handle, order.serial, fds[0], now);
    handle->generation = order.generation;
    handle->code = zygote->code;
}

static void tell(struct mp_worker_handle *handle, uint32_t verb, bool stopping)
{
    struct mp_worker_message message = {.verb = verb, .value = stopping ? 1 : 0};

    /* A failure means that it is gone, or does not read: the deadline takes care of either. */
    if (handle->control >= 0)
        (void)mp_socket_send_msg(handle->control, &message, sizeof(message), -1);
}

void mp_crew_drain(struct mp_master *master, struct mp_worker_handle *handle, bool stopping,
                   int64_t deadline)
{
    tell(handle, MP_WORKER_DRAIN, stopping);
    mp_worker_handle_leave(handle, deadline);
    show_state(master, handle, MP_SB_WORKER_DRAINING);
}

/* Has the listening sockets, and serves nobody. */
static bool is_starting(const struct mp_worker_handle *handle)
{
    return mp_worker_handle_alive(handle) && handle->ready_at == 0 && !handle->lost;
}

static void stop_one(struct mp_master *master, struct mp_worker_handle *handle, uint32_t verb,
                     int64_t now, int64_t deadline)
{
    if (is_starting(handle) && deadline > now + STARTING_LEAVE_TIMEOUT)
        deadline = now + STARTING_LEAVE_TIMEOUT;
    switch (handle->state) {
    case MP_HANDLE_FREE:
    case MP_HANDLE_KILLED:
        return;
    case MP_HANDLE_WAITING:
        mp_worker_handle_unwant(handle);
        return;
    case MP_HANDLE_SPAWNING:
    case MP_HANDLE_STARTING:
    case MP_HANDLE_READY:
        break;
    case MP_HANDLE_DRAINING:
        if (deadline > handle->deadline)
            deadline = handle->deadline;
        break;
    }
    if (handle->stopped_at != 0) /* or it has the sockets, and hears nothing, until it is killed */
        (void)mp_process_kill(handle->pid, SIGCONT);
    /* Unless others serve what waits in the kernel. */
    tell(handle, verb, !mp_upgrade_has_followed(master));
    mp_worker_handle_leave(handle, deadline);
    show_state(master, handle, MP_SB_WORKER_DRAINING);
}

void mp_crew_dismiss(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    handle->proving = false;
    if (handle->state == MP_HANDLE_WAITING)
        unwant(master, handle);
    else
        stop_one(master, handle, MP_WORKER_QUIT, now, now + STARTING_LEAVE_TIMEOUT);
}

void mp_crew_stop(struct mp_master *master, uint32_t verb, int64_t now, int64_t deadline)
{
    for (unsigned i = 0; i < master->slots; i++)
        stop_one(master, &master->workers[i], verb, now, deadline);
}

void mp_crew_stop_starting(struct mp_master *master, int64_t now, int64_t deadline)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (is_starting(&master->workers[i]))
            stop_one(master, &master->workers[i], MP_WORKER_DRAIN, now, deadline);
    }
}

bool mp_crew_has_starting(const struct mp_master *master)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (is_starting(&master->workers[i]))
            return true;
    }
    return false;
}

void mp_crew_kill(struct mp_master *master, struct mp_worker_handle *handle, const char *why,
                  int64_t now)
{
    char serving[MP_REPORT_SERVING_SIZE];

    /* Not known yet, or reaped: a worker that nobody hears of ends when its control socket is
     * closed. */
    if (handle->pid <= 0)
        return;
    if (why)
        mp_log(&master->options.log, MP_LOG_ERROR, "worker %u (pid %d) killed: %s.%s",
               MP_WORKER_NUMBER(handle), (int)handle->pid, why,
               mp_report_serving(master->board, handle->slot, now, serving, sizeof(serving)));
    (void)mp_process_kill(handle->pid, SIGKILL);
    mp_worker_handle_killed(handle, now);
}

void mp_crew_kill_all(struct mp_master *master, const char *why, int64_t now)
{
    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (handle->state == MP_HANDLE_WAITING)
            mp_worker_handle_unwant(handle);
        else if (handle->state == MP_HANDLE_SPAWNING)
            mp_worker_handle_leave(handle, now);
        else if (handle->state != MP_HANDLE_FREE && handle->state != MP_HANDLE_KILLED)
            mp_crew_kill(master, handle, why, now);
    }
}

static void kill_late(struct mp_master *master, struct mp_worker_handle *handle, const char *format,
                      int64_t limit, int64_t now)
{
    char time[32];
    char why[96];

    snprintf(why, sizeof(why), format, mp_report_duration(limit, time, sizeof(time)));
    mp_crew_kill(master, handle, why, now);
}

/* Its heart does not beat. Before it is killed it is told to say where its threads stand, which
 * goes into the log; a stopped process cannot. */
static void on_silent(struct mp_master *master, struct mp_worker_handle *handle, int64_t silence,
                      int64_t now)
{
    bool stopped = mp_process_is_stopped(handle->pid);
    char time[32];

    if (!stopped && !handle->dumped && master->options.dump_signal != 0) {
        mp_log(&master->options.log, MP_LOG_ERROR,
               "worker %u (pid %d): its heart has not beaten for %s. Its threads are here:",
               MP_WORKER_NUMBER(handle), (int)handle->pid,
               mp_report_duration(silence, time, sizeof(time)));
        (void)mp_process_kill(handle->pid, master->options.dump_signal);
        mp_worker_handle_dumped(handle, now);
        return;
    }
    kill_late(master, handle,
              stopped ? "its heart has not beaten for %s, because the process is stopped"
                      : "its heart has not beaten for %s",
              silence, now);
}

/* Until its answers have ended, the order stands. */
static void on_unanswered(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    struct mp_zygote_handle *zygote = mp_zygote_of_generation(master, handle->generation);

    handle->started = now;
    if (!zygote)
        return;
    mp_log(&master->options.log, MP_LOG_ERROR, "the zygote (pid %d) does not answer: killed",
           (int)zygote->pid);
    mp_zygote_handle_kill(zygote);
}

static void look(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    int64_t beat = beat_of(master, handle);

    switch (mp_worker_handle_look(handle, &master->limits, beat, now)) {
    case MP_LOOK_NOTHING:
        break;
    case MP_LOOK_SPAWN:
        if (may_spawn(master, handle))
            spawn(master, handle, now);
        break;
    case MP_LOOK_UNANSWERED:
        on_unanswered(master, handle, now);
        break;
    case MP_LOOK_LATE:
        kill_late(master, handle, "not ready within %s", master->limits.load_timeout, now);
        break;
    case MP_LOOK_LOST:
        mp_crew_on_lost(master, handle, now);
        show_state(master, handle, MP_SB_WORKER_DRAINING);
        break;
    case MP_LOOK_SILENT:
        on_silent(master, handle, now - (beat ? beat : handle->ready_at), now);
        break;
    case MP_LOOK_OVERDUE:
        if (handle->ready_at)
            kill_late(master, handle, "not finished within %s", master->options.graceful_timeout,
                      now);
        else
            mp_crew_kill(master, handle, "told to leave while it was starting", now);
        break;
    }
}

/* ---- how many ----------------------------------------------------------------------------- */

static void resize_by_need(struct mp_master *master, int64_t now)
{
    unsigned count;
    int change;

    if (!mp_crew_sizing_is_open(&master->sizing) || now < master->sizing.look_at)
        return;
    if (!mp_crew_see(master, &count, now)) {
        mp_crew_sizing_skip(&master->sizing, now);
        return;
    }
    change = mp_crew_sizing_look(&master->sizing, master->seen, count, now);
    if (change == 0 || (change > 0 && !mp_growth_allowed(master, now)))
        return;
    master->target += (unsigned)change;
    mp_log(&master->options.log, MP_LOG_INFO, "%u workers from now on: %s", master->target,
           change > 0 ? "all were busy, and requests waited"
                      : (change < -1 ? "some have not been needed" : "one has not been needed"));
}

void mp_crew_tick(struct mp_master *master, int64_t now)
{
    if (master->stage == MP_STAGE_RUNNING) {
        resize_by_need(master, now);
        mp_recycle_tick(master, now);
        balance(master, now);
    }
    for (unsigned i = 0; i < master->slots; i++)
        look(master, &master->workers[i], now);
    mp_crew_announce(master);
}

int64_t mp_crew_next_look(struct mp_master *master)
{
    bool sizing = mp_crew_sizing_is_open(&master->sizing) && master->stage == MP_STAGE_RUNNING;
    int64_t next = mp_recycle_next_look(master);

    if (sizing && master->sizing.look_at < next)
        next = master->sizing.look_at;
    for (unsigned i = 0; i < master->slots; i++) {
        const struct mp_worker_handle *handle = &master->workers[i];
        int64_t look;

        /* One that waits for more than time is looked at when that has come. */
        if (handle->state == MP_HANDLE_WAITING && !may_spawn(master, handle))
            continue;
        look = mp_worker_handle_next_look(handle, &master->limits, beat_of(master, handle));
        if (look < next)
            next = look;
    }
    return next;
}

bool mp_crew_is_empty(const struct mp_master *master)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].state != MP_HANDLE_FREE)
            return false;
    }
    return true;
}

/* The bounds move with the number, so that it is not taken back when the load is over. */
int mp_crew_resize(struct mp_master *master, int by, const char *who)
{
    unsigned target = master->target + (unsigned)by;

    if (master->stage != MP_STAGE_RUNNING)
        return -ESHUTDOWN;
    if (target < 1 || target > master->options.workers_max) {
        mp_log(&master->options.log, MP_LOG_WARNING, "%s: there are %u workers, of 1 to %u", who,
               master->target, master->options.workers_max);
        return -ERANGE;
    }
    if (by > 0 && !mp_growth_has_seats(master)) {
        mp_log(&master->options.log, MP_LOG_WARNING,
               "%s: there are %u workers, and max-concurrency %u leaves no room for another", who,
               master->target, master->options.worker.max_concurrency);
        return -ENOSPC;
    }
    mp_crew_sizing_shift(&master->sizing, by);
    if (master->sizing.most > master->options.workers_max)
        master->sizing.most = master->options.workers_max;
    master->target = target;
    if (mp_crew_sizing_is_open(&master->sizing))
        mp_log(&master->options.log, MP_LOG_INFO, "%s: %u workers from now on, of %u to %u", who,
               target, master->sizing.least, master->sizing.most);
    else
        mp_log(&master->options.log, MP_LOG_INFO, "%s: %u workers from now on", who, target);
    return 0;
}

void mp_crew_announce(struct mp_master *master)
{
    struct mp_master_ready ready = {.threads = master->options.worker.threads,
                                    .load_time = master->zygotes[master->current].load_time,
                                    .listeners = master->listeners,
                                    .listener_count = master->listener_count};

    if (master->announced || master->stage != MP_STAGE_RUNNING)
        return;
    for (unsigned i = 0; i < master->slots; i++)
        ready.workers +=
            master->workers[i].state == MP_HANDLE_READY && !master->workers[i].retiring;
    if (ready.workers < master->target)
        return;
    master->announced = true;
    mp_handover_claim(master);
    mp_link_tell(master, MP_LINK_READY, ready.workers);
    mp_zygote_tell(master, MP_ZYGOTE_POOL_READY, NULL, 0);
    if (master->ops.on_ready)
        master->ops.on_ready(master->ops.data, &ready);
    mp_notify_ready(master, mp_clock_now());
}
