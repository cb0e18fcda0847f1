/* SPDX-License-Identifier: MIT */
/* Clocks. The kernels that are supported have all of them: a failure would be a defect of ours. */
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    mp_assert(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * MP_NSEC_PER_SEC + now.tv_nsec;
}

int64_t mp_clock_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t mp_clock_boot(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t mp_clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t mp_clock_wall_seconds(void)
{
    struct timespec now;

    mp_assert(clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0);
    return now.tv_sec;
}

int64_t mp_clock_thread_cpu(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t mp_clock_thread_sleeps(void)
{
    struct rusage usage;

    mp_assert(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_nvcsw;
}

/* /proc/PID/schedstat: ns on CPUs, ns on run queues, time slices. */
int64_t mp_clock_thread_delay(void)
{
    char text[96];
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);
    char *second;

    if (fd != -1)
        close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    second = strchr(text, ' ');
    return second ? (int64_t)strtoll(second, NULL, 10) : -1;
}

int64_t mp_clock_process_cpu(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t mp_clock_other_thread_cpu(pthread_t thread)
{
    struct timespec now;
    clockid_t id;
    int err = pthread_getcpuclockid(thread, &id);

    if (err)
        return -err;
    /* EINVAL: the thread has ended between the two calls. */
    if (clock_gettime(id, &now) != 0)
        return errno == EINVAL ? -ESRCH : -errno;
    return (int64_t)now.tv_sec * MP_NSEC_PER_SEC + now.tv_nsec;
}
