/* SPDX-License-Identifier: MIT */
/* Accepting: several listeners, the limit of connections, no descriptors left, siblings. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"

TEST(several_listeners)
{
    struct harness h;
    struct client client;
    struct reply reply;
    char address[64];
    harness_init(&h, true);
    snprintf(address, sizeof(address), "unix:/tmp/mp-test-listener-%d.sock", (int)getpid());
    harness_listen(&h, "[::1]:0");
    harness_listen(&h, address);
    harness_listen(&h, "127.0.0.1:0");
    harness_start(&h);
    for (size_t i = 0; i < 12; i++) {
        client_init(&client, harness_connect(&h, i % 4));
        client_exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
        reply_done(&reply);
        client_done(&client);
    }
    CHECK_EQ(harness_slot(&h)->accepted, 12);
    harness_drain(&h);
    harness_done(&h);
}

TEST(limit_of_connections_is_kept_and_waiting_clients_get_their_turn)
{
    enum { LIMIT = 3, CLIENTS = 9 };
    struct harness h;
    struct client clients[CLIENTS];
    struct reply reply;
    harness_init(&h, true);
    h.options.connections = LIMIT;
    h.options.keep_alive = 60 * MP_NSEC_PER_SEC;
    harness_start(&h);
    for (int i = 0; i < CLIENTS; i++) {
        harness_open(&h, &clients[i]);
        client_get(&clients[i], "/");
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(client_reply(&clients[i], false, &reply));
        CHECK(harness_slot(&h)->connections <= LIMIT);
        reply_done(&reply);
        if (i + LIMIT < CLIENTS)
            CHECK(client_silent(&clients[i + LIMIT], 20));
        int64_t since = mp_clock_now();
        client_done(&clients[i]);
        if (i + LIMIT < CLIENTS)
            while (client_silent(&clients[i + LIMIT], 10))
                CHECK(mp_clock_now() - since < 3 * MP_NSEC_PER_SEC);
    }
    CHECK_EQ(harness_logged(&h, "--worker-connections allows, 3"), 1); /* and not for each */
    harness_drain(&h);
    harness_done(&h);
}

/* A connection that ends with its answer makes room at once, not at the leader's next look. */
TEST(room_is_noticed_when_a_connection_ends_behind_a_handler)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    h.options.connections = 1;
    h.options.keep_alive = 0;
    harness_start(&h);
    int64_t since = mp_clock_now();
    for (int i = 0; i < 10; i++) {
        harness_open(&h, &client);
        client_exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, &reply);
        reply_done(&reply);
        client_done(&client);
    }
    CHECK(mp_clock_now() - since < 2 * MP_NSEC_PER_SEC); /* 0.5 s each otherwise */
    harness_drain(&h);
    harness_done(&h);
}

static bool reported(struct harness *h)
{
    return harness_logged(h, "cannot accept connections") > 0;
}

TEST(no_descriptors_left_pauses_and_recovers)
{
    struct harness h;
    struct client client;
    struct reply reply;
    struct rlimit limit;
    harness_init(&h, true);
    harness_start(&h);
    harness_get(&h, "/", 200);
    harness_open(&h, &client); /* in the backlog, or accepted: then the next one is not */
    struct client second;
    harness_open(&h, &second);
    client_get(&client, "/");
    CHECK(client_reply(&client, false, &reply));
    reply_done(&reply);
    struct client third = {.fd = -1};
    int64_t cpu = 0;
    /* The socket is made before the limit falls, connected after. */
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 3);
    close(lowest);
    struct rlimit low = {.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &low));
    const struct mp_sockaddr *addr = &h.listeners[0].addr;
    CHECK_OK(connect(fd, &addr->any, addr->len));
    client_init(&third, fd);
    client_get(&third, "/");
    CHECK(harness_await(reported, &h, 5000));
    cpu = mp_clock_process_cpu();
    harness_sleep_ms(600);
    CHECK(mp_clock_process_cpu() - cpu < 200 * MP_NSEC_PER_MSEC); /* it does not spin */
    CHECK_EQ(harness_logged(&h, "cannot accept connections"), 1);
    client_get(&client, "/"); /* those that are open are served */
    CHECK(client_reply(&client, false, &reply));
    reply_done(&reply);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK(client_reply(&third, false, &reply));
    CHECK_EQ(reply.status, 200);
    reply_done(&reply);
    client_done(&client);
    client_done(&second);
    client_done(&third);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- siblings ---------------------------------------------------------------------------- */

static void init_shared(struct harness *h)
{
    harness_init(h, true);
    h->options.multiprocess = true;
    CHECK_OK(mp_scoreboard_new(2, mp_worker_places(h->options.threads), &h->board));
}

static struct mp_sb_worker *sibling(struct harness *h)
{
    struct mp_sb_worker *slot = mp_scoreboard_worker(h->board, 1);
    slot->state = MP_SB_WORKER_READY;
    slot->threads = 4;
    slot->heartbeat = mp_clock_now();
    return slot;
}

static void open_many(struct harness *h, struct client *clients, int count)
{
    for (int i = 0; i < count; i++) {
        harness_open(h, &clients[i]);
        client_get(&clients[i], "/");
    }
}

static void keep_beating(struct mp_sb_worker *slot, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        slot->heartbeat = mp_clock_now();
        harness_sleep_ms(20);
    }
}

enum { FEW = 24, MANY = 40 };

TEST(less_loaded_sibling_is_left_the_connections)
{
    struct harness h;
    struct client clients[MANY];
    init_shared(&h);
    struct mp_sb_worker *slot = sibling(&h);
    harness_start(&h);
    open_many(&h, clients, FEW);
    keep_beating(slot, 10);
    /* What had arrived when it stopped accepting is its own; nothing of what comes later. */
    unsigned taken = harness_slot(&h)->connections;
    CHECK(taken > 16 && taken <= FEW);
    open_many(&h, clients + FEW, MANY - FEW);
    keep_beating(slot, 20);
    CHECK_EQ(harness_slot(&h)->connections, taken);
    slot->connections = MANY; /* now it has its share */
    for (int i = 0; i < 200 && harness_slot(&h)->connections < MANY; i++)
        harness_sleep_ms(20);
    CHECK_EQ(harness_slot(&h)->connections, MANY);
    for (int i = 0; i < MANY; i++)
        client_done(&clients[i]);
    harness_drain(&h);
    harness_done(&h);
}

TEST(silent_sibling_holds_nobody_back)
{
    struct harness h;
    struct client clients[MANY];
    init_shared(&h);
    sibling(&h)->heartbeat = mp_clock_now() - 10 * MP_NSEC_PER_SEC;
    harness_start(&h);
    int64_t since = mp_clock_now();
    open_many(&h, clients, MANY);
    for (int i = 0; i < MANY; i++) {
        struct reply reply;
        CHECK(client_reply(&clients[i], false, &reply));
        reply_done(&reply);
    }
    CHECK(mp_clock_now() - since < 3 * MP_NSEC_PER_SEC); /* before keep-alive makes room */
    for (int i = 0; i < MANY; i++)
        client_done(&clients[i]);
    harness_drain(&h);
    harness_done(&h);
}

/* ---- connections that are left to a sibling that may come -------------------------------------
 */

static bool all_accepted(struct harness *h)
{
    return atomic_load(&harness_slot(h)->accepted) == 40;
}

TEST(what_it_cannot_run_is_left_to_a_sibling_that_may_come_for_a_moment)
{
    struct harness h;
    struct client clients[40];
    TEST_BUDGET(60);
    harness_init(&h, true);
    h.options.threads = 4;
    h.options.workers_most = 2;
    harness_start(&h);
    int64_t start = mp_clock_now();
    for (int i = 0; i < 40; i++) {
        harness_open(&h, &clients[i]);
        client_get(&clients[i], "/never");
    }
    for (int i = 0; i < 500 && h.testapp.inside < 4; i++)
        harness_sleep_ms(2);
    unsigned accepted = (unsigned)atomic_load(&harness_slot(&h)->accepted);
    if (mp_clock_now() - start < 300 * MP_NSEC_PER_MSEC) /* else the moment may have passed */
        CHECK(accepted <= 16);
    CHECK(harness_await(all_accepted, &h, 10000)); /* nobody came */
    atomic_store(&h.testapp.release_stuck, true);
    for (int i = 0; i < 40; i++) {
        struct reply reply;
        CHECK(client_reply(&clients[i], false, &reply));
        CHECK_EQ(reply.status, 200);
        reply_done(&reply);
        client_done(&clients[i]);
    }
    harness_drain(&h);
    harness_done(&h);
}
