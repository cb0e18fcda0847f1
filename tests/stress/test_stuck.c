/* SPDX-License-Identifier: MIT */
/*
 * Deadlines that pass, are moved, and end in exceptions, while handlers end at that very moment;
 * and dumps of all threads meanwhile. No handler but the one that was meant may get the exception,
 * and each client gets one whole answer. MP_STRESS_SECONDS: how long.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "server/request.h"
#include "server/response.h"

enum { CLIENTS = 12, DEADLINE_MS = 50 };

struct stress {
    struct harness *h;
    _Atomic bool stop;
    _Atomic unsigned long answered;
    _Atomic unsigned long timed_out;
    _Atomic unsigned long extended;
    _Atomic unsigned long too_late;
};

struct actor {
    pthread_t thread;
    struct stress *stress;
    unsigned seed;
};

/* Works, and moves its deadline a little at times that fall around it. */
static void extend_at_random(struct testapp *testapp, struct mp_request *request)
{
    struct stress *stress = testapp->custom_data;
    unsigned seed = (unsigned)mp_clock_now();
    unsigned rounds = (unsigned)rand_r(&seed) % 4;
    for (unsigned i = 0; i < rounds; i++) {
        testapp_nap(testapp, (30 + rand_r(&seed) % 40) * MP_NSEC_PER_MSEC);
        bool done = mp_request_extend_deadline(request, DEADLINE_MS * MP_NSEC_PER_MSEC) == 0;
        atomic_fetch_add(done ? &stress->extended : &stress->too_late, 1);
    }
    mp_response_reply(request, 200, "text/plain", "done\n", 5);
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    struct stress *stress = actor->stress;
    while (!atomic_load(&stress->stop)) {
        struct client client;
        struct reply reply;
        char path[64];
        unsigned kind = (unsigned)rand_r(&actor->seed) % 8;
        unsigned us = (unsigned)rand_r(&actor->seed) % 120000;
        if (kind < 4)
            snprintf(path, sizeof(path), "/work/%u", us);
        else if (kind < 6)
            snprintf(path, sizeof(path), "/custom");
        else
            snprintf(path, sizeof(path), "/");
        harness_open(stress->h, &client);
        client_get(&client, path);
        CHECK(client_reply(&client, false, &reply));
        CHECK(reply.complete);
        CHECK(reply.status == 200 || reply.status == 504);
        atomic_fetch_add(reply.status == 200 ? &stress->answered : &stress->timed_out, 1);
        reply_done(&reply);
        client_done(&client);
    }
    return NULL;
}

static void *dump(void *arg)
{
    struct actor *actor = arg;
    while (!atomic_load(&actor->stress->stop)) {
        char *text = harness_read_dump(harness_dump(actor->stress->h));
        CHECK(strstr(text, " threads in handlers") != NULL);
        free(text);
        harness_sleep_ms(7);
    }
    return NULL;
}

static bool none_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == 0 && atomic_load(&harness_slot(h)->stuck) == 0;
}

static void run(bool locking)
{
    static struct harness h;
    static struct stress stress;
    static struct actor actors[CLIENTS + 1];
    const char *text = getenv("MP_STRESS_SECONDS");
    int seconds = text && atoi(text) > 0 ? atoi(text) : 4;
    TEST_BUDGET((unsigned)seconds * 3 + 60);
    harness_init(&h, locking);
    h.options.threads = 8;
    h.options.request_timeout = DEADLINE_MS * MP_NSEC_PER_MSEC;
    h.options.stuck_grace = 600 * MP_NSEC_PER_SEC;
    h.options.slow_log = DEADLINE_MS * MP_NSEC_PER_MSEC / 2;
    h.testapp.custom = extend_at_random;
    h.testapp.custom_data = &stress;
    stress.h = &h;
    harness_start(&h);
    for (unsigned i = 0; i <= CLIENTS; i++) {
        actors[i] = (struct actor){.stress = &stress, .seed = i * 7919 + 13};
        CHECK_OK(pthread_create(&actors[i].thread, NULL, i < CLIENTS ? act : dump, &actors[i]));
    }
    harness_sleep_ms(seconds * 1000);
    atomic_store(&stress.stop, true);
    for (unsigned i = 0; i <= CLIENTS; i++)
        pthread_join(actors[i].thread, NULL);
    CHECK(harness_await(none_inside, &h, 10000)); /* a drain does not wait for those */
    harness_drain(&h);
    fprintf(
        stderr,
        "      %lu answered, %lu timed out, %lu extended, %lu too late, %u raised: %u came up, %u "
        "taken back\n",
        stress.answered, stress.timed_out, stress.extended, stress.too_late, h.testapp.raises,
        h.testapp.interrupted, h.testapp.calmed);
    CHECK_EQ(h.testapp.innocent, 0);
    CHECK_EQ(h.testapp.raises, h.testapp.interrupted + h.testapp.calmed);
    CHECK(stress.answered > 0 && stress.timed_out > 0 && stress.extended > 0);
    CHECK(h.testapp.raises > 0 && h.testapp.interrupted > 0);
    harness_done(&h);
}

TEST(exceptions_reach_nobody_else_with_a_lock)
{
    run(true);
}

TEST(exceptions_reach_nobody_else_without_one)
{
    run(false);
}
