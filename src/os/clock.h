/* SPDX-License-Identifier: MIT */
/* Clocks. All in nanoseconds, none can fail on Linux; time in the pool is always monotonic. */
#ifndef MP_OS_CLOCK_H
#define MP_OS_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#define MP_NSEC_PER_SEC INT64_C(1000000000)
#define MP_NSEC_PER_MSEC INT64_C(1000000)
#define MP_NSEC_PER_USEC INT64_C(1000)

int64_t mp_clock_now(void);          /* CLOCK_MONOTONIC (vDSO, no system call) */
int64_t mp_clock_boot(void);         /* CLOCK_BOOTTIME: as now, and runs while the machine sleeps */
int64_t mp_clock_wall(void);         /* CLOCK_REALTIME */
int64_t mp_clock_wall_seconds(void); /* CLOCK_REALTIME_COARSE, whole seconds */
int64_t mp_clock_thread_cpu(void);   /* CPU time of the calling thread; a system call */
int64_t mp_clock_process_cpu(void);

/* How often the calling thread has gone to sleep by itself (voluntary context switches): a thread
 * that others have kept from the CPU has not. A system call. */
int64_t mp_clock_thread_sleeps(void);

/* How long the calling thread has waited on run queues: it could run, and others had the CPUs. -1
 * where the kernel does not say. Three system calls. */
int64_t mp_clock_thread_delay(void);

/* CPU time of another thread of this process, or -ESRCH when it has ended (but it must not have
 * been joined, nor be detached and gone: the handle is invalid then). A system call. */
int64_t mp_clock_other_thread_cpu(pthread_t thread);

#endif
