/* SPDX-License-Identifier: MIT */
/* The control groups that this process is in. */
#ifndef MP_OS_CGROUP_H
#define MP_OS_CGROUP_H

#include <stdint.h>

#define MP_CGROUP_ROOT "/sys/fs/cgroup"
#define MP_CGROUP_MEMBERSHIP "/proc/self/cgroup"
#define MP_CGROUP_NONE UINT64_MAX /* no bound */

/*
 * The least of what the two functions say of the group of this process and of all groups above it.
 * They are given a folder, and say MP_CGROUP_NONE when it sets no bound or is not there. v2: of the
 * unified hierarchy; v1: of the controller's own. sysfs, membership: MP_CGROUP_ROOT and
 * MP_CGROUP_MEMBERSHIP, or files of a test.
 */
uint64_t mp_cgroup_least(const char *sysfs, const char *membership, const char *controller,
                         uint64_t (*v2)(const char *group), uint64_t (*v1)(const char *group));

#endif
