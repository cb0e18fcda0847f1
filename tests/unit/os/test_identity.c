/* SPDX-License-Identifier: MIT */
#include "os/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "scratch.h"

#define NOBODY 65534

static bool may_change(void)
{
    gid_t none[1];

    return geteuid() == 0 && getgroups(0, none) >= 0;
}

static void drop(void *argument)
{
    static const gid_t groups[] = {NOBODY, 100};
    const struct mp_identity identity = {
        .user = NOBODY, .group = NOBODY, .groups = groups, .group_count = 2};
    gid_t got[4];

    (void)argument;
    CHECK_OK(mp_identity_become(&identity));
    CHECK_EQ(getuid(), NOBODY);
    CHECK_EQ(geteuid(), NOBODY);
    CHECK_EQ(getegid(), NOBODY);
    CHECK_EQ(getgroups(4, got), 2);
    CHECK_EQ(setuid(0), -1);
    CHECK_EQ(setgroups(0, NULL), -1);
    CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
    CHECK(open("/proc/self/syscall", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES);
}

TEST(root_becomes_somebody_for_good)
{
    if (may_change())
        in_child(drop, NULL);
}

/* Whoever started us has had the kernel keep the capabilities. */
static void drop_with_kept_capabilities(void *argument)
{
    const struct mp_identity identity = {.user = NOBODY, .group = NOBODY};

    (void)argument;
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == -1)
        return; /* not allowed here */
    CHECK_EQ(mp_identity_become(&identity), -EPERM);
}

TEST(a_way_back_is_an_error)
{
    if (may_change())
        in_child(drop_with_kept_capabilities, NULL);
}

static void drop_without_rights(void *argument)
{
    const struct mp_identity root = {.user = 0, .group = 0};
    const struct mp_identity nobody = {.user = NOBODY, .group = NOBODY};

    (void)argument;
    if (may_change())
        CHECK_OK(mp_identity_become(&nobody));
    CHECK_EQ(mp_identity_become(&root), -EPERM);
    CHECK(geteuid() != 0);
}

TEST(nobody_cannot_become_root)
{
    in_child(drop_without_rights, NULL);
}
