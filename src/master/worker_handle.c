/* SPDX-License-Identifier: MIT */
#include "master/worker_handle.h"

#include <string.h>

#include "base/assert.h"

#define SUSPECT_GRACE_MOST (2 * MP_NSEC_PER_SEC)

void mp_worker_handle_init(struct mp_worker_handle *handle, unsigned slot)
{
    memset(handle, 0, sizeof(*handle));
    handle->slot = slot;
    handle->control = -1;
    handle->replaces = -1;
}

bool mp_worker_handle_active(const struct mp_worker_handle *handle)
{
    switch (handle->state) {
    case MP_HANDLE_WAITING:
    case MP_HANDLE_SPAWNING:
    case MP_HANDLE_STARTING:
    case MP_HANDLE_READY:
    case MP_HANDLE_KILLED:
        return !handle->retiring && !handle->asked_to_leave && !handle->lost && !handle->proving;
    default:
        return false;
    }
}

bool mp_worker_handle_alive(const struct mp_worker_handle *handle)
{
    return handle->state >= MP_HANDLE_SPAWNING;
}

/* Forgets a life; what outlives it (the failures, whom it replaces) stays. */
static void forget_life(struct mp_worker_handle *handle)
{
    mp_assert(handle->control == -1);
    handle->pid = 0;
    handle->generation = 0;
    handle->code = 0;
    handle->started = 0;
    handle->ready_at = 0;
    handle->deadline = 0;
    handle->closed_at = 0;
    handle->stopped_at = 0;
    handle->suspect_at = 0;
    handle->dumped = false;
    handle->asked_to_leave = false;
    handle->lost = false;
    handle->retiring = false;
    handle->recycling = false;
    handle->wish = MP_RETIRE_NONE;
    handle->memory_at = 0;
    handle->load_failed = false;
    handle->load_status = 0;
}

void mp_worker_handle_want(struct mp_worker_handle *handle, int64_t due)
{
    mp_assert(handle->state == MP_HANDLE_FREE);
    handle->state = MP_HANDLE_WAITING;
    handle->due = due;
}

void mp_worker_handle_unwant(struct mp_worker_handle *handle)
{
    mp_assert(handle->state == MP_HANDLE_WAITING);
    mp_worker_handle_init(handle, handle->slot);
}

void mp_worker_handle_asked(struct mp_worker_handle *handle, uint32_t serial, int control,
                            int64_t now)
{
    mp_assert(handle->state == MP_HANDLE_WAITING);
    forget_life(handle);
    handle->state = MP_HANDLE_SPAWNING;
    handle->serial = serial;
    handle->control = control;
    handle->started = now;
}

void mp_worker_handle_refused(struct mp_worker_handle *handle, int64_t due)
{
    mp_assert(handle->state == MP_HANDLE_WAITING || handle->state == MP_HANDLE_SPAWNING);
    if (handle->asked_to_leave) {
        mp_assert(handle->control == -1);
        mp_worker_handle_init(handle, handle->slot);
        return;
    }
    forget_life(handle);
    handle->state = MP_HANDLE_WAITING;
    handle->due = due;
}

void mp_worker_handle_spawned(struct mp_worker_handle *handle, pid_t pid)
{
    mp_assert(handle->state == MP_HANDLE_SPAWNING);
    handle->pid = pid;
    handle->state = handle->asked_to_leave ? MP_HANDLE_DRAINING : MP_HANDLE_STARTING;
    mp_backoff_init(&handle->refusals);
}

bool mp_worker_handle_ready(struct mp_worker_handle *handle, int64_t now)
{
    if (handle->ready_at != 0 ||
        (handle->state != MP_HANDLE_STARTING && handle->state != MP_HANDLE_DRAINING))
        return false;
    handle->ready_at = now;
    if (handle->state == MP_HANDLE_STARTING)
        handle->state = MP_HANDLE_READY;
    return true;
}

void mp_worker_handle_leave(struct mp_worker_handle *handle, int64_t deadline)
{
    mp_assert(handle->state >= MP_HANDLE_SPAWNING && handle->state <= MP_HANDLE_DRAINING);
    if (handle->state != MP_HANDLE_SPAWNING)
        handle->state = MP_HANDLE_DRAINING;
    handle->asked_to_leave = true;
    handle->deadline = deadline;
}

void mp_worker_handle_killed(struct mp_worker_handle *handle, int64_t now)
{
    mp_assert(handle->pid > 0);
    handle->state = MP_HANDLE_KILLED;
    handle->deadline = now + MP_HANDLE_END_GRACE;
}

void mp_worker_handle_dumped(struct mp_worker_handle *handle, int64_t now)
{
    mp_assert(handle->state == MP_HANDLE_READY && handle->suspect_at != 0);
    handle->dumped = true;
    handle->suspect_at = now;
}

void mp_worker_handle_lost(struct mp_worker_handle *handle, int64_t deadline)
{
    mp_assert(handle->state >= MP_HANDLE_STARTING);
    handle->lost = true;
    if (handle->state == MP_HANDLE_KILLED)
        return;
    handle->state = MP_HANDLE_DRAINING;
    handle->deadline = deadline;
}

int64_t mp_worker_handle_gone(struct mp_worker_handle *handle, bool again, int64_t now)
{
    int64_t lived = handle->ready_at ? now - handle->ready_at : -1;
    int64_t delay;

    mp_assert(handle->state >= MP_HANDLE_STARTING);
    mp_assert(handle->control == -1);
    if (!again) {
        mp_worker_handle_init(handle, handle->slot);
        return 0;
    }
    delay = mp_backoff_died(&handle->deaths, lived);
    forget_life(handle);
    handle->state = MP_HANDLE_WAITING;
    handle->due = now + delay;
    return delay;
}

static int64_t last_beat(const struct mp_worker_handle *handle, int64_t beat)
{
    return beat > handle->ready_at ? beat : handle->ready_at;
}

static int64_t suspect_grace(const struct mp_handle_limits *limits)
{
    int64_t quarter = limits->heartbeat_timeout / 4;

    return quarter < SUSPECT_GRACE_MOST ? quarter : SUSPECT_GRACE_MOST;
}

static int64_t next_beat_look(const struct mp_worker_handle *handle,
                              const struct mp_handle_limits *limits, int64_t beat)
{
    if (limits->heartbeat_timeout == 0)
        return MP_HANDLE_NEVER;
    if (handle->suspect_at)
        return handle->suspect_at + suspect_grace(limits);
    return last_beat(handle, beat) + limits->heartbeat_timeout;
}

static int64_t spawn_timeout(const struct mp_handle_limits *limits)
{
    return limits->load_timeout > 0 && limits->load_timeout < MP_HANDLE_SPAWN_TIMEOUT
               ? limits->load_timeout
               : MP_HANDLE_SPAWN_TIMEOUT;
}

int64_t mp_worker_handle_next_look(const struct mp_worker_handle *handle,
                                   const struct mp_handle_limits *limits, int64_t beat)
{
    switch (handle->state) {
    case MP_HANDLE_FREE:
        return MP_HANDLE_NEVER;
    case MP_HANDLE_WAITING:
        return handle->due;
    case MP_HANDLE_SPAWNING:
        return handle->started + spawn_timeout(limits);
    case MP_HANDLE_STARTING:
        if (handle->closed_at)
            return handle->closed_at + MP_HANDLE_END_GRACE;
        return limits->load_timeout ? handle->started + limits->load_timeout : MP_HANDLE_NEVER;
    case MP_HANDLE_READY:
        if (handle->closed_at)
            return handle->closed_at + MP_HANDLE_END_GRACE;
        return next_beat_look(handle, limits, beat);
    case MP_HANDLE_DRAINING:
        return handle->deadline;
    case MP_HANDLE_KILLED:
        return handle->lost ? MP_HANDLE_NEVER : handle->deadline;
    }
    return MP_HANDLE_NEVER;
}

/* READY, and the next look at its heart is due. */
static enum mp_handle_look look_at_heart(struct mp_worker_handle *handle,
                                         const struct mp_handle_limits *limits, int64_t beat,
                                         int64_t now)
{
    if (now < last_beat(handle, beat) + limits->heartbeat_timeout) {
        handle->suspect_at = 0;
        handle->dumped = false;
        return MP_LOOK_NOTHING;
    }
    if (handle->suspect_at)
        return MP_LOOK_SILENT;
    handle->suspect_at = now;
    return MP_LOOK_NOTHING;
}

enum mp_handle_look mp_worker_handle_look(struct mp_worker_handle *handle,
                                          const struct mp_handle_limits *limits, int64_t beat,
                                          int64_t now)
{
    if (now < mp_worker_handle_next_look(handle, limits, beat))
        return MP_LOOK_NOTHING;
    switch (handle->state) {
    case MP_HANDLE_WAITING:
        return MP_LOOK_SPAWN;
    case MP_HANDLE_SPAWNING:
        return MP_LOOK_UNANSWERED;
    case MP_HANDLE_STARTING:
        return handle->closed_at ? MP_LOOK_LOST : MP_LOOK_LATE;
    case MP_HANDLE_READY:
        return handle->closed_at ? MP_LOOK_LOST : look_at_heart(handle, limits, beat, now);
    case MP_HANDLE_DRAINING:
        return MP_LOOK_OVERDUE;
    case MP_HANDLE_KILLED:
        return MP_LOOK_LOST;
    default:
        return MP_LOOK_NOTHING;
    }
}
