/* SPDX-License-Identifier: MIT */
/*
 * Signals: in the master they are blocked and read from a descriptor, so that they come one after
 * the other between two steps of the loop. In zygote and workers nothing is blocked (os/sigaction.h
 * says why), and what the terminal sends to the whole process group does nothing: the master
 * coordinates.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/compiler.h"
#include "master/private.h"
#include "os/child.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/sigaction.h"

/* What the master acts on, besides SIGCHLD. */
static const int taken[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,  SIGUSR1,
                            SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < mp_array_size(taken); i++)
        sigaddset(set, taken[i]);
    sigaddset(set, SIGCHLD);
}

/* SIGCHLD could be ignored, inherited from whoever started us: then the kernel reaps our children
 * itself and nobody learns how they died. A blocked signal needs no handler. */
int mp_signals_take(struct mp_master *master)
{
    sigset_t set;
    int err;

    if (master->signal_fd >= 0)
        return 0;
    fill(&set);
    master->signal_fd = mp_signal_fd(&set);
    if (master->signal_fd < 0)
        return master->signal_fd;
    err = mp_signal_block(&set, &master->old_mask);
    if (err) {
        mp_fd_close(&master->signal_fd);
        return err;
    }
    (void)mp_sigaction_set(SIGPIPE, MP_SIGNAL_IGNORE, &master->old_pipe);
    (void)mp_sigaction_set(SIGCHLD, MP_SIGNAL_DEFAULT, &master->old_child);
    return 0;
}

/* What came too late to be acted on is taken out first: a second SIGTERM shall not kill a program
 * that has just stopped in good order. */
void mp_signals_give_back(struct mp_master *master)
{
    if (master->signal_fd < 0)
        return;
    while (mp_signal_fd_read(master->signal_fd, NULL) > 0)
        ;
    (void)mp_sigaction_restore(SIGPIPE, &master->old_pipe);
    (void)mp_sigaction_restore(SIGCHLD, &master->old_child);
    (void)mp_signal_restore(&master->old_mask);
    mp_fd_close(&master->signal_fd);
}

void mp_signals_restore_for_exec(const struct mp_master *master)
{
    (void)mp_sigaction_restore(SIGPIPE, &master->old_pipe);
    (void)mp_sigaction_restore(SIGCHLD, &master->old_child);
    (void)mp_signal_restore(&master->old_mask);
}

/*
 * The mask of an embedded master is that of the thread that has forked it. A program whose other
 * threads have everything blocked, because one thread waits for signals, has no such thread here.
 */
void mp_signals_reset_in_zygote(const struct mp_master *master)
{
    sigset_t mask = master->old_mask;

    if (master->embedded)
        sigemptyset(&mask);
    for (size_t i = 0; i < mp_array_size(taken); i++) {
        (void)mp_sigaction_set(taken[i], MP_SIGNAL_NOTHING, NULL);
        sigdelset(&mask, taken[i]);
    }
    sigdelset(&mask, SIGCHLD);
    (void)mp_signal_restore(&mask);
}

/* Again, because the application may have installed handlers of its own while it was loaded. An
 * embedding program has done so before it forked the master, which had to put SIGCHLD aside. */
int mp_signals_prepare_worker(const struct mp_master *master)
{
    int fd;
    int err = mp_sigaction_relay_open(&fd);

    if (err)
        return err;
    for (size_t i = 0; i < mp_array_size(taken); i++) {
        bool relayed = taken[i] == SIGTERM || taken[i] == SIGQUIT;

        (void)mp_sigaction_set(taken[i], relayed ? MP_SIGNAL_RELAY : MP_SIGNAL_NOTHING, NULL);
    }
    (void)mp_sigaction_set(SIGPIPE, MP_SIGNAL_IGNORE, NULL);
    if (master->embedded)
        (void)mp_sigaction_restore(SIGCHLD, &master->old_child);
    return fd;
}

static void reap(struct mp_master *master, int64_t now)
{
    uint64_t peak;
    int status;
    pid_t pid;

    while ((pid = mp_child_reap(&status, &peak)) > 0) {
        if (WIFSTOPPED(status) || WIFCONTINUED(status))
            mp_crew_on_stopped(master, pid, WIFSTOPPED(status), now);
        else if (!mp_zygote_handle_on_death(master, pid, status, peak, now) &&
                 !mp_upgrade_on_death(master, pid, status, peak, now) &&
                 !mp_crew_on_death(master, pid, status, peak, now))
            mp_log(&master->options.log, MP_LOG_DEBUG, "reaped pid %d, which is none of ours",
                   (int)pid);
    }
}

/* The program that embeds the master has been sent them as well (by a terminal), or is meant, and
 * decides. */
static bool is_the_programs(const struct mp_master *master, int signo)
{
    switch (signo) {
    case SIGINT:
    case SIGQUIT:
    case SIGHUP:
    case SIGUSR1:
    case SIGUSR2:
        return master->embedded;
    default:
        return false;
    }
}

static void resize(struct mp_master *master, int by, int signo)
{
    char name[32];

    (void)mp_crew_resize(master, by, mp_signal_name(signo, name, sizeof(name)));
}

static void act(struct mp_master *master, int signo, int64_t now)
{
    if (is_the_programs(master, signo))
        return;
    switch (signo) {
    case SIGCHLD:
        reap(master, now);
        break;
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        mp_stop_on_signal(master, signo, now);
        break;
    case SIGTTIN:
        resize(master, 1, signo);
        break;
    case SIGTTOU:
        resize(master, -1, signo);
        break;
    case SIGHUP:
        (void)mp_reload_ask(master, "SIGHUP", now);
        break;
    case SIGUSR2:
        mp_upgrade_ask(master, "SIGUSR2", now);
        break;
    case SIGUSR1:
        mp_logs_reopen(master);
        break;
    default:
        break;
    }
}

void mp_signals_read(struct mp_master *master, int64_t now)
{
    int signo;

    while ((signo = mp_signal_fd_read(master->signal_fd, NULL)) > 0)
        act(master, signo, now);
}
