/* SPDX-License-Identifier: MIT */
/* Signals as descriptors and as names; the names of threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include "base/compiler.h"
#include "os/fd.h"
#include "os/process.h"

/* By number, which differs between architectures: designated, never counted. */
static const char *const names[] = {
    [SIGHUP] = "SIGHUP",       [SIGINT] = "SIGINT",       [SIGQUIT] = "SIGQUIT",
    [SIGILL] = "SIGILL",       [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT",
    [SIGBUS] = "SIGBUS",       [SIGFPE] = "SIGFPE",       [SIGKILL] = "SIGKILL",
    [SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV",     [SIGUSR2] = "SIGUSR2",
    [SIGPIPE] = "SIGPIPE",     [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM",
    [SIGSTKFLT] = "SIGSTKFLT", [SIGCHLD] = "SIGCHLD",     [SIGCONT] = "SIGCONT",
    [SIGSTOP] = "SIGSTOP",     [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN",
    [SIGTTOU] = "SIGTTOU",     [SIGURG] = "SIGURG",       [SIGXCPU] = "SIGXCPU",
    [SIGXFSZ] = "SIGXFSZ",     [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
    [SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",         [SIGPWR] = "SIGPWR",
    [SIGSYS] = "SIGSYS",
};

const char *mp_signal_name(int signo, char *text, size_t size)
{
    if (signo > 0 && (size_t)signo < mp_array_size(names) && names[signo])
        snprintf(text, size, "%s", names[signo]);
    else
        snprintf(text, size, "signal %d", signo);
    return text;
}

int mp_signal_block(const sigset_t *set, sigset_t *old)
{
    return -pthread_sigmask(SIG_BLOCK, set, old);
}

int mp_signal_restore(const sigset_t *old)
{
    return -pthread_sigmask(SIG_SETMASK, old, NULL);
}

int mp_signal_fd(const sigset_t *set)
{
    int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);

    return fd == -1 ? -errno : fd;
}

int mp_signal_fd_read(int fd, pid_t *ret_pid)
{
    struct signalfd_siginfo info;
    ssize_t n = mp_fd_read(fd, &info, sizeof(info));

    if (n < 0)
        return (int)n;
    if ((size_t)n != sizeof(info))
        return -EIO;
    if (ret_pid)
        *ret_pid = (pid_t)info.ssi_pid;
    return (int)info.ssi_signo;
}

void mp_thread_set_name(const char *name)
{
    /* The kernel cuts at 15 bytes by itself; pthread_setname_np() would refuse. */
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
