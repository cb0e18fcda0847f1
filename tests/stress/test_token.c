/* SPDX-License-Identifier: MIT */
/*
 * A model of the protocols of the reactor, without sockets: the token (server/token.h itself),
 * parking, and the gate of a connection with its list of returned ones. The leader enters and
 * leaves "handlers" that last about as long as the thief takes to come by, so that as many leaves
 * as possible meet a theft.
 *
 * What only the holder of the token may touch is a plain variable here: ThreadSanitizer sees every
 * mistake in the memory orders, and the sums at the end every lost or doubled transition.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "runner.h"
#include "server/token.h"

enum { THREADS = 6, CONNS = 8 };

struct model_conn {
    _Atomic uint32_t gate;
    struct model_conn *returned_next;
    uint64_t payload; /* the owner's, whoever that is */
    uint64_t events;  /* leader: raised */
    uint64_t seen;    /* leader: found by handling, or by EVENT at the gate */
    bool pending;     /* leader: raised and not seen */
    bool running;     /* in a handler: owner's */
};

struct model {
    struct mp_reactor *reactor;
    struct mp_thread threads[THREADS];
    pthread_t ids[THREADS];
    pthread_t thief;
    int64_t end;
    unsigned max_us; /* of a handler */
    _Atomic bool stop;
    uint64_t turns;  /* plain: the leader's */
    uint64_t steals; /* the thief's */
    uint64_t lost[THREADS];
    struct model_conn conns[CONNS];
    _Atomic(struct model_conn *) returned;
};

static struct model model;

static void spin(int64_t ns)
{
    int64_t end = mp_clock_now() + ns;
    while (mp_clock_now() < end)
        ;
}

/* ---- the gate ---------------------------------------------------------------------------- */

/* The leader raises an event of a connection: as reactor.c's pass_gate does. */
static void raise_event(struct model_conn *conn)
{
    uint32_t gate = atomic_load_explicit(&conn->gate, memory_order_acquire);
    if (conn->pending)
        return;
    conn->events++;
    while (gate != MP_GATE_REACTOR) {
        if (atomic_compare_exchange_weak_explicit(&conn->gate, &gate, gate | MP_GATE_EVENT,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            conn->pending = true;
            return;
        }
    }
    conn->payload++;
    conn->seen++;
}

static void take_returned(void)
{
    struct model_conn *conn = atomic_exchange_explicit(&model.returned, NULL, memory_order_acquire);
    while (conn) {
        struct model_conn *next = conn->returned_next;
        uint32_t gate =
            atomic_exchange_explicit(&conn->gate, MP_GATE_REACTOR, memory_order_acquire);
        conn->payload++;
        if (gate & MP_GATE_EVENT) {
            CHECK(conn->pending);
            conn->pending = false;
            conn->seen++;
        }
        CHECK(!conn->pending);
        conn = next;
    }
}

/* A connection for a handler, or NULL when all have one. */
static struct model_conn *close_gate(unsigned *seed)
{
    struct model_conn *conn = &model.conns[(unsigned)rand_r(seed) % CONNS];
    if (atomic_load_explicit(&conn->gate, memory_order_acquire) != MP_GATE_REACTOR)
        return NULL;
    CHECK(!conn->pending);
    conn->payload++;
    atomic_store_explicit(&conn->gate, MP_GATE_THREAD, memory_order_release);
    return conn;
}

/* As finish() of http1.c does. */
static void finish(struct model_conn *conn, bool leading, unsigned *seed)
{
    bool busy = rand_r(seed) % 8 == 0;
    uint32_t gate = MP_GATE_THREAD;
    conn->payload++;
    if (!busy &&
        atomic_compare_exchange_strong_explicit(&conn->gate, &gate, MP_GATE_REACTOR,
                                                memory_order_release, memory_order_relaxed))
        return;
    if (leading) {
        gate = atomic_exchange_explicit(&conn->gate, MP_GATE_REACTOR, memory_order_acquire);
        if (gate & MP_GATE_EVENT) {
            conn->pending = false;
            conn->seen++;
        }
        conn->payload++;
        return;
    }
    struct model_conn *head = atomic_load_explicit(&model.returned, memory_order_relaxed);
    do {
        conn->returned_next = head;
    } while (!atomic_compare_exchange_weak_explicit(&model.returned, &head, conn,
                                                    memory_order_seq_cst, memory_order_relaxed));
}

/* ---- the token --------------------------------------------------------------------------- */

static struct mp_thread *pop_parked(void)
{
    struct mp_list *node = mp_list_pop(&model.reactor->pool.parked);
    return node ? mp_list_entry(node, struct mp_thread, link) : NULL;
}

/* Moves "bytes", then runs a handler. False: the token is lost. */
static bool lead_once(struct mp_thread *thread, unsigned *seed)
{
    struct mp_reactor *reactor = model.reactor;
    take_returned();
    for (int i = 0; i < 3; i++)
        raise_event(&model.conns[(unsigned)rand_r(seed) % CONNS]);
    model.turns++;
    reactor->conn_count++;
    struct model_conn *conn = close_gate(seed);
    int64_t duration = (int64_t)((unsigned)rand_r(seed) % (model.max_us * 1000) + 1000);
    if (rand_r(seed) % 8 == 0) {
        /* Known to wait: handed over before. */
        pthread_mutex_lock(&reactor->pool.lock);
        struct mp_thread *next = pop_parked();
        mp_token_give(reactor, next);
        pthread_mutex_unlock(&reactor->pool.lock);
        if (next)
            mp_park_post(&next->park, MP_PARK_LEAD);
        spin(duration);
        if (conn)
            finish(conn, false, seed);
        return false;
    }
    uint64_t stay = mp_token_enter_handler(reactor, thread->index);
    spin(duration);
    bool leading = mp_token_leave_handler(reactor, thread->index, stay);
    if (conn)
        finish(conn, leading, seed);
    if (!leading)
        model.lost[thread->index]++;
    return leading;
}

static enum mp_park_reason next_duty(struct mp_thread *thread)
{
    struct mp_reactor *reactor = model.reactor;
    enum mp_park_reason reason = MP_PARK_NONE;
    pthread_mutex_lock(&reactor->pool.lock);
    if (reactor->pool.stopping)
        reason = MP_PARK_STOP;
    else if (mp_token_claim(reactor, thread))
        reason = MP_PARK_LEAD;
    else
        mp_list_insert(&reactor->pool.parked, &thread->link);
    pthread_mutex_unlock(&reactor->pool.lock);
    return reason != MP_PARK_NONE ? reason : (enum mp_park_reason)mp_park_wait(&thread->park);
}

static void *run_thread(void *arg)
{
    struct mp_thread *thread = arg;
    unsigned seed = thread->index + 1;
    while (next_duty(thread) == MP_PARK_LEAD) {
        bool leading = true;
        while (leading && !atomic_load(&model.stop))
            leading = lead_once(thread, &seed);
        if (leading) {
            pthread_mutex_lock(&model.reactor->pool.lock);
            mp_token_give(model.reactor, NULL);
            pthread_mutex_unlock(&model.reactor->pool.lock);
        }
    }
    return NULL;
}

/* As take_over does, with the stay of its last look or with a fresh one, to hit all moments. */
static void *run_thief(void *arg)
{
    struct mp_reactor *reactor = model.reactor;
    uint64_t last = 0;
    unsigned seed = 99;
    (void)arg;
    while (!atomic_load(&model.stop)) {
        struct timespec pause = {.tv_nsec = rand_r(&seed) % 50000};
        uint64_t token = atomic_load_explicit(&reactor->token, memory_order_acquire);
        uint64_t tried = rand_r(&seed) % 2 ? token : last;
        last = token;
        if (rand_r(&seed) % 4 == 0)
            nanosleep(&pause, NULL);
        if (mp_token_mode(tried) != MP_TOKEN_HANDLER)
            continue;
        pthread_mutex_lock(&reactor->pool.lock);
        struct mp_thread *next = pop_parked();
        if (next && !mp_token_steal(reactor, tried, next)) {
            mp_list_insert(&reactor->pool.parked, &next->link);
            next = NULL;
        }
        pthread_mutex_unlock(&reactor->pool.lock);
        if (next) {
            model.steals++;
            mp_park_post(&next->park, MP_PARK_LEAD);
        }
    }
    return NULL;
}

static void stop_all(void)
{
    struct mp_pool *pool = &model.reactor->pool;
    struct mp_thread *thread;
    atomic_store(&model.stop, true);
    pthread_join(model.thief, NULL);
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    while ((thread = pop_parked()))
        mp_park_post(&thread->park, MP_PARK_STOP);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < THREADS; i++)
        pthread_join(model.ids[i], NULL);
}

static void check_sums(void)
{
    uint64_t lost = 0;
    take_returned();
    CHECK_EQ(mp_token_mode(model.reactor->token), MP_TOKEN_VACANT);
    CHECK_EQ(model.reactor->conn_count, (unsigned)model.turns);
    for (int i = 0; i < THREADS; i++)
        lost += model.lost[i];
    CHECK_EQ(lost, model.steals); /* who was robbed noticed, and nobody else */
    for (int i = 0; i < CONNS; i++) {
        CHECK_EQ(model.conns[i].gate, MP_GATE_REACTOR);
        CHECK_EQ(model.conns[i].events, model.conns[i].seen);
    }
}

static int64_t seconds(int64_t fallback)
{
    const char *text = getenv("MP_STRESS_SECONDS");
    return text && atoi(text) > 0 ? atoi(text) : fallback;
}

static void run_model(unsigned max_us, int64_t ns)
{
    memset(&model, 0, sizeof(model));
    model.reactor = aligned_alloc(MP_CACHE_LINE, sizeof(struct mp_reactor));
    memset(model.reactor, 0, sizeof(*model.reactor));
    model.max_us = max_us;
    pthread_mutex_init(&model.reactor->pool.lock, NULL);
    mp_list_init(&model.reactor->pool.parked);
    for (unsigned i = 0; i < THREADS; i++) {
        model.threads[i].index = i;
        mp_park_init(&model.threads[i].park);
        mp_list_init(&model.threads[i].link);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_OK(pthread_create(&model.ids[i], NULL, run_thread, &model.threads[i]));
    CHECK_OK(pthread_create(&model.thief, NULL, run_thief, NULL));
    struct timespec pause = {.tv_sec = ns / MP_NSEC_PER_SEC, .tv_nsec = ns % MP_NSEC_PER_SEC};
    nanosleep(&pause, NULL);
    stop_all();
    check_sums();
    CHECK(model.turns > 100);
    CHECK(model.steals > 10);
    pthread_mutex_destroy(&model.reactor->pool.lock);
    free(model.reactor);
}

TEST(tiny_handlers)
{
    TEST_BUDGET(600);
    run_model(5, seconds(9) * MP_NSEC_PER_SEC / 3);
}

TEST(handlers_about_as_long_as_the_thief_takes)
{
    TEST_BUDGET(600);
    run_model(120, seconds(9) * MP_NSEC_PER_SEC / 3);
}

TEST(long_handlers)
{
    TEST_BUDGET(600);
    run_model(3000, seconds(9) * MP_NSEC_PER_SEC / 3);
}
