/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers. The relay's handler runs on whichever thread the kernel picks, at any
 * instruction: it may only write to a descriptor, which it has to find in a global.
 */
#include "os/sigaction.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "os/fd.h"

/* Written before a handler that reads them is installed; -1 and 0 while there is no relay. */
static _Atomic int relay_fd = -1;
static _Atomic pid_t relay_owner = 0;

/* The same, for the signal that is counted. */
static void (*_Atomic counted_handler)(int);
static _Atomic uint32_t counted_times;

static void on_nothing(int signo)
{
    (void)signo;
}

/* A full pipe loses a repetition of what is in it many times already. */
static void on_relayed(int signo)
{
    unsigned char byte = (unsigned char)signo;
    int saved = errno;

    if (atomic_load(&relay_owner) == getpid()) {
        if (write(atomic_load(&relay_fd), &byte, 1) == -1)
            errno = saved;
    } else {
        /* Forked from the relay's process: pending until this handler returns, then the default. */
        mp_sigaction_set(signo, MP_SIGNAL_DEFAULT, NULL);
        raise(signo);
    }
    errno = saved;
}

int mp_sigaction_set(int signo, enum mp_disposition disposition, struct sigaction *old)
{
    struct sigaction action = {.sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    switch (disposition) {
    case MP_SIGNAL_DEFAULT:
        action.sa_handler = SIG_DFL;
        break;
    case MP_SIGNAL_IGNORE:
        action.sa_handler = SIG_IGN;
        break;
    case MP_SIGNAL_NOTHING:
        action.sa_handler = on_nothing;
        break;
    case MP_SIGNAL_RELAY:
        action.sa_handler = on_relayed;
        break;
    }
    return sigaction(signo, &action, old) == -1 ? -errno : 0;
}

int mp_sigaction_restore(int signo, const struct sigaction *old)
{
    return sigaction(signo, old, NULL) == -1 ? -errno : 0;
}

int mp_sigaction_relay_open(int *ret_fd)
{
    int fds[2];

    if (atomic_load(&relay_owner) == getpid())
        return -EBUSY;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
        return -errno;
    atomic_store(&relay_fd, fds[1]);
    atomic_store(&relay_owner, getpid());
    *ret_fd = fds[0];
    return 0;
}

void mp_sigaction_relay_close(int *fd, const sigset_t *set)
{
    int writer = atomic_load(&relay_fd);

    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(set, signo) == 1)
            mp_sigaction_set(signo, MP_SIGNAL_DEFAULT, NULL);
    }
    atomic_store(&relay_owner, 0);
    atomic_store(&relay_fd, -1);
    mp_fd_close(&writer);
    mp_fd_close(fd);
}

int mp_sigaction_relay_read(int fd)
{
    unsigned char byte;
    ssize_t n = mp_fd_read(fd, &byte, 1);

    if (n < 0)
        return (int)n;
    return n == 0 ? -EAGAIN : byte;
}

static void on_counted(int signo)
{
    int saved = errno;

    atomic_load (&counted_handler)(signo);
    atomic_fetch_add_explicit(&counted_times, 1, memory_order_release);
    errno = saved;
}

int mp_sigaction_count(int signo)
{
    struct sigaction action;

    if (sigaction(signo, NULL, &action) == -1)
        return -errno;
    if (action.sa_flags & SA_SIGINFO || action.sa_handler == SIG_DFL ||
        action.sa_handler == SIG_IGN)
        return -EINVAL;
    if (action.sa_handler == on_counted)
        return 0; /* inherited */
    atomic_store(&counted_handler, action.sa_handler);
    action.sa_handler = on_counted;
    return sigaction(signo, &action, NULL) == -1 ? -errno : 0;
}

uint32_t mp_sigaction_counted(void)
{
    return atomic_load_explicit(&counted_times, memory_order_acquire);
}
