/* SPDX-License-Identifier: MIT */
#include "event/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/runner.h"

static void make_pipe(int fds[2])
{
    CHECK_OK(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
}

static void close_pipe(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void put_byte(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}

static void take_byte(int fd)
{
    char byte;

    CHECK_EQ(read(fd, &byte, 1), 1);
}

TEST(event_brings_the_data_back)
{
    struct mp_poller poller;
    struct epoll_event events[4];
    int fds[2];

    make_pipe(fds);
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN, UINT64_C(0xfedcba9876543210)));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    put_byte(fds[1]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, -1), 1);
    CHECK(events[0].data.u64 == UINT64_C(0xfedcba9876543210));
    CHECK_EQ(events[0].events, MP_POLL_IN);
    /* Level-triggered: for as long as the byte is there. */
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 1);
    take_byte(fds[0]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    mp_poller_done(&poller);
    CHECK_EQ(poller.fd, -1);
    close_pipe(fds);
}

TEST(descriptor_is_closed_on_exec)
{
    struct mp_poller poller;

    CHECK_OK(mp_poller_init(&poller));
    CHECK_EQ(fcntl(poller.fd, F_GETFD), FD_CLOEXEC);
    mp_poller_done(&poller);
}

TEST(edge_reports_each_arrival_once)
{
    struct mp_poller poller;
    struct epoll_event events[4];
    int fds[2];

    make_pipe(fds);
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN | MP_POLL_EDGE, 1));
    put_byte(fds[1]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, -1), 1);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    put_byte(fds[1]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, -1), 1);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    /* modify looks again: what is there is reported once more. */
    CHECK_OK(mp_poller_modify(&poller, fds[0], MP_POLL_IN | MP_POLL_EDGE, 2));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 1);
    CHECK_EQ(events[0].data.u64, 2);
    mp_poller_done(&poller);
    close_pipe(fds);
}

TEST(modify_changes_events_and_data)
{
    struct mp_poller poller;
    struct epoll_event events[4];
    int fds[2];

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN, 1));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    CHECK_OK(mp_poller_modify(&poller, fds[0], MP_POLL_OUT, 2));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 1);
    CHECK_EQ(events[0].events, MP_POLL_OUT);
    CHECK_EQ(events[0].data.u64, 2);
    CHECK_OK(mp_poller_modify(&poller, fds[0], 0, 3));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    mp_poller_done(&poller);
    close_pipe(fds);
}

TEST(half_and_full_hangup_are_told_apart)
{
    struct mp_poller poller;
    struct epoll_event events[4];
    int fds[2];

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_RDHUP, 1));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 0);
    CHECK_OK(shutdown(fds[1], SHUT_WR));
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 1);
    CHECK_EQ(events[0].events, MP_POLL_RDHUP);
    close(fds[1]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 1);
    CHECK(events[0].events & MP_POLL_HUP);
    mp_poller_done(&poller);
    close(fds[0]);
}

TEST(errors_are_results)
{
    struct mp_poller poller;
    struct epoll_event events[1];
    int fds[2];
    int file;

    make_pipe(fds);
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN, 1));
    CHECK_EQ(mp_poller_add(&poller, fds[0], MP_POLL_IN, 1), -EEXIST);
    CHECK_OK(mp_poller_remove(&poller, fds[0]));
    CHECK_EQ(mp_poller_remove(&poller, fds[0]), -ENOENT);
    CHECK_EQ(mp_poller_modify(&poller, fds[0], MP_POLL_IN, 1), -ENOENT);
    CHECK_EQ(mp_poller_add(&poller, -1, MP_POLL_IN, 1), -EBADF);
    CHECK_EQ(mp_poller_wait(&poller, events, 0, 0), -EINVAL);
    file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK_EQ(mp_poller_add(&poller, file, MP_POLL_IN, 1), -EPERM);
    close(file);
    mp_poller_done(&poller);
    CHECK_EQ(mp_poller_wait(&poller, events, 1, 0), -EBADF);
    close_pipe(fds);
}

/*
 * The surprise of epoll(7), question 6: a descriptor that a forked child (here: a duplicate) still
 * holds goes on reporting after our close. Only the generation in the data tells the late event
 * from one of the connection that has got the same number since.
 */
TEST(late_event_of_a_closed_descriptor_has_its_old_generation)
{
    struct mp_poller poller;
    struct epoll_event events[4];
    int old[2];
    int new[2];
    int inherited;

    make_pipe(old);
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, old[0], MP_POLL_IN, UINT64_C(1) << 32 | (unsigned)old[0]));
    inherited = dup(old[0]);
    close(old[0]);
    make_pipe(new);
    CHECK_EQ(new[0], old[0]);
    CHECK_OK(mp_poller_add(&poller, new[0], MP_POLL_IN, UINT64_C(2) << 32 | (unsigned)new[0]));
    put_byte(old[1]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 1);
    CHECK(events[0].data.u64 == (UINT64_C(1) << 32 | (unsigned)old[0]));
    put_byte(new[1]);
    CHECK_EQ(mp_poller_wait(&poller, events, 4, 0), 2);
    mp_poller_done(&poller);
    close(inherited);
    close(old[1]);
    close_pipe(new);
}

static void ignore_signal(int signo)
{
    (void)signo;
}

TEST(signal_ends_the_wait_without_an_event)
{
    struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    struct sigaction action = {.sa_handler = ignore_signal};
    struct mp_poller poller;
    struct epoll_event events[1];

    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(setitimer(ITIMER_REAL, &soon, NULL));
    CHECK_EQ(mp_poller_wait(&poller, events, 1, -1), 0);
    mp_poller_done(&poller);
}

/* What one thread adds while another waits is reported to the one that waits. */
static void *add_soon(void *argument)
{
    int *fds = argument;
    struct mp_poller poller = {.fd = fds[2]};

    usleep(20000);
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN, 5));
    return NULL;
}

TEST(add_from_another_thread_wakes_the_waiting_one)
{
    struct mp_poller poller;
    struct epoll_event events[1];
    pthread_t thread;
    int fds[3];

    make_pipe(fds);
    put_byte(fds[1]);
    CHECK_OK(mp_poller_init(&poller));
    fds[2] = poller.fd;
    CHECK_OK(pthread_create(&thread, NULL, add_soon, fds));
    CHECK_EQ(mp_poller_wait(&poller, events, 1, 10000), 1);
    CHECK_EQ(events[0].data.u64, 5);
    CHECK_OK(pthread_join(thread, NULL));
    mp_poller_done(&poller);
    close_pipe(fds);
}

enum {
    WAITERS = 4,
    ROUNDS = 30,
};

/* A worker in small: its own poller on the shared descriptor. */
struct waiter {
    struct mp_poller poller;
    pthread_t thread;
    _Atomic int *woken;
    _Atomic int *stop;
};

static void *wait_and_count(void *argument)
{
    struct waiter *waiter = argument;
    struct epoll_event events[1];

    while (!atomic_load(waiter->stop)) {
        int n = mp_poller_wait(&waiter->poller, events, 1, 50);

        CHECK(n >= 0);
        if (n > 0)
            atomic_fetch_add(waiter->woken, 1);
    }
    return NULL;
}

/* Rounds of one arrival each at a descriptor that several pollers watch; each round lasts until so
 * many have been woken, and a little longer. Returns all wake-ups. */
static int count_wakeups(uint32_t flags, int at_least)
{
    struct waiter waiters[WAITERS];
    _Atomic int woken = 0;
    _Atomic int stop = 0;
    uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    CHECK(fd >= 0);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i].woken = &woken;
        waiters[i].stop = &stop;
        CHECK_OK(mp_poller_init(&waiters[i].poller));
        CHECK_OK(mp_poller_add(&waiters[i].poller, fd, MP_POLL_IN | MP_POLL_EDGE | flags, 0));
        CHECK_OK(pthread_create(&waiters[i].thread, NULL, wait_and_count, &waiters[i]));
    }
    usleep(50000);
    for (int i = 0; i < ROUNDS; i++) {
        int before = atomic_load(&woken);

        CHECK_EQ(write(fd, &one, sizeof(one)), (ssize_t)sizeof(one));
        while (atomic_load(&woken) < before + at_least)
            usleep(1000);
        usleep(5000);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_OK(pthread_join(waiters[i].thread, NULL));
        mp_poller_done(&waiters[i].poller);
    }
    close(fd);
    return atomic_load(&woken);
}

TEST(exclusive_does_not_wake_the_herd)
{
    int all = count_wakeups(0, WAITERS); /* does not return before everybody was woken */
    int some = count_wakeups(MP_POLL_EXCLUSIVE, 1);

    /* The kernel promises "one or more" of the waiters: one, unless it is between two waits. */
    CHECK_EQ(all, ROUNDS * WAITERS);
    CHECK(some < all / 2);
}

TEST(exclusive_cannot_be_modified)
{
    struct mp_poller poller;
    int fds[2];

    make_pipe(fds);
    CHECK_OK(mp_poller_init(&poller));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN | MP_POLL_EXCLUSIVE, 1));
    CHECK_EQ(mp_poller_modify(&poller, fds[0], MP_POLL_IN, 1), -EINVAL);
    CHECK_OK(mp_poller_remove(&poller, fds[0]));
    CHECK_OK(mp_poller_add(&poller, fds[0], MP_POLL_IN, 1));
    mp_poller_done(&poller);
    close_pipe(fds);
}
