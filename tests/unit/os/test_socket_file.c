/* SPDX-License-Identifier: MIT */
#include "os/socket_file.h"

#include <errno.h>
#include <stddef.h>

#include "scratch.h"

static struct mp_sockaddr address_of(const char *path)
{
    struct mp_sockaddr addr;
    char spec[256];
    const char *why;
    int fd;

    snprintf(spec, sizeof(spec), "unix:%s", path);
    CHECK_OK(mp_sockaddr_parse(spec, &addr, &fd, &why));
    return addr;
}

static int listen_at(const struct mp_sockaddr *addr)
{
    int fd = mp_socket_listen(addr, &(struct mp_listen_options){.backlog = 5});

    CHECK(fd >= 0);
    return fd;
}

TEST(own_file_is_removed_once)
{
    struct mp_socket_file file;
    struct scratch scratch;
    struct mp_sockaddr addr;
    int fd;

    scratch_make(&scratch);
    addr = address_of(scratch_path(&scratch, "app.sock"));
    fd = listen_at(&addr);
    CHECK_OK(mp_socket_file_init(&file, &addr));
    CHECK_STR(file.path, scratch.path);
    mp_socket_file_done(&file);
    CHECK_EQ(scratch_count(&scratch), 0);
    CHECK(file.path == NULL);
    mp_socket_file_done(&file);
    close(fd);
    scratch_remove(&scratch);
}

TEST(file_of_a_successor_stays)
{
    struct mp_socket_file file;
    struct scratch scratch;
    struct mp_sockaddr addr;
    int old;
    int new;

    scratch_make(&scratch);
    addr = address_of(scratch_path(&scratch, "app.sock"));
    old = listen_at(&addr);
    CHECK_OK(mp_socket_file_init(&file, &addr));
    CHECK_OK(rename(scratch.path, "/tmp/millpond-test-old.sock")); /* keeps the inode in use */
    new = listen_at(&addr);
    mp_socket_file_done(&file);
    CHECK_EQ(scratch_count(&scratch), 1);
    CHECK_OK(unlink("/tmp/millpond-test-old.sock"));
    close(old);
    close(new);
    scratch_remove(&scratch);
}

static void finish(void *argument)
{
    mp_socket_file_done(argument);
}

TEST(forked_child_does_not_remove_its_parents_file)
{
    struct mp_socket_file file;
    struct scratch scratch;
    struct mp_sockaddr addr;
    int fd;

    scratch_make(&scratch);
    addr = address_of(scratch_path(&scratch, "app.sock"));
    fd = listen_at(&addr);
    CHECK_OK(mp_socket_file_init(&file, &addr));
    in_child(finish, &file);
    CHECK_EQ(scratch_count(&scratch), 1);
    mp_socket_file_done(&file);
    CHECK_EQ(scratch_count(&scratch), 0);
    close(fd);
    scratch_remove(&scratch);
}

TEST(relative_path_is_found_after_chdir)
{
    struct mp_socket_file file;
    struct scratch scratch;
    struct mp_sockaddr addr = address_of("app.sock");
    int fd;

    scratch_make(&scratch);
    CHECK_OK(chdir(scratch.dir));
    fd = listen_at(&addr);
    CHECK_OK(mp_socket_file_init(&file, &addr));
    CHECK_OK(chdir("/"));
    mp_socket_file_done(&file);
    CHECK_EQ(scratch_count(&scratch), 0);
    close(fd);
    scratch_remove(&scratch);
}

TEST(addresses_without_a_file_have_none)
{
    struct mp_sockaddr abstract = address_of("@name");
    struct mp_sockaddr tcp = {.len = sizeof(struct sockaddr_in), .in4.sin_family = AF_INET};
    struct mp_sockaddr missing = address_of("/nonexistent/app.sock");
    struct mp_socket_file file;

    CHECK_OK(mp_socket_file_init(&file, &abstract));
    CHECK(file.path == NULL);
    mp_socket_file_done(&file);
    CHECK_OK(mp_socket_file_init(&file, &tcp));
    CHECK(file.path == NULL);
    CHECK_EQ(mp_socket_file_init(&file, &missing), -ENOENT);
    CHECK(file.path == NULL);
    mp_socket_file_done(&file);
}
