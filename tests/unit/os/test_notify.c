/* SPDX-License-Identifier: MIT */
#include "os/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "scratch.h"

static int receiver(const struct sockaddr_un *addr, socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_OK(bind(fd, (const struct sockaddr *)addr, size));
    return fd;
}

static void check_received(int fd, const char *text)
{
    char got[128];
    ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

    CHECK(n >= 0);
    got[n] = '\0';
    CHECK_STR(got, text);
}

TEST(to_a_path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct scratch scratch;
    int fd;

    scratch_make(&scratch);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", scratch_path(&scratch, "notify"));
    fd = receiver(&addr, sizeof(addr));
    CHECK_OK(mp_notify_send(scratch.path, "READY=1\nSTATUS=x"));
    check_received(fd, "READY=1\nSTATUS=x");
    close(fd);
    CHECK_EQ(mp_notify_send(scratch.path, "READY=1"), -ECONNREFUSED);
    scratch_remove(&scratch);
    CHECK_EQ(mp_notify_send(scratch.path, "READY=1"), -ENOENT);
}

TEST(to_an_abstract_name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char name[64];
    int length;
    int fd;

    length = snprintf(name, sizeof(name), "@millpond-test-notify-%d", (int)getpid());
    memcpy(addr.sun_path + 1, name + 1, (size_t)length - 1);
    fd = receiver(&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length));
    CHECK_OK(mp_notify_send(name, "STOPPING=1"));
    check_received(fd, "STOPPING=1");
    close(fd);
}

TEST(a_receiver_that_does_not_read_is_not_waited_for)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct scratch scratch;
    int err = 0;
    int fd;

    scratch_make(&scratch);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", scratch_path(&scratch, "notify"));
    fd = receiver(&addr, sizeof(addr));
    for (int i = 0; i < 100000 && !err; i++)
        err = mp_notify_send(scratch.path, "WATCHDOG=1");
    CHECK_EQ(err, -EAGAIN);
    close(fd);
    scratch_remove(&scratch);
}

TEST(what_is_no_address_is_refused)
{
    char name[200];

    memset(name, 'x', sizeof(name) - 1);
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    CHECK_EQ(mp_notify_send(name, "READY=1"), -ENAMETOOLONG);
    CHECK_EQ(mp_notify_send("", "READY=1"), -EINVAL);
    CHECK_EQ(mp_notify_send("/", "READY=1"), -EINVAL);
    CHECK_EQ(mp_notify_send("@", "READY=1"), -EINVAL);
    CHECK_EQ(mp_notify_send("vsock:2:1234", "READY=1"), -EINVAL);
}
