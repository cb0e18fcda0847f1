/* SPDX-License-Identifier: MIT */
/*
 * Everything at once, for a while (MP_STRESS_SECONDS, 10 by default): clients that keep alive,
 * pipeline, split their bytes anywhere, read slowly, vanish, close one side; handlers of all kinds
 * and lengths; and the worker is drained and started anew again and again on the same listening
 * socket, with other numbers of threads and limits.
 *
 * Each request has an id of its own, and each answer is compared byte for byte with what belongs to
 * that id. A connection may end without an answer only while a worker was draining.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

enum { CLIENTS = 12, BODY_MAX = 200000, BATCH_MAX = 12 };

struct stress {
    struct harness *h;
    _Atomic bool stop;
    _Atomic unsigned epoch; /* odd: draining, or between two workers */
    _Atomic uint64_t ids;
    _Atomic uint64_t answered;
    _Atomic uint64_t unanswered;
};

/* A client's thread with its connection. */
struct actor {
    struct stress *stress;
    pthread_t thread;
    unsigned seed;
    struct client client;
    bool open;
    unsigned epoch; /* when it was opened */
};

enum kind { GREET, SLEEP, CPU, BIG, STREAM, FILE_, ECHO, ECHO_CHUNKED, FAIL, HEAD, KINDS };

struct want {
    enum kind kind;
    uint64_t id;
    size_t size; /* of the body that is expected */
};

static unsigned pick(struct actor *actor, unsigned n)
{
    return (unsigned)rand_r(&actor->seed) % n;
}

static void nap_us(unsigned us)
{
    usleep(us);
}

/* ---- connections ------------------------------------------------------------------------- */

static void hang_up(struct actor *actor)
{
    if (actor->open)
        client_done(&actor->client);
    actor->open = false;
}

static void call(struct actor *actor)
{
    if (actor->open)
        return;
    actor->epoch = atomic_load(&actor->stress->epoch);
    client_init(&actor->client, harness_connect(actor->stress->h, 0));
    actor->open = true;
}

/* The connection ended where an answer was due. */
static void unanswered(struct actor *actor)
{
    unsigned epoch = atomic_load(&actor->stress->epoch);
    if (epoch == actor->epoch && epoch % 2 == 0)
        TEST_FAIL("a connection ended without an answer, though nobody drained");
    atomic_fetch_add(&actor->stress->unanswered, 1);
    hang_up(actor);
}

/* Sends in pieces that are cut anywhere. */
static void send_in_pieces(struct actor *actor, const char *bytes, size_t n)
{
    while (n > 0) {
        size_t part = pick(actor, 3) ? n : 1 + pick(actor, (unsigned)(n < 3000 ? n : 3000));
        if (!client_try_send(&actor->client, bytes, part))
            return; /* the end is noticed when the answer is read */
        bytes += part;
        n -= part;
        if (n > 0 && pick(actor, 4) == 0)
            nap_us(pick(actor, 1500));
    }
}

/* ---- requests ---------------------------------------------------------------------------- */

static size_t stream_size(unsigned pieces)
{
    size_t n = 0;
    for (unsigned i = 0; i < pieces; i++)
        n += testapp_piece(i);
    return n;
}

static size_t write_body(struct actor *actor, char *at, const struct want *want, bool chunked)
{
    char *start = at;
    size_t done = 0;
    if (!chunked) {
        testapp_fill(at, want->size, want->id, 0);
        return want->size;
    }
    while (done < want->size) {
        size_t left = want->size - done;
        size_t n = 1 + pick(actor, (unsigned)(left < 20000 ? left : 20000));
        at += sprintf(at, "%zx\r\n", n);
        testapp_fill(at, n, want->id, done);
        at += n;
        at += sprintf(at, "\r\n");
        done += n;
    }
    at += sprintf(at, "0\r\n\r\n");
    return (size_t)(at - start);
}

static unsigned size_of_body(struct actor *actor)
{
    return pick(actor, 3) ? pick(actor, 3000) : pick(actor, BODY_MAX);
}

/* Writes a request to at; returns its size. */
static size_t make_request(struct actor *actor, char *at, struct want *want, enum kind kind)
{
    char path[64] = "/";
    unsigned n = 0;
    want->kind = kind;
    want->id = atomic_fetch_add(&actor->stress->ids, 1);
    want->size = 13;
    if (kind == SLEEP)
        snprintf(path, sizeof(path), "/sleep/%u", pick(actor, 6000));
    else if (kind == CPU)
        snprintf(path, sizeof(path), "/cpu/%u",
                 pick(actor, 4) ? pick(actor, 100) : pick(actor, 3000));
    else if (kind == BIG || kind == FILE_)
        snprintf(path, sizeof(path), "/%s/%u", kind == BIG ? "big" : "file",
                 n = 1 + size_of_body(actor));
    else if (kind == STREAM)
        snprintf(path, sizeof(path), "/stream/%u", n = 1 + pick(actor, 40));
    else if (kind == ECHO || kind == ECHO_CHUNKED)
        snprintf(path, sizeof(path), "/echo%s", "");
    else if (kind == FAIL)
        snprintf(path, sizeof(path), "/fail");
    if (kind == BIG || kind == FILE_)
        want->size = n;
    if (kind == STREAM)
        want->size = stream_size(n);
    char *start = at;
    at += sprintf(at, "%s %s?id=%llu HTTP/1.1\r\nHost: stress\r\n",
                  kind == HEAD                           ? "HEAD"
                  : kind == ECHO || kind == ECHO_CHUNKED ? "POST"
                                                         : "GET",
                  path, (unsigned long long)want->id);
    if (kind == ECHO || kind == ECHO_CHUNKED) {
        want->size = size_of_body(actor);
        if (kind == ECHO)
            at += sprintf(at, "Content-Length: %zu\r\n\r\n", want->size);
        else
            at += sprintf(at, "Transfer-Encoding: chunked\r\n\r\n");
        at += write_body(actor, at, want, kind == ECHO_CHUNKED);
    } else {
        at += sprintf(at, "\r\n");
    }
    return (size_t)(at - start);
}

static void check_body(const struct want *want, const struct reply *reply)
{
    static const char hello[] = "Hello, pond.\n";
    CHECK_EQ(reply->size, want->size);
    if (want->kind == GREET || want->kind == SLEEP || want->kind == CPU) {
        CHECK_MEM(reply->body, hello, 13);
        return;
    }
    for (size_t i = 0; i < reply->size; i++) {
        if (reply->body[i] != testapp_byte(want->id, i))
            TEST_FAIL("byte %zu of the answer to %llu is of another one", i,
                      (unsigned long long)want->id);
    }
}

/* Reads one answer. False: there is none, and the connection is closed. */
static bool read_answer(struct actor *actor, const struct want *want, bool *ret_last)
{
    struct reply reply;
    if (!client_reply(&actor->client, want->kind == HEAD, &reply)) {
        unanswered(actor);
        return false;
    }
    CHECK(reply.complete);
    if (want->kind == FAIL) {
        CHECK_EQ(reply.status, 500);
    } else {
        CHECK_EQ(reply.status, 200);
        const char *id = reply_field(&reply, "X-Id");
        CHECK(id);
        CHECK_EQ(strtoull(id, NULL, 10), want->id);
    }
    if (want->kind != HEAD && want->kind != FAIL)
        check_body(want, &reply);
    *ret_last = reply_field(&reply, "Connection") != NULL;
    reply_done(&reply);
    atomic_fetch_add(&actor->stress->answered, 1);
    return true;
}

/* ---- what clients do --------------------------------------------------------------------- */

static char *buffer_for(unsigned requests)
{
    char *buffer = malloc((size_t)requests * (2 * BODY_MAX + 1000));
    CHECK(buffer);
    return buffer;
}

/* One after the other on one connection, which is kept afterwards, or not. */
static void keep_alive(struct actor *actor)
{
    unsigned count = 1 + pick(actor, 20);
    char *buffer = buffer_for(1);
    bool last = false;
    for (unsigned i = 0; i < count && !last; i++) {
        struct want want;
        call(actor);
        size_t n = make_request(actor, buffer, &want, pick(actor, KINDS));
        send_in_pieces(actor, buffer, n);
        if (pick(actor, 10) == 0)
            nap_us(pick(actor, 20000)); /* reads late */
        if (!read_answer(actor, &want, &last))
            break;
    }
    if (last || pick(actor, 2))
        hang_up(actor);
    free(buffer);
}

/* Many at once; half: and nothing more from this side. */
static void pipeline(struct actor *actor, bool half)
{
    unsigned count = 1 + pick(actor, BATCH_MAX);
    struct want wants[BATCH_MAX];
    char *buffer = buffer_for(count);
    size_t n = 0;
    bool last = false;
    unsigned i = 0;
    hang_up(actor);
    call(actor);
    for (unsigned j = 0; j < count; j++) {
        /* Bodies only with the last: who sends much and reads nothing would wait for ever. */
        enum kind kind = j + 1 == count ? pick(actor, KINDS) : pick(actor, CPU + 1);
        n += make_request(actor, buffer + n, &wants[j], kind);
    }
    send_in_pieces(actor, buffer, n);
    if (half)
        shutdown(actor->client.fd, SHUT_WR);
    while (i < count && !last && read_answer(actor, &wants[i], &last))
        i++;
    if (half && actor->open && i == count)
        CHECK(client_at_end(&actor->client, 15000));
    hang_up(actor);
    free(buffer);
}

/* Goes away at any point of the exchange. */
static void vanish(struct actor *actor)
{
    char *buffer = buffer_for(2);
    struct want want;
    hang_up(actor);
    call(actor);
    size_t n = make_request(actor, buffer, &want, pick(actor, KINDS));
    n += make_request(actor, buffer + n, &want, pick(actor, KINDS));
    send_in_pieces(actor, buffer, pick(actor, 2) ? n : pick(actor, (unsigned)n));
    nap_us(pick(actor, 5000));
    if (pick(actor, 2)) {
        client_reset(&actor->client);
        actor->open = false;
    }
    hang_up(actor);
    free(buffer);
}

/* Takes a large answer in small sips. */
static void sip(struct actor *actor)
{
    char *buffer = buffer_for(1);
    struct want want;
    bool last;
    int small = 32768;
    hang_up(actor);
    call(actor);
    setsockopt(actor->client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    size_t n = make_request(actor, buffer, &want, BIG + pick(actor, 3));
    send_in_pieces(actor, buffer, n);
    nap_us(pick(actor, 50000));
    read_answer(actor, &want, &last);
    hang_up(actor);
    free(buffer);
}

static void misbehave(struct actor *actor)
{
    static const char bad[] = "GET / HTTP/1.1\r\nBad Field: x\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    struct reply reply;
    hang_up(actor);
    call(actor);
    client_try_send(&actor->client, bad, sizeof(bad) - 1);
    if (!client_reply(&actor->client, false, &reply)) {
        unanswered(actor);
        return;
    }
    CHECK_EQ(reply.status, 400);
    reply_done(&reply);
    hang_up(actor);
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    while (!atomic_load(&actor->stress->stop)) {
        switch (pick(actor, 10)) {
        case 0:
            vanish(actor);
            break;
        case 1:
            sip(actor);
            break;
        case 2:
            misbehave(actor);
            break;
        case 3:
        case 4:
            pipeline(actor, pick(actor, 2));
            break;
        default:
            keep_alive(actor);
        }
    }
    hang_up(actor);
    return NULL;
}

/* ---- the worker -------------------------------------------------------------------------- */

static void choose_options(struct harness *h, unsigned round)
{
    static const unsigned threads[] = {4, 16, 1, 2, 8};
    static const size_t memory[] = {1 << 20, 3000, 50000};
    h->options.threads = threads[round % 5];
    h->options.body_memory = memory[round % 3];
    h->options.output_memory = memory[(round + 1) % 3];
    h->options.output_file = round % 4 == 3 ? 100000 : 1 << 30;
    h->testapp.locking = round % 2 == 0;
    h->testapp.app.max_computing = round % 2 == 0 ? 1 : 0;
}

/* Nothing of the worker may be left. */
static void check_ended(const struct harness *h)
{
    CHECK_EQ(h->testapp.inside, 0);
    CHECK_EQ(h->testapp.threads, 0);
    CHECK_EQ(h->testapp.refs_wrong, 0);
    CHECK_EQ(h->testapp.refs_released, h->testapp.refs_made);
    CHECK_EQ(harness_slot(h)->connections, 0);
}

static void run_for(struct stress *stress, int64_t ns)
{
    struct harness *h = stress->h;
    int64_t end = mp_clock_now() + ns;
    unsigned round = 0;
    for (;;) {
        choose_options(h, round++);
        harness_start(h);
        atomic_fetch_add(&stress->epoch, 1);
        harness_sleep_ms(mp_clock_now() < end ? 700 + (int)(round % 3) * 400 : 1);
        if (mp_clock_now() >= end)
            return;
        atomic_fetch_add(&stress->epoch, 1);
        harness_drain(h);
        check_ended(h);
    }
}

TEST(everything_at_once)
{
    static struct harness h;
    static struct stress stress;
    static struct actor actors[CLIENTS];
    const char *text = getenv("MP_STRESS_SECONDS");
    int64_t seconds = text && atoi(text) > 0 ? atoi(text) : 10;
    TEST_BUDGET((unsigned)seconds * 3 + 60);
    harness_init(&h, true);
    CHECK_OK(mp_scoreboard_new(1, mp_worker_places(16), &h.board));
    h.log.level = MP_LOG_ERROR;
    stress.h = &h;
    stress.epoch = 1;
    for (unsigned i = 0; i < CLIENTS; i++) {
        actors[i] = (struct actor){.stress = &stress, .seed = i * 7919 + 13};
        CHECK_OK(pthread_create(&actors[i].thread, NULL, act, &actors[i]));
    }
    run_for(&stress, seconds * MP_NSEC_PER_SEC);
    atomic_store(&stress.stop, true);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(actors[i].thread, NULL);
    harness_drain(&h);
    check_ended(&h);
    fprintf(stderr, "      %llu answered, %llu not for a drain, %llu take-overs, %llu hand-overs\n",
            (unsigned long long)stress.answered, (unsigned long long)stress.unanswered,
            (unsigned long long)harness_slot(&h)->takeovers,
            (unsigned long long)harness_slot(&h)->handovers);
    CHECK(stress.answered > 100);
    CHECK(stress.unanswered < stress.answered / 10);
    CHECK(harness_slot(&h)->takeovers > 0);
    harness_done(&h);
}
