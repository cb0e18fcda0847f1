/* SPDX-License-Identifier: MIT */
/*
 * Streams, for a while (MP_STRESS_SECONDS, 10 by default): clients that ask and read, ask and
 * leave, say nothing, reset; handlers that answer at once, wait, compute; a number of threads that
 * follows; and a worker that is drained and started anew again and again on the same listening
 * socket.
 *
 * An answer that comes is whole and the right one. One that does not come is no error only while a
 * worker was draining, and of a client that was silent or had a deadline.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "lines.h"

enum { CLIENTS = 12 };

struct stress {
    struct harness *h;
    _Atomic bool stop;
    _Atomic uint64_t answered;
};

struct actor {
    struct stress *stress;
    pthread_t thread;
    unsigned number;
    unsigned seed;
    uint64_t count;
};

static unsigned choose(struct actor *actor, unsigned n)
{
    return (unsigned)rand_r(&actor->seed) % n;
}

static void vanish(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void ask_for_an_echo(struct actor *actor)
{
    char line[64];
    char answer[66];
    snprintf(line, sizeof(line), "echo %u %llu", actor->number, (unsigned long long)++actor->count);
    snprintf(answer, sizeof(answer), "%s\n", line);
    lines_exchange(actor->stress->h, line, answer);
    atomic_fetch_add(&actor->stress->answered, 1);
}

static void act(struct actor *actor)
{
    const struct harness *h = actor->stress->h;
    char line[64];
    int fd;
    switch (choose(actor, 8)) {
    case 0:
        snprintf(line, sizeof(line), "sleep %u", choose(actor, 20000));
        lines_exchange(h, line, "done");
        break;
    case 1:
        snprintf(line, sizeof(line), "cpu %u", choose(actor, 1500));
        lines_exchange(h, line, "done");
        break;
    case 2:
        fd = lines_ask(h, "never");
        usleep(choose(actor, 10000));
        close(fd);
        break;
    case 3:
        fd = harness_connect(h, 0);
        usleep(choose(actor, 5000));
        vanish(fd);
        break;
    case 4:
        fd = lines_ask(h, "echo nobody reads it");
        usleep(choose(actor, 1000));
        vanish(fd);
        break;
    default:
        ask_for_an_echo(actor);
    }
}

static void *run(void *arg)
{
    struct actor *actor = arg;
    while (!atomic_load(&actor->stress->stop))
        act(actor);
    return NULL;
}

static void choose_options(struct harness *h, unsigned *seed)
{
    unsigned least = 1 + (unsigned)rand_r(seed) % 4;
    h->options.threads_min = least;
    h->options.threads = least + (unsigned)rand_r(seed) % 12;
    h->options.threads_idle = 60 * MP_NSEC_PER_MSEC;
    h->options.admission = rand_r(seed) % 2 ? MP_ADMISSION_READABLE : MP_ADMISSION_CONNECT;
    h->options.drain_idle =
        2 * MP_NSEC_PER_SEC; /* clients here speak at once, or are slowed down */
}

static int64_t stress_time(void)
{
    const char *seconds = getenv("MP_STRESS_SECONDS");
    return (seconds ? atoi(seconds) : 10) * MP_NSEC_PER_SEC;
}

TEST(streams_under_stress)
{
    struct harness h;
    struct stress stress = {.h = &h};
    struct actor actors[CLIENTS];
    unsigned seed = 7;
    unsigned workers = 0;
    int64_t end = mp_clock_now() + stress_time();
    TEST_BUDGET((unsigned)(stress_time() / MP_NSEC_PER_SEC) + 60);
    harness_init(&h, true);
    lines_init(&h, MP_PROTOCOL_STREAM);
    h.board = NULL;
    CHECK_OK(mp_scoreboard_new(1, 64, &h.board));
    choose_options(&h, &seed);
    harness_start(&h);
    for (unsigned i = 0; i < CLIENTS; i++) {
        actors[i] = (struct actor){.stress = &stress, .number = i, .seed = i + 1};
        CHECK_OK(pthread_create(&actors[i].thread, NULL, run, &actors[i]));
    }
    while (mp_clock_now() < end) {
        harness_sleep_ms(100 + (int)((unsigned)rand_r(&seed) % 400));
        /* Not for good: what is in the kernel's queue stays there for the next worker. */
        harness_tell(&h, MP_WORKER_DRAIN, 0);
        CHECK_EQ(harness_join(&h), 0);
        choose_options(&h, &seed);
        harness_start(&h);
        workers++;
    }
    atomic_store(&stress.stop, true);
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK_OK(pthread_join(actors[i].thread, NULL));
    harness_drain(&h);
    printf("%llu answered by %u workers\n", (unsigned long long)stress.answered, workers + 1);
    CHECK(stress.answered > 20);
    harness_done(&h);
}
