/* SPDX-License-Identifier: MIT */
/*
 * What a supervisor needs for the processes below it, besides process.h: forking, adopting (the
 * subreaper's side and the adopted one's), reaping. Errors as negative errno.
 */
#ifndef MP_OS_CHILD_H
#define MP_OS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* fork(2): the child's pid, 0 in the child, or -errno. */
pid_t mp_child_fork(void);

/* execve(2), in folder (NULL: as it is). Returns -errno; *ret_what is then which of program and
 * folder could not be used. */
int mp_child_exec(const char *program, char *const *arguments, char *const *environment,
                  const char *folder, const char **ret_what);

/* _exit(2). */
_Noreturn void mp_child_exit(int status);

/* Sets whether this process adopts its orphaned descendants; *ret_was (may be NULL) is what it was.
 */
int mp_child_subreaper(bool on, bool *ret_was);

/*
 * For the second child of a double fork, in its only thread: waits until the process first, its
 * parent, has ended and it has been adopted. 0 when adopter has it now, -ESRCH when somebody else
 * has (adopter is gone). Uses the parent-death signal, which is off afterwards.
 */
int mp_child_await_adoption(pid_t first, pid_t adopter);

/* The next child that has ended, was stopped or continued (*ret_status as of waitpid(2) says
 * which): its pid, 0 when there is none, or -errno (-ECHILD: there are no children). *ret_peak: the
 * most memory it had in use (bytes, resident). Does not block. */
pid_t mp_child_reap(int *ret_status, uint64_t *ret_peak);

#endif
