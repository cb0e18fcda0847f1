/* SPDX-License-Identifier: MIT */
#include "os/inotify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "os/poll.h"
#include "scratch.h"

static struct mp_inotify make(void)
{
    struct mp_inotify inotify;

    CHECK_OK(mp_inotify_init(&inotify));
    return inotify;
}

static int watch(struct mp_inotify *inotify, const char *folder)
{
    int number = mp_inotify_watch(inotify, folder);

    CHECK(number > 0);
    return number;
}

/* The next event is of that kind, watch and name. */
static void expect(struct mp_inotify *inotify, enum mp_inotify_what what, int number,
                   const char *name)
{
    struct mp_inotify_event event;

    CHECK_EQ(mp_inotify_next(inotify, &event), 1);
    CHECK_EQ(event.what, what);
    CHECK_EQ(event.watch, number);
    if (name)
        CHECK_STR(event.name, name);
    else
        CHECK(event.name == NULL);
}

static void expect_none(struct mp_inotify *inotify)
{
    struct mp_inotify_event event;

    CHECK_EQ(mp_inotify_next(inotify, &event), 0);
}

static void rename_in(struct scratch *scratch, const char *from, const char *to)
{
    char old[192];

    snprintf(old, sizeof(old), "%s", scratch_path(scratch, from));
    CHECK_OK(rename(old, scratch_path(scratch, to)));
}

TEST(descriptor_is_closed_in_programs_and_does_not_block)
{
    struct mp_inotify inotify = make();

    CHECK(fcntl(inotify.fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(inotify.fd, F_GETFL) & O_NONBLOCK);
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    CHECK_EQ(inotify.fd, -1);
    mp_inotify_done(&inotify);
}

TEST(written_file_is_told_when_it_is_made_and_when_it_is_complete)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int number;

    scratch_make(&scratch);
    number = watch(&inotify, scratch.dir);
    scratch_write(&scratch, "a.py", "x = 1\n");
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py");
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py");
    expect_none(&inotify);
    scratch_write(&scratch, "a.py", "x = 2\n");
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py");
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(renamed_file_is_told_under_both_names)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int number;

    scratch_make(&scratch);
    scratch_write(&scratch, "a.py~", "x = 1\n");
    number = watch(&inotify, scratch.dir);
    rename_in(&scratch, "a.py~", "a.py");
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py~");
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py");
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(removed_file_and_times_that_are_set_are_told)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int number;

    scratch_make(&scratch);
    scratch_write(&scratch, "a.py", "x = 1\n");
    number = watch(&inotify, scratch.dir);
    CHECK_OK(utimensat(AT_FDCWD, scratch_path(&scratch, "a.py"), NULL, 0));
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py");
    CHECK_OK(unlink(scratch_path(&scratch, "a.py")));
    expect(&inotify, MP_INOTIFY_CHANGED, number, "a.py");
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(reading_a_file_is_no_change)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    char text[8];
    int fd;

    scratch_make(&scratch);
    scratch_write(&scratch, "a.py", "x = 1\n");
    watch(&inotify, scratch.dir);
    fd = open(scratch_path(&scratch, "a.py"), O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, text, sizeof(text)), 6);
    close(fd);
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(second_watch_of_a_folder_is_the_first)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int number;

    scratch_make(&scratch);
    number = watch(&inotify, scratch.dir);
    CHECK_EQ(watch(&inotify, scratch.dir), number);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(folders_are_told_apart)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int a;
    int b;

    scratch_make(&scratch);
    scratch_write(&scratch, "a/x.py", "");
    scratch_write(&scratch, "b/x.py", "");
    a = watch(&inotify, scratch_path(&scratch, "a"));
    b = watch(&inotify, scratch_path(&scratch, "b"));
    CHECK(a != b);
    scratch_write(&scratch, "b/x.py", "y");
    expect(&inotify, MP_INOTIFY_CHANGED, b, "x.py");
    scratch_write(&scratch, "a/x.py", "y");
    expect(&inotify, MP_INOTIFY_CHANGED, a, "x.py");
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(removed_folder_is_gone)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int number;

    scratch_make(&scratch);
    scratch_write(&scratch, "a/x.py", "");
    number = watch(&inotify, scratch_path(&scratch, "a"));
    CHECK_OK(unlink(scratch_path(&scratch, "a/x.py")));
    expect(&inotify, MP_INOTIFY_CHANGED, number, "x.py");
    CHECK_OK(rmdir(scratch_path(&scratch, "a")));
    expect(&inotify, MP_INOTIFY_GONE, number, NULL);
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

/* What is in it then has another path, and who has watched that path has to watch it anew. */
TEST(renamed_folder_is_gone)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    int number;

    scratch_make(&scratch);
    scratch_write(&scratch, "a/x.py", "");
    number = watch(&inotify, scratch_path(&scratch, "a"));
    rename_in(&scratch, "a", "b");
    expect(&inotify, MP_INOTIFY_GONE, number, NULL);
    scratch_write(&scratch, "b/x.py", "y");
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(what_is_no_folder_is_refused)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;

    scratch_make(&scratch);
    scratch_write(&scratch, "a.py", "");
    CHECK_EQ(mp_inotify_watch(&inotify, scratch.path), -ENOTDIR);
    CHECK_EQ(mp_inotify_watch(&inotify, scratch_path(&scratch, "none")), -ENOENT);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

/* More than the buffer has room for, and names as long as they get: none is cut or lost. */
TEST(many_events_with_long_names_come_whole_and_in_order)
{
    struct mp_inotify inotify = make();
    struct scratch scratch;
    char name[101];
    int number;

    scratch_make(&scratch);
    number = watch(&inotify, scratch.dir);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (int i = 0; i < 64; i++) {
        name[0] = (char)('0' + i);
        CHECK_OK(mkdir(scratch_path(&scratch, name), 0700));
    }
    for (int i = 0; i < 64; i++) {
        name[0] = (char)('0' + i);
        expect(&inotify, MP_INOTIFY_CHANGED, number, name);
    }
    expect_none(&inotify);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

/* As many as the kernel keeps (fs.inotify.max_queued_events), and some more. */
TEST(lost_events_are_told)
{
    struct mp_inotify inotify = make();
    struct mp_inotify_event event;
    struct scratch scratch;
    char paths[2][192];
    FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    long most = 0;
    int lost = 0;

    CHECK(limit != NULL);
    CHECK_EQ(fscanf(limit, "%ld", &most), 1);
    fclose(limit);
    scratch_make(&scratch);
    watch(&inotify, scratch.dir);
    snprintf(paths[0], sizeof(paths[0]), "%s", scratch_path(&scratch, "a"));
    snprintf(paths[1], sizeof(paths[1]), "%s", scratch_path(&scratch, "b"));
    scratch_write(&scratch, "a", "");
    for (long i = 0; i <= most / 2 && i < 1000000; i++)
        CHECK_OK(rename(paths[i % 2], paths[(i + 1) % 2]));
    while (mp_inotify_next(&inotify, &event) == 1)
        lost += event.what == MP_INOTIFY_LOST;
    CHECK_EQ(lost, 1);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(descriptor_polls_as_readable)
{
    struct mp_inotify inotify = make();
    struct pollfd poll = {.fd = inotify.fd, .events = POLLIN};
    struct scratch scratch;

    scratch_make(&scratch);
    watch(&inotify, scratch.dir);
    CHECK_EQ(mp_poll(&poll, 1, 0), 0);
    scratch_write(&scratch, "a.py", "");
    CHECK_EQ(mp_poll(&poll, 1, 0), 1);
    mp_inotify_done(&inotify);
    scratch_remove(&scratch);
}

TEST(no_descriptor_is_an_error)
{
    struct rlimit before;
    struct mp_inotify inotify;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &before));
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_max = before.rlim_max}));
    CHECK_EQ(mp_inotify_init(&inotify), -EMFILE);
    CHECK_EQ(inotify.fd, -1);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &before));
}
