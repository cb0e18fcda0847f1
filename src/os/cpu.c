/* SPDX-License-Identifier: MIT */
/*
 * How many CPUs a process may use: those of its affinity mask, and no more than the quota of the
 * control groups it is in. A quota binds all groups below it, so every ancestor is asked. Inside a
 * container /proc/self/cgroup may name a path of the host that is not there: what is missing is
 * passed over, up to the root of the mount, which is the container's own group.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
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

/* The least quota of a group and of all those above it, up to the mount. */
static unsigned least_quota(const char *mount, const char *group, unsigned (*quota)(const char *))
{
    char path[PATH_MAX];
    size_t mount_len = strlen(mount);
    unsigned least = UINT_MAX;

    if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
        return UINT_MAX;
    for (;;) {
        unsigned cpus = quota(path);
        char *slash = strrchr(path, '/');

        if (cpus < least)
            least = cpus;
        if (!slash || slash < path + mount_len)
            return least;
        *slash = '\0';
    }
}

/* True when name is one of the comma-separated words in list, n bytes long. */
static bool has_word(const char *list, size_t n, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; at + len <= list + n; at++) {
        bool starts = at == list || at[-1] == ',';
        bool ends = at + len == list + n || at[len] == ',';

        if (starts && ends && memcmp(at, name, len) == 0)
            return true;
    }
    return false;
}

/* One line of /proc/self/cgroup: "0::/path" (version 2) or "4:cpu,cpuacct:/path". */
static unsigned quota_of_line(const char *sysfs, const char *line)
{
    const char *controllers = strchr(line, ':');
    const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    char mount[PATH_MAX];
    unsigned least;
    size_t n;

    if (!path)
        return UINT_MAX;
    n = (size_t)(path - (controllers + 1));
    if (n == 0) {
        least = least_quota(sysfs, path + 1, quota_v2);
        snprintf(mount, sizeof(mount), "%s/unified", sysfs);
        return least != UINT_MAX ? least : least_quota(mount, path + 1, quota_v2);
    }
    if (!has_word(controllers + 1, n, "cpu"))
        return UINT_MAX;
    snprintf(mount, sizeof(mount), "%s/%.*s", sysfs, (int)n, controllers + 1);
    least = least_quota(mount, path + 1, quota_v1);
    snprintf(mount, sizeof(mount), "%s/cpu", sysfs);
    return least != UINT_MAX ? least : least_quota(mount, path + 1, quota_v1);
}

/* The bound that control groups set; UINT_MAX when there is none. */
static unsigned cgroup_bound(const char *sysfs, const char *membership)
{
    char text[8192];
    char *rest = NULL;
    unsigned least = UINT_MAX;

    if (mp_fd_read_text(membership, text, sizeof(text)) < 0)
        return UINT_MAX;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned cpus = quota_of_line(sysfs, line);

        if (cpus < least)
            least = cpus;
    }
    return least;
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
    unsigned bound = cgroup_bound("/sys/fs/cgroup", "/proc/self/cgroup");

    return cpus < bound ? cpus : bound;
}
