/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The file under test, with its futex calls counted, and wakes that can be lost. */
static _Atomic unsigned wakes;
static _Atomic unsigned sleeps;

static long counted_syscall(long number, void *word, int operation, uint32_t value,
                            const struct timespec *end, void *second, uint32_t mask)
{
    if ((operation & FUTEX_CMD_MASK) == FUTEX_WAKE)
        atomic_fetch_add_explicit(&wakes, 1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&sleeps, 1, memory_order_relaxed);
    return syscall(number, word, operation, value, end, second, mask);
}

#define syscall counted_syscall
#include "event/wakeup.c"
#undef syscall

#include "event/poller.h"
#include "support/runner.h"

#define MSEC INT64_C(1000000)

TEST(signal_wakes_a_poller_until_it_is_cleared)
{
    struct mp_wakeup wakeup;
    struct mp_poller poller;
    struct epoll_event events[1];

    CHECK_OK(mp_wakeup_init(&wakeup));
    CHECK_OK(mp_poller_init(&poller));
    CHECK_EQ(fcntl(wakeup.fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(wakeup.fd, F_GETFL) & O_NONBLOCK);
    CHECK_OK(mp_poller_add(&poller, wakeup.fd, MP_POLL_IN, 9));
    CHECK_EQ(mp_poller_wait(&poller, events, 1, 0), 0);
    mp_wakeup_signal(&wakeup);
    mp_wakeup_signal(&wakeup);
    CHECK_EQ(mp_poller_wait(&poller, events, 1, 0), 1);
    mp_wakeup_clear(&wakeup);
    CHECK_EQ(mp_poller_wait(&poller, events, 1, 0), 0);
    mp_wakeup_clear(&wakeup); /* does not block */
    mp_poller_done(&poller);
    mp_wakeup_done(&wakeup);
    CHECK_EQ(wakeup.fd, -1);
}

TEST(signal_into_a_full_counter_neither_blocks_nor_touches_errno)
{
    struct mp_wakeup wakeup;
    uint64_t nearly_full = UINT64_MAX - 1;

    CHECK_OK(mp_wakeup_init(&wakeup));
    CHECK_EQ(write(wakeup.fd, &nearly_full, sizeof(nearly_full)), (ssize_t)sizeof(nearly_full));
    errno = ENOTTY;
    mp_wakeup_signal(&wakeup);
    CHECK_EQ(errno, ENOTTY);
    mp_wakeup_clear(&wakeup);
    mp_wakeup_done(&wakeup);
}

TEST(want_of_descriptors_is_a_result)
{
    struct rlimit limit;
    struct rlimit none;
    struct mp_wakeup wakeup;
    int err;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    none = limit;
    none.rlim_cur = 0;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
    err = mp_wakeup_init(&wakeup);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(err, -EMFILE);
}

TEST(post_before_the_wait_is_not_lost_and_costs_no_system_call)
{
    struct mp_park park;

    mp_park_init(&park);
    for (uint32_t value = 1; value < 100; value++) {
        mp_park_post(&park, value);
        CHECK_EQ(mp_park_wait(&park), value);
    }
    mp_park_post(&park, 7);
    CHECK_EQ(mp_park_wait_for(&park, 1000 * MSEC), 7);
    mp_park_post(&park, 8);
    CHECK_EQ(mp_park_wait_for(&park, 0), 8);
    CHECK_EQ(atomic_load(&wakes), 0);
    CHECK_EQ(atomic_load(&sleeps), 0);
}

TEST(bounded_wait_ends)
{
    static const int64_t timeouts[] = {INT64_MIN, -1, 0, 1, 5 * MSEC, 60 * MSEC};
    struct mp_park park;

    mp_park_init(&park);
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        int64_t start = mp_clock_now();

        CHECK_EQ(mp_park_wait_for(&park, timeouts[i]), 0);
        CHECK(mp_clock_now() - start >= timeouts[i]);
        CHECK_EQ(atomic_load(&park.word), 0);
    }
    CHECK_EQ(atomic_load(&wakes), 0);
}

static void *post_soon(void *argument)
{
    usleep(30000);
    mp_park_post(argument, 3);
    return NULL;
}

TEST(post_wakes_a_sleeper)
{
    struct mp_park park;
    pthread_t thread;

    mp_park_init(&park);
    CHECK_OK(pthread_create(&thread, NULL, post_soon, &park));
    CHECK_EQ(mp_park_wait(&park), 3);
    CHECK_OK(pthread_join(thread, NULL));
    CHECK_OK(pthread_create(&thread, NULL, post_soon, &park));
    CHECK_EQ(mp_park_wait_for(&park, INT64_MAX), 3);
    CHECK_OK(pthread_join(thread, NULL));
}

static void ignore_signal(int signo)
{
    (void)signo;
}

/* A signal every 2 ms: the wait goes on, and its end is not put off. */
TEST(signals_neither_end_nor_extend_a_wait)
{
    struct itimerval often = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    struct itimerval off = {.it_value = {.tv_usec = 0}};
    struct sigaction action = {.sa_handler = ignore_signal};
    struct mp_park park;
    int64_t start = mp_clock_now();

    mp_park_init(&park);
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
    CHECK_EQ(mp_park_wait_for(&park, 100 * MSEC), 0);
    CHECK_OK(setitimer(ITIMER_REAL, &off, NULL));
    CHECK(mp_clock_now() - start >= 100 * MSEC);
    CHECK(mp_clock_now() - start < 5000 * MSEC);
    CHECK(atomic_load(&sleeps) > 1);
}

FAIL_TEST(second_post_before_the_first_is_taken_aborts)
{
    const struct rlimit no_core = {0, 0};
    struct mp_park park;

    setrlimit(RLIMIT_CORE, &no_core);
    mp_park_init(&park);
    mp_park_post(&park, 1);
    mp_park_post(&park, 2);
}

FAIL_TEST(posting_zero_aborts)
{
    const struct rlimit no_core = {0, 0};
    struct mp_park park;

    setrlimit(RLIMIT_CORE, &no_core);
    mp_park_init(&park);
    mp_park_post(&park, 0);
}

/* Two threads hand a token to and fro, with plain data behind it: ThreadSanitizer sees whether the
 * word alone orders the accesses. */
struct court {
    struct mp_park parks[2];
    uint64_t ball; /* not atomic: belongs to whoever has been posted last */
    uint32_t rounds;
};

struct player {
    struct court *court;
    int side;
};

static void *play(void *argument)
{
    const struct player *player = argument;
    struct court *court = player->court;

    for (uint32_t round = 1; round <= court->rounds; round++) {
        CHECK_EQ(mp_park_wait(&court->parks[player->side]), round);
        CHECK_EQ(court->ball, 2 * (round - 1) + (unsigned)player->side);
        court->ball++;
        if (player->side == 0)
            mp_park_post(&court->parks[1], round);
        else if (round < court->rounds)
            mp_park_post(&court->parks[0], round + 1);
    }
    return NULL;
}

TEST(token_goes_to_and_fro_with_its_data)
{
    struct court court = {.rounds = mp_test_is_sanitized() ? 20000 : 100000};
    struct player players[2] = {{&court, 0}, {&court, 1}};
    pthread_t threads[2];

    TEST_BUDGET(40);
    mp_park_init(&court.parks[0]);
    mp_park_init(&court.parks[1]);
    for (int i = 0; i < 2; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, play, &players[i]));
    mp_park_post(&court.parks[0], 1);
    for (int i = 0; i < 2; i++)
        CHECK_OK(pthread_join(threads[i], NULL));
    CHECK_EQ(court.ball, 2 * (uint64_t)court.rounds);
}

/* The pool in small: parked threads on a stack under a lock; who wants one takes it and posts. */
enum {
    SLEEPERS = 6,
};

struct pool {
    pthread_mutex_t lock;
    struct sleeper *parked[SLEEPERS];
    int parked_count;
};

struct sleeper {
    struct mp_park park;
    struct pool *pool;
    pthread_t thread;
    uint64_t work; /* not atomic: written by the poster before the post */
    uint64_t sum;
};

enum {
    POST_WORK = 1,
    POST_STOP = 2,
};

static void *sleep_and_work(void *argument)
{
    struct sleeper *sleeper = argument;
    struct pool *pool = sleeper->pool;

    for (;;) {
        pthread_mutex_lock(&pool->lock);
        pool->parked[pool->parked_count++] = sleeper;
        pthread_mutex_unlock(&pool->lock);
        if (mp_park_wait(&sleeper->park) == POST_STOP)
            return NULL;
        sleeper->sum += sleeper->work;
    }
}

static struct sleeper *take_parked(struct pool *pool)
{
    struct sleeper *sleeper = NULL;

    while (!sleeper) {
        pthread_mutex_lock(&pool->lock);
        if (pool->parked_count > 0)
            sleeper = pool->parked[--pool->parked_count];
        pthread_mutex_unlock(&pool->lock);
        if (!sleeper)
            sched_yield();
    }
    return sleeper;
}

TEST(pool_of_parked_threads_gets_every_piece_of_work)
{
    const uint64_t pieces = mp_test_is_sanitized() ? 10000 : 100000;
    struct pool pool = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct sleeper sleepers[SLEEPERS];
    uint64_t sum = 0;

    TEST_BUDGET(40);
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct sleeper){.pool = &pool};
        mp_park_init(&sleepers[i].park);
        CHECK_OK(pthread_create(&sleepers[i].thread, NULL, sleep_and_work, &sleepers[i]));
    }
    for (uint64_t piece = 1; piece <= pieces; piece++) {
        struct sleeper *sleeper = take_parked(&pool);

        sleeper->work = piece;
        mp_park_post(&sleeper->park, POST_WORK);
    }
    for (int i = 0; i < SLEEPERS; i++)
        mp_park_post(&take_parked(&pool)->park, POST_STOP);
    for (int i = 0; i < SLEEPERS; i++) {
        CHECK_OK(pthread_join(sleepers[i].thread, NULL));
        sum += sleepers[i].sum;
    }
    CHECK_EQ(sum, pieces * (pieces + 1) / 2);
}

/* Posts that come just when the wait's time is over: each is taken exactly once. */
struct race {
    struct mp_park park;
    _Atomic uint32_t taken;
    uint32_t rounds;
};

static void *post_at_random(void *argument)
{
    struct race *race = argument;
    unsigned seed = 5;

    for (uint32_t round = 1; round <= race->rounds; round++) {
        struct timespec nap = {.tv_nsec = rand_r(&seed) % 100000};

        nanosleep(&nap, NULL);
        mp_park_post(&race->park, round);
        while (atomic_load(&race->taken) != round)
            sched_yield();
    }
    return NULL;
}

TEST(post_at_the_end_of_the_time_is_not_lost)
{
    struct race race = {.rounds = mp_test_is_sanitized() ? 1000 : 5000};
    pthread_t thread;
    uint32_t next = 1;
    unsigned timeouts = 0;

    TEST_BUDGET(40);
    mp_park_init(&race.park);
    CHECK_OK(pthread_create(&thread, NULL, post_at_random, &race));
    while (next <= race.rounds) {
        uint32_t value = mp_park_wait_for(&race.park, 50000);

        if (value == 0) {
            timeouts++;
            continue;
        }
        CHECK_EQ(value, next);
        atomic_store(&race.taken, next++);
    }
    CHECK_OK(pthread_join(thread, NULL));
    CHECK(timeouts > 0);
    CHECK_EQ(atomic_load(&race.park.word), 0);
}
