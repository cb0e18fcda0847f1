/* SPDX-License-Identifier: MIT */
#include "os/poll.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "os/clock.h"
#include "support/runner.h"

#define MSEC MP_NSEC_PER_MSEC

static void close_pipe(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

TEST(entries_that_have_something_are_counted)
{
    struct pollfd entries[3];
    int fds[2];

    CHECK_OK(pipe(fds));
    entries[0] = (struct pollfd){.fd = fds[0], .events = POLLIN};
    entries[1] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = POLLIN};
    entries[2] = (struct pollfd){.fd = fds[1], .events = POLLOUT};
    CHECK_EQ(mp_poll(entries, 3, 0), 1);
    CHECK_EQ(entries[0].revents, 0);
    CHECK_EQ(entries[1].revents, 0);
    CHECK_EQ(entries[2].revents, POLLOUT);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(mp_poll(entries, 3, -1), 2);
    CHECK_EQ(entries[0].revents, POLLIN);
    close_pipe(fds);
}

TEST(time_passes_in_nanoseconds)
{
    static const int64_t timeouts[] = {0, 1, 5 * MSEC + 1, 30 * MSEC};
    struct pollfd entry;
    int fds[2];

    CHECK_OK(pipe(fds));
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        int64_t start = mp_clock_now();

        entry = (struct pollfd){.fd = fds[0], .events = POLLIN, .revents = POLLIN};
        CHECK_EQ(mp_poll(&entry, 1, timeouts[i]), 0);
        CHECK_EQ(entry.revents, 0);
        CHECK(mp_clock_now() - start >= timeouts[i]);
    }
    close_pipe(fds);
}

static void ignore_signal(int signo)
{
    (void)signo;
}

static void interrupt_every_2_ms(void)
{
    struct itimerval often = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};

    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
}

TEST(signal_is_told_from_the_end_of_the_time)
{
    struct pollfd entry;
    int fds[2];

    CHECK_OK(pipe(fds));
    entry = (struct pollfd){.fd = fds[0], .events = POLLIN, .revents = POLLIN};
    interrupt_every_2_ms();
    CHECK_EQ(mp_poll(&entry, 1, -1), -EINTR);
    CHECK_EQ(entry.revents, 0);
    close_pipe(fds);
}

static void *write_soon(void *argument)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    usleep(40000);
    CHECK_EQ(write(*(int *)argument, "x", 1), 1);
    return NULL;
}

TEST(one_descriptor_is_awaited_over_signals)
{
    pthread_t thread;
    int fds[2];

    CHECK_OK(pipe(fds));
    CHECK_OK(mp_poll_one(fds[1], POLLOUT));
    interrupt_every_2_ms();
    CHECK_OK(pthread_create(&thread, NULL, write_soon, &fds[1]));
    CHECK_OK(mp_poll_one(fds[0], POLLIN));
    CHECK_OK(pthread_join(thread, NULL));
    close(fds[1]);
    CHECK_OK(mp_poll_one(fds[0], POLLOUT)); /* an error has come: POLLHUP */
    close(fds[0]);
}

TEST(errors_are_results_and_leave_no_events)
{
    struct pollfd entries[2] = {{.fd = -1, .revents = POLLIN}, {.fd = -1, .revents = POLLIN}};
    struct rlimit limit;
    struct rlimit tight;
    int result;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    tight = limit;
    tight.rlim_cur = 1; /* more entries than that are refused */
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &tight));
    result = mp_poll(entries, 2, 0);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(result, -EINVAL);
    CHECK_EQ(entries[0].revents, 0);
    CHECK_EQ(entries[1].revents, 0);
}
