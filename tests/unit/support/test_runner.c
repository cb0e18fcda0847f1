/* SPDX-License-Identifier: MIT */
/* The runner judged by itself: each kind of failure and of leak must be noticed. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner_private.h"

TEST(empty_test_passes)
{
}

TEST(checks_that_hold_pass)
{
    CHECK(1);
    CHECK_EQ(-1, -1);
    CHECK_STR("pond", "pond");
    CHECK_STR(NULL, NULL);
    CHECK_MEM("a\0b", "a\0c", 2);
    CHECK_OK(0);
}

FAIL_TEST(check_fails)
{
    CHECK(0);
}

FAIL_TEST(check_eq_fails)
{
    CHECK_EQ(1, 2);
}

FAIL_TEST(check_str_fails)
{
    CHECK_STR("mill", "pond");
}

FAIL_TEST(check_str_null_fails)
{
    CHECK_STR("mill", NULL);
}

FAIL_TEST(check_mem_fails)
{
    CHECK_MEM("a\0b", "a\0c", 3);
}

FAIL_TEST(check_ok_fails)
{
    CHECK_OK(-EBADF);
}

FAIL_TEST(abort_fails)
{
    abort();
}

FAIL_TEST(exit_with_a_status_fails)
{
    exit(7);
}

FAIL_TEST(too_slow_fails)
{
    TEST_BUDGET(1);
    for (;;)
        pause();
}

FAIL_TEST(too_slow_with_every_signal_blocked_fails)
{
    sigset_t all;

    TEST_BUDGET(1);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;)
        pause();
}

TEST(closed_descriptor_passes)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_OK(close(fd));
}

FAIL_TEST(leaked_descriptor_fails)
{
    CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

FAIL_TEST(leaked_memfd_fails)
{
    CHECK(memfd_create("millpond", MFD_CLOEXEC) >= 0);
}

FAIL_TEST(closed_standard_descriptor_fails)
{
    close(STDIN_FILENO);
}

TEST(waited_child_passes)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(3);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 3);
}

FAIL_TEST(zombie_child_fails)
{
    if (fork() == 0)
        _exit(0);
}

static void sleep_for_long(void)
{
    for (int i = 0; i < 600; i++)
        sleep(1);
    _exit(0);
}

FAIL_TEST(running_child_fails)
{
    if (fork() == 0)
        sleep_for_long();
}

/* A daemon: its parent is gone and its session is its own. */
FAIL_TEST(running_grandchild_fails)
{
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        if (fork() == 0)
            sleep_for_long();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void *thread_returns(void *unused)
{
    return unused;
}

static void *thread_sleeps(void *unused)
{
    sleep_for_long();
    return unused;
}

TEST(joined_thread_passes)
{
    pthread_t thread;

    CHECK_OK(pthread_create(&thread, NULL, thread_returns, NULL));
    CHECK_OK(pthread_join(thread, NULL));
}

FAIL_TEST(running_thread_fails)
{
    pthread_t thread;

    CHECK_OK(pthread_create(&thread, NULL, thread_sleeps, NULL));
}

static void *map_shared(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

TEST(unmapped_memory_passes)
{
    void *memory = map_shared();

    CHECK(memory != MAP_FAILED);
    CHECK_OK(munmap(memory, 4096));
}

FAIL_TEST(leaked_shared_mapping_fails)
{
    CHECK(map_shared() != MAP_FAILED);
}

/* The next test takes the name away again. */
FAIL_TEST(leaked_shm_name_fails)
{
    char name[64];
    int fd;

    snprintf(name, sizeof(name), "/" MP_TEST_SHM_PREFIX "%d", (int)getppid());
    fd = shm_open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_OK(close(fd));
}

/* Runs after the test above: its name must be gone before the program ends. */
TEST(shm_name_of_the_leak_test_is_removed)
{
    char name[64];

    snprintf(name, sizeof(name), "/" MP_TEST_SHM_PREFIX "%d", (int)getppid());
    shm_unlink(name);
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_OK(close(fd));
}

/* Each test has a process of its own: what one changes, another does not see. */
TEST(processes_are_apart)
{
    char path[] = "/tmp/mp-runner-XXXXXX";

    CHECK(mkdtemp(path) != NULL);
    CHECK_OK(chdir(path));
    touch("file");
    CHECK_OK(unlink("file"));
    CHECK_OK(rmdir(path));
    CHECK_EQ(getpgrp(), getpid());
}
