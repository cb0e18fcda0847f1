/* SPDX-License-Identifier: MIT */
/*
 * The pool's threads; see pool.h. What a thread does next:
 *
 *   nothing to do -- token vacant ------> leads (reactor.c) until it has lost the token
 *                 -- request admitted --> runs it, gives its connection back
 *                 -- otherwise ---------> parks, until it is posted a reason
 *
 * The leader runs the next ready handler itself. Before one that is known to wait it hands the
 * token to a parked thread. In any other it can be robbed of the token by the control thread, and
 * learns of it when the handler returns.
 */
#include "server/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/process.h"
#include "server/access_log.h"
#include "server/admission.h"
#include "server/claim.h"
#include "server/inspection.h"
#include "server/protocol.h"
#include "server/reactor.h"
#include "server/response_impl.h"
#include "server/shed.h"
#include "server/spent.h"
#include "server/stuck.h"
#include "server/threads.h"
#include "server/token.h"
#include "server/watch.h"

enum {
    SPARE_REQUESTS = 256,
    LITTER_BATCH = 64,
};

/* The leader looks at its sockets again after that, however many handlers are ready. */
#define LEADER_TURN (1 * MP_NSEC_PER_MSEC)

/* ---- requests ---------------------------------------------------------------------------- */

/* Most requests are made and freed by the leader: those never need the lock. */
static struct mp_request *take_spare(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    struct mp_list *node = mp_list_pop(&reactor->spare_requests);
    if (!node) {
        pthread_mutex_lock(&pool->lock);
        mp_list_splice(&reactor->spare_requests, &pool->spare);
        reactor->spare_count = pool->spare_count;
        pool->spare_count = 0;
        pthread_mutex_unlock(&pool->lock);
        node = mp_list_pop(&reactor->spare_requests);
    }
    if (!node)
        return NULL;
    reactor->spare_count--;
    return mp_list_entry(node, struct mp_request, link);
}

struct mp_request *mp_pool_request_new(struct mp_reactor *reactor)
{
    struct mp_request *request = take_spare(reactor);
    if (!request) {
        request = malloc(sizeof(*request));
        if (!request)
            return NULL;
        mp_list_init(&request->link);
    }
    request->conn = NULL;
    request->thread = NULL;
    request->text = request->inline_text;
    request->size = 0;
    request->capacity = MP_REQUEST_INLINE;
    request->head_size = 0;
    request->timed_out = false;
    request->user = NULL;
    mp_body_init(&request->body);
    request->response = (struct mp_response){0};
    request->forwarded = (struct mp_http_forwarded){0};
    request->client.len = 0;
    return request;
}

void mp_pool_request_free(struct mp_reactor *reactor, struct mp_request *request, bool leading)
{
    struct mp_pool *pool = &reactor->pool;
    mp_body_done(&request->body);
    if (request->text != request->inline_text)
        free(request->text);
    /* The warm one first. */
    if (leading && reactor->spare_count < SPARE_REQUESTS) {
        mp_list_insert(&reactor->spare_requests, &request->link);
        reactor->spare_count++;
        return;
    }
    pthread_mutex_lock(&pool->lock);
    bool keep = pool->spare_count < SPARE_REQUESTS;
    if (keep) {
        mp_list_insert(&pool->spare, &request->link);
        pool->spare_count++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep)
        free(request);
}

/* ---- the FIFO ------------------------------------------------------------------------------ */

void mp_pool_push(struct mp_reactor *reactor, struct mp_request *request)
{
    mp_list_append(&reactor->fresh, &request->link);
    reactor->fresh_size++;
}

unsigned mp_pool_waiting(struct mp_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned n = pool->fifo_size;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

bool mp_pool_idle(struct mp_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool idle = pool->fifo_size == 0 && pool->handlers == 0;
    pthread_mutex_unlock(&pool->lock);
    return idle;
}

bool mp_pool_is_done(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    pthread_mutex_lock(&pool->lock);
    /* Counted under the lock: a handler that was stuck ceases to be before it is booked. */
    bool done = pool->fifo_size == 0 && pool->handlers <= mp_stuck_count(reactor->server);
    pthread_mutex_unlock(&pool->lock);
    return done;
}

/* ---- the application's interpreter --------------------------------------------------------- */

static void enter(struct mp_thread *thread)
{
    const struct mp_app *app = thread->reactor->server->app;
    if (thread->entered)
        return;
    thread->entered = true;
    if (!app->enter)
        return;
    int64_t before = mp_clock_now();
    app->enter(app->data, thread->app_thread);
    thread->asked = mp_clock_now() - before;
}

static void leave(struct mp_thread *thread)
{
    const struct mp_app *app = thread->reactor->server->app;
    if (!thread->entered)
        return;
    thread->entered = false;
    if (app->leave)
        app->leave(app->data, thread->app_thread);
}

/* Entered: drops the references that sent responses have left behind. */
static void sweep(struct mp_thread *thread)
{
    struct mp_pool *pool = &thread->reactor->pool;
    const struct mp_app *app = thread->reactor->server->app;
    /* Relaxed: a flag missed now is seen by whoever comes next, or by the leader before it sleeps.
     */
    if (atomic_load_explicit(&pool->has_litter, memory_order_relaxed)) {
        pthread_mutex_lock(&pool->lock);
        mp_litter_merge(&thread->litter, &pool->litter);
        atomic_store_explicit(&pool->has_litter, false, memory_order_relaxed);
        pthread_mutex_unlock(&pool->lock);
    }
    void *refs[LITTER_BATCH];
    size_t n;
    while ((n = mp_litter_take(&thread->litter, refs, LITTER_BATCH)) > 0) {
        if (app->release)
            app->release(app->data, thread->app_thread, refs, n);
    }
}

/* Under the lock: a thread that is about to park leaves its litter to the others. */
static void leave_litter(struct mp_pool *pool, struct mp_thread *thread)
{
    if (!thread->litter.head)
        return;
    mp_litter_merge(&pool->litter, &thread->litter);
    atomic_store_explicit(&pool->has_litter, true, memory_order_relaxed);
}

bool mp_pool_sweep_as_leader(struct mp_thread *thread)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_pool *pool = &reactor->pool;
    if (!thread->litter.head && !atomic_load_explicit(&pool->has_litter, memory_order_relaxed))
        return true;
    /* A handler may have the interpreter and not give it back: the clients must not wait for that.
     * Then whoever enters next sweeps; or the leader, at one of its next looks. Relaxed: a handler
     * that begins in this moment has not kept it for long. */
    if (atomic_load_explicit(&reactor->server->slot->handlers, memory_order_relaxed) > 0) {
        pthread_mutex_lock(&pool->lock);
        leave_litter(pool, thread);
        pthread_mutex_unlock(&pool->lock);
        return true;
    }
    uint64_t stay = mp_token_enter_handler(reactor, thread->index);
    mp_reactor_wake_watcher(reactor);
    enter(thread);
    sweep(thread);
    leave(thread);
    return mp_token_leave_handler(reactor, thread->index, stay);
}

/* ---- running a handler ------------------------------------------------------------------- */

/* The handler is over. Who has claimed it is waited for; what was raised in it and has not come up
 * is taken back, so that the next handler does not get it. */
static void end_handler(struct mp_thread *thread)
{
    const struct mp_app *app = thread->reactor->server->app;
    mp_claim_end(thread);
    if (mp_unlikely(thread->stuck))
        mp_stuck_is_over(thread);
    if (mp_unlikely(thread->raised)) {
        thread->raised = false;
        app->inspection->calm(app->data, thread->app_thread);
    }
}

/* The client has gone while its request waited: nobody wants the answer. Returns the time. */
static int64_t skip_handler(struct mp_thread *thread, struct mp_request *request)
{
    int64_t now = mp_clock_now();
    request->thread = thread;
    request->started_at = now;
    request->response.status = MP_STATUS_CLIENT_GONE;
    request->response.ended = true;
    thread->ended_at = now;
    thread->ended = true;
    thread->ended_waited = now - request->ready_at;
    thread->ended_ran = 0;
    /* Relaxed: a count. */
    atomic_fetch_add_explicit(&thread->reactor->server->slot->abandoned, 1, memory_order_relaxed);
    return now;
}

/* Runs the handler and learns from it. Returns the time at its end. */
static int64_t run_handler(struct mp_thread *thread, struct mp_request *request)
{
    struct mp_pool *pool = &thread->reactor->pool;
    const struct mp_app *app = thread->reactor->server->app;
    /* Relaxed: a hint; who goes a moment later is answered in vain. */
    if (mp_unlikely(atomic_load_explicit(&request->conn->gone, memory_order_relaxed)))
        return skip_handler(thread, request);
    enter(thread);
    sweep(thread);
    struct mp_route_sample sample = {.computing = -1};
    bool measure = mp_routes_wants_cpu(pool->routes, request->route);
    struct mp_spent spent;
    if (measure)
        mp_spent_begin(&spent);
    int64_t start = mp_clock_now();
    request->thread = thread;
    request->started_at = start;
    thread->reactor->protocol->show(thread, request, start);
    atomic_store_explicit(&thread->running, request, memory_order_relaxed);
    atomic_store_explicit(&thread->deadline, 0, memory_order_relaxed);
    mp_claim_begin(thread, start);
    app->handle(app->data, thread->app_thread, request);
    if (!request->response.ended)
        mp_response_fail(request);
    end_handler(thread);
    int64_t end = mp_clock_now();
    sample.wall = end - start;
    if (measure)
        sample.computing = mp_spent_computing(&spent, sample.wall, app->max_computing != 0);
    mp_routes_learn(pool->routes, request->route, &sample);
    thread->ended_at = end;
    thread->ended = true;
    thread->ended_waited = start - request->ready_at;
    thread->ended_ran = sample.wall;
    return end;
}

/* A handler on a thread that does not lead: its connection is given back when the response is out.
 */
static void run_detached(struct mp_thread *thread, struct mp_request *request)
{
    int64_t end = run_handler(thread, request);
    leave(thread);
    thread->reactor->protocol->finish(thread, request, false, end);
}

/* The leader runs one handler, holding the token as long as nobody takes it. False when it was. */
static bool run_leading(struct mp_thread *thread, struct mp_request *request)
{
    struct mp_reactor *reactor = thread->reactor;
    /* Relaxed: seen a tick late, the control thread is slower once. */
    if (!mp_routes_is_fast(reactor->pool.routes, request->route))
        atomic_store_explicit(&reactor->unsure, true, memory_order_relaxed);
    uint64_t stay = mp_token_enter_handler(reactor, thread->index);
    mp_reactor_wake_watcher(reactor);
    int64_t end = run_handler(thread, request);
    bool leading = mp_token_leave_handler(reactor, thread->index, stay);
    if (!leading)
        leave(thread);
    reactor->protocol->finish(thread, request, leading, end);
    return leading;
}

/* The leader gives the token away and runs a handler that is known to wait. */
static void hand_over_and_run(struct mp_thread *thread, struct mp_request *request,
                              struct mp_thread *next)
{
    if (next)
        mp_park_post(&next->park, MP_PARK_LEAD);
    run_detached(thread, request);
}

/* What the leader does next, decided under the lock. */
struct choice {
    struct mp_request *request; /* NULL: nothing may run */
    bool waits;                 /* it is known to: the token has been given away */
    struct mp_thread *next;     /* to whom; NULL: it is vacant */
    bool others;                /* other handlers are under way */
    bool needless;              /* the next one that ends can lead as well */
    unsigned waiting;           /* requests left in the FIFO */
};

/*
 * Under the lock, nothing being left to run for the leader: whether it had better not lead.
 * Requests wait, for a handler that computes and will soon be over; then its thread takes the
 * token, moves bytes, and runs them, which saves two switches between threads for each of them. If
 * it is not over soon, the control thread finds the token vacant, and puts somebody in.
 */
static bool is_needless(const struct mp_reactor *reactor, int64_t now)
{
    const struct mp_pool *pool = &reactor->pool;
    if (mp_list_empty(&pool->fifo) || pool->computing == 0 || pool->stopping)
        return false;
    return pool->brief == pool->computing && now - pool->admitted_at < MP_TICK_NS &&
           !mp_admission_next_blocks(pool);
}

static struct choice choose(struct mp_thread *thread, bool more, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_pool *pool = &reactor->pool;
    struct mp_sb_worker *slot = reactor->server->slot;
    struct choice choice = {0};
    pthread_mutex_lock(&pool->lock);
    if (reactor->fresh_size > 0) {
        mp_list_splice(&pool->fifo, &reactor->fresh);
        pool->fifo_size += reactor->fresh_size;
        reactor->fresh_size = 0;
    }
    mp_admission_account(reactor, thread);
    choice.others = pool->handlers > 0;
    if (more)
        choice.request = mp_admission_pick(reactor, thread, now);
    choice.waits = choice.request && !thread->counted;
    if (choice.waits) {
        choice.next = mp_admission_pop_parked(pool);
        uint64_t n = atomic_load_explicit(&slot->handovers, memory_order_relaxed);
        atomic_store_explicit(&slot->handovers, n + 1, memory_order_relaxed);
        mp_token_give(reactor, choice.next);
    }
    choice.waiting = pool->fifo_size;
    choice.needless = !choice.request && more && is_needless(reactor, now);
    if (choice.needless) {
        mp_token_give(reactor, NULL);
        mp_list_insert(&pool->parked, &thread->link);
        leave_litter(pool, thread);
    }
    mp_admission_publish(reactor, now);
    pthread_mutex_unlock(&pool->lock);
    return choice;
}

enum mp_turn mp_pool_run_ready(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    int64_t turn_end = now + LEADER_TURN;
    bool ran = false;
    mp_shed_run(thread, now);
    for (;;) {
        bool more = now < turn_end;
        struct choice choice = choose(thread, more, now);
        if (choice.others || !choice.request)
            leave(thread); /* somebody may be waiting for the interpreter */
        if (choice.needless) {
            mp_reactor_wake_watcher(reactor);
            return MP_TURN_RETIRED;
        }
        if (!choice.request) {
            if (ran) /* else it would be shown inside its last request for as long as it moves bytes
                      */
                mp_sb_thread_set_state(thread->slot, MP_SB_THREAD_LEADING, thread->ended_at);
            reactor->waiting = choice.waiting;
            return more ? MP_TURN_DRY : MP_TURN_AGAIN;
        }
        if (choice.waits) {
            hand_over_and_run(thread, choice.request, choice.next);
            return MP_TURN_LOST;
        }
        if (!run_leading(thread, choice.request))
            return MP_TURN_LOST;
        ran = true;
        now = thread->ended_at;
    }
}

/* ---- a thread's life --------------------------------------------------------------------- */

static void park_state(struct mp_thread *thread, enum mp_sb_thread_state state)
{
    mp_sb_thread_set_state(thread->slot, state, mp_clock_now());
}

/* Waits for the reason why a thread that is among the parked ones is taken out of them. */
static enum mp_park_reason rest(struct mp_thread *thread)
{
    leave(thread);
    park_state(thread, MP_SB_THREAD_READY);
    return (enum mp_park_reason)mp_park_wait(&thread->park);
}

/* Finds out what to do next, and parks when that is nothing. Returns the reason. */
static enum mp_park_reason next_duty(struct mp_thread *thread)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_pool *pool = &reactor->pool;
    enum mp_park_reason reason = MP_PARK_NONE;
    int64_t now = mp_clock_now();
    pthread_mutex_lock(&pool->lock);
    mp_admission_account(reactor, thread);
    if (pool->stopping)
        reason = MP_PARK_STOP;
    else if (mp_token_claim(reactor, thread))
        reason = MP_PARK_LEAD;
    else if ((thread->assigned = mp_admission_pick(reactor, thread, now)))
        reason = MP_PARK_RUN;
    else
        mp_list_insert(&pool->parked, &thread->link);
    if (reason == MP_PARK_NONE || reason == MP_PARK_STOP)
        leave_litter(pool, thread);
    mp_admission_publish(reactor, now);
    bool dry = reason == MP_PARK_RUN && pool->fifo_size == 0;
    pthread_mutex_unlock(&pool->lock);
    /* The leader may have been waiting for that, to accept again. */
    if (dry && atomic_load_explicit(&reactor->eager, memory_order_seq_cst))
        mp_reactor_wake(reactor);
    return reason != MP_PARK_NONE ? reason : rest(thread);
}

static void serve(struct mp_thread *thread)
{
    enum mp_park_reason reason = next_duty(thread);
    for (;;) {
        struct mp_request *request;
        switch (reason) {
        case MP_PARK_LEAD:
            park_state(thread, MP_SB_THREAD_LEADING);
            reason = mp_reactor_lead(thread) ? rest(thread) : next_duty(thread);
            break;
        case MP_PARK_RUN:
            request = thread->assigned;
            thread->assigned = NULL;
            run_detached(thread, request);
            reason = next_duty(thread);
            break;
        default:
            return;
        }
    }
}

void mp_pool_serve(struct mp_thread *thread)
{
    struct mp_pool *pool = &thread->reactor->pool;
    if (thread->late) {
        pthread_mutex_lock(&pool->lock);
        pool->alive++;
        pthread_mutex_unlock(&pool->lock);
    }
    serve(thread);
    /* Relaxed: what this thread has left behind it sees; what others leave later they sweep. */
    if (atomic_load_explicit(&pool->has_litter, memory_order_relaxed)) {
        enter(thread);
        sweep(thread);
    }
    leave(thread);
}

int mp_pool_init(struct mp_reactor *reactor, unsigned handlers)
{
    struct mp_pool *pool = &reactor->pool;
    memset(pool, 0, sizeof(*pool));
    pthread_mutex_init(&pool->lock, NULL);
    mp_list_init(&pool->fifo);
    mp_list_init(&pool->parked);
    mp_list_init(&pool->spare);
    pool->routes = malloc(sizeof(*pool->routes));
    if (!pool->routes)
        return -ENOMEM;
    mp_routes_init(pool->routes);
    return mp_threads_init(reactor, handlers);
}

void mp_pool_done(struct mp_reactor *reactor)
{
    struct mp_pool *pool = &reactor->pool;
    struct mp_list *node;
    mp_list_splice(&pool->spare, &reactor->spare_requests);
    while ((node = mp_list_pop(&pool->spare)))
        free(mp_list_entry(node, struct mp_request, link));
    mp_threads_done(reactor);
    free(pool->routes);
    pthread_mutex_destroy(&pool->lock);
}

bool mp_pool_close(struct mp_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool idle = pool->handlers == 0;
    if (idle)
        pool->stopping = true;
    pthread_mutex_unlock(&pool->lock);
    return idle;
}

/* ---- what the control thread wants of it ---------------------------------------------------- */

static unsigned less(unsigned n, unsigned by)
{
    return n > by ? n - by : 0;
}

void mp_pool_see(struct mp_reactor *reactor, bool forget_peak, struct mp_thread_seen *ret_seen,
                 int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    pthread_mutex_lock(&pool->lock);
    unsigned stuck = mp_stuck_count(reactor->server);
    bool full = pool->fifo_size > 0 && pool->handlers + 1 >= pool->alive;
    *ret_seen = (struct mp_thread_seen){
        .now = now,
        .threads = less(pool->alive - 1, stuck),
        .coming = pool->staff.existing - pool->staff.leaving - pool->alive,
        .handlers = less(pool->handlers, stuck),
        .computing = pool->computing,
        .waiting = pool->fifo_size,
        .starved =
            full && (mp_admission_next_blocks(pool) || mp_admission_may_compute(reactor, now)),
        .peak = less(pool->peak, stuck),
    };
    if (forget_peak)
        pool->peak = pool->handlers;
    pthread_mutex_unlock(&pool->lock);
    ret_seen->cpu = mp_clock_process_cpu();
}

bool mp_pool_has_parked(struct mp_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool has = !mp_list_empty(&pool->parked);
    pthread_mutex_unlock(&pool->lock);
    return has;
}

unsigned mp_pool_dismiss(struct mp_pool *pool, unsigned count)
{
    unsigned done = 0;
    pthread_mutex_lock(&pool->lock);
    /* One more than run handlers stay, so that there is always one to lead; and those that were
     * parked first go, since the others are warm. */
    while (done < count && pool->handlers + 1 < pool->alive && !mp_list_empty(&pool->parked)) {
        struct mp_thread *thread = mp_list_entry(pool->parked.prev, struct mp_thread, link);
        mp_list_remove(&thread->link);
        mp_park_post(&thread->park, MP_PARK_STOP);
        pool->alive--;
        done++;
    }
    pthread_mutex_unlock(&pool->lock);
    return done;
}

void mp_pool_dismiss_all(struct mp_pool *pool)
{
    struct mp_thread *thread;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    while ((thread = mp_admission_pop_parked(pool)))
        mp_park_post(&thread->park, MP_PARK_STOP);
    pthread_mutex_unlock(&pool->lock);
}
