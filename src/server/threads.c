/* SPDX-License-Identifier: MIT */
/*
 * The pool's threads; see threads.h. The array has a place for each thread that there may be; the
 * control thread alone starts them, tells them to leave, and joins them.
 *
 *   NONE --start--> RUNS --thread_main's last word--> ENDED, FAILED --join--> NONE
 *
 * Of N + 1 threads that take part (pool->alive), N may be in handlers. A thread that is started
 * while the pool serves takes part once the application has prepared it, which under a GIL may take
 * long; until then it does not count, so that there is always one to lead. One that is to leave is
 * taken from the parked ones, and stops counting in the same moment: it is in no handler, does not
 * lead, and nobody can post to it any more.
 *
 * The places beyond N + 1 are for threads that stand in for those whose handlers are stuck.
 */
#include "server/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/process.h"
#include "scoreboard/seats.h"
#include "server/pool.h"
#include "server/reactor.h"
#include "server/watch.h"

/* After a thread could not be started. */
#define START_PAUSE (2 * MP_NSEC_PER_SEC)
#define REPORT_PAUSE (60 * MP_NSEC_PER_SEC)
/* Whether threads that have stood in for others are not needed any more. */
#define SURPLUS_LOOK (100 * MP_NSEC_PER_MSEC)

/* ---- one thread -------------------------------------------------------------------------- */

static void name_thread(unsigned number)
{
    char name[16] = "mp-pool-";
    size_t at = strlen(name);
    for (unsigned div = number >= 100 ? 100 : number >= 10 ? 10 : 1; div > 0 && at < 15; div /= 10)
        name[at++] = (char)('0' + number / div % 10);
    mp_thread_set_name(name);
}

static void *thread_main(void *arg)
{
    struct mp_thread *thread = arg;
    const struct mp_app *app = thread->reactor->server->app;
    uint32_t last_word = MP_LIFE_ENDED;
    int r = 0;
    name_thread(thread->index + 1);
    thread->tid = mp_thread_id();
    if (app->thread_init)
        r = app->thread_init(app->data, thread->index, &thread->app_thread);
    /* Without memory at the very start: the master sees the worker die and says so. */
    mp_assert(r == 0 || thread->late);
    if (r == 0) {
        mp_pool_serve(thread);
        if (app->thread_done)
            app->thread_done(app->data, thread->app_thread);
        mp_sb_thread_set_state(thread->slot, MP_SB_THREAD_NONE, mp_clock_now());
    } else {
        last_word = MP_LIFE_FAILED;
    }
    /* Release: who joins reuses the place. The join alone would do; this says that it will not
     * wait. */
    atomic_store_explicit(&thread->life, last_word, memory_order_release);
    return NULL;
}

static int prepare(struct mp_reactor *reactor, struct mp_thread *thread)
{
    mp_park_init(&thread->park);
    mp_list_init(&thread->link);
    thread->app_thread = NULL;
    thread->io_date = 0;
    thread->asked = -1;
    if (!thread->head)
        thread->head = malloc(MP_THREAD_HEAD + MP_RESPONSE_COPY);
    if (!thread->scratch)
        thread->scratch = malloc(MP_SCRATCH);
    thread->born = ++reactor->pool.staff.births;
    return thread->head && thread->scratch ? 0 : -ENOMEM;
}

static void release(struct mp_thread *thread)
{
    free(thread->head);
    free(thread->scratch);
    thread->head = NULL;
    thread->scratch = NULL;
}

static int start(struct mp_reactor *reactor, struct mp_thread *thread, bool late)
{
    int r = prepare(reactor, thread);
    thread->late = late;
    if (r < 0)
        return r;
    /* Relaxed: read by this thread, and by the new one, for which pthread_create orders it. */
    atomic_store_explicit(&thread->life, MP_LIFE_RUNS, memory_order_relaxed);
    r = -pthread_create(&thread->id, NULL, thread_main, thread);
    if (r < 0)
        atomic_store_explicit(&thread->life, MP_LIFE_NONE, memory_order_relaxed);
    else
        reactor->pool.staff.existing++;
    return r;
}

/* ---- seats: the bound on the handlers of all workers (seats.h) ---------------------------- */

static unsigned bound_of(const struct mp_reactor *reactor)
{
    return reactor->server->options->max_concurrency;
}

static void give_back(struct mp_reactor *reactor, unsigned count)
{
    const struct mp_worker_context *context = reactor->server->context;
    if (bound_of(reactor) > 0)
        mp_seats_give_back(context->board, context->slot, count);
}

/* How many of count threads may be started. */
static unsigned take_seats(struct mp_reactor *reactor, unsigned count)
{
    const struct mp_worker_context *context = reactor->server->context;
    unsigned bound = bound_of(reactor);
    return bound > 0 ? mp_seats_take(context->board, context->slot, count, bound) : count;
}

/* ---- one thread's end ---------------------------------------------------------------------- */

static void join(struct mp_reactor *reactor, struct mp_thread *thread)
{
    pthread_join(thread->id, NULL);
    atomic_store_explicit(&thread->life, MP_LIFE_NONE, memory_order_relaxed);
    reactor->pool.staff.existing--;
    give_back(reactor, 1);
}

/* ---- all of them ------------------------------------------------------------------------- */

/* The master has taken a worker's first seats for it; when few were left, fewer than its least. */
static unsigned first_threads(const struct mp_reactor *reactor, unsigned least)
{
    const struct mp_worker_context *context = reactor->server->context;
    unsigned seats = bound_of(reactor) > 0 ? mp_seats_of(context->board, context->slot) : 0;
    return seats > 0 && seats < least ? seats : least;
}

int mp_threads_init(struct mp_reactor *reactor, unsigned handlers)
{
    struct mp_pool *pool = &reactor->pool;
    struct mp_server *server = reactor->server;
    const struct mp_worker_options *options = server->options;
    unsigned slots = mp_scoreboard_threads(server->context->board);
    unsigned least = options->threads_min;
    unsigned cores = server->app->max_computing;
    if (least == 0 || least > handlers)
        least = handlers;
    if (least < handlers && cores == 0)
        cores = mp_cpu_count();
    pool->alive = first_threads(reactor, least) + 1; /* one can always lead */
    pool->thread_count = mp_worker_places(handlers);
    pool->threads = calloc(pool->thread_count, sizeof(*pool->threads));
    if (!pool->threads)
        return -ENOMEM;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        pool->threads[i].reactor = reactor;
        pool->threads[i].index = i;
        pool->threads[i].slot = mp_scoreboard_thread(server->context->board, server->context->slot,
                                                     i < slots ? i : slots - 1);
    }
    mp_thread_sizing_init(&pool->staff.sizing, least, handlers, cores,
                          options->threads_idle > 0 ? options->threads_idle : MP_THREADS_IDLE,
                          mp_clock_now());
    return 0;
}

void mp_threads_done(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    for (unsigned i = 0; pool->threads && i < pool->thread_count; i++)
        release(&pool->threads[i]);
    free(pool->threads);
}

int mp_pool_start(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < pool->alive; i++)
        r = start(reactor, &pool->threads[i], false);
    if (r < 0)
        mp_pool_stop(reactor);
    return r;
}

void mp_pool_stop(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    mp_pool_dismiss_all(pool);
    mp_reactor_stop_leader(reactor);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        if (atomic_load_explicit(&pool->threads[i].life, memory_order_acquire) != MP_LIFE_NONE)
            join(reactor, &pool->threads[i]);
    }
}

/* ---- while the pool serves --------------------------------------------------------------- */

static void report_failure(struct mp_reactor *reactor, const char *why, int64_t now)
{
    struct mp_server *server = reactor->server;
    struct mp_staff *staff = &reactor->pool.staff;
    staff->pause_until = now + START_PAUSE;
    if (now < staff->report_again_at)
        return;
    staff->report_again_at = now + REPORT_PAUSE;
    mp_log(server->log, MP_LOG_WARNING,
           "worker %u cannot start another thread: %s; it goes on with the %u it has",
           server->context->slot + 1, why, staff->existing);
}

/* Places of threads that have ended are free again, and their memory is given back. */
static void join_ended(struct mp_reactor *reactor, int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        struct mp_thread *thread = &pool->threads[i];
        uint32_t life = atomic_load_explicit(&thread->life, memory_order_acquire);
        if (life != MP_LIFE_ENDED && life != MP_LIFE_FAILED)
            continue;
        join(reactor, thread);
        release(thread);
        if (life == MP_LIFE_ENDED)
            pool->staff.leaving--;
        else
            report_failure(reactor, "the application cannot prepare it", now);
        pool->staff.is_short |= life == MP_LIFE_FAILED;
    }
}

static struct mp_thread *find_place(struct mp_pool *pool)
{
    for (unsigned i = 0; i < pool->thread_count; i++) {
        if (atomic_load_explicit(&pool->threads[i].life, memory_order_relaxed) == MP_LIFE_NONE)
            return &pool->threads[i];
    }
    return NULL;
}

/* Returns how many it has started. */
static unsigned start_some(struct mp_reactor *reactor, unsigned count, int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    struct mp_thread *thread;
    unsigned seats = take_seats(reactor, count);
    unsigned started = 0;
    atomic_store_explicit(&pool->bounded, seats < count, memory_order_relaxed);
    for (; started < seats && (thread = find_place(pool)); started++) {
        int r = start(reactor, thread, true);
        if (r < 0) {
            release(thread);
            report_failure(reactor, strerror(-r), now);
            break;
        }
    }
    give_back(reactor, seats - started);
    return started;
}

static void show_size(struct mp_reactor *reactor, unsigned threads)
{
    /* Relaxed: for readers of the scoreboard, who see a number that was true a moment ago. */
    atomic_store_explicit(&reactor->server->slot->threads, threads, memory_order_relaxed);
}

bool mp_threads_replace(struct mp_reactor *reactor, int64_t now)
{
    bool done = start_some(reactor, 1, now) == 1;
    reactor->pool.staff.is_short |= !done;
    return done;
}

unsigned mp_threads_usable(struct mp_reactor *reactor)
{
    struct mp_thread_seen seen;
    mp_pool_see(reactor, false, &seen, mp_clock_now());
    return seen.threads + seen.coming;
}

/* Of a fixed number of threads: the ones that have stood in for others leave when those are back,
 * and those that could not be started then are now. */
static void keep_number(struct mp_reactor *reactor, int64_t now)
{
    struct mp_staff *staff = &reactor->pool.staff;
    struct mp_thread_seen seen;
    bool surplus = staff->existing > staff->sizing.least + 1;
    if (!(surplus || staff->is_short) || now < staff->surplus_at)
        return;
    staff->surplus_at = now + SURPLUS_LOOK;
    join_ended(reactor, now);
    mp_pool_see(reactor, false, &seen, now);
    unsigned owned = seen.threads + seen.coming;
    staff->is_short = owned < staff->sizing.least;
    if (staff->is_short && now >= staff->pause_until)
        start_some(reactor, staff->sizing.least - owned, now);
    else if (seen.threads > staff->sizing.least)
        staff->leaving += mp_pool_dismiss(&reactor->pool, seen.threads - staff->sizing.least);
}

void mp_threads_resize(struct mp_reactor *reactor, int64_t now)
{
    struct mp_staff *staff = &reactor->pool.staff;
    struct mp_thread_seen seen;
    if (!mp_thread_sizing_is_open(&staff->sizing) && bound_of(reactor) == 0) {
        keep_number(reactor, now);
        return;
    }
    join_ended(reactor, now);
    mp_pool_see(reactor, true, &seen, now);
    if (seen.starved && seen.coming == 0 && seen.threads < staff->sizing.most)
        mp_watch_look(reactor, &seen);
    int change = mp_thread_sizing_step(&staff->sizing, &seen);
    /* It began with fewer than it is to have: see first_threads(). */
    unsigned owned = seen.threads + seen.coming;
    if (owned + (unsigned)(change > 0 ? change : 0) < staff->sizing.least)
        change = (int)(staff->sizing.least - owned);
    if (change > 0 && now >= staff->pause_until)
        start_some(reactor, (unsigned)change, now);
    else if (change < 0)
        staff->leaving += mp_pool_dismiss(&reactor->pool, (unsigned)-change);
    show_size(reactor, seen.threads);
}

int64_t mp_threads_next_look(const struct mp_reactor *reactor)
{
    const struct mp_staff *staff = &reactor->pool.staff;
    if (staff->existing <= staff->sizing.least + 1)
        return INT64_MAX;
    return mp_thread_sizing_is_open(&staff->sizing) ? staff->sizing.span_ends : staff->surplus_at;
}
