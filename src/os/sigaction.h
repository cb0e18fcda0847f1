/* SPDX-License-Identifier: MIT */
/*
 * What a process does on a signal: nothing, the default, or a byte into a descriptor.
 *
 * Nothing here blocks a signal: a blocked one stays blocked in every program that a thread of the
 * process starts (subprocess.Popen and its terminate(), for one), a handler does not.
 */
#ifndef MP_OS_SIGACTION_H
#define MP_OS_SIGACTION_H

#include <signal.h>
#include <stdint.h>

enum mp_disposition {
    MP_SIGNAL_DEFAULT,
    MP_SIGNAL_IGNORE,  /* SIG_IGN: inherited by programs that are executed */
    MP_SIGNAL_NOTHING, /* a handler that does nothing: not inherited */
    MP_SIGNAL_RELAY,   /* a handler that writes the number into the relay; not inherited */
};

/* Handlers restart system calls (SA_RESTART; signal(7) lists those that are not). old may be NULL.
 */
int mp_sigaction_set(int signo, enum mp_disposition disposition, struct sigaction *old);
int mp_sigaction_restore(int signo, const struct sigaction *old);

/*
 * The relay, one in a process: *ret_fd is readable while signals have come (non-blocking, CLOEXEC).
 * A process that is forked from this one and gets such a signal takes the default action instead of
 * reporting to a relay that is not its own. Closing puts the signals in *set back to the default.
 */
int mp_sigaction_relay_open(int *ret_fd);
void mp_sigaction_relay_close(int *fd, const sigset_t *set);

/* The number of the next signal that came, or -EAGAIN. */
int mp_sigaction_relay_read(int fd);

/*
 * Counts how often the handler that is installed for signo has returned, one signal in a process:
 * so that who has sent it to a thread knows when that has handled it. -EINVAL: there is no handler.
 */
int mp_sigaction_count(int signo);
/* Acquire: what the handlers that are counted have done is visible. */
uint32_t mp_sigaction_counted(void);

#endif
