/* SPDX-License-Identifier: MIT */
#include "os/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "scratch.h"

static pid_t reap_soon(int *ret_status, uint64_t *ret_peak)
{
    pid_t pid = 0;

    for (int i = 0; i < 10000 && pid == 0; i++) {
        pid = mp_child_reap(ret_status, ret_peak);
        if (pid == 0)
            usleep(1000);
    }
    return pid;
}

TEST(fork_exit_and_reap)
{
    uint64_t peak = 0;
    int status = 0;
    int fds[2];
    char byte;
    pid_t pid;

    CHECK_EQ(mp_child_reap(&status, &peak), -ECHILD);
    CHECK_OK(pipe(fds));
    pid = mp_child_fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(read(fds[0], &byte, 1), 1);
        mp_child_exit(41);
    }
    CHECK_EQ(mp_child_reap(&status, &peak), 0);
    CHECK_EQ(peak, 0);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(reap_soon(&status, &peak), pid);
    CHECK_EQ(WEXITSTATUS(status), 41);
    CHECK(peak > 100 * 1024);
    close(fds[0]);
    close(fds[1]);
}

TEST(peak_is_the_most_memory_that_was_in_use)
{
    enum { SIZE = 64 << 20 };
    uint64_t peak = 0;
    int status;
    pid_t pid = mp_child_fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        volatile char *memory =
            mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (size_t i = 0; i < SIZE; i += 4096)
            memory[i] = 1;
        munmap((void *)memory, SIZE);
        mp_child_exit(0);
    }
    CHECK_EQ(reap_soon(&status, &peak), pid);
    CHECK_EQ(status, 0);
    CHECK(peak >= SIZE);
}

static void switch_subreaper(void *unused)
{
    bool was = true;

    (void)unused;
    CHECK_OK(mp_child_subreaper(true, &was)); /* not inherited */
    CHECK(!was);
    CHECK_OK(mp_child_subreaper(true, &was));
    CHECK(was);
    CHECK_OK(mp_child_subreaper(false, &was));
    CHECK(was);
    CHECK_OK(mp_child_subreaper(false, NULL));
}

TEST(subreaper_can_be_switched)
{
    in_child(switch_subreaper, NULL);
}

/* first -> second; the second waits for its adoption and reports through its exit status. */
static int adopted_status(useconds_t first_lives, useconds_t second_waits, pid_t adopter)
{
    uint64_t peak;
    int status;
    pid_t first = mp_child_fork();

    CHECK(first >= 0);
    if (first == 0) {
        pid_t parent = getpid();

        if (mp_child_fork() == 0) {
            int err;
            int armed = -1;

            usleep(second_waits);
            err = mp_child_await_adoption(parent, adopter);
            CHECK_OK(prctl(PR_GET_PDEATHSIG, &armed));
            CHECK_EQ(armed, 0);
            mp_child_exit(err == 0 && getppid() != adopter ? 99 : -err);
        }
        usleep(first_lives);
        mp_child_exit(0);
    }
    CHECK_EQ(waitpid(first, &status, 0), first);
    CHECK(reap_soon(&status, &peak) > 0);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST(adoption_is_awaited_whoever_is_faster)
{
    /* The test is a subreaper, so the second child becomes ours. */
    for (int i = 0; i < 20; i++)
        CHECK_EQ(adopted_status((useconds_t)i * 100, 0, getpid()), 0);
    CHECK_EQ(adopted_status(100000, 0, getpid()), 0);
    CHECK_EQ(adopted_status(0, 100000, getpid()), 0);
}

TEST(adoption_by_somebody_else_is_noticed)
{
    CHECK_EQ(adopted_status(1000, 0, 1), ESRCH);
}

TEST(mask_and_pending_signals_are_as_before)
{
    sigset_t pending;
    sigset_t mask;

    /* The "first" is not our parent: nothing to wait for. */
    CHECK_EQ(mp_child_await_adoption(getpid(), getppid()), 0);
    CHECK_OK(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR2), 0);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &mask));
    CHECK_EQ(sigismember(&mask, SIGUSR2), 0);
}
