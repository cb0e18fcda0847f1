/* SPDX-License-Identifier: MIT */
/*
 * Files without a name. O_TMPFILE never gives the file one; where the file system cannot do that
 * (NFS, some overlays), the file has a name of random letters for the moment between two calls, and
 * a process that is killed in between leaves an empty file behind.
 */
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int tmpfile_by_name(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/millpond-XXXXXX", dir);
    int err;
    int fd;

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd == -1)
        return -errno;
    if (unlink(path) == 0)
        return fd;
    err = -errno;
    mp_fd_close(&fd);
    return err;
}

/* What kernels and file systems say that do not know O_TMPFILE: they see a directory opened for
 * writing. */
static bool is_unsupported(int err)
{
    return err == EOPNOTSUPP || err == EISDIR || err == EINVAL || err == ENOSYS;
}

int mp_fd_tmpfile(const char *dir)
{
    int fd;

    do {
        fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    } while (fd == -1 && errno == EINTR);
    if (fd != -1)
        return fd;
    return is_unsupported(errno) ? tmpfile_by_name(dir) : -errno;
}
