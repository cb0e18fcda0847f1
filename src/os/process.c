/* SPDX-License-Identifier: MIT */
/* Parents and children: who adopts, who dies with whom, who is reaped; and what a process weighs.
 */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"

int mp_process_become_subreaper(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1 ? -errno : 0;
}

int mp_process_die_with_parent(int signo, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)signo, 0, 0, 0) == -1)
        return -errno;
    /* A parent that ended before the call sends nothing; we have been given to someone else then.
     */
    return getppid() == parent ? 0 : -ESRCH;
}

static pid_t wait_child(pid_t pid, int *ret_status, int flags)
{
    int status = 0;
    pid_t ended;

    do {
        ended = waitpid(pid, &status, flags);
    } while (ended == -1 && errno == EINTR);
    if (ended == -1)
        return -errno;
    if (ended > 0 && ret_status)
        *ret_status = status;
    return ended;
}

pid_t mp_process_reap(pid_t pid, int *ret_status)
{
    return wait_child(pid, ret_status, WNOHANG);
}

pid_t mp_process_wait(pid_t pid, int *ret_status)
{
    return wait_child(pid, ret_status, 0);
}

bool mp_process_has_ended(pid_t child)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child;
}

/* Not every C library that we build with has the function. */
int mp_process_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd == -1 ? -errno : fd;
}

pid_t mp_thread_id(void)
{
    return gettid();
}

enum mp_thread_doing mp_thread_look(pid_t tid)
{
    char path[64];
    char text[32];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return MP_THREAD_UNKNOWN;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return MP_THREAD_UNKNOWN;
    text[n] = '\0';
    if (text[0] == 'r') /* "running" */
        return MP_THREAD_RUNS;
    if (text[0] < '0' || text[0] > '9') /* "-1": sleeps, but in no call: a page fault, a stop */
        return MP_THREAD_WAITS;
    return strtol(text, NULL, 10) == SYS_futex ? MP_THREAD_LOCKED : MP_THREAD_WAITS;
}

int mp_process_kill(pid_t pid, int signo)
{
    /* 0 and -1 are what a forgotten pid looks like, and would reach half the machine. */
    if (pid <= 0)
        return -EINVAL;
    return kill(pid, signo) == -1 ? -errno : 0;
}

bool mp_process_is_stopped(pid_t pid)
{
    char path[64];
    char text[512];
    const char *state;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (mp_fd_read_text(path, text, sizeof(text)) < 0)
        return false;
    state = strrchr(text, ')'); /* behind the name, which may hold anything */
    return state && state[1] == ' ' && (state[2] == 'T' || state[2] == 't');
}

int mp_thread_kill(pid_t tid, int signo)
{
    if (tid <= 0)
        return -EINVAL;
    return syscall(SYS_tgkill, getpid(), tid, signo) == -1 ? -errno : 0;
}

int64_t mp_process_pss(pid_t pid)
{
    static const char key[] = "\nPss:";
    char path[64];
    char text[4096];
    const char *line;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    n = mp_fd_read_text(path, text, sizeof(text));
    if (n == -ENOENT)
        return -ESRCH;
    if (n < 0)
        return n;
    /* A process that has ended and waits to be reaped has the file, but nothing in it. */
    line = strstr(text, key);
    return line ? strtoll(line + sizeof(key) - 1, NULL, 10) * 1024 : -ESRCH;
}
