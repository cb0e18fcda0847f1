/* SPDX-License-Identifier: MIT */
#include "os/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "os/fd.h"
#include "scratch.h"

#define NOBODY 65534

static mode_t mode_of(const char *path)
{
    struct stat info;

    CHECK_OK(lstat(path, &info));
    return info.st_mode & 07777;
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1) {
        int err = -errno;

        close(fd);
        return err;
    }
    return fd;
}

TEST(a_folder_is_made_for_its_owner_alone)
{
    struct scratch scratch;

    scratch_make(&scratch);
    umask(0);
    CHECK_OK(mp_private_folder(scratch_path(&scratch, "own")));
    CHECK_EQ(mode_of(scratch.path), 0700);
    CHECK_OK(mp_private_folder(scratch.path)); /* it is there already */
    CHECK_EQ(mp_private_folder(scratch_path(&scratch, "no/such")), -ENOENT);
    scratch_remove(&scratch);
}

TEST(a_folder_that_others_may_enter_is_refused)
{
    struct scratch scratch;

    scratch_make(&scratch);
    CHECK_OK(mkdir(scratch_path(&scratch, "open"), 0700));
    CHECK_OK(chmod(scratch.path, 0710));
    CHECK_EQ(mp_private_folder(scratch.path), -EPERM);
    scratch_remove(&scratch);
}

TEST(what_is_no_folder_of_ours_is_refused)
{
    struct scratch scratch;
    char own[192];

    scratch_make(&scratch);
    CHECK_OK(mp_private_folder(scratch_path(&scratch, "own")));
    snprintf(own, sizeof(own), "%s", scratch.path);
    CHECK_OK(symlink(own, scratch_path(&scratch, "link")));
    CHECK(mp_private_folder(scratch.path) < 0);
    scratch_write(&scratch, "file", "text");
    CHECK_EQ(mp_private_folder(scratch.path), -ENOTDIR);
    if (geteuid() == 0) {
        CHECK_OK(chown(own, NOBODY, NOBODY));
        CHECK_EQ(mp_private_folder(own), -EPERM);
    }
    scratch_remove(&scratch);
}

TEST(the_socket_has_its_mode_from_the_start)
{
    struct mp_sockaddr addr;
    struct scratch scratch;
    int fd;

    scratch_make(&scratch);
    umask(0);
    fd = mp_private_listen(scratch_path(&scratch, "a.sock"), 5, &addr);
    CHECK(fd >= 0);
    CHECK_EQ(mode_of(scratch.path), 0600);
    CHECK_STR(addr.un.sun_path, scratch.path);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(umask(022), 0); /* it was left alone */
    close(fd);
    scratch_remove(&scratch);
}

TEST(a_stale_socket_is_replaced_and_a_living_one_is_not)
{
    struct mp_sockaddr addr;
    struct scratch scratch;
    int fd;

    scratch_make(&scratch);
    fd = mp_private_listen(scratch_path(&scratch, "a.sock"), 5, &addr);
    CHECK(fd >= 0);
    CHECK_EQ(mp_private_listen(scratch.path, 5, &addr), -EADDRINUSE);
    close(fd);
    fd = mp_private_listen(scratch.path, 5, &addr);
    CHECK(fd >= 0);
    close(fd);
    scratch_write(&scratch, "file", "text");
    CHECK_EQ(mp_private_listen(scratch.path, 5, &addr), -EEXIST);
    scratch_remove(&scratch);
}

TEST(impossible_paths_are_results)
{
    char path[200];
    struct mp_sockaddr addr;

    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    CHECK_EQ(mp_private_listen(path, 5, &addr), -ENAMETOOLONG);
    CHECK_EQ(mp_private_listen("", 5, &addr), -ENOENT);
    CHECK_EQ(mp_private_listen("/no/such/folder/a.sock", 5, &addr), -ENOENT);
}

static void connect_as_nobody(void *path)
{
    int fd;
    char byte;

    CHECK_OK(setgid(NOBODY));
    CHECK_OK(setuid(NOBODY));
    fd = connect_to(path);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, &byte, 1), 0); /* until the other side has looked */
    close(fd);
}

static void accept_one(int listener, bool own)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    int fd;

    CHECK_EQ(poll(&entry, 1, 10000), 1);
    fd = mp_socket_accept(listener, NULL);
    CHECK(fd >= 0);
    CHECK_EQ(mp_private_peer(fd), own);
    close(fd);
}

TEST(who_has_connected_is_known)
{
    struct mp_sockaddr addr;
    struct scratch scratch;
    int listener;
    int client;
    int status;
    pid_t pid;

    scratch_make(&scratch);
    listener = mp_private_listen(scratch_path(&scratch, "a.sock"), 5, &addr);
    CHECK(listener >= 0);
    client = connect_to(scratch.path);
    CHECK(client >= 0);
    accept_one(listener, true);
    close(client);
    CHECK(!mp_private_peer(-1));
    if (geteuid() == 0) { /* only root can be somebody else */
        CHECK_OK(chmod(scratch.path, 0666));
        CHECK_OK(chmod(scratch.dir, 0755));
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            connect_as_nobody(scratch.path);
            _exit(0);
        }
        accept_one(listener, false);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
    }
    close(listener);
    scratch_remove(&scratch);
}
