/* SPDX-License-Identifier: MIT */
/*
 * Forking, adopting, reaping.
 *
 * A process that was forked twice must not act as the adopter's child before it is one: until its
 * first parent has ended, getppid() is the wrong process and a parent-death signal would be armed
 * for the wrong death. The kernel itself tells of the moment: the first parent's death sends the
 * parent-death signal after the new parent has been set.
 */
#include "os/child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

pid_t mp_child_fork(void)
{
    pid_t pid = fork();

    return pid == -1 ? -errno : pid;
}

int mp_child_exec(const char *program, char *const *arguments, char *const *environment,
                  const char *folder, const char **ret_what)
{
    *ret_what = folder;
    if (folder && chdir(folder) == -1)
        return -errno;
    *ret_what = program;
    (void)execve(program, arguments, environment);
    return -errno;
}

void mp_child_exit(int status)
{
    _exit(status);
}

int mp_child_subreaper(bool on, bool *ret_was)
{
    int was = 0;

    if (prctl(PR_GET_CHILD_SUBREAPER, &was, 0, 0, 0) == -1)
        return -errno;
    if (prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0) == -1)
        return -errno;
    if (ret_was)
        *ret_was = was != 0;
    return 0;
}

/* The signal is blocked. The time limit is for a parent that ended between our prctl() and the
 * look at getppid() without the signal being sent: then the next look sees it. */
static void wait_for_new_parent(pid_t first, const sigset_t *set)
{
    const struct timespec second = {.tv_sec = 1};
    const struct timespec none = {0};

    while (getppid() == first)
        (void)sigtimedwait(set, NULL, &second);
    (void)sigtimedwait(set, NULL, &none);
}

int mp_child_await_adoption(pid_t first, pid_t adopter)
{
    sigset_t set;
    sigset_t old;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    if (prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0) == -1) {
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return -errno;
    }
    wait_for_new_parent(first, &set);
    (void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return getppid() == adopter ? 0 : -ESRCH;
}

pid_t mp_child_reap(int *ret_status, uint64_t *ret_peak)
{
    struct rusage usage;
    int status;
    pid_t pid;

    do {
        pid = wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, &usage);
    } while (pid == -1 && errno == EINTR);
    if (pid == -1)
        return -errno;
    if (pid > 0) {
        *ret_status = status;
        *ret_peak = (uint64_t)usage.ru_maxrss * 1024;
    }
    return pid;
}
