/* SPDX-License-Identifier: MIT */
/*
 * A zygote, seen from the master: started, asked, told to leave, and started again when it has
 * died. There is one that takes the orders, the current one, and, while a reload goes on, a second
 * (reload.c), which is started once and never again.
 *
 *   ABSENT --start--> LOADING --LOADED--> WAITING --leave, kill--> LEAVING
 *     ^                  | LOAD_FAILED, kill                          |
 *     |                  +------------------------------------------->|
 *     +---- reaped, and its socket has ended (from any state) --------+
 *
 * Death is two events in any order: it is reaped, and its socket ends. The socket may stay open a
 * moment longer, in the first child of a fork that is under way, whose answer is yet to come: the
 * zygote is ABSENT, and unanswered orders are given to the next, only after both.
 */
#include <errno.h>

#include "master/private.h"
#include "master/report.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/socket.h"

/* A process that the application has forked while it was loaded may hold the socket for ever. */
#define SOCKET_END_TIMEOUT MP_NSEC_PER_SEC
#define LEAVE_TIMEOUT (5 * MP_NSEC_PER_SEC)

void mp_zygote_handle_init(struct mp_zygote_handle *zygote, int64_t now)
{
    zygote->state = MP_ZYGOTE_ABSENT;
    zygote->pid = 0;
    zygote->control = -1;
    zygote->due = now;
    zygote->started = 0;
    zygote->loaded_at = 0;
    zygote->deadline = 0;
    zygote->reaped_at = 0;
    zygote->told_to_leave = false;
    zygote->killed = false;
    zygote->load_status = 0;
}

static bool is_current(const struct mp_master *master, const struct mp_zygote_handle *zygote)
{
    return zygote == &master->zygotes[master->current];
}

struct mp_zygote_handle *mp_zygote_of_generation(struct mp_master *master, unsigned generation)
{
    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        struct mp_zygote_handle *zygote = &master->zygotes[i];

        if (zygote->state != MP_ZYGOTE_ABSENT && zygote->generation == generation)
            return zygote;
    }
    return NULL;
}

static void refused(struct mp_master *master, struct mp_zygote_handle *zygote, int error,
                    int64_t now)
{
    int64_t delay = mp_backoff_refused(&zygote->refusals);
    char text[32];

    if (!is_current(master, zygote)) {
        zygote->due = MP_HANDLE_NEVER;
        mp_reload_failed(master, "no process for the new zygote", strerrordesc_np(error), now);
        return;
    }
    zygote->due = now + delay;
    if (zygote->refusals.stepped)
        mp_log(&master->options.log, MP_LOG_WARNING,
               "the zygote cannot be started: %s; next try in %s", strerrordesc_np(error),
               mp_report_duration(delay, text, sizeof(text)));
}

void mp_zygote_handle_start(struct mp_master *master, struct mp_zygote_handle *zygote, int64_t now)
{
    const struct mp_master_ops *ops = &master->ops;
    int fds[2];
    int err = mp_socket_pair(fds);
    pid_t pid;

    if (err) {
        refused(master, zygote, -err, now);
        return;
    }
    zygote->generation = ++master->generations;
    if (!is_current(master, zygote))
        zygote->code = ++master->codes;
    if (ops->before_fork)
        ops->before_fork(ops->data);
    pid = mp_master_fork(master);
    if (pid == 0) {
        mp_fd_close(&fds[0]);
        mp_zygote_run(master, zygote, fds[1]);
    }
    if (ops->after_fork_parent)
        ops->after_fork_parent(ops->data);
    mp_fd_close(&fds[1]);
    if (pid < 0) {
        mp_fd_close(&fds[0]);
        refused(master, zygote, -pid, now);
        return;
    }
    mp_backoff_init(&zygote->refusals);
    zygote->state = MP_ZYGOTE_LOADING;
    zygote->pid = pid;
    zygote->control = fds[0];
    zygote->started = now;
}

static void on_loaded(struct mp_master *master, struct mp_zygote_handle *zygote,
                      const struct mp_zygote_message *message, int64_t now)
{
    char text[32];

    if (zygote->state != MP_ZYGOTE_LOADING)
        return;
    zygote->state = MP_ZYGOTE_WAITING;
    zygote->loaded_at = now;
    zygote->load_time = message->time;
    if (!is_current(master, zygote)) {
        zygote->settings = message->settings;
        mp_reload_on_loaded(master, now);
        return;
    }
    if (master->reloaded) /* it has read the configuration, too */
        mp_settings_apply(master, &message->settings);
    if (master->ever_loaded)
        mp_log(&master->options.log, MP_LOG_INFO, "a new zygote (pid %d) is ready after %s",
               (int)zygote->pid, mp_report_duration(now - zygote->started, text, sizeof(text)));
    master->ever_loaded = true;
}

static void on_load_failed(struct mp_master *master, struct mp_zygote_handle *zygote,
                           const struct mp_zygote_message *message, int64_t now)
{

    if (zygote->state != MP_ZYGOTE_LOADING)
        return;
    zygote->load_status = message->status ? message->status : 1;
    zygote->state = MP_ZYGOTE_LEAVING;
    zygote->deadline = now + LEAVE_TIMEOUT;
    if (!is_current(master, zygote))
        mp_reload_failed(master, mp_report_load_failure(message->status), NULL, now);
    else if (!master->ever_loaded)
        mp_stop_failed(master, zygote->load_status, now);
}

static void on_message(struct mp_master *master, struct mp_zygote_handle *zygote,
                       const struct mp_zygote_message *message, int64_t now)
{
    switch (message->verb) {
    case MP_ZYGOTE_LOADED:
        on_loaded(master, zygote, message, now);
        break;
    case MP_ZYGOTE_LOAD_FAILED:
        on_load_failed(master, zygote, message, now);
        break;
    case MP_ZYGOTE_SPAWNED:
        mp_crew_on_spawned(master, message, now);
        break;
    case MP_ZYGOTE_SPAWN_FAILED:
        mp_crew_on_spawn_failed(master, message, now);
        break;
    default:
        break;
    }
}

/* Both halves of its death have been seen. */
static void finish(struct mp_master *master, struct mp_zygote_handle *zygote, int64_t now)
{
    int64_t lived = zygote->loaded_at ? zygote->reaped_at - zygote->loaded_at : -1;
    int64_t delay = mp_backoff_died(&zygote->deaths, lived);
    bool current = is_current(master, zygote);
    char text[32];

    mp_fd_close(&zygote->control);
    mp_zygote_handle_init(zygote, current ? now + delay : MP_HANDLE_NEVER);
    mp_crew_on_zygote_gone(master, zygote->generation, now);
    if (!current) {
        mp_backoff_init(&zygote->deaths);
        return;
    }
    if (master->stage == MP_STAGE_RUNNING && zygote->deaths.stepped)
        mp_log(&master->options.log, MP_LOG_WARNING,
               "the zygote has died %u times in a row soon after its start: waiting %s before the "
               "next",
               zygote->deaths.failures, mp_report_duration(delay, text, sizeof(text)));
}

/* Its socket has ended. It closes it when it was told to leave, and has until its deadline then.
 * Otherwise it is dying, or the application has
 * closed what was not its own and the zygote is of no use any more. */
static void on_socket_end(struct mp_zygote_handle *zygote)
{
    mp_fd_close(&zygote->control);
    if (!zygote->reaped_at && !zygote->told_to_leave)
        (void)mp_process_kill(zygote->pid, SIGKILL); /* no effect on one that is already ending */
}

static void read_messages(struct mp_master *master, struct mp_zygote_handle *zygote, int64_t now)
{

    while (zygote->control >= 0) {
        struct mp_zygote_message message;
        ssize_t n = mp_socket_recv_msg(zygote->control, &message, sizeof(message), NULL);

        if (n == -EAGAIN)
            return;
        if (n == -EMSGSIZE || (n > 0 && n != sizeof(message)))
            continue;
        if (n <= 0)
            on_socket_end(zygote);
        else
            on_message(master, zygote, &message, now);
    }
}

static void finish_if_both(struct mp_master *master, struct mp_zygote_handle *zygote, int64_t now)
{
    if (zygote->reaped_at && zygote->control < 0)
        finish(master, zygote, now);
}

void mp_zygote_handle_read(struct mp_master *master, int64_t now)
{
    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        read_messages(master, &master->zygotes[i], now);
        finish_if_both(master, &master->zygotes[i], now);
    }
}

static unsigned count_serving(const struct mp_master *master)
{
    unsigned count = 0;

    for (unsigned i = 0; i < master->slots; i++)
        count += master->workers[i].state == MP_HANDLE_READY;
    return count;
}

/* It was not told to leave. */
static void report_death(struct mp_master *master, struct mp_zygote_handle *zygote, int status,
                         uint64_t peak, int64_t now)
{
    const struct mp_log *log = &master->options.log;
    char death[MP_REPORT_DEATH_SIZE];

    mp_report_death(status, zygote->killed ? MP_KILLER_MASTER : mp_crew_killer(master, status, now),
                    peak, death, sizeof(death));
    if (!is_current(master, zygote))
        mp_reload_failed(master, "the new zygote has died", death, now);
    else if (zygote->load_status && master->ever_loaded)
        mp_log(log, MP_LOG_ERROR,
               "a new zygote could not load the application; %u workers go on serving",
               count_serving(master));
    else if (zygote->load_status)
        return; /* the first: the application's own message has said it all */
    else if (master->ever_loaded)
        mp_log(log, MP_LOG_ERROR, "the zygote (pid %d) %s; %u workers go on serving",
               (int)zygote->pid, death, count_serving(master));
    else {
        mp_log(log, MP_LOG_CRITICAL, "the zygote (pid %d) %s while it loaded the application",
               (int)zygote->pid, death);
        mp_stop_failed(master, 1, now);
    }
}

static bool on_death(struct mp_master *master, struct mp_zygote_handle *zygote, pid_t pid,
                     int status, uint64_t peak, int64_t now)
{
    if (zygote->state == MP_ZYGOTE_ABSENT || zygote->reaped_at || pid != zygote->pid)
        return false;
    zygote->reaped_at = now;
    read_messages(master, zygote, now); /* what it has said at last */
    if (master->stage == MP_STAGE_RUNNING && !zygote->told_to_leave)
        report_death(master, zygote, status, peak, now);
    finish_if_both(master, zygote, now);
    return true;
}

bool mp_zygote_handle_on_death(struct mp_master *master, pid_t pid, int status, uint64_t peak,
                               int64_t now)
{
    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        if (on_death(master, &master->zygotes[i], pid, status, peak, now))
            return true;
    }
    return false;
}

void mp_zygote_tell(struct mp_master *master, enum mp_zygote_verb verb,
                    const struct mp_worker_handle *handle, int status)
{
    const struct mp_zygote_handle *zygote = &master->zygotes[master->current];
    struct mp_zygote_message message = {.verb = verb, .status = status};

    if (handle) {
        message.slot = handle->slot;
        message.pid = handle->pid;
    }
    if (master->ops.on_event && zygote->state == MP_ZYGOTE_WAITING && zygote->control >= 0)
        (void)mp_socket_send_msg(zygote->control, &message, sizeof(message), -1);
}

int mp_zygote_handle_order(struct mp_zygote_handle *zygote, const struct mp_zygote_message *order,
                           int control)
{
    if (zygote->control < 0)
        return -EPIPE;
    return mp_socket_send_msg(zygote->control, order, sizeof(*order), control);
}

void mp_zygote_handle_kill(struct mp_zygote_handle *zygote)
{
    if (zygote->state == MP_ZYGOTE_ABSENT || zygote->reaped_at)
        return;
    zygote->state = MP_ZYGOTE_LEAVING;
    zygote->deadline = MP_HANDLE_NEVER;
    zygote->killed = true;
    (void)mp_process_kill(zygote->pid, SIGKILL);
}

/* The order to leave is the end of what the master sends; what the zygote and its children send can
 * still be read: the pids of workers that are on their way. */
void mp_zygote_handle_leave(struct mp_zygote_handle *zygote, int64_t deadline)
{
    if (zygote->state == MP_ZYGOTE_ABSENT) {
        zygote->due = MP_HANDLE_NEVER;
        return;
    }
    zygote->told_to_leave = true;
    if (zygote->state == MP_ZYGOTE_LOADING) {
        mp_zygote_handle_kill(zygote);
        return;
    }
    if (zygote->control >= 0)
        (void)mp_socket_shutdown_write(zygote->control);
    zygote->state = MP_ZYGOTE_LEAVING;
    if (zygote->deadline == 0 || deadline < zygote->deadline)
        zygote->deadline = deadline;
}

static int64_t next_look(const struct mp_master *master, const struct mp_zygote_handle *zygote)
{
    if (zygote->reaped_at)
        return zygote->reaped_at + SOCKET_END_TIMEOUT;
    switch (zygote->state) {
    case MP_ZYGOTE_ABSENT:
        return master->stage == MP_STAGE_RUNNING ? zygote->due : MP_HANDLE_NEVER;
    case MP_ZYGOTE_LOADING:
        return master->limits.load_timeout ? zygote->started + master->limits.load_timeout
                                           : MP_HANDLE_NEVER;
    case MP_ZYGOTE_WAITING:
        return MP_HANDLE_NEVER;
    case MP_ZYGOTE_LEAVING:
        return zygote->deadline;
    }
    return MP_HANDLE_NEVER;
}

static void tick(struct mp_master *master, struct mp_zygote_handle *zygote, int64_t now)
{
    char time[32];

    if (now < next_look(master, zygote))
        return;
    if (zygote->reaped_at) {
        finish(master, zygote, now);
        return;
    }
    if (zygote->state == MP_ZYGOTE_ABSENT) {
        mp_zygote_handle_start(master, zygote, now);
        return;
    }
    if (zygote->state == MP_ZYGOTE_LOADING)
        mp_log(&master->options.log, MP_LOG_ERROR,
               "the zygote (pid %d) has not loaded the application within %s: killed",
               (int)zygote->pid,
               mp_report_duration(master->limits.load_timeout, time, sizeof(time)));
    mp_zygote_handle_kill(zygote);
}

void mp_zygote_handle_tick(struct mp_master *master, int64_t now)
{
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        tick(master, &master->zygotes[i], now);
}

int64_t mp_zygote_handle_next_look(const struct mp_master *master)
{
    int64_t next = MP_HANDLE_NEVER;

    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        int64_t one = next_look(master, &master->zygotes[i]);

        if (one < next)
            next = one;
    }
    return next;
}
