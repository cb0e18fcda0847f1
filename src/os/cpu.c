/* SPDX-License-Identifier: MIT */
/*
 * How many CPUs a process may use: those of its affinity mask, and no more than the quota of the
 * control groups it is in.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "os/cgroup.h"
#include "os/fd.h"
#include "os/process.h"

enum {
    CPUS_FIRST_GUESS = 1024,
    CPUS_LIMIT = 1 << 20,
};

/* quota of each period, in microseconds, as whole CPUs, rounded up; UINT_MAX: no bound. */
static unsigned cpus_of_quota(long long quota, long long period)
{
    long long cpus;

    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    cpus = quota / period + (quota % period != 0);
    return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

/* Version 2, cpu.max: "max 100000" or "150000 100000". */
static unsigned quota_v2(const char *group)
{
    char path[PATH_MAX];
    char text[64];
    char *end;
    long long quota;

    if (snprintf(path, sizeof(path), "%s/cpu.max", group) >= (int)sizeof(path))
        return UINT_MAX;
    if (mp_fd_read_text(path, text, sizeof(text)) < 0)
        return UINT_MAX;
    quota = strtoll(text, &end, 10);
    if (end == text)
        return UINT_MAX;
    return cpus_of_quota(quota, strtoll(end, NULL, 10));
}

/* Version 1: two files; a quota of -1 is none. */
static unsigned quota_v1(const char *group)
{
    char path[PATH_MAX];
    char quota[32];
    char period[32];

    if (snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", group) >= (int)sizeof(path))
        return UINT_MAX;
    if (mp_fd_read_text(path, quota, sizeof(quota)) < 0)
        return UINT_MAX;
    if (snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", group) >= (int)sizeof(path))
        return UINT_MAX;
    if (mp_fd_read_text(path, period, sizeof(period)) < 0)
        return UINT_MAX;
    return cpus_of_quota(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

static uint64_t bound_v2(const char *group)
{
    unsigned cpus = quota_v2(group);

    return cpus < UINT_MAX ? cpus : MP_CGROUP_NONE;
}

static uint64_t bound_v1(const char *group)
{
    unsigned cpus = quota_v1(group);

    return cpus < UINT_MAX ? cpus : MP_CGROUP_NONE;
}

/* The bound that control groups set; UINT_MAX when there is none. */
static unsigned cgroup_bound(const char *sysfs, const char *membership)
{
    uint64_t least = mp_cgroup_least(sysfs, membership, "cpu", bound_v2, bound_v1);

    return least < UINT_MAX ? (unsigned)least : UINT_MAX;
}

/* The kernel refuses a mask that is smaller than its own: larger ones are tried. */
static unsigned affinity_count(void)
{
    for (size_t cpus = CPUS_FIRST_GUESS; cpus <= CPUS_LIMIT; cpus *= 2) {
        size_t size = CPU_ALLOC_SIZE(cpus);
        cpu_set_t *set = CPU_ALLOC(cpus);
        int count = 0;
        int err;

        if (!set)
            return 1;
        err = sched_getaffinity(0, size, set) == -1 ? errno : 0;
        if (!err)
            count = CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (err != EINVAL)
            return count > 0 ? (unsigned)count : 1;
    }
    return 1;
}

unsigned mp_cpu_count(void)
{
    unsigned cpus = affinity_count();
    unsigned bound = cgroup_bound(MP_CGROUP_ROOT, MP_CGROUP_MEMBERSHIP);

    return cpus < bound ? cpus : bound;
}
