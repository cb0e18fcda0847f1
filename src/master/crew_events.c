/* SPDX-License-Identifier: MIT */
/*
 * What is heard of workers: their messages, the zygote's answers, their deaths.
 *
 * A worker is known by its slot and the serial of its life; the zygote's answer to an order that
 * was given up meanwhile finds no handle that expects it. Such a worker ends by itself: its control
 * socket is closed.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

#include "master/private.h"
#include "master/report.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/socket.h"
#include "scoreboard/seats.h"

enum {
    /* Workers that die before any was ready, before the start is given up. */
    FIRST_FAILURES_MOST = 3,
    /* Read of one worker at a time: whatever runs in it shall not keep the master busy. */
    MESSAGES_MOST = 32,
};

/* Deaths of the same want of memory. */
#define OOM_KILLS_TOGETHER (5 * MP_NSEC_PER_SEC)

static void report_replaced(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    char time[32];

    if (handle->old_pid <= 0)
        return;
    mp_log(&master->options.log, MP_LOG_INFO, "worker %u (pid %d) replaced by pid %d in %s",
           handle->old_slot + 1, (int)handle->old_pid, (int)handle->pid,
           mp_report_duration(now - handle->old_time, time, sizeof(time)));
    handle->old_pid = 0;
}

/* The successor is ready: now the one that it replaces may leave. */
static void release_retiring(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    struct mp_worker_handle *retiring;

    if (handle->replaces < 0)
        return;
    retiring = &master->workers[handle->replaces];
    handle->replaces = -1;
    if (retiring->state == MP_HANDLE_READY && retiring->retiring)
        mp_crew_drain(master, retiring, false, now + master->options.graceful_timeout);
}

static void on_ready(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    if (!mp_worker_handle_ready(handle, now))
        return;
    master->ever_ready = true;
    if (handle->state == MP_HANDLE_DRAINING) {
        /* It was told to leave while it started, and has begun to serve in that moment. */
        handle->deadline = master->stage == MP_STAGE_RUNNING
                               ? now + master->options.graceful_timeout
                               : master->stop_deadline;
        return;
    }
    atomic_store_explicit(&mp_scoreboard_worker(master->board, handle->slot)->state,
                          MP_SB_WORKER_READY, memory_order_relaxed);
    mp_log(&master->options.log, MP_LOG_DEBUG, "worker %u (pid %d) is ready",
           MP_WORKER_NUMBER(handle), (int)handle->pid);
    report_replaced(master, handle, now);
    release_retiring(master, handle, now);
    mp_reload_on_ready(master, handle, now);
}

bool mp_crew_retire(struct mp_master *master, struct mp_worker_handle *handle,
                    enum mp_retire_reason reason)
{
    if (handle->state != MP_HANDLE_READY || handle->retiring)
        return false;
    handle->retiring = true;
    if (reason == MP_RETIRE_ASKED)
        mp_log(&master->options.log, MP_LOG_INFO,
               "worker %u (pid %d) is to be replaced, as a client of the control socket wants",
               MP_WORKER_NUMBER(handle), (int)handle->pid);
    else
        mp_log(&master->options.log, MP_LOG_WARNING, "worker %u (pid %d) is to be replaced%s",
               MP_WORKER_NUMBER(handle), (int)handle->pid,
               reason == MP_RETIRE_STUCK   ? ": a handler is stuck in it"
               : reason == MP_RETIRE_HANGS ? ": it hangs"
                                           : "");
    return true;
}

static void on_retire(struct mp_master *master, struct mp_worker_handle *handle,
                      enum mp_retire_reason reason, int64_t now)
{
    if (reason != MP_RETIRE_MAX_REQUESTS)
        (void)mp_crew_retire(master, handle, reason);
    else if (handle->state == MP_HANDLE_READY && !handle->retiring)
        mp_recycle_wish(handle, MP_RETIRE_MAX_REQUESTS, 0, now);
}

static void on_stop(struct mp_master *master, const struct mp_worker_handle *handle, int64_t now)
{
    char who[64];

    snprintf(who, sizeof(who), "worker %u (pid %d) asks to stop", MP_WORKER_NUMBER(handle),
             (int)handle->pid);
    mp_stop_ask(master, false, who, now);
}

static void on_message(struct mp_master *master, struct mp_worker_handle *handle,
                       const struct mp_worker_message *message, int64_t now)
{
    switch (message->verb) {
    case MP_WORKER_READY:
        on_ready(master, handle, now);
        break;
    case MP_WORKER_RETIRE:
        on_retire(master, handle, (enum mp_retire_reason)message->value, now);
        break;
    case MP_WORKER_LOAD_FAILED:
        handle->load_failed = true;
        handle->load_status = (int)message->value;
        break;
    case MP_WORKER_STOP:
        on_stop(master, handle, now);
        break;
    default:
        break;
    }
}

/* The order came to nothing, and nobody said why: SPAWNED was sent before the socket's last holder
 * closed it. */
static void on_control_end(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    mp_fd_close(&handle->control);
    handle->closed_at = now;
    if (handle->state == MP_HANDLE_SPAWNING)
        mp_zygote_handle_read(master, now);
    if (handle->state == MP_HANDLE_SPAWNING)
        mp_crew_refused(master, handle, ECANCELED, now);
}

void mp_crew_read(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    /* READY may be here before the zygote's answer has been read. */
    if (handle->state == MP_HANDLE_SPAWNING)
        mp_zygote_handle_read(master, now);
    for (int i = 0; i < MESSAGES_MOST && handle->control >= 0; i++) {
        struct mp_worker_message message;
        ssize_t n = mp_socket_recv_msg(handle->control, &message, sizeof(message), NULL);

        if (n == -EAGAIN)
            return;
        if (n == -EMSGSIZE || (n > 0 && n != sizeof(message)))
            continue; /* no message of ours */
        if (n <= 0)
            on_control_end(master, handle, now);
        else
            on_message(master, handle, &message, now);
    }
}

/* The handle that expects this answer, or NULL. */
static struct mp_worker_handle *find_spawning(struct mp_master *master,
                                              const struct mp_zygote_message *message)
{
    struct mp_worker_handle *handle;

    if (message->slot >= master->slots)
        return NULL;
    handle = &master->workers[message->slot];
    if (handle->state != MP_HANDLE_SPAWNING || handle->serial != message->serial)
        return NULL;
    return handle;
}

void mp_crew_on_spawned(struct mp_master *master, const struct mp_zygote_message *message,
                        int64_t now)
{
    struct mp_worker_handle *handle = find_spawning(master, message);

    if (!handle || message->pid <= 0)
        return;
    mp_worker_handle_spawned(handle, message->pid);
    atomic_store_explicit(&mp_scoreboard_worker(master->board, handle->slot)->pid, message->pid,
                          memory_order_relaxed);
    if (master->stage == MP_STAGE_KILLING)
        mp_crew_kill(master, handle, NULL, now);
}

void mp_crew_on_spawn_failed(struct mp_master *master, const struct mp_zygote_message *message,
                             int64_t now)
{
    struct mp_worker_handle *handle = find_spawning(master, message);

    if (handle)
        mp_crew_refused(master, handle, message->status, now);
}

/* The orders that it has not answered are given again to the next one. */
void mp_crew_on_zygote_gone(struct mp_master *master, unsigned generation, int64_t now)
{
    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (handle->state != MP_HANDLE_SPAWNING || handle->generation != generation)
            continue;
        mp_fd_close(&handle->control);
        mp_worker_handle_refused(handle, now);
        mp_crew_free_seats(master, handle);
    }
}

static struct mp_worker_handle *find_pid(struct mp_master *master, pid_t pid)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].state >= MP_HANDLE_STARTING && master->workers[i].pid == pid)
            return &master->workers[i];
    }
    return NULL;
}

static bool left_in_order(const struct mp_worker_handle *handle, int status)
{
    return handle->asked_to_leave && WIFEXITED(status) &&
           (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == MP_WORKER_EXIT_QUIT);
}

enum mp_killer mp_crew_killer(struct mp_master *master, int status, int64_t now)
{
    uint64_t kills;

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        return MP_KILLER_UNKNOWN;
    kills = mp_memory_oom_kills();
    if (kills == MP_MEMORY_UNKNOWN || master->oom_kills == MP_MEMORY_UNKNOWN)
        return MP_KILLER_UNKNOWN;
    if (kills > master->oom_kills) {
        master->oom_kills = kills;
        master->oom_kill_at = now;
        return MP_KILLER_KERNEL;
    }
    /* Several were counted at once, perhaps: this may be one of them. */
    if (master->oom_kill_at != 0 && now - master->oom_kill_at < OOM_KILLS_TOGETHER)
        return MP_KILLER_UNKNOWN;
    return MP_KILLER_SOMEBODY;
}

static void report_death(struct mp_master *master, const struct mp_worker_handle *handle,
                         int status, uint64_t peak, int64_t now)
{
    const struct mp_log *log = &master->options.log;
    enum mp_log_level level = MP_LOG_ERROR;
    char death[MP_REPORT_DEATH_SIZE];
    char serving[MP_REPORT_SERVING_SIZE];

    if (handle->state == MP_HANDLE_KILLED || left_in_order(handle, status)) {
        mp_log(log, MP_LOG_DEBUG, "worker %u (pid %d) has left", MP_WORKER_NUMBER(handle),
               (int)handle->pid);
        return;
    }
    if (handle->load_failed) {
        if (!master->ever_ready || handle->proving)
            return; /* the application's own message has said it all */
        mp_log(log, MP_LOG_ERROR, "worker %u (pid %d) could not load the application",
               MP_WORKER_NUMBER(handle), (int)handle->pid);
        return;
    }
    mp_report_death(status, mp_crew_killer(master, status, now), peak, death, sizeof(death));
    mp_report_serving(master->board, handle->slot, now, serving, sizeof(serving));
    /* Drained because somebody has sent it SIGTERM, or has told it so otherwise: unusual, not
     * wrong. */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        level = MP_LOG_WARNING;
    mp_log(log, level, "worker %u (pid %d) %s.%s", MP_WORKER_NUMBER(handle), (int)handle->pid,
           death, serving);
}

/* A worker that never was ready has died, and no other has ever been. True: the start is given up.
 */
static bool give_up_start(struct mp_master *master, const struct mp_worker_handle *handle,
                          bool load_failed, int load_status, int64_t now)
{
    if (master->ever_ready || master->stage != MP_STAGE_RUNNING)
        return false;
    if (load_failed) {
        mp_stop_failed(master, load_status ? load_status : 1, now);
        return true;
    }
    if (handle->deaths.failures < FIRST_FAILURES_MOST)
        return false;
    mp_log(&master->options.log, MP_LOG_CRITICAL,
           "worker %u has ended %u times before it was ready: giving up", MP_WORKER_NUMBER(handle),
           handle->deaths.failures);
    mp_stop_failed(master, 1, now);
    return true;
}

/* Its successor gets another slot, so these are not counted with the deaths of one slot. */
void mp_crew_on_lost(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    bool never_ready = handle->ready_at == 0 && handle->state == MP_HANDLE_STARTING;

    mp_worker_handle_lost(handle, now + master->options.graceful_timeout);
    mp_reload_on_end(master, handle, now);
    if (!never_ready || master->ever_ready || master->stage != MP_STAGE_RUNNING)
        return;
    mp_log(&master->options.log, MP_LOG_ERROR,
           "worker %u (pid %d) has closed its socket before it was ready", MP_WORKER_NUMBER(handle),
           (int)handle->pid);
    if (++master->lost_starts >= FIRST_FAILURES_MOST)
        mp_stop_failed(master, 1, now);
}

static void report_backoff(struct mp_master *master, const struct mp_worker_handle *handle,
                           int64_t delay)
{
    char text[32];

    if (handle->deaths.stepped)
        mp_log(
            &master->options.log, MP_LOG_WARNING,
            "worker %u has died %u times in a row soon after its start: waiting %s before the next",
            MP_WORKER_NUMBER(handle), handle->deaths.failures,
            mp_report_duration(delay, text, sizeof(text)));
}

/* A successor in the same slot finds the seats that it begins with: nobody takes them meanwhile. */
static void keep_seats(struct mp_master *master, const struct mp_worker_handle *handle, bool again)
{
    unsigned keep = again ? mp_growth_first_threads(master) : 0;

    if (mp_seats_of(master->board, handle->slot) > keep)
        mp_seats_set(master->board, handle->slot, keep);
}

static void on_gone(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    bool proving = handle->proving;
    bool again = master->stage == MP_STAGE_RUNNING && !handle->retiring &&
                 !handle->asked_to_leave && !handle->lost && !proving;
    bool load_failed = handle->load_failed;
    int load_status = handle->load_status;
    pid_t pid = handle->pid;
    int64_t delay;

    mp_fd_close(&handle->control);
    mp_reload_on_end(master, handle, now);
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].replaces == (int)handle->slot)
            master->workers[i].replaces = -1;
    }
    atomic_store_explicit(&mp_scoreboard_worker(master->board, handle->slot)->state,
                          MP_SB_WORKER_FREE, memory_order_relaxed);
    keep_seats(master, handle, again);
    delay = mp_worker_handle_gone(handle, again, now);
    if (!again || give_up_start(master, handle, load_failed, load_status, now))
        return;
    if (handle->old_pid == 0) {
        handle->old_slot = handle->slot;
        handle->old_pid = pid;
        handle->old_time = now;
    }
    report_backoff(master, handle, delay);
}

/* Its connections wait, and so do clients that the kernel has given to it; the others serve. */
void mp_crew_on_stopped(struct mp_master *master, pid_t pid, bool stopped, int64_t now)
{
    const struct mp_log *log = &master->options.log;
    struct mp_worker_handle *handle = find_pid(master, pid);
    char time[32];

    if (!handle || stopped == (handle->stopped_at != 0))
        return;
    if (stopped)
        mp_log(log, MP_LOG_WARNING,
               "worker %u (pid %d) was stopped by a signal: what it serves waits until it is "
               "continued",
               MP_WORKER_NUMBER(handle), (int)pid);
    else
        mp_log(log, MP_LOG_INFO, "worker %u (pid %d) goes on, after %s", MP_WORKER_NUMBER(handle),
               (int)pid, mp_report_duration(now - handle->stopped_at, time, sizeof(time)));
    handle->stopped_at = stopped ? now : 0;
}

bool mp_crew_on_death(struct mp_master *master, pid_t pid, int status, uint64_t peak, int64_t now)
{
    struct mp_worker_handle *handle = find_pid(master, pid);

    if (!handle) {
        /* It was told to us before it became our child, but perhaps not read yet. */
        mp_zygote_handle_read(master, now);
        handle = find_pid(master, pid);
    }
    if (!handle)
        return false;
    mp_crew_read(master, handle, now); /* what it has said at last */
    report_death(master, handle, status, peak, now);
    mp_zygote_tell(master, MP_ZYGOTE_WORKER_ENDED, handle, status);
    on_gone(master, handle, now);
    return true;
}
