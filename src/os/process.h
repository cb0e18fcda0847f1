/* SPDX-License-Identifier: MIT */
/* Processes, signals, threads' names, CPU affinity. Errors as negative errno. */
#ifndef MP_OS_PROCESS_H
#define MP_OS_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* prctl(PR_SET_CHILD_SUBREAPER): orphaned descendants become children of this process. */
int mp_process_become_subreaper(void);

/* prctl(PR_SET_PDEATHSIG): signo when the parent thread ends. Returns -ESRCH when the parent
 * expected is gone already (the race between fork and prctl). */
int mp_process_die_with_parent(int signo, pid_t parent);

/* waitpid(pid, WNOHANG): the pid, 0 when none has ended, or -errno. pid -1: any child. ret_status
 * may be NULL. */
pid_t mp_process_reap(pid_t pid, int *ret_status);
/* The same, blocking. */
pid_t mp_process_wait(pid_t pid, int *ret_status);
/* Whether this child has ended; it stays to be reaped. */
bool mp_process_has_ended(pid_t child);

/* pidfd_open(2): readable when the process has ended, with all its threads. CLOEXEC. A descriptor
 * or -errno (-ESRCH: there is no such process). */
int mp_process_pidfd(pid_t pid);

/* One process: pid <= 0 (groups, everybody) is -EINVAL. */
int mp_process_kill(pid_t pid, int signo);

/* One thread of this process, by its number (mp_thread_id). */
int mp_thread_kill(pid_t tid, int signo);

/* Whether it was stopped by a signal, or is being debugged: it does nothing until it is continued.
 */
bool mp_process_is_stopped(pid_t pid);

/* "SIGKILL", "SIGSEGV", ... or "signal N" in text. */
const char *mp_signal_name(int signo, char *text, size_t size);

/* Blocks the signals of set in the calling thread; old may be NULL. */
int mp_signal_block(const sigset_t *set, sigset_t *old);
int mp_signal_restore(const sigset_t *old);

/* signalfd, non-blocking, CLOEXEC. read: the signal number, or -EAGAIN; *ret_pid the sender
 * (may be NULL). */
int mp_signal_fd(const sigset_t *set);
int mp_signal_fd_read(int fd, pid_t *ret_pid);

/* The calling thread's number, as ps and /proc have it. */
pid_t mp_thread_id(void);

/* What another thread of this process does at this moment, by the kernel's word
 * (/proc/self/task/TID/syscall). Three system calls. */
enum mp_thread_doing {
    MP_THREAD_UNKNOWN = 0, /* the kernel does not say, or it has ended */
    MP_THREAD_RUNS,        /* it has a CPU, or waits for one */
    MP_THREAD_LOCKED,      /* it sleeps in futex(2): a lock, a condition, an interpreter's lock */
    MP_THREAD_WAITS,       /* it sleeps in another call */
};
enum mp_thread_doing mp_thread_look(pid_t tid);

/* Name of the calling thread (15 bytes at most are kept) as debuggers and ps show it. */
void mp_thread_set_name(const char *name);

/* CPUs this process may use: sched_getaffinity, bounded by the CPU quota of the control groups
 * (versions 2 and 1; rounded up); >= 1. */
unsigned mp_cpu_count(void);

/* Bytes of memory that processes may still take: of the machine, and within the limits of the
 * control groups (versions 2 and 1). UINT64_MAX: not known. */
uint64_t mp_memory_available(void);

/* How many processes of this one's control group (version 2), or below it, the kernel has killed so
 * far because there was no memory. */
#define MP_MEMORY_UNKNOWN UINT64_MAX
uint64_t mp_memory_oom_kills(void);

/* Resident set size of a process in bytes, or -errno (-ESRCH: it has ended). Cheap. */
int64_t mp_process_rss(pid_t pid);

/* CPU time that a process has used so far, in ns, or -errno. A system call. */
int64_t mp_process_cpu(pid_t pid);

/* Proportional set size of a process in bytes (smaps_rollup), or -errno (-ESRCH: it has ended). The
 * kernel walks all its pages: a millisecond for every few hundred MiB, or more. */
int64_t mp_process_pss(pid_t pid);

#endif
