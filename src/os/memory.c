/* SPDX-License-Identifier: MIT */
/*
 * Memory that processes may still take: what the machine has, and no more than what the control
 * groups of this process leave. Pages of files that have not been used lately are counted as used
 * by a group, but are given up first: they are left out, as the kernel leaves them out of
 * MemAvailable.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/fd.h"
#include "os/process.h"

/* The file's number, or MP_CGROUP_NONE ("max", or no such file). */
static uint64_t read_number(const char *group, const char *name)
{
    char path[PATH_MAX];
    char text[32];
    char *end;
    unsigned long long number;

    if (snprintf(path, sizeof(path), "%s/%s", group, name) >= (int)sizeof(path))
        return MP_CGROUP_NONE;
    if (mp_fd_read_text(path, text, sizeof(text)) < 0)
        return MP_CGROUP_NONE;
    number = strtoull(text, &end, 10);
    return end == text ? MP_CGROUP_NONE : number;
}

/* The number behind key, which stands at the beginning of a line; 0 when there is none. */
static uint64_t read_entry(const char *path, const char *key)
{
    char text[8192];
    size_t n = strlen(key);
    const char *line = text;

    if (mp_fd_read_text(path, text, sizeof(text)) < 0)
        return 0;
    for (; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && (line[n] == ' ' || line[n] == ':'))
            return strtoull(line + n + 1, NULL, 10);
    }
    return 0;
}

static uint64_t left_in(const char *group, const char *limit_name, const char *usage_name,
                        const char *inactive_key)
{
    char path[PATH_MAX];
    uint64_t limit = read_number(group, limit_name);
    uint64_t used = read_number(group, usage_name);
    uint64_t inactive;

    if (limit == MP_CGROUP_NONE || used == MP_CGROUP_NONE)
        return MP_CGROUP_NONE;
    if (snprintf(path, sizeof(path), "%s/memory.stat", group) >= (int)sizeof(path))
        return MP_CGROUP_NONE;
    inactive = read_entry(path, inactive_key);
    used = used > inactive ? used - inactive : 0;
    return limit > used ? limit - used : 0;
}

static uint64_t left_v2(const char *group)
{
    return left_in(group, "memory.max", "memory.current", "inactive_file");
}

/* Version 1 has no word for "no limit", but a number that no machine has the memory for. */
static uint64_t left_v1(const char *group)
{
    return left_in(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
}

static uint64_t available(const char *meminfo, const char *sysfs, const char *membership)
{
    uint64_t machine = read_entry(meminfo, "MemAvailable") * 1024;
    uint64_t group = mp_cgroup_least(sysfs, membership, "memory", left_v2, left_v1);

    if (machine == 0)
        machine = UINT64_MAX;
    return group < machine ? group : machine;
}

uint64_t mp_memory_available(void)
{
    return available("/proc/meminfo", MP_CGROUP_ROOT, MP_CGROUP_MEMBERSHIP);
}

/* It counts for a group and all below it, so the least is this process's own group's. */
static uint64_t oom_kills_v2(const char *group)
{
    char path[PATH_MAX];
    char text[8];

    if (snprintf(path, sizeof(path), "%s/memory.events", group) >= (int)sizeof(path) ||
        mp_fd_read_text(path, text, sizeof(text)) < 0)
        return MP_CGROUP_NONE;
    return read_entry(path, "oom_kill");
}

/* Each group's own only, and the root's too: not to be told apart. */
static uint64_t oom_kills_v1(const char *group)
{
    (void)group;
    return MP_CGROUP_NONE;
}

static uint64_t oom_kills(const char *sysfs, const char *membership)
{
    return mp_cgroup_least(sysfs, membership, "memory", oom_kills_v2, oom_kills_v1);
}

_Static_assert(MP_MEMORY_UNKNOWN == MP_CGROUP_NONE, "they say the same");

uint64_t mp_memory_oom_kills(void)
{
    return oom_kills(MP_CGROUP_ROOT, MP_CGROUP_MEMBERSHIP);
}

/* /proc/PID/statm counts pages: all, resident, ... */
int64_t mp_process_rss(pid_t pid)
{
    char path[64];
    char text[128];
    const char *second;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    n = mp_fd_read_text(path, text, sizeof(text));
    if (n == -ENOENT)
        return -ESRCH;
    if (n < 0)
        return n;
    second = strchr(text, ' ');
    return second ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : -ESRCH;
}

int64_t mp_process_cpu(pid_t pid)
{
    struct timespec used;
    clockid_t id;
    int err = clock_getcpuclockid(pid, &id);

    if (err)
        return -err;
    if (clock_gettime(id, &used) != 0)
        return errno == EINVAL ? -ESRCH : -errno;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}
