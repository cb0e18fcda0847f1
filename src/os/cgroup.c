/* SPDX-License-Identifier: MIT */
/*
 * Bounds of control groups; see cgroup.h. A bound binds all groups below, so every ancestor is
 * asked. Inside a container /proc/self/cgroup may name a path of the host that is not there: what
 * is missing is passed over, up to the root of the mount, which is the container's own group.
 */
#include "os/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "os/fd.h"

struct question {
    const char *sysfs;
    const char *controller;
    uint64_t (*v2)(const char *group);
    uint64_t (*v1)(const char *group);
};

/* Of a group and of all those above it, up to the mount. */
static uint64_t least_above(const char *mount, const char *group, uint64_t (*bound)(const char *))
{
    char path[PATH_MAX];
    size_t mount_len = strlen(mount);
    uint64_t least = MP_CGROUP_NONE;

    if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
        return MP_CGROUP_NONE;
    for (;;) {
        uint64_t one = bound(path);
        char *slash = strrchr(path, '/');

        if (one < least)
            least = one;
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
static uint64_t least_of_line(const struct question *question, const char *line)
{
    const char *controllers = strchr(line, ':');
    const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    char mount[PATH_MAX];
    uint64_t least;
    size_t n;

    if (!path)
        return MP_CGROUP_NONE;
    n = (size_t)(path - (controllers + 1));
    if (n == 0) {
        least = least_above(question->sysfs, path + 1, question->v2);
        snprintf(mount, sizeof(mount), "%s/unified", question->sysfs);
        return least != MP_CGROUP_NONE ? least : least_above(mount, path + 1, question->v2);
    }
    if (!has_word(controllers + 1, n, question->controller))
        return MP_CGROUP_NONE;
    snprintf(mount, sizeof(mount), "%s/%.*s", question->sysfs, (int)n, controllers + 1);
    least = least_above(mount, path + 1, question->v1);
    snprintf(mount, sizeof(mount), "%s/%s", question->sysfs, question->controller);
    return least != MP_CGROUP_NONE ? least : least_above(mount, path + 1, question->v1);
}

uint64_t mp_cgroup_least(const char *sysfs, const char *membership, const char *controller,
                         uint64_t (*v2)(const char *group), uint64_t (*v1)(const char *group))
{
    const struct question question = {sysfs, controller, v2, v1};
    char text[8192];
    char *rest = NULL;
    uint64_t least = MP_CGROUP_NONE;

    if (mp_fd_read_text(membership, text, sizeof(text)) < 0)
        return MP_CGROUP_NONE;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        uint64_t one = least_of_line(&question, line);

        if (one < least)
            least = one;
    }
    return least;
}
