/* SPDX-License-Identifier: MIT */
/* What a service manager hears of a master. The test is the manager. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_pond.h"
#include "runner.h"

struct manager {
    char path[64];
    int fd;
    char heard[8192]; /* all datagrams, a line each end */
};

static void manager_open(struct manager *manager)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    memset(manager, 0, sizeof(*manager));
    snprintf(manager->path, sizeof(manager->path), "/tmp/millpond-test-notify-%d", (int)getpid());
    unlink(manager->path);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", manager->path);
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(manager->fd >= 0);
    CHECK_OK(bind(manager->fd, (const struct sockaddr *)&addr, sizeof(addr)));
}

static void manager_close(struct manager *manager)
{
    close(manager->fd);
    unlink(manager->path);
}

static const char *manager_listen(struct manager *manager)
{
    size_t length = strlen(manager->heard);
    ssize_t n;

    while (length + 2 < sizeof(manager->heard) &&
           (n = recv(manager->fd, manager->heard + length, sizeof(manager->heard) - length - 2,
                     MSG_DONTWAIT)) > 0) {
        length += (size_t)n;
        manager->heard[length++] = '\n';
        manager->heard[length] = '\0';
    }
    return manager->heard;
}

static int count(struct manager *manager, const char *text)
{
    int found = 0;

    for (const char *at = manager_listen(manager); (at = strstr(at, text)); at++)
        found++;
    return found;
}

TEST(ready_status_and_stopping)
{
    struct pond *pond = pond_new();
    struct manager manager;
    const char *ready;

    manager_open(&manager);
    atomic_store(&pond->orders.load_ms, 100);
    pond_start(pond, &(struct pond_options){.workers = 2, .notify = manager.path});
    CHECK_EQ(count(&manager, "READY=1"), 0);
    pond_wait_ready(pond);
    POND_WAIT(count(&manager, "READY=1\n") == 1);
    POND_WAIT(
        count(&manager, "STATUS=2 of 2 workers ready, 0 requests running, 0 threads stuck\n"));
    CHECK_EQ(count(&manager, "WATCHDOG"), 0);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(count(&manager, "STOPPING=1\n"), 1);
    CHECK_EQ(count(&manager, "STATUS=Stopping: "), 1);
    ready = strstr(manager.heard, "READY=1");
    CHECK(ready && ready < strstr(manager.heard, "STOPPING=1"));
    manager_close(&manager);
    pond_free(pond);
}

TEST(the_status_follows_the_pool)
{
    struct pond *pond = pond_new();
    struct manager manager;

    manager_open(&manager);
    pond_start(pond, &(struct pond_options){.workers = 1, .notify = manager.path});
    pond_wait_ready(pond);
    POND_WAIT(count(&manager, "STATUS=1 of 1 workers ready"));
    pond_command(pond, 0, POND_LOOK, 3);
    POND_WAIT(count(&manager, "3 requests running"));
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    manager_close(&manager);
    pond_free(pond);
}

TEST(the_watchdog_is_fed)
{
    struct pond *pond = pond_new();
    struct manager manager;

    manager_open(&manager);
    pond_start(pond,
               &(struct pond_options){.workers = 1, .notify = manager.path, .watchdog_ms = 200});
    POND_WAIT(count(&manager, "WATCHDOG=1\n") >= 5);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    manager_close(&manager);
    pond_free(pond);
}

TEST(a_start_that_fails_is_not_ready)
{
    struct pond *pond = pond_new();
    struct manager manager;

    manager_open(&manager);
    atomic_store(&pond->orders.load_status, 3);
    pond_start(pond, &(struct pond_options){.workers = 1, .notify = manager.path});
    CHECK_EQ(pond_wait_end(pond, 10000), 3);
    CHECK_EQ(count(&manager, "READY=1"), 0);
    CHECK_EQ(count(&manager, "STOPPING=1"), 1);
    manager_close(&manager);
    pond_free(pond);
}

/* What finds no room is told when there is some. */
TEST(a_manager_that_does_not_read_misses_nothing_that_matters)
{
    struct pond *pond = pond_new();
    struct manager manager;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    manager_open(&manager);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", manager.path);
    while (sendto(fd, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)&addr, sizeof(addr)) == 1)
        ;
    CHECK_EQ(errno, EAGAIN);
    close(fd);
    pond_start(pond, &(struct pond_options){.workers = 1, .notify = manager.path});
    pond_wait_ready(pond);
    POND_WAIT(count(&manager, "READY=1\n") == 1);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    manager_close(&manager);
    pond_free(pond);
}

TEST(a_manager_that_is_not_there_is_told_once_about)
{
    struct pond *pond = pond_new();

    pond_start(pond, &(struct pond_options){.workers = 1, .notify = "/no/such/socket"});
    pond_wait_ready(pond);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(pond_log_count(pond, "NOTIFY_SOCKET /no/such/socket: No such file"), 1);
    pond_free(pond);
}

/* One that has a watchdog is not given up: it may be starting again, and would kill the master. */
TEST(a_manager_that_was_away_is_told_again)
{
    struct pond *pond = pond_new();
    struct manager manager;
    int fed;

    manager_open(&manager);
    pond_start(pond,
               &(struct pond_options){.workers = 1, .notify = manager.path, .watchdog_ms = 100});
    pond_wait_ready(pond);
    POND_WAIT(count(&manager, "READY=1\n") == 1);
    manager_close(&manager);
    pond_expect_log(pond, "cannot be told anything");
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "reloaded in");
    manager_open(&manager);
    POND_WAIT(count(&manager, "READY=1\n") == 1);
    fed = count(&manager, "WATCHDOG=1\n");
    POND_WAIT(count(&manager, "WATCHDOG=1\n") > fed + 1);
    CHECK_EQ(pond_log_count(pond, "cannot be told anything"), 1);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    manager_close(&manager);
    pond_free(pond);
}

/* Type=notify-reload waits for both, whether the new code is any good or not. */
TEST(a_reload_has_a_beginning_and_an_end)
{
    struct pond *pond = pond_new();
    struct manager manager;
    const char *reloading;

    manager_open(&manager);
    pond_start(pond, &(struct pond_options){.workers = 2, .notify = manager.path});
    pond_wait_ready(pond);
    POND_WAIT(count(&manager, "READY=1\n") == 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(count(&manager, "RELOADING=1\nMONOTONIC_USEC=") == 1);
    POND_WAIT(count(&manager, "READY=1\n") == 2);
    reloading = strstr(manager.heard, "RELOADING=1");
    CHECK(strstr(reloading, "READY=1") != NULL);
    CHECK(strtoll(strstr(reloading, "USEC=") + 5, NULL, 10) <= pond_now() / 1000);
    atomic_store(&pond->orders.load_status, 3);
    pond_signal(pond, SIGHUP);
    POND_WAIT(count(&manager, "RELOADING=1\n") == 2);
    POND_WAIT(count(&manager, "READY=1\n") == 3);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(count(&manager, "READY=1\n"), 3);
    manager_close(&manager);
    pond_free(pond);
}
