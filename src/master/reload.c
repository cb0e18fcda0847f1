/* SPDX-License-Identifier: MIT */
/*
 * Reload: new code and a new configuration, while what serves goes on serving.
 *
 *            ask            started            LOADED              its first worker is ready
 *    IDLE --------> WANTED ---------> LOADING --------> PROVING -------------------------> ROLLING
 *     ^                                  | failed          | failed                           |
 *     +----------------------------------+-----------------+----------------------------------+
 *                           nobody older is left to replace, or another one waits and none comes
 *
 * A second zygote is started beside the current one. It reads the configuration and loads the code
 * in its own process, so nothing that is wrong there can harm the master. When it has loaded, one
 * worker is asked of it, beside those that are wanted: only when that worker serves is the second
 * zygote the current one, and the first of the older ones may leave. Whatever fails before leaves
 * everything as it was. Then the other older workers retire, some at a time, each when its
 * successor is ready (crew.c).
 *
 * Between the two, PROVING included, workers that die are replaced by the current zygote.
 */
#include <errno.h>
#include <stdio.h>

#include "master/private.h"
#include "master/report.h"
#include "os/clock.h"

/* The old zygote has nothing to finish. */
#define LEAVE_TIMEOUT (5 * MP_NSEC_PER_SEC)
/* Without a worker that becomes ready, before another reload is not kept waiting any longer. */
#define ROLL_PATIENCE (5 * MP_NSEC_PER_SEC)

static struct mp_zygote_handle *current_of(struct mp_master *master)
{
    return &master->zygotes[master->current];
}

static struct mp_zygote_handle *second_of(struct mp_master *master)
{
    return &master->zygotes[1 - master->current];
}

static struct mp_worker_handle *prover_of(struct mp_master *master)
{
    return master->reload.prover == MP_RELOAD_NOBODY ? NULL
                                                     : &master->workers[master->reload.prover];
}

struct mp_zygote_handle *mp_reload_zygote_for(struct mp_master *master,
                                              const struct mp_worker_handle *handle)
{
    return handle->proving ? second_of(master) : current_of(master);
}

static unsigned count_serving(const struct mp_master *master)
{
    unsigned count = 0;

    for (unsigned i = 0; i < master->slots; i++)
        count += master->workers[i].state == MP_HANDLE_READY;
    return count;
}

/* ---- its beginning and its ends ------------------------------------------------------------- */

int mp_reload_ask(struct mp_master *master, const char *who, int64_t now)
{
    struct mp_reload *reload = &master->reload;
    char time[32];

    if (master->stage != MP_STAGE_RUNNING) {
        mp_log(&master->options.log, MP_LOG_INFO, "%s: no reload: the server is stopping", who);
        return -ESHUTDOWN;
    }
    if (reload->state == MP_RELOAD_IDLE) {
        mp_log(&master->options.log, MP_LOG_INFO, "%s: reloading", who);
        reload->state = MP_RELOAD_WANTED;
        reload->started = now;
        reload->asked++;
        mp_notify_reloading(master, now);
    } else if (reload->state == MP_RELOAD_WANTED || reload->again) {
        mp_log(&master->options.log, MP_LOG_DEBUG, "%s: a reload is to come already", who);
    } else {
        mp_log(&master->options.log, MP_LOG_INFO,
               "%s: reloading again when this reload is over; what loads code has %s for it", who,
               mp_report_duration(master->limits.load_timeout, time, sizeof(time)));
        reload->again = true;
        reload->asked++;
    }
    return 0;
}

/* IDLE, or the next one, if somebody has asked for it. */
static void end(struct mp_master *master, bool failed, int64_t now)
{
    struct mp_reload *reload = &master->reload;

    reload->finished++;
    reload->failures = reload->failures << 1 | (failed ? 1 : 0);
    reload->prover = MP_RELOAD_NOBODY;
    reload->state = reload->again ? MP_RELOAD_WANTED : MP_RELOAD_IDLE;
    reload->started = now;
    reload->again = false;
    if (reload->state == MP_RELOAD_IDLE && master->stage == MP_STAGE_RUNNING)
        mp_notify_ready(master, now);
}

/* The prover, if it exists, is let go. */
static void take_back(struct mp_master *master, int64_t now)
{
    struct mp_worker_handle *prover = prover_of(master);

    if (!prover)
        return;
    master->reload.prover = MP_RELOAD_NOBODY;
    mp_crew_dismiss(master, prover, now);
}

void mp_reload_failed(struct mp_master *master, const char *why, const char *detail, int64_t now)
{
    struct mp_reload *reload = &master->reload;

    if (reload->state != MP_RELOAD_WANTED && reload->state != MP_RELOAD_LOADING &&
        reload->state != MP_RELOAD_PROVING)
        return;
    snprintf(reload->why, sizeof(reload->why), "%s%s%s", why, detail ? ": " : "",
             detail ? detail : "");
    mp_log(&master->options.log, MP_LOG_ERROR,
           "the reload has failed: %s; %u workers of generation %u go on serving", reload->why,
           count_serving(master), current_of(master)->generation);
    take_back(master, now);
    mp_zygote_handle_leave(second_of(master), now + LEAVE_TIMEOUT);
    end(master, true, now);
}

void mp_reload_stop(struct mp_master *master, int64_t deadline)
{
    struct mp_reload *reload = &master->reload;
    struct mp_worker_handle *prover = prover_of(master);

    if (prover)
        prover->proving = false;
    if (reload->state != MP_RELOAD_IDLE)
        snprintf(reload->why, sizeof(reload->why), "the server is stopping");
    while (reload->state != MP_RELOAD_IDLE)
        end(master, true, 0);
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        mp_zygote_handle_leave(&master->zygotes[i], deadline);
}

/* ---- proving -------------------------------------------------------------------------------- */

void mp_reload_on_loaded(struct mp_master *master, int64_t now)
{
    struct mp_reload *reload = &master->reload;
    const struct mp_zygote_handle *second = second_of(master);
    int64_t limit = second->settings.load_timeout;
    char text[32];

    if (reload->state != MP_RELOAD_LOADING)
        return;
    mp_log(&master->options.log, MP_LOG_DEBUG, "the new zygote (pid %d) is ready after %s",
           (int)second->pid, mp_report_duration(now - second->started, text, sizeof(text)));
    reload->state = MP_RELOAD_PROVING;
    reload->deadline = limit > 0 ? now + limit : MP_HANDLE_NEVER;
}

/* The second zygote becomes the current one, and nothing can fail any more. The prover is one of
 * the workers now: whom there is no room for beside it is let go, an older one (crew.c). */
static void commit(struct mp_master *master, int64_t now)
{
    struct mp_zygote_handle *old = current_of(master);
    struct mp_worker_handle *prover = prover_of(master);

    master->current = 1 - master->current;
    master->reloaded = true;
    mp_settings_apply(master, &current_of(master)->settings);
    mp_zygote_handle_leave(old, now + LEAVE_TIMEOUT);
    if (prover)
        prover->proving = false;
    master->reload.prover = MP_RELOAD_NOBODY;
    master->reload.state = MP_RELOAD_ROLLING;
    master->reload.deadline = now + ROLL_PATIENCE;
    master->ever_loaded = true;
}

/* One more than are wanted: whatever becomes of it, what serves does not depend on it. Without a
 * slot (all those that drain have one, too) it waits for one. */
static void begin_proof(struct mp_master *master, int64_t now)
{
    const struct mp_worker_handle *prover = mp_crew_add_prover(master, now);

    if (prover)
        master->reload.prover = prover->slot;
}

void mp_reload_on_ready(struct mp_master *master, const struct mp_worker_handle *handle,
                        int64_t now)
{
    if (master->reload.state == MP_RELOAD_PROVING && handle == prover_of(master))
        commit(master, now);
    else if (master->reload.state == MP_RELOAD_ROLLING)
        master->reload.deadline = now + ROLL_PATIENCE;
}

/* It has died, or has lost its connection. */
void mp_reload_on_end(struct mp_master *master, struct mp_worker_handle *handle, int64_t now)
{
    if (!handle->proving)
        return;
    handle->proving = false;
    mp_reload_failed(master,
                     handle->load_failed ? mp_report_load_failure(handle->load_status)
                                         : "its first worker has ended before it was ready",
                     NULL, now);
}

/* ---- rolling -------------------------------------------------------------------------------- */

/* Serves, or will, with code from before the last reload. */
static bool is_old(struct mp_master *master, const struct mp_worker_handle *handle)
{
    return handle->code != 0 && handle->code < current_of(master)->code &&
           handle->state >= MP_HANDLE_SPAWNING && handle->state <= MP_HANDLE_READY;
}

/*
 * A quarter of the pool at a time, one at least: while successors start, all of the old ones
 * serve, but the memory is needed for both. In any state: a reload that was cut short is completed
 * beside the next one, or after it when that fails. Returns whether some are left.
 */
static bool retire_old(struct mp_master *master)
{
    unsigned most = 1 + master->target / 4;
    unsigned waiting = 0;
    bool left = false;

    for (unsigned i = 0; i < master->slots; i++) {
        if (is_old(master, &master->workers[i])) {
            left = true;
            waiting += master->workers[i].retiring;
        }
    }
    for (unsigned i = 0; i < master->slots && waiting < most; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (is_old(master, handle) && handle->state == MP_HANDLE_READY && !handle->retiring) {
            handle->retiring = true;
            waiting++;
        }
    }
    return left;
}

/* What comes next may be the remedy of what keeps the new workers from starting. */
static void cut_short(struct mp_master *master, int64_t now)
{
    mp_log(&master->options.log, MP_LOG_WARNING,
           "generation %u serves beside older ones, whose successors do not become ready: the next "
           "reload does not wait for them",
           current_of(master)->generation);
    end(master, false, now);
}

static void roll(struct mp_master *master, bool left, int64_t now)
{
    char text[32];

    if (left) {
        if (master->reload.again && now >= master->reload.deadline)
            cut_short(master, now);
        return;
    }
    mp_log(&master->options.log, MP_LOG_INFO, "reloaded in %s: generation %u serves",
           mp_report_duration(now - master->reload.started, text, sizeof(text)),
           current_of(master)->generation);
    end(master, false, now);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void begin(struct mp_master *master, int64_t now)
{
    if (second_of(master)->state != MP_ZYGOTE_ABSENT)
        return; /* of the reload before: it is leaving */
    master->reload.state = MP_RELOAD_LOADING;
    mp_zygote_handle_start(master, second_of(master), now);
}

void mp_reload_tick(struct mp_master *master, int64_t now)
{
    struct mp_reload *reload = &master->reload;
    bool left;

    if (master->stage != MP_STAGE_RUNNING)
        return;
    if (reload->state == MP_RELOAD_WANTED && master->ever_ready)
        begin(master, now);
    if (reload->state == MP_RELOAD_PROVING && reload->prover == MP_RELOAD_NOBODY)
        begin_proof(master, now);
    if (reload->state == MP_RELOAD_PROVING && now >= reload->deadline)
        mp_reload_failed(master, "its first worker was not ready in time", NULL, now);
    left = retire_old(master);
    if (reload->state == MP_RELOAD_ROLLING)
        roll(master, left, now);
}

int64_t mp_reload_next_look(const struct mp_master *master)
{
    const struct mp_reload *reload = &master->reload;

    if (reload->state == MP_RELOAD_PROVING || (reload->state == MP_RELOAD_ROLLING && reload->again))
        return reload->deadline;
    return MP_HANDLE_NEVER;
}
