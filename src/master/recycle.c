/* SPDX-License-Identifier: MIT */
/*
 * Recycling: workers that are to be replaced although nothing is wrong with them, because they have
 * served as many requests, lived as long, or have as much memory as they may.
 *
 *   wish --- its turn ---> retiring --- successor is ready ---> draining ---> gone
 *
 * One worker at a time, over the whole pool and over all reasons, from its turn until its process
 * is gone; the others keep their wish and go on serving. From its turn on it is a worker that
 * retires like any other (crew.c): it serves until its successor is ready, and stays when there is
 * none.
 */
#include <stdio.h>

#include "master/private.h"
#include "master/report.h"
#include "os/clock.h"
#include "os/process.h"

/* The cheap look at each worker's memory, and the dear one. */
#define RESIDENT_LOOK (1 * MP_NSEC_PER_SEC)
#define SHARE_LOOK (5 * MP_NSEC_PER_SEC)

void mp_recycle_wish(struct mp_worker_handle *handle, enum mp_retire_reason reason, uint64_t figure,
                     int64_t now)
{
    if (handle->wish)
        return;
    handle->wish = reason;
    handle->wish_figure = figure;
    handle->wish_at = now;
}

/* Up to a tenth less, a number of its own for each life: workers that were started together need
 * not end together. */
static int64_t lifetime_of(const struct mp_master *master, const struct mp_worker_handle *handle)
{
    uint64_t x =
        ((uint64_t)handle->pid << 32 ^ (uint64_t)handle->ready_at) * UINT64_C(0x9e3779b97f4a7c15);

    double share = (double)(x >> 32) / 4294967296.0;
    return master->options.max_lifetime -
           (int64_t)(share * (double)master->options.max_lifetime / 10.0);
}

static bool may_wish(const struct mp_worker_handle *handle)
{
    return handle->state == MP_HANDLE_READY && !handle->retiring && !handle->wish;
}

static void look_at_age(const struct mp_master *master, struct mp_worker_handle *handle,
                        int64_t now)
{
    if (master->options.max_lifetime > 0 && now - handle->ready_at >= lifetime_of(master, handle))
        mp_recycle_wish(handle, MP_RETIRE_LIFETIME, (uint64_t)(now - handle->ready_at), now);
}

/* The resident set is known at once, and never less than the worker's share of what it shares with
 * others; only when it is too much, the kernel is asked to count that. Who may not ask goes by the
 * resident set. */
static void look_at_memory(const struct mp_master *master, struct mp_worker_handle *handle,
                           int64_t now)
{
    int64_t most = (int64_t)master->options.max_memory;
    int64_t size;
    int64_t share;

    if (most == 0 || now < handle->memory_at)
        return;
    handle->memory_at = now + RESIDENT_LOOK;
    size = mp_process_rss(handle->pid);
    if (size <= most)
        return;
    handle->memory_at = now + SHARE_LOOK;
    share = mp_process_pss(handle->pid);
    if (share >= 0)
        size = share;
    if (size > most)
        mp_recycle_wish(handle, MP_RETIRE_MEMORY, (uint64_t)size, now);
}

static void report(const struct mp_master *master, const struct mp_worker_handle *handle)
{
    char text[64];
    char why[96];

    switch (handle->wish) {
    case MP_RETIRE_LIFETIME:
        snprintf(why, sizeof(why), "it has served for %s",
                 mp_report_duration((int64_t)handle->wish_figure, text, sizeof(text)));
        break;
    case MP_RETIRE_MEMORY:
        snprintf(why, sizeof(why), "%s of memory",
                 mp_report_bytes(handle->wish_figure, text, sizeof(text)));
        break;
    default:
        snprintf(why, sizeof(why), "%llu requests",
                 (unsigned long long)atomic_load_explicit(
                     &mp_scoreboard_worker(master->board, handle->slot)->requests,
                     memory_order_relaxed));
        break;
    }
    mp_log(&master->options.log, MP_LOG_INFO, "worker %u (pid %d) is recycled: %s",
           MP_WORKER_NUMBER(handle), (int)handle->pid, why);
}

/* The one whose wish is the oldest, when it is somebody's turn. */
static struct mp_worker_handle *find_next(struct mp_master *master)
{
    struct mp_worker_handle *next = NULL;

    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_worker_handle *handle = &master->workers[i];

        if (handle->recycling && !handle->lost)
            return NULL;
        if (!handle->wish || handle->state != MP_HANDLE_READY || handle->retiring)
            continue;
        if (!next || handle->wish_at < next->wish_at)
            next = handle;
    }
    return next;
}

void mp_recycle_tick(struct mp_master *master, int64_t now)
{
    struct mp_worker_handle *next;

    for (unsigned i = 0; i < master->slots; i++) {
        if (!may_wish(&master->workers[i]))
            continue;
        look_at_age(master, &master->workers[i], now);
        look_at_memory(master, &master->workers[i], now);
    }
    next = find_next(master);
    if (!next)
        return;
    next->retiring = true;
    next->recycling = true;
    report(master, next);
}

int64_t mp_recycle_next_look(const struct mp_master *master)
{
    const struct mp_master_options *options = &master->options;
    int64_t next = MP_HANDLE_NEVER;

    if (master->stage != MP_STAGE_RUNNING)
        return next;
    for (unsigned i = 0; i < master->slots; i++) {
        const struct mp_worker_handle *handle = &master->workers[i];

        if (!may_wish(handle))
            continue;
        if (options->max_lifetime > 0 && handle->ready_at + lifetime_of(master, handle) < next)
            next = handle->ready_at + lifetime_of(master, handle);
        if (options->max_memory > 0 && handle->memory_at < next)
            next = handle->memory_at;
    }
    return next;
}
