/* SPDX-License-Identifier: MIT */
/* Includes the file under test, to show it machines and control groups that are not this one. */
#include "os/memory.c"

#include "scratch.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t left(struct scratch *scratch, const char *membership)
{
    char meminfo[192];
    char groups[192];

    scratch_write(scratch, "membership", membership);
    snprintf(meminfo, sizeof(meminfo), "%s/meminfo", scratch->dir);
    snprintf(groups, sizeof(groups), "%s/membership", scratch->dir);
    return available(meminfo, scratch->dir, groups);
}

TEST(what_the_machine_has)
{
    struct scratch scratch;

    scratch_make(&scratch);
    CHECK_EQ(left(&scratch, ""), UINT64_MAX); /* nobody says */
    scratch_write(&scratch, "meminfo", "MemTotal: 999 kB\nMemAvailable:   2048 kB\nX: 1 kB\n");
    CHECK_EQ(left(&scratch, ""), 2 * MIB);
    CHECK_EQ(left(&scratch, "0::/\n"), 2 * MIB);
    scratch_remove(&scratch);
}

TEST(version_2_leaves_what_its_tightest_ancestor_leaves)
{
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "meminfo", "MemAvailable: 1048576 kB\n");
    scratch_write(&scratch, "a/b/memory.max", "max\n");
    scratch_write(&scratch, "a/b/memory.current", "104857600\n");
    CHECK_EQ(left(&scratch, "0::/a/b\n"), 1024 * MIB);
    scratch_write(&scratch, "a/memory.max", "209715200\n");
    scratch_write(&scratch, "a/memory.current", "157286400\n");
    CHECK_EQ(left(&scratch, "0::/a/b\n"), 50 * MIB);
    scratch_write(&scratch, "a/memory.stat", "anon 5\ninactive_file 10485760\nactive_file 7\n");
    CHECK_EQ(left(&scratch, "0::/a/b\n"), 60 * MIB);
    scratch_write(&scratch, "a/memory.current", "314572800\n"); /* above its limit */
    CHECK_EQ(left(&scratch, "0::/a/b\n"), 0);
    scratch_remove(&scratch);
}

TEST(version_1)
{
    static const char membership[] = "9:memory:/box\n4:cpu,cpuacct:/box\n";
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "meminfo", "MemAvailable: 1048576 kB\n");
    scratch_write(&scratch, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    scratch_write(&scratch, "memory/memory.usage_in_bytes", "1048576\n");
    CHECK_EQ(left(&scratch, membership), 1024 * MIB);
    scratch_write(&scratch, "memory/box/memory.limit_in_bytes", "20971520\n");
    scratch_write(&scratch, "memory/box/memory.usage_in_bytes", "18874368\n");
    scratch_write(&scratch, "memory/box/memory.stat", "cache 9\ntotal_inactive_file 1048576\n");
    CHECK_EQ(left(&scratch, membership), 3 * MIB);
    scratch_remove(&scratch);
}

TEST(nonsense_is_no_bound)
{
    static const char *const texts[] = {"", "\n", "x\n", "max"};
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "meminfo", "MemAvailable: 1024 kB\n");
    scratch_write(&scratch, "memory.current", "1\n");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        scratch_write(&scratch, "memory.max", texts[i]);
        CHECK_EQ(left(&scratch, "0::/\n"), MIB);
    }
    scratch_remove(&scratch);
}

TEST(this_machine)
{
    CHECK(mp_memory_available() > MIB);
}

TEST(memory_and_cpu_of_a_process)
{
    int64_t rss = mp_process_rss(getpid());
    int64_t before = mp_process_cpu(getpid());
    volatile char *block = malloc(64 * MIB);

    CHECK(rss > 0 && before >= 0);
    for (size_t i = 0; i < 64 * MIB; i += 64)
        block[i] = 1;
    CHECK(mp_process_rss(getpid()) >= rss + (int64_t)(32 * MIB));
    CHECK(mp_process_cpu(getpid()) > before);
    free((void *)block);
    CHECK_EQ(mp_process_rss(1 << 22), -ESRCH);
    CHECK(mp_process_cpu(1 << 22) < 0);
}

TEST(processes_killed_for_want_of_memory)
{
    struct scratch scratch;
    char groups[192];

    scratch_make(&scratch);
    snprintf(groups, sizeof(groups), "%s/membership", scratch.dir);
    scratch_write(&scratch, "membership", "0::/a/b\n");
    CHECK_EQ(oom_kills(scratch.dir, groups), MP_MEMORY_UNKNOWN);
    scratch_write(&scratch, "a/b/memory.events", "low 0\noom 9\noom_kill 2\noom_group_kill 7\n");
    CHECK_EQ(oom_kills(scratch.dir, groups), 2);
    scratch_write(&scratch, "a/memory.events", "oom 9\noom_kill 5\n");
    CHECK_EQ(oom_kills(scratch.dir, groups), 2);
    scratch_write(&scratch, "membership", "4:memory:/a/b\n");
    CHECK_EQ(oom_kills(scratch.dir, groups), MP_MEMORY_UNKNOWN);
    scratch_remove(&scratch);
}
