/* SPDX-License-Identifier: MIT */
/* Includes the file under test, to show it control groups that this machine does not have. */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

static size_t kernel_mask_size; /* bytes that the kernel wants at least */
static int fails_with;
static bool no_memory;

static int test_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    if (fails_with || size < kernel_mask_size) {
        errno = fails_with ? fails_with : EINVAL;
        return -1;
    }
    return sched_getaffinity(pid, size, set);
}

#define sched_getaffinity test_getaffinity
#define __sched_cpualloc(count) (no_memory ? NULL : __sched_cpualloc(count))
#include "os/cpu.c"
#undef sched_getaffinity
#undef __sched_cpualloc

#include <unistd.h>

#include "scratch.h"

static unsigned bound_of(struct scratch *scratch, const char *membership)
{
    char file[192];

    scratch_write(scratch, "membership", membership);
    snprintf(file, sizeof(file), "%s/membership", scratch->dir);
    return cgroup_bound(scratch->dir, file);
}

TEST(affinity_bounds_the_count)
{
    cpu_set_t all;
    cpu_set_t one;
    int first = 0;

    CHECK_OK(sched_getaffinity(0, sizeof(all), &all));
    CHECK_EQ(affinity_count(), (unsigned)CPU_COUNT(&all));
    CHECK(mp_cpu_count() >= 1);
    CHECK(mp_cpu_count() <= (unsigned)CPU_COUNT(&all));
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
    CHECK_EQ(mp_cpu_count(), 1);
}

TEST(large_machines_and_failures_have_a_count)
{
    unsigned usual = affinity_count();

    kernel_mask_size = 4096 / 8; /* a kernel for 4096 CPUs */
    CHECK_EQ(affinity_count(), usual);
    kernel_mask_size = (size_t)-1; /* never satisfied: the search ends */
    CHECK_EQ(affinity_count(), 1);
    fails_with = EPERM;
    CHECK_EQ(affinity_count(), 1);
    no_memory = true;
    CHECK_EQ(affinity_count(), 1);
}

TEST(quota_is_rounded_up)
{
    CHECK_EQ(cpus_of_quota(100000, 100000), 1);
    CHECK_EQ(cpus_of_quota(150000, 100000), 2);
    CHECK_EQ(cpus_of_quota(200000, 100000), 2);
    CHECK_EQ(cpus_of_quota(1, 100000), 1);
    CHECK_EQ(cpus_of_quota(-1, 100000), UINT_MAX);
    CHECK_EQ(cpus_of_quota(0, 0), UINT_MAX);
    CHECK_EQ(cpus_of_quota(LLONG_MAX, 1), UINT_MAX);
}

TEST(no_group_no_bound)
{
    struct scratch scratch;

    scratch_make(&scratch);
    CHECK_EQ(cgroup_bound(scratch.dir, "/nonexistent"), UINT_MAX);
    CHECK_EQ(bound_of(&scratch, ""), UINT_MAX);
    CHECK_EQ(bound_of(&scratch, "0::/\n"), UINT_MAX);
    CHECK_EQ(bound_of(&scratch, "nonsense\n:\n::\n4\n"), UINT_MAX);
    scratch_remove(&scratch);
}

TEST(version_2_takes_the_least_quota_of_all_ancestors)
{
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "a/b/c/cpu.max", "max 100000\n");
    CHECK_EQ(bound_of(&scratch, "0::/a/b/c\n"), UINT_MAX);
    scratch_write(&scratch, "a/b/c/cpu.max", "800000 100000\n");
    CHECK_EQ(bound_of(&scratch, "0::/a/b/c\n"), 8);
    scratch_write(&scratch, "a/cpu.max", "250000 100000\n");
    CHECK_EQ(bound_of(&scratch, "0::/a/b/c\n"), 3);
    scratch_write(&scratch, "cpu.max", "50000 100000\n");
    CHECK_EQ(bound_of(&scratch, "0::/a/b/c\n"), 1);
    CHECK_EQ(bound_of(&scratch, "0::/\n"), 1);
    scratch_remove(&scratch);
}

/* In a container: the path of the host, which does not exist, and the own group as the mount. */
TEST(version_2_path_that_does_not_exist_leads_to_the_mount)
{
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "cpu.max", "400000 100000\n");
    CHECK_EQ(bound_of(&scratch, "0::/system.slice/docker-1234.scope\n"), 4);
    scratch_remove(&scratch);
}

TEST(nonsense_in_cpu_max_is_no_bound)
{
    static const char *const texts[] = {"",       "\n",       "x",        "max",
                                        "100000", "100000 0", "0 100000", "-5 100000"};
    struct scratch scratch;

    scratch_make(&scratch);
    for (size_t i = 0; i < mp_array_size(texts); i++) {
        scratch_write(&scratch, "cpu.max", texts[i]);
        CHECK_EQ(bound_of(&scratch, "0::/\n"), UINT_MAX);
    }
    scratch_remove(&scratch);
}

TEST(version_1_and_hybrid_mounts)
{
    static const char membership[] = "12:memory:/x\n4:cpu,cpuacct:/pod/box\n0::/\n";
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "cpu,cpuacct/pod/cpu.cfs_quota_us", "300000\n");
    scratch_write(&scratch, "cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
    scratch_write(&scratch, "cpu,cpuacct/pod/box/cpu.cfs_quota_us", "-1\n");
    scratch_write(&scratch, "cpu,cpuacct/pod/box/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(bound_of(&scratch, membership), 3);
    /* Only "cpu" counts, not what merely begins or ends like it. */
    CHECK_EQ(bound_of(&scratch, "4:cpuset,xcpu:/pod\n"), UINT_MAX);
    scratch_write(&scratch, "cpu/pod/cpu.cfs_quota_us", "200000\n");
    scratch_write(&scratch, "cpu/pod/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(bound_of(&scratch, "1:cpu:/pod\n"), 2);
    CHECK_EQ(bound_of(&scratch, "1:cpuacct,cpu:/pod\n"), 2);
    scratch_write(&scratch, "unified/box/cpu.max", "100000 100000\n");
    CHECK_EQ(bound_of(&scratch, "1:cpu:/pod\n0::/box\n"), 1);
    scratch_remove(&scratch);
}
