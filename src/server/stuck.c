/* SPDX-License-Identifier: MIT */
/*
 * See stuck.h. The control thread looks at all threads every now and then, and has a case for each
 * whose handler takes long. What cannot be done at once, because the interpreter is needed for it,
 * is due until the inspector has the time; it is asked about one case after the other.
 */
#include "server/stuck.h"

#include <errno.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/process.h"
#include "server/admission.h"
#include "server/budget.h"
#include "server/claim.h"
#include "server/inspector.h"
#include "server/internal.h"
#include "server/protocol.h"
#include "server/reactor.h"
#include "server/stuck_report.h"
#include "server/threads.h"

#define LOOK (50 * MP_NSEC_PER_MSEC)
/* An exception could not be raised, since the interpreter was held: again after that. */
#define RAISE_PAUSE MP_NSEC_PER_SEC
/* Without the end of any handler, before it is tried whether the interpreter can be had. */
#define CALM MP_NSEC_PER_SEC

enum {
    TRACEBACK_SIZE = 3000, /* a record has 4096 bytes */
    SLOW_AT_ONCE = 20,     /* records of the slow log, and one more each second */
    STUCK_AT_ONCE = 100, /* tracebacks of handlers past their deadline, and five more each second */
};

/* What the inspector was asked for. */
enum purpose {
    PURPOSE_NONE,
    PURPOSE_SLOW,
    PURPOSE_STUCK,
    PURPOSE_RAISE,
    PURPOSE_TRY,  /* whether the interpreter can be had; about no thread */
    PURPOSE_HANG, /* who holds it */
};

struct mp_stuck {
    struct mp_server *server;
    int64_t look_at;
    enum purpose purpose;
    unsigned about; /* place of the thread that was asked about */
    unsigned next;  /* place to look for a due case at */
    unsigned cases; /* that exist */
    struct mp_budget slow_budget;
    struct mp_budget stuck_budget;
    uint64_t requests; /* that had ended when that was last seen to change */
    int64_t changed_at;
    int64_t held_since; /* the interpreter; 0: it hangs not, or nothing is known of it */
    unsigned wish;      /* enum mp_retire_reason; 0: none */
    struct mp_stuck_case by_thread[];
};

unsigned mp_stuck_count(const struct mp_server *server)
{
    return atomic_load_explicit(&server->stuck_handlers, memory_order_acquire);
}

void mp_stuck_is_over(struct mp_thread *thread)
{
    struct mp_server *server = thread->reactor->server;
    thread->stuck = false;
    /* Release: what comes after it (the connection given back, the end booked) is seen with it. */
    atomic_fetch_sub_explicit(&server->stuck_handlers, 1, memory_order_release);
}

/* Once there is room again. */
static void report_left_out(struct mp_stuck *stuck, int64_t now)
{
    struct mp_server *server = stuck->server;
    uint64_t left_out = mp_budget_left_out(&stuck->slow_budget, now);
    if (left_out > 0)
        mp_log(server->log, MP_LOG_WARNING,
               "worker %u: %llu more requests were slow (--slow-log), too many to show each",
               server->context->slot + 1, (unsigned long long)left_out);
}

/* ---- one handler --------------------------------------------------------------------------- */

/* Notes what the request is. The handler is claimed. */
static void describe(struct mp_stuck *stuck, struct mp_stuck_case *found, struct mp_thread *thread)
{
    const struct mp_request *request = atomic_load_explicit(&thread->running, memory_order_relaxed);
    stuck->server->reactor.protocol->describe(request, found->text, sizeof(found->text));
}

static void begin_slow(struct mp_stuck *stuck, struct mp_stuck_case *found,
                       struct mp_thread *thread, int64_t now)
{
    if (!mp_claim(thread, found->started))
        return; /* it has just ended, or somebody looks at it: not yet */
    describe(stuck, found, thread);
    mp_unclaim(thread, found->started);
    found->slow_told = true;
    found->slow_due = mp_budget_take(&stuck->slow_budget, now);
}

static int64_t deadline_of(const struct mp_stuck *stuck, const struct mp_thread *thread,
                           int64_t started)
{
    /* Relaxed: the word stands alone. Of another handler than the one meant, it is found out by the
     * claim. */
    int64_t deadline = atomic_load_explicit(&thread->deadline, memory_order_relaxed);
    return deadline != 0 ? deadline : started + stuck->server->options->request_timeout;
}

/* Under the claim, so that it is this handler's deadline: it passes, unless it is moved now. */
static bool pass_deadline(struct mp_stuck *stuck, struct mp_stuck_case *found,
                          struct mp_thread *thread, int64_t now)
{
    int64_t deadline = atomic_load_explicit(&thread->deadline, memory_order_relaxed);
    if (deadline_of(stuck, thread, found->started) > now)
        return false;
    found->extended = deadline != 0;
    return atomic_compare_exchange_strong_explicit(&thread->deadline, &deadline, MP_DEADLINE_PASSED,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* The handler is claimed, so that its end is not being booked: it does not hold up those that
 * compute any more, and where it waits no thread is started for it twice. */
static void discount(struct mp_pool *pool, struct mp_thread *thread)
{
    pthread_mutex_lock(&pool->lock);
    if (thread->counted)
        mp_admission_discount(pool, thread);
    pthread_mutex_unlock(&pool->lock);
}

static void time_out(struct mp_stuck *stuck, struct mp_stuck_case *found, struct mp_thread *thread,
                     int64_t now)
{
    struct mp_server *server = stuck->server;
    if (!mp_claim(thread, found->started))
        return; /* it has just ended */
    if (!pass_deadline(stuck, found, thread, now)) {
        mp_unclaim(thread, found->started);
        return; /* extended */
    }
    struct mp_request *request = atomic_load_explicit(&thread->running, memory_order_relaxed);
    describe(stuck, found, thread);
    found->done = server->reactor.protocol->time_out(server, request);
    thread->stuck = true;
    discount(&server->reactor.pool, thread);
    /* Relaxed: whoever counts late starts a thread, or ends a drain, a look later. */
    atomic_fetch_add_explicit(&server->stuck_handlers, 1, memory_order_relaxed);
    mp_sb_thread_mark_stuck(thread->slot, found->started);
    mp_unclaim(thread, found->started);
    found->since = now;
    found->stuck_due = true;
    found->slow_due = false;
    found->slow_told = true;
    found->raise_at = now;
    found->traceback = mp_budget_take(&stuck->stuck_budget, now);
    found->replaced = mp_threads_replace(&server->reactor, now);
    found->usable = mp_threads_usable(&server->reactor);
    /* A drain that waits for it only is over. */
    if (atomic_load_explicit(&server->draining, memory_order_relaxed))
        mp_reactor_wake(&server->reactor);
}

static void look_at_stuck(struct mp_stuck *stuck, struct mp_stuck_case *found,
                          const struct mp_thread *thread, int64_t now)
{
    if (found->lost || now - found->since < stuck->server->options->stuck_grace)
        return;
    found->lost = true;
    stuck->wish = MP_RETIRE_STUCK;
    mp_stuck_report_lost(stuck->server, found, thread, now);
}

static bool is_asked_about(const struct mp_stuck *stuck, unsigned i)
{
    return stuck->purpose != PURPOSE_NONE && stuck->purpose != PURPOSE_TRY && stuck->about == i;
}

/* The handler is over. What is due about it will be said all the same, without frames. */
static void end_case(struct mp_stuck *stuck, struct mp_stuck_case *found,
                     const struct mp_thread *thread, int64_t now)
{
    const struct mp_answer over = {.over = true};
    if (found->stuck_due)
        mp_stuck_report_stuck(stuck->server, found, thread, &over);
    if (found->since != 0)
        mp_stuck_report_back(stuck->server, found, thread, now);
    *found = (struct mp_stuck_case){0};
    stuck->cases--;
}

static void look_at(struct mp_stuck *stuck, unsigned i, int64_t now)
{
    const struct mp_worker_options *options = stuck->server->options;
    struct mp_thread *thread = &stuck->server->reactor.pool.threads[i];
    struct mp_stuck_case *found = &stuck->by_thread[i];
    int64_t started = atomic_load_explicit(&thread->started_at, memory_order_acquire);
    if (started == MP_STARTED_CLAIMED || is_asked_about(stuck, i))
        return; /* the inspector is at it */
    if (found->started != 0 && found->started != started)
        end_case(stuck, found, thread, now);
    if (started == 0)
        return;
    bool slow = options->slow_log > 0 && now - started >= options->slow_log;
    bool late = options->request_timeout > 0 && now >= deadline_of(stuck, thread, started);
    if (!slow && !late)
        return;
    if (found->started == 0) {
        found->started = started;
        stuck->cases++;
    }
    if (found->since != 0)
        look_at_stuck(stuck, found, thread, now);
    else if (late)
        time_out(stuck, found, thread, now);
    else if (!found->slow_told)
        begin_slow(stuck, found, thread, now);
}

/* ---- the inspector ------------------------------------------------------------------------- */

static void ask(struct mp_stuck *stuck, unsigned i, enum purpose purpose, int64_t now)
{
    struct mp_stuck_case *found = &stuck->by_thread[i];
    const struct mp_question question = {
        .thread = &stuck->server->reactor.pool.threads[i],
        .started = found->started,
        .raise = found->raise_at != 0,
        .mute = purpose == PURPOSE_RAISE,
        .size = TRACEBACK_SIZE,
    };
    /* Before the inspector takes the interpreter from it. */
    found->computing = mp_thread_look(question.thread->tid) == MP_THREAD_RUNS;
    stuck->purpose = purpose;
    stuck->about = i;
    mp_inspector_ask(stuck->server->inspector, &question, now);
}

/* Deals with what is due about one handler. True when the inspector was asked. */
static bool deal_with(struct mp_stuck *stuck, unsigned i, int64_t now)
{
    struct mp_stuck_case *found = &stuck->by_thread[i];
    const struct mp_thread *thread = &stuck->server->reactor.pool.threads[i];
    const struct mp_answer unseen = {0};
    enum purpose purpose = PURPOSE_NONE;
    bool blind = !stuck->server->inspector;
    if (found->stuck_due && (blind || !found->traceback)) {
        mp_stuck_report_stuck(stuck->server, found, thread, blind ? &unseen : NULL);
        found->stuck_due = false;
    }
    if (found->slow_due && blind) {
        mp_stuck_report_slow(stuck->server, found, thread, &unseen, now);
        found->slow_due = false;
    }
    if (found->stuck_due)
        purpose = PURPOSE_STUCK;
    else if (found->slow_due)
        purpose = PURPOSE_SLOW;
    else if (found->raise_at != 0 && now >= found->raise_at && !blind)
        purpose = PURPOSE_RAISE;
    if (purpose == PURPOSE_NONE)
        return false;
    ask(stuck, i, purpose, now);
    return true;
}

static void on_answer(struct mp_stuck *stuck, const struct mp_answer *answer, int64_t now)
{
    struct mp_stuck_case *found = &stuck->by_thread[stuck->about];
    const struct mp_thread *thread = &stuck->server->reactor.pool.threads[stuck->about];
    enum purpose purpose = stuck->purpose;
    stuck->purpose = PURPOSE_NONE;
    switch (purpose) {
    case PURPOSE_SLOW:
        mp_stuck_report_slow(stuck->server, found, thread, answer, now);
        found->slow_due = false;
        break;
    case PURPOSE_STUCK:
        mp_stuck_report_stuck(stuck->server, found, thread, answer);
        found->stuck_due = false;
        break;
    case PURPOSE_HANG:
        mp_stuck_report_hang(stuck->server, thread, answer, stuck->held_since, now);
        return;
    case PURPOSE_TRY:
    case PURPOSE_NONE:
        return;
    case PURPOSE_RAISE:
        break;
    }
    if (found->raise_at != 0)
        found->raise_at = answer->raised || answer->over ? 0 : now + RAISE_PAUSE;
}

/* True when nothing is being asked, and something may be. */
static bool take_answer(struct mp_stuck *stuck, int64_t now)
{
    struct mp_answer answer;
    if (stuck->purpose == PURPOSE_NONE)
        return !stuck->server->inspector || mp_inspector_is_free(stuck->server->inspector);
    if (!mp_inspector_look(stuck->server->inspector, &answer, now))
        return false;
    on_answer(stuck, &answer, now);
    return true;
}

static void deal_with_next(struct mp_stuck *stuck, int64_t now)
{
    unsigned count = stuck->server->reactor.pool.thread_count;
    for (unsigned k = 0; stuck->cases > 0 && k < count; k++) {
        unsigned i = stuck->next;
        stuck->next = (stuck->next + 1) % count;
        if (stuck->by_thread[i].started != 0 && deal_with(stuck, i, now))
            return;
    }
}

/* ---- an interpreter that is not given back -------------------------------------------------- */

/* Handlers run, and none has ended for a while: can the interpreter be had? */
static void try_interpreter(struct mp_stuck *stuck, int64_t now)
{
    struct mp_server *server = stuck->server;
    uint64_t requests = atomic_load_explicit(&server->slot->requests, memory_order_relaxed);
    bool busy = atomic_load_explicit(&server->slot->handlers, memory_order_relaxed) > 0;
    if (requests != stuck->requests || !busy) {
        stuck->requests = requests;
        stuck->changed_at = now;
    }
    if (now - stuck->changed_at < CALM || stuck->purpose != PURPOSE_NONE ||
        !mp_inspector_is_free(server->inspector) ||
        mp_inspector_waits_since(server->inspector) != 0)
        return;
    stuck->changed_at = now;
    stuck->purpose = PURPOSE_TRY;
    mp_inspector_ask(server->inspector, &(struct mp_question){.mute = true}, now);
}

/* The handler that is most likely to hold it: the oldest of those that wait for no lock. */
static struct mp_thread *find_holder(struct mp_server *server, int64_t *ret_started)
{
    const struct mp_pool *pool = &server->reactor.pool;
    struct mp_thread *holder = NULL;
    bool sure = false;
    *ret_started = 0;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        struct mp_thread *thread = &pool->threads[i];
        int64_t started = atomic_load_explicit(&thread->started_at, memory_order_acquire);
        if (started <= 0)
            continue;
        bool free_of_locks = mp_thread_look(thread->tid) != MP_THREAD_LOCKED;
        if (holder && (sure > free_of_locks || (sure == free_of_locks && *ret_started <= started)))
            continue;
        holder = thread;
        sure = free_of_locks;
        *ret_started = started;
    }
    return holder;
}

static void begin_hang(struct mp_stuck *stuck, int64_t since, int64_t now)
{
    struct mp_question question = {.size = TRACEBACK_SIZE};
    question.thread = find_holder(stuck->server, &question.started);
    stuck->held_since = since;
    stuck->wish = MP_RETIRE_HANGS;
    if (!question.thread)
        return;
    stuck->purpose = PURPOSE_HANG;
    stuck->about = question.thread->index;
    mp_inspector_ask(stuck->server->inspector, &question, now);
}

static void look_at_interpreter(struct mp_stuck *stuck, int64_t now)
{
    struct mp_server *server = stuck->server;
    int64_t limit = server->options->hang_timeout;
    if (!server->inspector || limit <= 0)
        return;
    try_interpreter(stuck, now);
    int64_t since = mp_inspector_waits_since(server->inspector);
    bool held = since != 0 && now - since >= CALM;
    atomic_store_explicit(&server->held, held, memory_order_relaxed);
    atomic_store_explicit(&server->slot->held_since, held ? since : 0, memory_order_relaxed);
    if (since == 0)
        stuck->held_since = 0;
    else if (now - since >= limit && stuck->held_since == 0 && stuck->purpose == PURPOSE_NONE &&
             mp_inspector_is_free(server->inspector))
        begin_hang(stuck, since, now);
}

/* ---- all of it ----------------------------------------------------------------------------- */

int mp_stuck_new(struct mp_server *server, struct mp_stuck **ret_stuck)
{
    unsigned count = server->reactor.pool.thread_count;
    struct mp_stuck *stuck = calloc(1, sizeof(*stuck) + count * sizeof(stuck->by_thread[0]));
    if (!stuck)
        return -ENOMEM;
    stuck->server = server;
    mp_budget_init(&stuck->slow_budget, SLOW_AT_ONCE, MP_NSEC_PER_SEC);
    mp_budget_init(&stuck->stuck_budget, STUCK_AT_ONCE, MP_NSEC_PER_SEC / 5);
    *ret_stuck = stuck;
    return 0;
}

void mp_stuck_free(struct mp_stuck *stuck)
{
    free(stuck);
}

static void show(const struct mp_stuck *stuck)
{
    /* Relaxed: for readers of the scoreboard. */
    atomic_store_explicit(&stuck->server->slot->stuck, mp_stuck_count(stuck->server),
                          memory_order_relaxed);
}

static void look_at_all(struct mp_stuck *stuck, int64_t now)
{
    struct mp_server *server = stuck->server;
    stuck->look_at = now + LOOK;
    for (unsigned i = 0; i < server->reactor.pool.thread_count; i++)
        look_at(stuck, i, now);
    report_left_out(stuck, now);
    look_at_interpreter(stuck, now);
    show(stuck);
}

unsigned mp_stuck_look(struct mp_stuck *stuck, int64_t now)
{
    bool free_now = take_answer(stuck, now);
    if (now >= stuck->look_at)
        look_at_all(stuck, now);
    if (free_now && stuck->purpose == PURPOSE_NONE)
        deal_with_next(stuck, now);
    return stuck->wish;
}

bool mp_stuck_is_settled(const struct mp_stuck *stuck)
{
    unsigned count = stuck->server->reactor.pool.thread_count;
    for (unsigned i = 0; stuck->cases > 0 && i < count; i++) {
        if (stuck->by_thread[i].since != 0 && !stuck->by_thread[i].lost)
            return false;
    }
    return true;
}

int64_t mp_stuck_next_look(const struct mp_stuck *stuck, bool idle, int64_t now)
{
    int64_t next = INT64_MAX;
    if (!idle || stuck->cases > 0 || stuck->slow_budget.left_out > 0)
        next = stuck->look_at;
    if (stuck->purpose != PURPOSE_NONE) {
        int64_t answer = mp_inspector_next_look(stuck->server->inspector, now);
        next = answer < next ? answer : next;
    }
    return next;
}
