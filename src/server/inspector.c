/* SPDX-License-Identifier: MIT */
/* See inspector.h. */
#include "server/inspector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/process.h"
#include "server/claim.h"
#include "server/inspection.h"
#include "server/internal.h"

/* For the interpreter; who holds it longer does not give it back in between. */
#define INSPECT_PATIENCE (200 * MP_NSEC_PER_MSEC)
/* For the look itself, which may read the source. */
#define DESCRIBE_PATIENCE (5 * MP_NSEC_PER_SEC)
/* For a thread that is to say by itself where it stands. */
#define POKE_PATIENCE (100 * MP_NSEC_PER_MSEC)
#define POKE_LOOK (2 * MP_NSEC_PER_MSEC)

enum job_state { JOB_POSTED, JOB_TAKEN, JOB_DONE, JOB_ABANDONED };

struct job {
    /* Acquire and release throughout: each change hands the rest of the job over. */
    _Atomic uint32_t state; /* enum job_state */
    struct mp_question question;
    bool over;
    bool raised;
    size_t len;
    char text[MP_INSPECT_TEXT];
};

enum { WAKE_JOB = 1, WAKE_STOP };

struct mp_inspector {
    struct mp_server *server;
    const struct mp_inspection *inspection;
    pthread_t id;
    struct mp_park park;
    /* Not 0 from a post until the inspector waits for the next: since when. The control thread sets
     * it, the inspector clears it (release), after it has let go of the job. */
    _Atomic int64_t busy_since;
    _Atomic bool waiting; /* ... and it has not got the interpreter yet; a hint, relaxed */
    _Atomic(struct job *) posted;
    /* Control thread's own: */
    bool running;
    bool asked;
    bool poking;
    bool poked; /* poke has succeeded */
    struct mp_question question;
    struct job *job; /* NULL: it was given up, or there is none */
    struct job *last;
    int64_t deadline; /* of the present step */
    int64_t held_from;
    char text[MP_INSPECT_TEXT];
};

/* ---- the inspector's thread ---------------------------------------------------------------- */

static bool change(struct job *job, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&job->state, &from, to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* Entered. What needs the handler to stand still is done under the claim, the rest after it. */
static void inspect(struct mp_inspector *inspector, void *state, struct job *job)
{
    const struct mp_inspection *inspection = inspector->inspection;
    void *data = inspector->server->app->data;
    const struct mp_question *question = &job->question;
    struct mp_thread *thread = question->thread;
    void *capture = NULL;
    if (thread && !mp_claim(thread, question->started)) {
        job->over = true;
        return;
    }
    if (!question->mute)
        capture = inspection->capture(data, state, thread ? thread->app_thread : NULL);
    if (thread && question->raise && inspection->raise(data, thread->app_thread) == 0) {
        thread->raised = true;
        job->raised = true;
    }
    if (thread)
        mp_unclaim(thread, question->started);
    if (capture)
        job->len = inspection->describe(data, capture, job->text, question->size);
}

static void serve(struct mp_inspector *inspector, void *state, struct job *job)
{
    const struct mp_inspection *inspection = inspector->inspection;
    void *data = inspector->server->app->data;
    inspection->enter(data, state);
    atomic_store_explicit(&inspector->waiting, false, memory_order_relaxed);
    bool taken = change(job, JOB_POSTED, JOB_TAKEN);
    if (taken)
        inspect(inspector, state, job);
    inspection->leave(data, state);
    if (!taken || !change(job, JOB_TAKEN, JOB_DONE))
        free(job);
}

/* Without memory to prepare: there is no answer. */
static void refuse(struct job *job)
{
    if (change(job, JOB_POSTED, JOB_TAKEN))
        atomic_store_explicit(&job->state, JOB_DONE, memory_order_release);
    else
        free(job);
}

static void *inspector_main(void *arg)
{
    struct mp_inspector *inspector = arg;
    const struct mp_inspection *inspection = inspector->inspection;
    void *data = inspector->server->app->data;
    void *state = NULL;
    mp_thread_set_name("mp-inspector");
    int r = inspection->init(data, &state);
    while (mp_park_wait(&inspector->park) == WAKE_JOB) {
        struct job *job = atomic_exchange_explicit(&inspector->posted, NULL, memory_order_acquire);
        if (r == 0)
            serve(inspector, state, job);
        else
            refuse(job);
        atomic_store_explicit(&inspector->busy_since, 0, memory_order_release);
        mp_wakeup_signal(&inspector->server->watcher);
    }
    if (r == 0)
        inspection->done(data, state);
    return NULL;
}

/* ---- the control thread -------------------------------------------------------------------- */

struct mp_inspector *mp_inspector_new(struct mp_server *server)
{
    if (!server->app->inspection)
        return NULL;
    struct mp_inspector *inspector = calloc(1, sizeof(*inspector));
    if (!inspector)
        return NULL;
    inspector->server = server;
    inspector->inspection = server->app->inspection;
    mp_park_init(&inspector->park);
    return inspector;
}

static int64_t busy_since(const struct mp_inspector *inspector)
{
    return atomic_load_explicit(&inspector->busy_since, memory_order_acquire);
}

void mp_inspector_free(struct mp_inspector *inspector)
{
    if (!inspector)
        return;
    if (inspector->running) {
        /* It lets go of its job before it waits for the next post, which may not be early. */
        while (busy_since(inspector) != 0)
            sched_yield();
        mp_park_post(&inspector->park, WAKE_STOP);
        pthread_join(inspector->id, NULL);
    }
    free(inspector->job);
    free(inspector->last);
    free(inspector);
}

bool mp_inspector_is_free(const struct mp_inspector *inspector)
{
    return !inspector->asked;
}

int64_t mp_inspector_waits_since(const struct mp_inspector *inspector)
{
    return atomic_load_explicit(&inspector->waiting, memory_order_relaxed) ? busy_since(inspector)
                                                                           : 0;
}

static int start(struct mp_inspector *inspector)
{
    if (inspector->running)
        return 0;
    int r = -pthread_create(&inspector->id, NULL, inspector_main, inspector);
    inspector->running = r == 0;
    return r;
}

/* False: it cannot be asked now, because it still waits for the interpreter. */
static bool post(struct mp_inspector *inspector, int64_t now)
{
    if (busy_since(inspector) != 0 || start(inspector) < 0)
        return false;
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return false;
    job->question = inspector->question;
    inspector->job = job;
    /* Relaxed: the post below, and the thread's own exchange, order it. */
    atomic_store_explicit(&inspector->busy_since, now, memory_order_relaxed);
    atomic_store_explicit(&inspector->waiting, true, memory_order_relaxed);
    atomic_store_explicit(&inspector->posted, job, memory_order_release);
    mp_park_post(&inspector->park, WAKE_JOB);
    return true;
}

/* The interpreter is held. */
static void start_poking(struct mp_inspector *inspector, int64_t now)
{
    const struct mp_inspection *inspection = inspector->inspection;
    const struct mp_question *question = &inspector->question;
    int64_t since = busy_since(inspector);
    inspector->held_from = since != 0 ? since : now;
    inspector->poking = true;
    inspector->deadline = now + POKE_PATIENCE;
    inspector->poked = question->thread && !question->mute && inspection->poke &&
                       atomic_load_explicit(&question->thread->started_at, memory_order_acquire) ==
                           question->started &&
                       inspection->poke(inspector->server->app->data, question->thread->tid) == 0;
}

void mp_inspector_ask(struct mp_inspector *inspector, const struct mp_question *question,
                      int64_t now)
{
    mp_assert(!inspector->asked);
    inspector->asked = true;
    inspector->poking = false;
    inspector->question = *question;
    if (question->size == 0 || question->size > MP_INSPECT_TEXT)
        inspector->question.size = MP_INSPECT_TEXT;
    inspector->deadline = now + INSPECT_PATIENCE;
    if (!post(inspector, now))
        start_poking(inspector, now);
}

static bool finish(struct mp_inspector *inspector)
{
    inspector->asked = false;
    inspector->poking = false;
    return true;
}

static bool look_at_poke(struct mp_inspector *inspector, struct mp_answer *answer, int64_t now)
{
    ssize_t n = 0;
    if (inspector->poked) {
        n = inspector->inspection->poked(inspector->server->app->data, inspector->text,
                                         inspector->question.size);
        if (n == -EAGAIN && now < inspector->deadline)
            return false;
    }
    *answer = (struct mp_answer){
        .held = true,
        .held_from = inspector->held_from,
        .len = n > 0 ? (size_t)n : 0,
        .text = inspector->text,
    };
    return finish(inspector);
}

static bool take_answer(struct mp_inspector *inspector, struct mp_answer *answer)
{
    struct job *job = inspector->job;
    inspector->job = NULL;
    free(inspector->last);
    inspector->last = job;
    *answer = (struct mp_answer){
        .over = job->over,
        .raised = job->raised,
        .len = job->len,
        .text = job->text,
    };
    return finish(inspector);
}

bool mp_inspector_look(struct mp_inspector *inspector, struct mp_answer *ret_answer, int64_t now)
{
    struct job *job = inspector->job;
    if (inspector->poking)
        return look_at_poke(inspector, ret_answer, now);
    uint32_t state = atomic_load_explicit(&job->state, memory_order_acquire);
    if (state == JOB_DONE)
        return take_answer(inspector, ret_answer);
    if (now < inspector->deadline)
        return false;
    if (state == JOB_POSTED && change(job, JOB_POSTED, JOB_ABANDONED)) {
        inspector->job = NULL;
        start_poking(inspector, now);
        return look_at_poke(inspector, ret_answer, now);
    }
    /* It has entered, or has just done so. */
    if (now < inspector->deadline + DESCRIBE_PATIENCE)
        return false;
    if (!change(job, JOB_TAKEN, JOB_ABANDONED))
        return false; /* done in this moment */
    inspector->job = NULL;
    /* Raised before the text was begun, in all likelihood: better not twice. */
    *ret_answer =
        (struct mp_answer){.held = true, .held_from = now, .raised = inspector->question.raise};
    return finish(inspector);
}

int64_t mp_inspector_next_look(const struct mp_inspector *inspector, int64_t now)
{
    if (!inspector->asked)
        return INT64_MAX;
    return inspector->poking || inspector->deadline <= now ? now + POKE_LOOK : inspector->deadline;
}
