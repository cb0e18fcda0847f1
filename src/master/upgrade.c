/* SPDX-License-Identifier: MIT */
/*
 * Upgrade: another master in the place of this one, on the same sockets. It is started as this one
 * was, by the program that is on the disk now, and is told in its environment which descriptors
 * are which addresses (handover.c is its side).
 *
 *    NONE --SIGUSR2--> STARTING --READY--> DONE: this one drains, like at SIGTERM, and ends
 *     ^                   | ended, or too late: told to stop
 *     +-------------------+
 *
 * The link between the two is closed by this one, when it has said its last word to the service
 * manager. If this one is told to stop before it knows of READY, so is the other, and waited for;
 * the other closes the link when its own workers see to those that wait in the sockets' queues.
 *
 * Until READY nothing is changed here: whatever is wrong with the other, this one goes on. Both
 * listen in between; the kernel gives a connection to either.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/private.h"
#include "master/report.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/socket.h"

/* For one that was told to leave. */
#define LEAVE_TIMEOUT (5 * MP_NSEC_PER_SEC)

void mp_master_set_successor(struct mp_master *master, const struct mp_successor *successor)
{
    master->successor = *successor;
}

/* ---- in the child, until it is another program ---------------------------------------------- */

/* "MILLPOND_UPGRADE=1 LINK\nFD SPEC\nFD SPEC\n...": allocated, or NULL. */
static char *describe(const struct mp_master *master, int link)
{
    size_t size = sizeof(MP_UPGRADE_VARIABLE) + 64;
    size_t length;
    char *text;

    for (size_t i = 0; i < master->listener_count; i++)
        size += strlen(master->specs[i]) + 16;
    text = malloc(size);
    if (!text)
        return NULL;
    length = (size_t)snprintf(text, size, MP_UPGRADE_VARIABLE "=1 %d\n", link);
    for (size_t i = 0; i < master->listener_count; i++)
        length += (size_t)snprintf(text + length, size - length, "%d %s\n", master->listeners[i].fd,
                                   master->specs[i]);
    return text;
}

/* The environment with one more variable, or NULL. */
static char **extend(char *const *environment, char *more)
{
    size_t count = 0;
    char **all;

    while (environment[count])
        count++;
    all = calloc(count + 2, sizeof(*all));
    if (!all)
        return NULL;
    memcpy(all, environment, count * sizeof(*all));
    all[count] = more;
    return all;
}

_Noreturn static void become_successor(const struct mp_master *master, int link)
{
    const struct mp_successor *successor = &master->successor;
    const char *what = successor->program;
    char *text = describe(master, link);
    char **environment = text ? extend(successor->environment, text) : NULL;
    int err = environment ? mp_fd_set_cloexec(link, false) : -ENOMEM;

    for (size_t i = 0; i < master->listener_count && !err; i++)
        err = mp_fd_set_cloexec(master->listeners[i].fd, false);
    if (!err) {
        mp_signals_restore_for_exec(master);
        err = mp_child_exec(successor->program, successor->arguments, environment,
                            successor->folder, &what);
    }
    mp_log(&master->options.log, MP_LOG_ERROR, "the new master cannot be started: %s: %s", what,
           strerrordesc_np(-err));
    mp_child_exit(127);
}

/* ---- starting it ---------------------------------------------------------------------------- */

static const char *why_not(const struct mp_master *master)
{
    if (master->upgrade.pid != 0)
        return "an upgrade is under way already";
    if (!master->successor.program)
        return "it is not known how this program was started";
    if (master->pid == 1)
        return "this is process 1, with which its container would end. Reload (SIGHUP), or start "
               "another container";
    for (size_t i = 0; i < master->listener_count; i++) {
        if (strchr(master->specs[i], '\n'))
            return "an address has a line break in its name";
    }
    return NULL;
}

static int start(struct mp_master *master, int64_t now)
{
    int fds[2];
    int err = mp_socket_pair(fds);
    pid_t pid;

    if (err)
        return err;
    pid = mp_master_fork(master);
    if (pid == 0)
        become_successor(master, fds[1]);
    mp_fd_close(&fds[1]);
    if (pid < 0) {
        mp_fd_close(&fds[0]);
        return pid;
    }
    master->upgrade.pid = pid;
    master->upgrade.link = fds[0];
    master->upgrade.deadline =
        master->limits.load_timeout > 0 ? now + master->limits.load_timeout : MP_HANDLE_NEVER;
    return 0;
}

static void begin(struct mp_master *master, int64_t now)
{
    const struct mp_log *log = &master->options.log;
    int err = start(master, now);

    master->upgrade.wanted = false;
    if (err)
        mp_log(log, MP_LOG_ERROR, "no upgrade: no process for the new master: %s",
               strerrordesc_np(-err));
    else
        mp_log(log, MP_LOG_INFO, "upgrading: a new master (pid %d) is starting",
               (int)master->upgrade.pid);
}

void mp_upgrade_ask(struct mp_master *master, const char *who, int64_t now)
{
    const char *why;

    why = why_not(master);
    if (master->stage != MP_STAGE_RUNNING)
        mp_log(&master->options.log, MP_LOG_INFO, "%s: no upgrade: the server is stopping", who);
    else if (why)
        mp_log(&master->options.log, MP_LOG_WARNING, "%s: no upgrade: %s", who, why);
    else if (master->ever_ready)
        begin(master, now);
    else
        master->upgrade.wanted = true;
}

/* ---- what becomes of it --------------------------------------------------------------------- */

static void forget(struct mp_upgrade *upgrade)
{
    mp_fd_close(&upgrade->link);
    upgrade->pid = 0;
    upgrade->hears = false;
    upgrade->late = false;
    upgrade->less = false;
    upgrade->deadline = MP_HANDLE_NEVER;
}

/* The other may speak. */
static void close_when_silent(struct mp_master *master)
{
    if (master->upgrade.done && mp_notify_is_silent(master))
        mp_fd_close(&master->upgrade.link);
}

/* What one said that has died since, or will at once, is worth nothing: this one goes on. */
static void hand_over(struct mp_master *master, int64_t now)
{
    char who[64];

    if (master->upgrade.killed || mp_process_has_ended(master->upgrade.pid))
        return;
    mp_listeners_disown(master);
    if (master->stage != MP_STAGE_RUNNING) /* it was told to stop, too */
        return;
    snprintf(who, sizeof(who), "the new master (pid %d) serves", (int)master->upgrade.pid);
    master->upgrade.done = true;
    master->upgrade.deadline = MP_HANDLE_NEVER;
    mp_notify_hand_over(master, master->upgrade.pid, now);
    close_when_silent(master);
    mp_stop_ask(master, false, who, now);
}

/* Its end is told by its death, which comes with it. */
void mp_upgrade_read(struct mp_master *master, int64_t now)
{
    struct mp_upgrade *upgrade = &master->upgrade;

    while (upgrade->link >= 0) {
        struct mp_upgrade_message message;
        ssize_t n = mp_socket_recv_msg(upgrade->link, &message, sizeof(message), NULL);

        if (n == -EAGAIN)
            return;
        if (n == sizeof(message) && message.verb == MP_UPGRADE_READY)
            hand_over(master, now);
        else if (n == sizeof(message) && message.verb == MP_UPGRADE_HERE)
            upgrade->hears = true;
        else if (n == sizeof(message) && message.verb == MP_UPGRADE_LESS)
            upgrade->less = true;
        else if (n <= 0 && n != -EMSGSIZE)
            mp_fd_close(&upgrade->link);
    }
}

bool mp_upgrade_on_death(struct mp_master *master, pid_t pid, int status, uint64_t peak,
                         int64_t now)
{
    struct mp_upgrade *upgrade = &master->upgrade;
    char death[MP_REPORT_DEATH_SIZE];

    if (pid != upgrade->pid || pid == 0)
        return false;
    mp_report_death(status,
                    upgrade->killed ? MP_KILLER_MASTER : mp_crew_killer(master, status, now), peak,
                    death, sizeof(death));
    if (upgrade->done)
        mp_log(&master->options.log, MP_LOG_ERROR,
               "the new master (pid %d) %s, after it had taken over", (int)pid, death);
    else if (master->stage == MP_STAGE_RUNNING)
        mp_log(&master->options.log, MP_LOG_ERROR,
               "the upgrade has failed: the new master (pid %d) %s before it was ready; this one "
               "goes on serving",
               (int)pid, death);
    forget(upgrade);
    upgrade->killed = false;
    return true;
}

static void kill_it(struct mp_upgrade *upgrade)
{
    upgrade->killed = true;
    upgrade->deadline = MP_HANDLE_NEVER;
    (void)mp_process_kill(upgrade->pid, SIGKILL);
}

/* Some of its workers may serve. It does not take over any more; if it has just said that it does,
 * it does not obey. */
static void tell_late(struct mp_master *master, int64_t now)
{
    const struct mp_upgrade_message message = {.verb = MP_UPGRADE_LATE};
    struct mp_upgrade *upgrade = &master->upgrade;

    upgrade->late = true;
    upgrade->deadline = now + master->options.graceful_timeout + LEAVE_TIMEOUT;
    (void)mp_socket_send_msg(upgrade->link, &message, sizeof(message), -1);
}

static void on_deadline(struct mp_master *master, int64_t now)
{
    struct mp_upgrade *upgrade = &master->upgrade;
    bool tell =
        !upgrade->late && upgrade->hears && upgrade->link >= 0 && master->stage == MP_STAGE_RUNNING;
    char time[32];

    if (master->stage == MP_STAGE_RUNNING && upgrade->late)
        mp_log(&master->options.log, MP_LOG_ERROR, "the new master (pid %d) does not stop: killed",
               (int)upgrade->pid);
    else if (master->stage == MP_STAGE_RUNNING)
        mp_log(&master->options.log, MP_LOG_ERROR,
               "the new master (pid %d) is not ready within %s: %s", (int)upgrade->pid,
               mp_report_duration(master->limits.load_timeout, time, sizeof(time)),
               tell ? "told to stop" : "killed");
    if (tell)
        tell_late(master, now);
    else
        kill_it(upgrade);
}

void mp_upgrade_tick(struct mp_master *master, int64_t now)
{
    struct mp_upgrade *upgrade = &master->upgrade;

    close_when_silent(master);
    if (upgrade->wanted && master->ever_ready && master->stage == MP_STAGE_RUNNING)
        begin(master, now);
    if (upgrade->pid != 0 && now >= upgrade->deadline)
        on_deadline(master, now);
}

int64_t mp_upgrade_next_look(const struct mp_master *master)
{
    return master->upgrade.pid == 0 ? MP_HANDLE_NEVER : master->upgrade.deadline;
}

/* This one is to stop for another reason: so is that which was to follow it. */
void mp_upgrade_stop(struct mp_master *master, bool quick, int64_t now)
{
    const struct mp_upgrade_message message = {.verb = quick ? MP_UPGRADE_QUIT : MP_UPGRADE_STOP};
    struct mp_upgrade *upgrade = &master->upgrade;

    if (upgrade->pid == 0 || upgrade->done)
        return;
    if (upgrade->link >= 0)
        (void)mp_socket_send_msg(upgrade->link, &message, sizeof(message), -1);
    upgrade->deadline = (quick ? now : master->stop_deadline) + LEAVE_TIMEOUT;
}

bool mp_upgrade_has_sockets(const struct mp_master *master)
{
    return master->upgrade.pid != 0 && !master->upgrade.done && master->upgrade.link >= 0;
}

/* One that hears is on its way, and may have workers that serve. */
void mp_upgrade_force(struct mp_master *master)
{
    if (mp_upgrade_has_sockets(master) && !master->upgrade.hears)
        kill_it(&master->upgrade);
}

bool mp_upgrade_has_followed(const struct mp_master *master)
{
    return master->upgrade.done && master->upgrade.pid != 0 && !master->upgrade.less;
}

bool mp_upgrade_is_over(const struct mp_master *master)
{
    const struct mp_upgrade *upgrade = &master->upgrade;

    return upgrade->pid == 0 || (upgrade->done && upgrade->link < 0 && mp_notify_is_silent(master));
}
