/* SPDX-License-Identifier: MIT */
/* Whom a process runs as: root's rights are given up, and do not come back. */
#ifndef MP_OS_IDENTITY_H
#define MP_OS_IDENTITY_H

#include <stddef.h>
#include <sys/types.h>

struct mp_identity {
    uid_t user;
    gid_t group;
    const gid_t *groups; /* supplementary; may be NULL when there are none */
    size_t group_count;
};

/*
 * Becomes that user, in all threads of the process, and then proves that there is no way back: all
 * ids are as asked, no capability is left, root cannot be had again. 0 or -errno; -EPERM also when
 * a proof fails. After an error the process is in a state that nobody should serve in: end it.
 *
 * user 0 changes the groups only, and there is nothing to prove about the way back.
 */
int mp_identity_become(const struct mp_identity *identity);

#endif
