/* SPDX-License-Identifier: MIT */
/*
 * Telling never blocks: what the manager has no room for is kept, and tried again. A manager that
 * is not there any more (which would be odd) is given up, with a line in the log, unless it has a
 * watchdog: then it is tried again, for it would kill what it does not hear of.
 *
 * A manager listens to the service's main process only, so the last that a master says before it is
 * followed by another is who that is, and the other is silent until it knows that this was said:
 *
 *    old   READY ... MAINPID=new |
 *    new                         | READY, STATUS ... (handover.c)
 *
 * The status is made anew each STATUS_PERIOD, and sent if it is another.
 */
#include "master/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "master/private.h"
#include "os/clock.h"
#include "os/notify.h"

#define STATUS_PERIOD (3 * MP_NSEC_PER_SEC)
#define RETRY_PERIOD (100 * MP_NSEC_PER_MSEC)
#define REFUSED_PERIOD (1 * MP_NSEC_PER_SEC)
#define LAST_WORD_TIMEOUT (10 * MP_NSEC_PER_SEC)

void mp_notify_init(struct mp_master *master, int64_t now)
{
    struct mp_notify *notify = &master->notify;

    memset(notify, 0, sizeof(*notify));
    if (!master->options.notify_socket || master->handover.link >= 0)
        return;
    notify->wanted = true;
    notify->watchdog = master->options.notify_watchdog / 2;
    notify->watchdog_due = now;
    notify->status_due = now + STATUS_PERIOD;
}

/* The log has it once, until something is told again. */
static void on_refused(struct mp_master *master, int err)
{
    struct mp_notify *notify = &master->notify;

    if (!notify->refused)
        mp_log(&master->options.log, MP_LOG_WARNING,
               "the service manager cannot be told anything: NOTIFY_SOCKET %s: %s",
               master->options.notify_socket, strerrordesc_np(-err));
    notify->refused = true;
}

/* False: try again. Who has a watchdog would kill what it does not hear of. */
static bool send_text(struct mp_master *master, const char *text)
{
    int err = mp_notify_send(master->options.notify_socket, text);

    if (err == -EAGAIN || err == -ENOBUFS || err == -EMFILE || err == -ENFILE || err == -ENOMEM)
        return false;
    if (err) {
        on_refused(master, err);
        if (master->notify.watchdog > 0)
            return false;
        master->notify.wanted = false;
    } else {
        master->notify.refused = false;
    }
    return true;
}

/* 0: it is said. */
static int64_t send_pending(struct mp_master *master, int64_t now)
{
    if (send_text(master, master->notify.pending))
        return 0;
    return now + (master->notify.refused ? REFUSED_PERIOD : RETRY_PERIOD);
}

static void MP_PRINTF(3, 4) tell(struct mp_master *master, int64_t now, const char *format, ...)
{
    struct mp_notify *notify = &master->notify;
    va_list arguments;

    if (!notify->wanted || notify->last_deadline)
        return;
    va_start(arguments, format);
    vsnprintf(notify->pending, sizeof(notify->pending), format, arguments);
    va_end(arguments);
    notify->retry_due = send_pending(master, now);
}

/* Each count is true of some moment just now: relaxed. */
static void describe(struct mp_master *master, char *text, size_t size)
{
    unsigned ready = 0;
    unsigned working = 0;
    unsigned stuck = 0;

    for (unsigned i = 0; i < master->slots; i++) {
        struct mp_sb_worker *slot = mp_scoreboard_worker(master->board, i);

        if (master->workers[i].state == MP_HANDLE_FREE)
            continue;
        ready += master->workers[i].state == MP_HANDLE_READY && !master->workers[i].retiring;
        working += atomic_load_explicit(&slot->handlers, memory_order_relaxed);
        stuck += atomic_load_explicit(&slot->stuck, memory_order_relaxed);
    }
    snprintf(text, size, "STATUS=%s%u of %u workers ready, %u requests running, %u threads stuck",
             master->stage == MP_STAGE_RUNNING ? "" : "Stopping: ", ready, master->target, working,
             stuck);
}

static void tell_status(struct mp_master *master, int64_t now)
{
    struct mp_notify *notify = &master->notify;
    char text[MP_NOTIFY_STATUS_SIZE];

    notify->status_due = now + STATUS_PERIOD;
    describe(master, text, sizeof(text));
    if (strcmp(text, notify->status) != 0 && send_text(master, text))
        memcpy(notify->status, text, sizeof(text));
}

void mp_notify_ready(struct mp_master *master, int64_t now)
{
    tell(master, now, "READY=1");
    if (master->notify.wanted && !master->notify.last_deadline)
        tell_status(master, now);
}

void mp_notify_reloading(struct mp_master *master, int64_t now)
{
    tell(master, now, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, mp_clock_now() / MP_NSEC_PER_USEC);
}

void mp_notify_stopping(struct mp_master *master, int64_t now)
{
    tell(master, now, "STOPPING=1");
    if (master->notify.wanted && !master->notify.last_deadline)
        tell_status(master, now);
}

/* Until it is said, or too late. */
static void tick_last_word(struct mp_master *master, int64_t now)
{
    struct mp_notify *notify = &master->notify;

    if (notify->retry_due && now >= notify->last_deadline) {
        mp_log(&master->options.log, MP_LOG_ERROR,
               "the service manager reads nothing, and was not told %s", notify->pending);
        notify->retry_due = 0;
    } else if (notify->retry_due && now >= notify->retry_due) {
        notify->retry_due = send_pending(master, now);
    }
    if (!notify->retry_due)
        notify->wanted = false;
}

void mp_notify_hand_over(struct mp_master *master, pid_t pid, int64_t now)
{
    tell(master, now, "MAINPID=%d", (int)pid);
    master->notify.last_deadline = now + LAST_WORD_TIMEOUT;
    mp_notify_tick(master, now);
}

bool mp_notify_is_silent(const struct mp_master *master)
{
    return !master->notify.wanted;
}

void mp_notify_speak(struct mp_master *master, int64_t now)
{
    mp_notify_init(master, now);
    if (master->announced && master->stage == MP_STAGE_RUNNING)
        mp_notify_ready(master, now);
}

void mp_notify_tick(struct mp_master *master, int64_t now)
{
    struct mp_notify *notify = &master->notify;

    if (!notify->wanted)
        return;
    if (notify->last_deadline) {
        tick_last_word(master, now);
        return;
    }
    if (notify->retry_due && now >= notify->retry_due)
        notify->retry_due = send_pending(master, now);
    /* A sign of life that finds no room is not missed: others are there, unread. */
    if (notify->watchdog && now >= notify->watchdog_due) {
        notify->watchdog_due = now + notify->watchdog;
        (void)send_text(master, "WATCHDOG=1");
    }
    if (notify->wanted && now >= notify->status_due)
        tell_status(master, now);
}

int64_t mp_notify_next_look(const struct mp_master *master)
{
    const struct mp_notify *notify = &master->notify;
    int64_t next = MP_HANDLE_NEVER;

    if (!notify->wanted)
        return MP_HANDLE_NEVER;
    if (notify->last_deadline)
        return notify->retry_due < notify->last_deadline ? notify->retry_due
                                                         : notify->last_deadline;
    next = notify->status_due;
    if (notify->retry_due && notify->retry_due < next)
        next = notify->retry_due;
    if (notify->watchdog && notify->watchdog_due < next)
        next = notify->watchdog_due;
    return next;
}
