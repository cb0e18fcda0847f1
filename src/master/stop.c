/* SPDX-License-Identifier: MIT */
/*
 * Stopping, in stages that only go forward:
 *
 *   RUNNING --TERM--> DRAINING --INT, QUIT--> QUITTING --any of the three, or 1 s--> KILLING -->
 * over |                  +------------ graceful_timeout ----------------------------->|
 *      +-----------INT, QUIT----------------> QUITTING
 *
 * It is over when every process of ours has been reaped. A process that not even SIGKILL ends
 * (it hangs inside the kernel) is waited for KILL_TIMEOUT and then left to init.
 */
#include "master/private.h"
#include "master/report.h"
#include "os/process.h"

#define QUIT_TIMEOUT MP_NSEC_PER_SEC
#define RELEASE_TIMEOUT (1 * MP_NSEC_PER_SEC)
/* From SIGKILL to the end of what was killed. */
#define FORCED_TIMEOUT (200 * MP_NSEC_PER_MSEC)
#define KILL_TIMEOUT (10 * MP_NSEC_PER_SEC)

static bool has_sockets(const struct mp_zygote_handle *zygote)
{
    return zygote->state != MP_ZYGOTE_ABSENT && zygote->control >= 0 && !zygote->reaped_at;
}

static bool zygotes_have_sockets(const struct mp_master *master)
{
    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        if (has_sockets(&master->zygotes[i]))
            return true;
    }
    return false;
}

static bool others_have_sockets(const struct mp_master *master)
{
    return zygotes_have_sockets(master) || mp_crew_has_starting(master) ||
           mp_upgrade_has_sockets(master);
}

/* Those that do not hear: in a hook, stopped, or reading their configuration. A worker that starts
 * is killed by its own deadline, which is now, too. */
static void force_release(struct mp_master *master, int64_t now)
{
    master->release_forced = true;
    master->release_deadline = now + FORCED_TIMEOUT;
    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        struct mp_zygote_handle *zygote = &master->zygotes[i];

        if (!has_sockets(zygote))
            continue;
        mp_log(&master->options.log, MP_LOG_WARNING,
               "the zygote (pid %d) does not leave: killed, for it has the listening sockets",
               (int)zygote->pid);
        mp_zygote_handle_kill(zygote);
    }
    mp_upgrade_force(master);
}

/* An embedded master's program has the sockets anyway; after an upgrade others serve them. */
static bool may_force(const struct mp_master *master, int64_t now)
{
    return !master->release_forced && !master->embedded && !master->upgrade.done &&
           now < master->stop_deadline;
}

static void drain_when_released(struct mp_master *master, int64_t now)
{
    bool held = others_have_sockets(master);

    if (master->release_deadline == 0 || (held && now < master->release_deadline))
        return;
    if (held && may_force(master, now)) {
        force_release(master, now);
        return;
    }
    master->release_deadline = 0;
    mp_crew_stop(master, MP_WORKER_DRAIN, now, master->stop_deadline);
}

/*
 * Who is the last to close a listening socket resets whoever is in its queue. So the workers that
 * serve, which empty the queue and close, are told only when nobody else has it: the master has
 * closed its own, the zygotes and a master that was to follow say by the end of their sockets that
 * they have, and workers that do not serve yet have ended, or serve. Until then workers serve as
 * ever. Whoever does not let go is killed.
 */
static void enter_draining(struct mp_master *master, int64_t now)
{
    master->stage = MP_STAGE_DRAINING;
    master->stop_deadline = now + master->options.graceful_timeout;
    master->release_deadline = now + RELEASE_TIMEOUT;
    if (master->release_deadline > master->stop_deadline)
        master->release_deadline = master->stop_deadline;
    if (master->embedded) /* the program has the sockets, and keeps them */
        master->release_deadline = now;
    mp_notify_stopping(master, now);
    mp_listeners_close(master);
    mp_reload_stop(master, master->stop_deadline);
    mp_upgrade_stop(master, false, now);
    mp_crew_stop_starting(master, now, master->stop_deadline);
    drain_when_released(master, now);
}

static void enter_quitting(struct mp_master *master, int64_t now)
{
    master->stage = MP_STAGE_QUITTING;
    master->stop_deadline = now + QUIT_TIMEOUT;
    mp_notify_stopping(master, now);
    mp_listeners_close(master);
    mp_reload_stop(master, master->stop_deadline);
    mp_crew_stop(master, MP_WORKER_QUIT, now, master->stop_deadline);
    mp_upgrade_stop(master, true, now);
}

/* why: for the log, or NULL. */
static void enter_killing(struct mp_master *master, const char *why, int64_t now)
{
    master->stage = MP_STAGE_KILLING;
    master->stop_deadline = now + KILL_TIMEOUT;
    mp_listeners_close(master);
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        mp_zygote_handle_kill(&master->zygotes[i]);
    mp_crew_kill_all(master, why, now);
    mp_upgrade_stop(master, true, now);
}

static void report_start(const struct mp_master *master, bool quick, const char *who)
{
    const struct mp_log *log = &master->options.log;
    char time[32];

    mp_report_duration(master->options.graceful_timeout, time, sizeof(time));
    if (quick)
        mp_log(log, MP_LOG_INFO, "%s: stopping at once", who);
    else
        mp_log(log, MP_LOG_INFO, "%s: finishing what is being served, for at most %s", who, time);
}

static void first_signal(struct mp_master *master, int signo, const char *name, int64_t now)
{
    report_start(master, signo != SIGTERM, name);
    if (master->ops.on_stopping)
        master->ops.on_stopping(master->ops.data, signo);
    if (signo == SIGTERM)
        enter_draining(master, now);
    else
        enter_quitting(master, now);
}

void mp_stop_on_signal(struct mp_master *master, int signo, int64_t now)
{
    const struct mp_log *log = &master->options.log;
    char name[32];

    mp_signal_name(signo, name, sizeof(name));
    switch (master->stage) {
    case MP_STAGE_RUNNING:
        first_signal(master, signo, name, now);
        break;
    case MP_STAGE_DRAINING:
        /* Service managers and init processes may send SIGTERM twice: no reason to lose requests.
         */
        if (signo == SIGTERM) {
            mp_log(log, MP_LOG_INFO, "SIGTERM again: still finishing; SIGINT stops at once");
            break;
        }
        mp_log(log, MP_LOG_INFO, "%s: not waiting any longer", name);
        enter_quitting(master, now);
        break;
    case MP_STAGE_QUITTING:
        enter_killing(master, "stopped by a second signal", now);
        break;
    case MP_STAGE_KILLING:
        break;
    }
}

void mp_stop_ask(struct mp_master *master, bool quick, const char *who, int64_t now)
{
    switch (master->stage) {
    case MP_STAGE_RUNNING:
        report_start(master, quick, who);
        if (quick)
            enter_quitting(master, now);
        else
            enter_draining(master, now);
        break;
    case MP_STAGE_DRAINING:
        if (!quick)
            break;
        mp_log(&master->options.log, MP_LOG_INFO, "%s: not waiting any longer", who);
        enter_quitting(master, now);
        break;
    case MP_STAGE_QUITTING:
    case MP_STAGE_KILLING:
        break;
    }
}

void mp_stop_failed(struct mp_master *master, int status, int64_t now)
{
    if (master->exit_status == 0)
        master->exit_status = status;
    mp_link_tell(master, MP_LINK_FAILED, (uint32_t)status);
    if (master->stage == MP_STAGE_RUNNING)
        enter_quitting(master, now);
}

/* KILL_TIMEOUT has passed. */
static void give_up(struct mp_master *master)
{
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].state == MP_HANDLE_KILLED)
            mp_log(&master->options.log, MP_LOG_CRITICAL,
                   "worker %u (pid %d) does not end even by SIGKILL: left behind",
                   MP_WORKER_NUMBER(&master->workers[i]), (int)master->workers[i].pid);
    }
}

void mp_stop_tick(struct mp_master *master, int64_t now)
{
    if (master->stage == MP_STAGE_DRAINING)
        drain_when_released(master, now);
    if (master->stage == MP_STAGE_RUNNING || now < master->stop_deadline)
        return;
    switch (master->stage) {
    case MP_STAGE_DRAINING:
        enter_killing(master, "not finished within the graceful timeout", now);
        break;
    case MP_STAGE_QUITTING:
        enter_killing(master, "did not leave when told to", now);
        break;
    default:
        if (!mp_stop_is_over(master)) {
            give_up(master);
            master->exit_status = 1;
            master->stop_deadline = -1; /* over: mp_stop_is_over */
        }
        break;
    }
}

int64_t mp_stop_next_look(const struct mp_master *master)
{
    if (master->stage == MP_STAGE_DRAINING && master->release_deadline != 0 &&
        master->release_deadline < master->stop_deadline)
        return master->release_deadline;
    return master->stage == MP_STAGE_RUNNING ? MP_HANDLE_NEVER : master->stop_deadline;
}

bool mp_stop_is_over(const struct mp_master *master)
{
    if (master->stage == MP_STAGE_RUNNING)
        return false;
    if (master->stop_deadline < 0)
        return true;
    if (master->stage == MP_STAGE_DRAINING && master->release_deadline != 0)
        return false;
    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        if (master->zygotes[i].state != MP_ZYGOTE_ABSENT)
            return false;
    }
    return mp_crew_is_empty(master) && mp_upgrade_is_over(master);
}
