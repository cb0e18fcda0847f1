/* SPDX-License-Identifier: MIT */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "scratch.h"

static pid_t fork_checked(void)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    return pid;
}

/* A child that waits for its signal. */
static pid_t fork_sleeper(void)
{
    pid_t pid = fork_checked();

    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

TEST(reap_tells_nothing_ended_from_ended_from_no_child)
{
    int status = 77;
    pid_t pid;
    pid_t ended = 0;

    CHECK_EQ(mp_process_reap(-1, &status), -ECHILD);
    pid = fork_sleeper();
    CHECK_EQ(mp_process_reap(-1, &status), 0);
    CHECK_EQ(mp_process_reap(pid, NULL), 0);
    CHECK_EQ(status, 77);
    CHECK_OK(mp_process_kill(pid, SIGTERM));
    for (int i = 0; i < 5000 && ended == 0; i++) {
        usleep(1000);
        ended = mp_process_reap(-1, &status);
    }
    CHECK_EQ(ended, pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
    CHECK_EQ(mp_process_kill(pid, 0), -ESRCH);
    CHECK_EQ(mp_process_reap(pid, &status), -ECHILD);
}

TEST(wait_brings_the_exit_status)
{
    int status = 0;
    pid_t pid = fork_checked();

    if (pid == 0)
        _exit(37);
    CHECK_EQ(mp_process_wait(pid, &status), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 37);
    CHECK_EQ(mp_process_wait(-1, &status), -ECHILD);
    pid = fork_checked();
    if (pid == 0)
        _exit(0);
    CHECK_EQ(mp_process_wait(-1, NULL), pid);
}

static void ignore_signal(int signo)
{
    (void)signo;
}

TEST(signals_do_not_end_a_wait)
{
    struct itimerval often = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    struct sigaction action = {.sa_handler = ignore_signal};
    pid_t pid = fork_checked();

    if (pid == 0) {
        usleep(50000);
        _exit(0);
    }
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
    CHECK_EQ(mp_process_wait(pid, NULL), pid);
}

/* A pid of 0 or -1 that slipped through would end the test runner, too. */
TEST(kill_reaches_one_process_or_none)
{
    CHECK_EQ(mp_process_kill(0, SIGKILL), -EINVAL);
    CHECK_EQ(mp_process_kill(-1, SIGKILL), -EINVAL);
    CHECK_EQ(mp_process_kill(-getpid(), SIGKILL), -EINVAL);
    CHECK_EQ(mp_process_kill(getpid(), 1000), -EINVAL);
    CHECK_OK(mp_process_kill(getpid(), 0));
}

/* child -> middle -> orphan: the middle ends, the orphan is the child's then. */
static void adopt_an_orphan(void *unused)
{
    int status;
    pid_t middle;
    pid_t orphan;

    (void)unused;
    CHECK_OK(mp_process_become_subreaper());
    middle = fork_checked();
    if (middle == 0) {
        if (fork_checked() == 0) {
            while (getppid() != getpid() && getppid() == middle)
                usleep(1000);
            usleep(20000);
            _exit(5);
        }
        _exit(4);
    }
    CHECK_EQ(mp_process_wait(middle, &status), middle);
    CHECK_EQ(WEXITSTATUS(status), 4);
    orphan = mp_process_wait(-1, &status);
    CHECK(orphan > 0);
    CHECK_EQ(WEXITSTATUS(status), 5);
}

TEST(subreaper_gets_orphans)
{
    in_child(adopt_an_orphan, NULL);
}

/* The test itself is a subreaper (the runner sees to that) and gets the grandchild's status. */
TEST(child_dies_with_its_parent)
{
    int fds[2];
    char byte;
    int status;
    pid_t middle;
    pid_t orphan;

    CHECK_OK(pipe(fds));
    middle = fork_checked();
    if (middle == 0) {
        pid_t parent = getpid();

        if (fork_checked() == 0) {
            CHECK_OK(mp_process_die_with_parent(SIGUSR1, parent));
            CHECK_EQ(write(fds[1], "x", 1), 1);
            for (;;)
                pause();
        }
        CHECK_EQ(read(fds[0], &byte, 1), 1);
        _exit(0);
    }
    CHECK_EQ(mp_process_wait(middle, &status), middle);
    CHECK_EQ(status, 0);
    orphan = mp_process_wait(-1, &status);
    CHECK(orphan > 0);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGUSR1);
    close(fds[0]);
    close(fds[1]);
}

/* The parent has ended before the call: no signal will come, so the call itself must say it. */
TEST(parent_that_is_gone_already_is_noticed)
{
    int status;
    pid_t middle = fork_checked();

    if (middle == 0) {
        pid_t parent = getpid();

        if (fork_checked() == 0) {
            while (getppid() == parent)
                usleep(1000);
            CHECK_EQ(mp_process_die_with_parent(SIGKILL, parent), -ESRCH);
            _exit(9);
        }
        _exit(0);
    }
    CHECK_EQ(mp_process_wait(middle, &status), middle);
    CHECK(mp_process_wait(-1, &status) > 0);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 9);
}

TEST(bad_signal_number_is_a_result)
{
    CHECK_EQ(mp_process_die_with_parent(1000, getppid()), -EINVAL);
}

TEST(memory_of_a_process_is_weighed)
{
    enum { SIZE = 32 << 20 };
    int64_t before = mp_process_pss(getpid());
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(before > 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, SIZE);
    CHECK(mp_process_pss(getpid()) >= before + SIZE / 2);
    CHECK_OK(munmap(memory, SIZE));
}

TEST(process_that_has_ended_weighs_nothing)
{
    siginfo_t info;
    pid_t pid = fork_checked();

    if (pid == 0)
        _exit(0);
    CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    CHECK_EQ(mp_process_pss(pid), -ESRCH); /* ended, not reaped */
    CHECK_EQ(mp_process_wait(pid, NULL), pid);
    CHECK_EQ(mp_process_pss(pid), -ESRCH); /* reaped */
    CHECK_EQ(mp_process_pss(INT32_MAX), -ESRCH);
}

TEST(a_pidfd_tells_the_end)
{
    pid_t pid = fork_sleeper();
    struct pollfd entry = {.fd = mp_process_pidfd(pid), .events = POLLIN};

    CHECK(entry.fd >= 0);
    CHECK_EQ(fcntl(entry.fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(poll(&entry, 1, 0), 0);
    CHECK_OK(mp_process_kill(pid, SIGKILL));
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    close(entry.fd);
    CHECK_EQ(mp_process_wait(pid, NULL), pid);
    CHECK_EQ(mp_process_pidfd(pid), -ESRCH);
}

/* ---- what threads do ------------------------------------------------------------------------ */

struct looked_at {
    pthread_mutex_t lock;
    int pipe[2];
    _Atomic pid_t tid;
    _Atomic bool end;
};

static void *sleep_in_a_lock(void *arg)
{
    struct looked_at *it = arg;

    atomic_store(&it->tid, mp_thread_id());
    pthread_mutex_lock(&it->lock);
    pthread_mutex_unlock(&it->lock);
    return NULL;
}

static void *sleep_in_a_read(void *arg)
{
    struct looked_at *it = arg;
    char byte;

    atomic_store(&it->tid, mp_thread_id());
    CHECK_EQ(read(it->pipe[0], &byte, 1), 1);
    return NULL;
}

static void *run_on(void *arg)
{
    struct looked_at *it = arg;

    atomic_store(&it->tid, mp_thread_id());
    while (!atomic_load(&it->end))
        ;
    return NULL;
}

/* Starts it, and waits until it is seen to do that. */
static pthread_t start_and_look(struct looked_at *it, void *(*body)(void *),
                                enum mp_thread_doing doing)
{
    enum mp_thread_doing seen = MP_THREAD_UNKNOWN;
    pthread_t thread;

    atomic_store(&it->tid, 0);
    CHECK_OK(pthread_create(&thread, NULL, body, it));
    for (int i = 0; i < 5000 && seen != doing; i++) {
        usleep(1000);
        if (atomic_load(&it->tid))
            seen = mp_thread_look(atomic_load(&it->tid));
    }
    CHECK_EQ(seen, doing);
    return thread;
}

TEST(what_a_thread_does)
{
    struct looked_at it = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;

    CHECK_OK(pipe(it.pipe));
    CHECK_OK(pthread_mutex_lock(&it.lock));
    thread = start_and_look(&it, sleep_in_a_lock, MP_THREAD_LOCKED);
    CHECK_OK(pthread_mutex_unlock(&it.lock));
    CHECK_OK(pthread_join(thread, NULL));
    thread = start_and_look(&it, sleep_in_a_read, MP_THREAD_WAITS);
    CHECK_EQ(write(it.pipe[1], "x", 1), 1);
    CHECK_OK(pthread_join(thread, NULL));
    thread = start_and_look(&it, run_on, MP_THREAD_RUNS);
    atomic_store(&it.end, true);
    CHECK_OK(pthread_join(thread, NULL));
    CHECK_EQ(mp_thread_look(-1), MP_THREAD_UNKNOWN);
    CHECK_EQ(mp_thread_id(), getpid());
    close(it.pipe[0]);
    close(it.pipe[1]);
}

TEST(a_child_that_has_ended_is_seen_and_stays)
{
    int status;
    int fds[2];
    pid_t pid;

    CHECK_OK(pipe(fds));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char byte;

        close(fds[1]);
        _exit(read(fds[0], &byte, 1) == 0 ? 7 : 1);
    }
    CHECK(!mp_process_has_ended(pid));
    close(fds[0]);
    close(fds[1]);
    while (!mp_process_has_ended(pid))
        ;
    CHECK(mp_process_has_ended(pid));
    CHECK_EQ(mp_process_wait(pid, &status), pid);
    CHECK_EQ(WEXITSTATUS(status), 7);
    CHECK(!mp_process_has_ended(pid));
    CHECK(!mp_process_has_ended(getpid()));
}
