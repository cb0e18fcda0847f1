/* SPDX-License-Identifier: MIT */
/* Includes the file under test over an open() of a file system without O_TMPFILE. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int open_fails_with; /* errno of open(); 0: it works */
static int interruptions;
static int unlink_fails_with;

static int test_open(const char *path, int flags, mode_t mode)
{
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (open_fails_with) {
        errno = open_fails_with;
        return -1;
    }
    return open(path, flags, mode);
}

static int test_unlink(const char *path)
{
    if (unlink_fails_with) {
        errno = unlink_fails_with;
        return -1;
    }
    return unlink(path);
}

#define open test_open
#define unlink test_unlink
#include "os/fd_tmpfile.c"
#undef open
#undef unlink

#include "scratch.h"

/* Readable, writable, nameless, nobody else's, closed on exec. */
static void check_file(int fd)
{
    struct stat info;
    char text[8] = "";

    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_OK(fstat(fd, &info));
    CHECK(S_ISREG(info.st_mode));
    CHECK_EQ(info.st_mode & 07777, 0600);
    CHECK_EQ(info.st_nlink, 0);
    CHECK_EQ(write(fd, "pond", 4), 4);
    CHECK_EQ(pread(fd, text, sizeof(text), 0), 4);
    CHECK_STR(text, "pond");
    close(fd);
}

TEST(tmpfile_by_flag)
{
    struct scratch scratch;

    scratch_make(&scratch);
    umask(0);
    check_file(mp_fd_tmpfile(scratch.dir));
    interruptions = 3;
    check_file(mp_fd_tmpfile(scratch.dir));
    CHECK_EQ(scratch_count(&scratch), 0);
    scratch_remove(&scratch);
}

TEST(tmpfile_by_name_where_the_flag_is_unknown)
{
    static const int errors[] = {EOPNOTSUPP, EISDIR, EINVAL, ENOSYS};
    struct scratch scratch;

    scratch_make(&scratch);
    umask(0);
    for (size_t i = 0; i < mp_array_size(errors); i++) {
        open_fails_with = errors[i];
        check_file(mp_fd_tmpfile(scratch.dir));
    }
    CHECK_EQ(scratch_count(&scratch), 0);
    scratch_remove(&scratch);
}

TEST(other_errors_are_results)
{
    struct scratch scratch;

    scratch_make(&scratch);
    CHECK_EQ(mp_fd_tmpfile("/nonexistent/dir"), -ENOENT);
    scratch_write(&scratch, "file", "");
    CHECK_EQ(mp_fd_tmpfile(scratch.path), -ENOTDIR);
    open_fails_with = ENOSPC;
    CHECK_EQ(mp_fd_tmpfile(scratch.dir), -ENOSPC);
    open_fails_with = EMFILE;
    CHECK_EQ(mp_fd_tmpfile(scratch.dir), -EMFILE);
    scratch_remove(&scratch);
}

TEST(errors_of_the_other_way_are_results)
{
    struct scratch scratch;
    char dir[PATH_MAX + 1];

    scratch_make(&scratch);
    open_fails_with = EOPNOTSUPP;
    CHECK_EQ(mp_fd_tmpfile("/nonexistent/dir"), -ENOENT);
    memset(dir, 'x', sizeof(dir) - 1);
    dir[sizeof(dir) - 1] = '\0';
    CHECK_EQ(mp_fd_tmpfile(dir), -ENAMETOOLONG);
    unlink_fails_with = EROFS;
    CHECK_EQ(mp_fd_tmpfile(scratch.dir), -EROFS); /* and no descriptor is left: the runner counts */
    scratch_remove(&scratch);
}
