/* SPDX-License-Identifier: MIT */
/* What the event core answers when no thread is to be had: --queue-timeout and --health-path. */
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "harness.h"

enum { THREADS = 2, MANY = 200 };

#define HEALTH "GET /health HTTP/1.1\r\nHost: test\r\n\r\n"

struct occupied {
    struct harness h;
    struct client stuck[THREADS];
};

static bool all_inside(struct harness *h)
{
    return atomic_load(&h->testapp.inside) == THREADS;
}

static void begin(struct occupied *o, int64_t queue_timeout)
{
    harness_init(&o->h, true);
    o->h.options.threads = THREADS;
    o->h.options.request_timeout = 0;
    o->h.options.queue_timeout = queue_timeout;
    o->h.options.health_path = "/health";
    harness_start(&o->h);
    /* The master's word. */
    atomic_store(&harness_slot(&o->h)->state, MP_SB_WORKER_READY);
}

/* Every thread is in a handler that does not end before release(). */
static void occupy(struct occupied *o)
{
    for (int i = 0; i < THREADS; i++) {
        harness_open(&o->h, &o->stuck[i]);
        client_get(&o->stuck[i], "/never");
    }
    CHECK(harness_await(all_inside, &o->h, 5000));
}

static void release(struct occupied *o)
{
    atomic_store(&o->h.testapp.release_stuck, true);
    for (int i = 0; i < THREADS; i++) {
        struct reply reply;
        CHECK(client_reply(&o->stuck[i], false, &reply));
        CHECK_EQ(reply.status, 200);
        reply_done(&reply);
        client_done(&o->stuck[i]);
    }
}

static void end(struct occupied *o)
{
    harness_drain(&o->h);
    harness_done(&o->h);
}

static void expect(struct client *client, int status, const char *body)
{
    struct reply reply;
    CHECK(client_reply(client, false, &reply));
    CHECK_EQ(reply.status, status);
    CHECK_EQ(reply.size, strlen(body));
    CHECK(memcmp(reply.body, body, reply.size) == 0);
    reply_done(&reply);
}

/* ---- the queue timeout --------------------------------------------------------------------- */

TEST(who_has_waited_too_long_is_told)
{
    struct occupied o;
    struct client waiting[3];
    begin(&o, 200 * MP_NSEC_PER_MSEC);
    occupy(&o);
    int64_t since = mp_clock_now();
    for (int i = 0; i < 3; i++) {
        harness_open(&o.h, &waiting[i]);
        client_get(&waiting[i], "/");
    }
    for (int i = 0; i < 3; i++) {
        struct reply reply;
        CHECK(client_reply(&waiting[i], false, &reply));
        CHECK_EQ(reply.status, 503);
        CHECK_STR(reply_field(&reply, "Retry-After"), "1");
        CHECK(!reply_field(&reply, "Connection"));
        CHECK(mp_clock_now() - since >= 190 * MP_NSEC_PER_MSEC);
        reply_done(&reply);
    }
    CHECK_EQ(atomic_load(&harness_slot(&o.h)->shed), 3);
    CHECK_EQ(atomic_load(&harness_slot(&o.h)->fifo_depth), 0);
    CHECK_EQ(o.h.testapp.handled, 0);
    CHECK(harness_logged(&o.h, "which had waited for more than 0.2 s") >= 1);
    release(&o);
    for (int i = 0; i < 3; i++) { /* the same connections go on */
        struct reply reply;
        client_exchange(&waiting[i], "GET / HTTP/1.1\r\nHost: test\r\n\r\n", 200, &reply);
        reply_done(&reply);
        client_done(&waiting[i]);
    }
    end(&o);
}

TEST(the_connection_of_a_request_that_is_shed_goes_on_with_the_next)
{
    struct occupied o;
    struct client client;
    begin(&o, 100 * MP_NSEC_PER_MSEC);
    occupy(&o);
    harness_open(&o.h, &client);
    client_puts(&client, "GET / HTTP/1.1\r\nHost: test\r\n\r\n" HEALTH
                         "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                         "GET / HTTP/1.0\r\n\r\n");
    expect(&client, 503, "Service Unavailable\n");
    struct reply reply;
    CHECK(client_reply(&client, false, &reply)); /* by now it may be saturated */
    reply_done(&reply);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 503);
    CHECK_STR(reply_field(&reply, "Connection"), "keep-alive");
    reply_done(&reply);
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 503);
    CHECK_STR(reply_field(&reply, "Connection"), "close");
    reply_done(&reply);
    CHECK(client_at_end(&client, 5000));
    client_done(&client);
    CHECK_EQ(atomic_load(&harness_slot(&o.h)->shed), 3);
    release(&o);
    end(&o);
}

static bool none_waits(struct harness *h)
{
    return atomic_load(&harness_slot(h)->fifo_depth) == 0;
}

static bool only_the_stuck(struct harness *h)
{
    return atomic_load(&harness_slot(h)->connections) == THREADS;
}

TEST(a_client_that_has_gone_is_only_let_go)
{
    struct occupied o;
    struct client client;
    begin(&o, 200 * MP_NSEC_PER_MSEC);
    occupy(&o);
    harness_open(&o.h, &client);
    client_get(&client, "/");
    for (int i = 0; i < 500 && none_waits(&o.h); i++)
        harness_sleep_ms(1);
    client_reset(&client);
    CHECK(harness_await(only_the_stuck, &o.h, 5000));
    CHECK(harness_await(none_waits, &o.h, 5000)); /* told by another thread, perhaps */
    release(&o);
    end(&o);
}

/* More than are shed in one turn. */
TEST(all_that_wait_are_shed)
{
    struct occupied o;
    struct client waiting[MANY];
    begin(&o, 50 * MP_NSEC_PER_MSEC);
    occupy(&o);
    for (int i = 0; i < MANY; i++) {
        harness_open(&o.h, &waiting[i]);
        client_get(&waiting[i], "/");
    }
    for (int i = 0; i < MANY; i++) {
        expect(&waiting[i], 503, "Service Unavailable\n");
        client_done(&waiting[i]);
    }
    CHECK_EQ(atomic_load(&harness_slot(&o.h)->shed), MANY);
    release(&o);
    end(&o);
}

TEST(without_a_timeout_they_wait)
{
    struct occupied o;
    struct client client;
    begin(&o, 0);
    occupy(&o);
    harness_open(&o.h, &client);
    client_get(&client, "/");
    CHECK(client_silent(&client, 300));
    release(&o);
    struct reply reply;
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    reply_done(&reply);
    client_done(&client);
    end(&o);
}

/* ---- the health check ---------------------------------------------------------------------- */

static int health_of(struct client *client)
{
    struct reply reply;
    client_puts(client, HEALTH);
    CHECK(client_reply(client, false, &reply));
    int status = reply.status;
    if (status == 200)
        CHECK(reply.size == 3 && memcmp(reply.body, "ok\n", 3) == 0);
    reply_done(&reply);
    return status;
}

TEST(health_follows_the_pool)
{
    struct occupied o;
    struct client probe;
    int status = 200;
    begin(&o, 0);
    harness_open(&o.h, &probe);
    CHECK_EQ(health_of(&probe), 200);
    occupy(&o);
    for (int i = 0; i < 1000 && status == 200; i++) {
        status = health_of(&probe);
        harness_sleep_ms(10);
    }
    CHECK_EQ(status, 503);
    client_puts(&probe, HEALTH);
    expect(&probe, 503, "saturated\n");
    release(&o);
    for (int i = 0; i < 1000 && status != 200; i++)
        status = health_of(&probe);
    CHECK_EQ(status, 200);
    atomic_store(&harness_slot(&o.h)->state, MP_SB_WORKER_DRAINING);
    client_puts(&probe, HEALTH);
    expect(&probe, 503, "draining\n");
    client_done(&probe);
    CHECK_EQ(o.h.testapp.handled, THREADS);
    CHECK(atomic_load(&harness_slot(&o.h)->health) >= 5);
    end(&o);
}

TEST(only_the_path_itself_is_the_health_check)
{
    static const char *const others[] = {
        "GET /healthy HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /healt HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /health/ HTTP/1.1\r\nHost: test\r\n\r\n",
        "POST /health HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
        "GET /?/health HTTP/1.1\r\nHost: test\r\n\r\n",
    };
    struct occupied o;
    struct client client;
    struct reply reply;
    begin(&o, 0);
    harness_open(&o.h, &client);
    for (size_t i = 0; i < mp_array_size(others); i++) {
        client_puts(&client, others[i]);
        CHECK(client_reply(&client, false, &reply));
        reply_done(&reply);
        CHECK_EQ(atomic_load(&harness_slot(&o.h)->health), 0);
    }
    client_exchange(&client, "GET /health?from=probe HTTP/1.1\r\nHost: test\r\n\r\n", 200, &reply);
    CHECK_STR(reply_field(&reply, "Cache-Control"), "no-store");
    reply_done(&reply);
    client_puts(&client, "HEAD /health HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(client_reply(&client, true, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_STR(reply_field(&reply, "Content-Length"), "3");
    reply_done(&reply);
    client_puts(&client,
                "GET /health HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nxx" HEALTH);
    expect(&client, 200, "ok\n");
    expect(&client, 200, "ok\n");
    client_done(&client);
    CHECK_EQ(atomic_load(&harness_slot(&o.h)->health), 4);
    end(&o);
}

/* Those who send very many at once neither use up the stack nor the leader's time. */
TEST(many_health_checks_at_once)
{
    enum { COUNT = 5000 };
    static char text[COUNT * (sizeof(HEALTH) - 1) + 1];
    struct occupied o;
    struct client client;
    begin(&o, 0);
    for (int i = 0; i < COUNT; i++)
        memcpy(text + (size_t)i * (sizeof(HEALTH) - 1), HEALTH, sizeof(HEALTH));
    harness_open(&o.h, &client);
    for (int i = 0; i < COUNT; i += 100) {
        client_send(&client, text + (size_t)i * (sizeof(HEALTH) - 1), 100 * (sizeof(HEALTH) - 1));
        for (int j = 0; j < 100; j++)
            expect(&client, 200, "ok\n");
    }
    client_done(&client);
    CHECK_EQ(atomic_load(&harness_slot(&o.h)->health), COUNT);
    end(&o);
}
