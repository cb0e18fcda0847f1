/* SPDX-License-Identifier: MIT */
/* What the master says of its logs: each thing once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/private.h"
#include "os/clock.h"
#include "os/fd.h"
#include "runner.h"

#define NOW (1000000 * MP_NSEC_PER_SEC)
#define LOOK (3 * MP_NSEC_PER_SEC)

struct scene {
    struct mp_master *master;
    char folder[64];
    char path[96];
    int64_t now;
};

static int serve(void *data, const struct mp_worker_context *context)
{
    (void)data;
    (void)context;
    return 0;
}

static void set(struct scene *scene)
{
    const struct mp_master_ops ops = {.serve = serve};
    struct mp_master_options options;

    snprintf(scene->folder, sizeof(scene->folder), "/tmp/millpond-test-XXXXXX");
    CHECK(mkdtemp(scene->folder) != NULL);
    snprintf(scene->path, sizeof(scene->path), "%s/log", scene->folder);
    scene->now = NOW;
    mp_master_options_init(&options);
    options.log.fd = mp_fd_open_append(scene->path);
    CHECK(options.log.fd >= 0);
    options.worker.log_path = scene->path;
    CHECK_OK(mp_master_new(&options, &ops, &scene->master));
    mp_logs_tick(scene->master, scene->now);
}

static void strike(struct scene *scene)
{
    mp_fd_close(&scene->master->options.log.fd);
    mp_master_free(scene->master);
    unlink(scene->path);
    CHECK_OK(rmdir(scene->folder));
}

static void look(struct scene *scene)
{
    scene->now += LOOK;
    mp_logs_tick(scene->master, scene->now);
}

static int count(const struct scene *scene, const char *text)
{
    static char all[65536];
    ssize_t n = mp_fd_read_text(scene->path, all, sizeof(all));
    int found = 0;

    for (const char *at = n > 0 ? all : ""; (at = strstr(at, text)); at++)
        found++;
    return found;
}

TEST(a_clock_that_is_set_is_told_once)
{
    struct scene scene;

    set(&scene);
    scene.master->logs.clock += 3600 * MP_NSEC_PER_SEC + MP_NSEC_PER_SEC / 2; /* as it was */
    for (int i = 0; i < 3; i++)
        look(&scene);
    CHECK_EQ(count(&scene, "the machine's clock was set back by 60 min 0 s"), 1);
    scene.master->logs.clock -= 90 * MP_NSEC_PER_SEC + MP_NSEC_PER_SEC / 2;
    for (int i = 0; i < 3; i++)
        look(&scene);
    CHECK_EQ(count(&scene, "the machine's clock was set"), 2);
    CHECK_EQ(count(&scene, "was set forward by 90."), 1);
    scene.master->logs.clock += MP_NSEC_PER_SEC; /* corrected, not set */
    look(&scene);
    CHECK_EQ(count(&scene, "the machine's clock was set"), 2);
    strike(&scene);
}

TEST(a_file_that_is_removed_is_opened_anew)
{
    struct scene scene;
    int fd;

    set(&scene);
    fd = scene.master->options.log.fd;
    CHECK_OK(unlink(scene.path));
    look(&scene);
    CHECK_EQ(access(scene.path, F_OK), -1); /* whoever rotates it is given time */
    for (int i = 0; i < 3; i++)
        look(&scene);
    CHECK_EQ(scene.master->options.log.fd, fd);
    CHECK_EQ(count(&scene, "was removed or moved away: opened anew"), 1);
    strike(&scene);
}

TEST(a_file_that_cannot_be_opened_anew_is_told_once)
{
    struct scene scene;
    char other[128];

    set(&scene);
    snprintf(other, sizeof(other), "%s/other", scene.folder);
    CHECK_OK(rename(scene.path, other));
    CHECK_OK(mkdir(scene.path, 0700)); /* root may do anything but that */
    for (int i = 0; i < 4; i++)
        look(&scene);
    CHECK_OK(rmdir(scene.path));
    CHECK_OK(rename(other, scene.path));
    CHECK_EQ(count(&scene, "cannot be opened anew"), 1);
    strike(&scene);
}

TEST(usr1_opens_it_anew_at_once)
{
    struct scene scene;
    char other[128];

    set(&scene);
    snprintf(other, sizeof(other), "%s/log.1", scene.folder);
    CHECK_OK(rename(scene.path, other));
    mp_logs_reopen(scene.master);
    CHECK_EQ(count(&scene, "the logs are opened anew"), 1);
    look(&scene);
    look(&scene);
    CHECK_EQ(count(&scene, "was removed"), 0);
    CHECK_OK(unlink(other));
    strike(&scene);
}

TEST(lost_lines_are_told_when_it_begins_and_when_it_ends)
{
    struct scene scene;
    const struct mp_log_sink *sink;

    set(&scene);
    sink = &scene.master->options.worker.access_sink;
    mp_log_sink_lost(sink, 5, ENOSPC);
    look(&scene);
    for (int i = 0; i < 3; i++) {
        mp_log_sink_lost(sink, 10, ENOSPC);
        look(&scene);
    }
    CHECK_EQ(count(&scene, "the access log loses lines: No space left on device"), 1);
    CHECK_EQ(mp_logs_lost(scene.master, MP_LOG_OF_ACCESS), 35);
    mp_log_sink_went(sink);
    for (int i = 0; i < 3; i++)
        look(&scene);
    CHECK_EQ(count(&scene, "the access log is written again; 35 of its lines were lost: No space"),
             1);
    CHECK_EQ(count(&scene, "loses lines"), 1);
    strike(&scene);
}

/* The line that says so is the only one that is tried, and is not counted. */
TEST(an_error_log_that_nobody_reads_is_told_when_somebody_does)
{
    struct scene scene;
    char block[4096] = "";
    char text[65536] = "";
    struct mp_log log;
    size_t got = 0;
    int fds[2];
    int file;

    set(&scene);
    CHECK_OK(pipe2(fds, O_CLOEXEC)); /* which blocks */
    while (mp_fd_write_now(fds[1], block, sizeof(block)) > 0)
        ;
    file = scene.master->options.log.fd;
    scene.master->options.log.fd = fds[1];
    scene.master->options.worker.log_path = NULL;
    log = scene.master->options.log;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(mp_log(&log, MP_LOG_ERROR, "nobody reads this"), -EAGAIN);
    for (int i = 0; i < 5; i++)
        look(&scene);
    CHECK_EQ(mp_logs_lost(scene.master, MP_LOG_OF_ERRORS), 5 + 1); /* and that lines are lost */
    while (got < sizeof(text) && read(fds[0], text, 4096) > 0)
        got += 4096;
    look(&scene);
    look(&scene);
    CHECK(read(fds[0], text, sizeof(text) - 1) > 0);
    CHECK(strstr(text, "the error log is written again; 6 of its lines were lost: its reader does "
                       "not keep up"));
    CHECK_EQ(mp_log(&log, MP_LOG_ERROR, "text"), 0);
    close(fds[0]);
    close(fds[1]);
    scene.master->options.log.fd = file;
    strike(&scene);
}

/* Whoever looks after everything waits for nobody. */
TEST(a_fifo_that_nobody_reads_is_refused)
{
    struct scene scene;
    char other[128];

    set(&scene);
    snprintf(other, sizeof(other), "%s/other", scene.folder);
    CHECK_OK(rename(scene.path, other));
    CHECK_OK(mkfifo(scene.path, 0600));
    mp_logs_reopen(scene.master);
    CHECK_OK(unlink(scene.path));
    CHECK_OK(rename(other, scene.path));
    CHECK_EQ(count(&scene, "cannot be opened anew"), 1);
    strike(&scene);
}
