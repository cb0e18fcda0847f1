/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/process.h"
#include "scratch.h"

/* Against the C library's own table, which is not in every C library. */
TEST(names_are_those_of_the_system)
{
    char text[32];
    char expected[32];

    for (int signo = 1; signo < 32; signo++) {
        const char *name = sigabbrev_np(signo);

        CHECK(name != NULL);
        if (strcmp(name, "POLL") == 0)
            name = "IO"; /* two names of one number */
        snprintf(expected, sizeof(expected), "SIG%s", name);
        CHECK(mp_signal_name(signo, text, sizeof(text)) == text);
        CHECK_STR(text, expected);
    }
}

TEST(other_numbers_are_shown_as_such)
{
    char text[32];

    CHECK_STR(mp_signal_name(0, text, sizeof(text)), "signal 0");
    CHECK_STR(mp_signal_name(34, text, sizeof(text)), "signal 34");
    CHECK_STR(mp_signal_name(-1, text, sizeof(text)), "signal -1");
    CHECK_STR(mp_signal_name(1000000, text, sizeof(text)), "signal 1000000");
    CHECK_STR(mp_signal_name(SIGKILL, text, 4), "SIG");
}

TEST(blocked_signals_come_by_descriptor)
{
    sigset_t set;
    sigset_t old;
    pid_t sender = 77;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    CHECK_OK(mp_signal_block(&set, &old));
    fd = mp_signal_fd(&set);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(mp_signal_fd_read(fd, &sender), -EAGAIN);
    CHECK_EQ(sender, 77);
    CHECK_OK(kill(getpid(), SIGTERM));
    CHECK_EQ(mp_signal_fd_read(fd, &sender), SIGTERM);
    CHECK_EQ(sender, getpid());
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(mp_signal_fd_read(fd, NULL), SIGUSR1);
    CHECK_EQ(mp_signal_fd_read(fd, NULL), -EAGAIN);
    close(fd);
    CHECK_OK(mp_signal_restore(&old));
    CHECK_EQ(mp_signal_fd_read(fd, NULL), -EBADF);
}

TEST(restore_brings_the_old_mask_back)
{
    sigset_t set;
    sigset_t old;
    sigset_t now;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_OK(mp_signal_block(&set, &old));
    CHECK_OK(mp_signal_block(&set, NULL));
    CHECK_OK(pthread_sigmask(SIG_BLOCK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR2), 1);
    CHECK_OK(mp_signal_restore(&old));
    CHECK_OK(pthread_sigmask(SIG_BLOCK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR2), 0);
}

TEST(thread_names_are_cut_to_what_the_kernel_keeps)
{
    char text[32];

    mp_thread_set_name("mp-worker-3");
    CHECK_EQ(mp_fd_read_text("/proc/thread-self/comm", text, sizeof(text)), 12);
    CHECK_STR(text, "mp-worker-3\n");
    mp_thread_set_name("a name that is far too long");
    mp_fd_read_text("/proc/thread-self/comm", text, sizeof(text));
    CHECK_STR(text, "a name that is \n");
}
