/* SPDX-License-Identifier: MIT */
/*
 * The order matters: groups can only be changed by who may still do so, so the user is last. All
 * three ids are set, the saved one too: what is saved can be taken again. The kernel takes the
 * capabilities away when the last of the three leaves 0, unless the securebits say otherwise
 * (KEEP_CAPS, NO_SETUID_FIXUP, of whoever started us); this is looked at, and not believed.
 *
 * A process that has changed its user is not "dumpable": its files in /proc are root's, so that it
 * could neither look at its own threads nor its master at its memory. It has nothing of root's in
 * its memory that its user may not see, so that is undone.
 */
#include "os/identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool ids_are(uid_t user, gid_t group)
{
    uid_t uids[3];
    gid_t gids[3];

    return getresuid(&uids[0], &uids[1], &uids[2]) == 0 &&
           getresgid(&gids[0], &gids[1], &gids[2]) == 0 && uids[0] == user && uids[1] == user &&
           uids[2] == user && gids[0] == group && gids[1] == group && gids[2] == group;
}

static bool has_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capget, &header, data) == -1)
        return true;
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        if (data[i].effective || data[i].permitted)
            return true;
    }
    return false;
}

/* Tried, with every call that could do it. */
static bool can_be_root(gid_t group)
{
    if (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0)
        return true;
    return group != 0 && (setgid(0) == 0 || setresgid(0, 0, 0) == 0);
}

int mp_identity_become(const struct mp_identity *identity)
{
    uid_t user = identity->user;
    gid_t group = identity->group;

    if (setgroups(identity->group_count, identity->groups) == -1)
        return -errno;
    if (setresgid(group, group, group) == -1)
        return -errno;
    if (setresuid(user, user, user) == -1)
        return -errno;
    if (!ids_are(user, group))
        return -EPERM;
    if (user == 0)
        return 0;
    if (has_capabilities() || can_be_root(group))
        return -EPERM;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1 ? -errno : 0;
}
