/* SPDX-License-Identifier: MIT */
/*
 * More work than there are threads for, for a while (MP_STRESS_SECONDS, 5 by default), with a queue
 * timeout about as long as the handlers take: requests are shed at the moment at which others take
 * them. Every client gets one answer to each request, its own, and each request is either handled
 * or shed. Some ask for the pool's health, some leave.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "harness.h"

enum { CLIENTS = 16, THREADS = 3 };

struct stress {
    struct harness *h;
    _Atomic bool stop;
    _Atomic uint64_t handled;
    _Atomic uint64_t shed;
    _Atomic uint64_t left; /* without having read the answer */
};

struct actor {
    struct stress *stress;
    pthread_t thread;
    unsigned number;
    unsigned seed;
};

static unsigned choose(struct actor *actor, unsigned n)
{
    return (unsigned)rand_r(&actor->seed) % n;
}

static void ask(struct actor *actor, struct client *client)
{
    char path[64];
    char id[32];
    struct reply reply;
    snprintf(id, sizeof(id), "%u", actor->number * 1000000 + choose(actor, 1000000));
    snprintf(path, sizeof(path), "/%s/%u?id=%s", choose(actor, 3) ? "sleep" : "cpu",
             choose(actor, 4000), id);
    client_get(client, path);
    CHECK(client_reply(client, false, &reply));
    if (reply.status == 200) {
        CHECK_STR(reply_field(&reply, "X-Id"), id);
        atomic_fetch_add(&actor->stress->handled, 1);
    } else {
        CHECK_EQ(reply.status, 503);
        CHECK(reply_field(&reply, "Retry-After"));
        atomic_fetch_add(&actor->stress->shed, 1);
    }
    reply_done(&reply);
}

static void ask_for_health(struct client *client)
{
    struct reply reply;
    client_get(client, "/health");
    CHECK(client_reply(client, false, &reply));
    CHECK(reply.status == 200 || reply.status == 503);
    reply_done(&reply);
}

static void leave(struct actor *actor, struct client *client)
{
    client_get(client, "/sleep/100");
    atomic_fetch_add(&actor->stress->left, 1);
    client_reset(client);
    client_done(client);
    harness_open(actor->stress->h, client);
}

static void *run(void *arg)
{
    struct actor *actor = arg;
    struct client client;
    harness_open(actor->stress->h, &client);
    while (!atomic_load(&actor->stress->stop)) {
        switch (choose(actor, 20)) {
        case 0:
            ask_for_health(&client);
            break;
        case 1:
            leave(actor, &client);
            break;
        default:
            ask(actor, &client);
        }
    }
    client_done(&client);
    return NULL;
}

TEST(each_request_is_handled_or_shed)
{
    const char *text = getenv("MP_STRESS_SECONDS");
    int seconds = text ? atoi(text) : 5;
    struct harness h;
    struct stress stress = {.h = &h};
    struct actor actors[CLIENTS];
    harness_init(&h, true);
    h.options.threads = THREADS;
    h.options.queue_timeout = 2 * MP_NSEC_PER_MSEC;
    h.options.health_path = "/health";
    harness_start(&h);
    atomic_store(&harness_slot(&h)->state, MP_SB_WORKER_READY);
    for (unsigned i = 0; i < CLIENTS; i++) {
        actors[i] = (struct actor){.stress = &stress, .number = i, .seed = i + 1};
        CHECK_EQ(pthread_create(&actors[i].thread, NULL, run, &actors[i]), 0);
    }
    harness_sleep_ms(seconds * 1000);
    atomic_store(&stress.stop, true);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(actors[i].thread, NULL);
    uint64_t handled = atomic_load(&stress.handled);
    uint64_t shed = atomic_load(&stress.shed);
    uint64_t left = atomic_load(&stress.left);
    harness_drain(&h);
    printf("%llu handled, %llu shed, %llu left\n", (unsigned long long)handled,
           (unsigned long long)shed, (unsigned long long)left);
    CHECK(handled > 0 && shed > 0);
    CHECK(atomic_load(&h.testapp.handled) >= handled);
    CHECK(atomic_load(&h.testapp.handled) <= handled + left);
    CHECK(atomic_load(&harness_slot(&h)->shed) >= shed);
    CHECK(atomic_load(&harness_slot(&h)->shed) <= shed + left);
    harness_done(&h);
}
