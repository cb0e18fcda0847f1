/* SPDX-License-Identifier: MIT */
/*
 * Closing everything but a few descriptors: what a new process does with what it has inherited.
 * close_range(2) does it in a call for each gap; where a sandbox forbids that call, the names in
 * /proc/self/fd are walked instead (trying every possible number is no way: RLIMIT_NOFILE may
 * be a thousand million).
 */
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

enum {
    FIRST_CLOSED = 3,
};

static int close_gaps(const int *keep, size_t count)
{
    unsigned low = FIRST_CLOSED;

    for (size_t i = 0; i < count; i++) {
        unsigned kept = (unsigned)keep[i];

        if (keep[i] < 0 || kept < low)
            continue;
        if (kept > low && close_range(low, kept - 1, 0) == -1)
            return -errno;
        low = kept + 1;
    }
    return close_range(low, UINT_MAX, 0) == -1 ? -errno : 0;
}

static bool is_kept(int fd, const int *keep, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keep[i] == fd)
            return true;
    }
    return false;
}

static int close_listed(const int *keep, size_t count)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        int fd = (int)strtol(entry->d_name, NULL, 10); /* "." and "..": 0, which is never closed */

        if (fd >= FIRST_CLOSED && fd != dirfd(dir) && !is_kept(fd, keep, count))
            close(fd);
    }
    closedir(dir);
    return 0;
}

int mp_fd_close_others(const int *keep, size_t count)
{
    int err;

    for (size_t i = 1; i < count; i++)
        mp_assert(keep[i - 1] <= keep[i]);
    err = close_gaps(keep, count);
    if (err == -ENOSYS || err == -EPERM)
        return close_listed(keep, count);
    return err;
}
