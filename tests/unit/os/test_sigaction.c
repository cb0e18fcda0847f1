/* SPDX-License-Identifier: MIT */
#include "os/sigaction.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "os/process.h"
#include "scratch.h"

static void open_relay(int *ret_fd, sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGUSR1);
    CHECK_OK(mp_sigaction_relay_open(ret_fd));
    CHECK_OK(mp_sigaction_set(SIGTERM, MP_SIGNAL_RELAY, NULL));
    CHECK_OK(mp_sigaction_set(SIGUSR1, MP_SIGNAL_RELAY, NULL));
}

TEST(relayed_signals_arrive_in_order)
{
    sigset_t set;
    int fd;

    open_relay(&fd, &set);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(mp_sigaction_relay_read(fd), -EAGAIN);
    CHECK_OK(raise(SIGTERM));
    CHECK_OK(raise(SIGUSR1));
    CHECK_EQ(mp_sigaction_relay_read(fd), SIGTERM);
    CHECK_EQ(mp_sigaction_relay_read(fd), SIGUSR1);
    CHECK_EQ(mp_sigaction_relay_read(fd), -EAGAIN);
    mp_sigaction_relay_close(&fd, &set);
    CHECK_EQ(fd, -1);
}

TEST(one_relay_in_a_process_and_again_after_closing)
{
    sigset_t set;
    int second = -1;
    int fd;

    open_relay(&fd, &set);
    CHECK_EQ(mp_sigaction_relay_open(&second), -EBUSY);
    CHECK_EQ(second, -1);
    mp_sigaction_relay_close(&fd, &set);
    open_relay(&fd, &set);
    CHECK_OK(raise(SIGTERM));
    CHECK_EQ(mp_sigaction_relay_read(fd), SIGTERM);
    mp_sigaction_relay_close(&fd, &set);
}

TEST(errno_survives_the_handler_and_a_full_relay_does_not_block)
{
    sigset_t set;
    int fd;

    open_relay(&fd, &set);
    errno = ENOTTY;
    for (int i = 0; i < 100000; i++)
        raise(SIGUSR1);
    CHECK_EQ(errno, ENOTTY);
    CHECK_EQ(mp_sigaction_relay_read(fd), SIGUSR1);
    mp_sigaction_relay_close(&fd, &set);
}

TEST(closing_brings_the_default_back)
{
    struct sigaction now;
    sigset_t set;
    int fd;

    open_relay(&fd, &set);
    mp_sigaction_relay_close(&fd, &set);
    CHECK_OK(sigaction(SIGTERM, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
}

/* A fork of the relay's process (an application's own) dies of SIGTERM and does not stop the pool.
 */
TEST(forked_process_takes_the_default_action)
{
    sigset_t set;
    int status;
    int fd;
    pid_t pid;

    open_relay(&fd, &set);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        raise(SIGTERM);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
    CHECK_EQ(mp_sigaction_relay_read(fd), -EAGAIN);
    mp_sigaction_relay_close(&fd, &set);
}

TEST(dispositions_are_what_they_say)
{
    struct sigaction old;
    struct sigaction now;

    CHECK_OK(mp_sigaction_set(SIGUSR1, MP_SIGNAL_IGNORE, NULL));
    CHECK_OK(raise(SIGUSR1));
    CHECK_OK(mp_sigaction_set(SIGUSR1, MP_SIGNAL_NOTHING, &old));
    CHECK(old.sa_handler == SIG_IGN);
    CHECK_OK(raise(SIGUSR1));
    CHECK_OK(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler != SIG_IGN && now.sa_handler != SIG_DFL);
    CHECK(now.sa_flags & SA_RESTART);
    CHECK_OK(mp_sigaction_restore(SIGUSR1, &old));
    CHECK_OK(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler == SIG_IGN);
    CHECK_OK(mp_sigaction_set(SIGUSR1, MP_SIGNAL_DEFAULT, NULL));
    CHECK_OK(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(mp_sigaction_set(SIGKILL, MP_SIGNAL_IGNORE, NULL), -EINVAL);
    CHECK_EQ(mp_sigaction_set(1000, MP_SIGNAL_IGNORE, NULL), -EINVAL);
}

TEST(a_counted_handler_is_called_and_counted)
{
    uint32_t before = mp_sigaction_counted();

    CHECK_EQ(mp_sigaction_count(SIGUSR2), -EINVAL); /* there is no handler */
    CHECK_OK(mp_sigaction_set(SIGUSR2, MP_SIGNAL_IGNORE, NULL));
    CHECK_EQ(mp_sigaction_count(SIGUSR2), -EINVAL);
    CHECK_OK(mp_sigaction_set(SIGUSR2, MP_SIGNAL_NOTHING, NULL));
    CHECK_OK(mp_sigaction_count(SIGUSR2));
    CHECK_OK(mp_sigaction_count(SIGUSR2)); /* once is enough */
    CHECK_EQ(mp_sigaction_counted(), before);
    errno = 4711;
    CHECK_OK(mp_thread_kill(mp_thread_id(), SIGUSR2));
    CHECK_EQ(errno, 4711);
    CHECK_EQ(mp_sigaction_counted(), before + 1);
    CHECK_OK(raise(SIGUSR2));
    CHECK_EQ(mp_sigaction_counted(), before + 2);
    CHECK_EQ(mp_thread_kill(0, SIGUSR2), -EINVAL);
    CHECK_EQ(mp_thread_kill(INT32_MAX, SIGUSR2), -ESRCH);
    CHECK_OK(mp_sigaction_set(SIGUSR2, MP_SIGNAL_DEFAULT, NULL));
}
