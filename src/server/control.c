/* SPDX-License-Identifier: MIT */
/*
 * The control thread; see control.h.
 *
 * Ticking. While a leader may be in a handler, or requests wait for admission, it wakes every
 * millisecond and lets the pool look (mp_watch_tick). When there was nothing to see for a while it
 * falls asleep: it says so (watcher_asleep = true), then looks once more at the token and the FIFO.
 * A leader that goes into a handler writes the token first, then looks whether the watcher sleeps.
 * All four are sequentially consistent, so that one of the two sees the other, and no leader is
 * ever in a handler unwatched.
 */
#include "server/control.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/poll.h"
#include "os/sigaction.h"
#include "os/socket.h"
#include "server/access_log.h"
#include "server/access_writer.h"
#include "server/dump.h"
#include "server/pool.h"
#include "server/reactor.h"
#include "server/stuck.h"
#include "server/threads.h"
#include "server/token.h"
#include "server/watch.h"

enum {
    CALM_TICKS = 20,  /* without tension, before it ticks more slowly */
    QUIET_TICKS = 10, /* without anything to see, before it falls asleep */
};

#define HEARTBEAT (500 * MP_NSEC_PER_MSEC)

enum { WATCH_CONTROL, WATCH_SIGNALS, WATCH_WAKEUP, WATCH_APP, WATCH_COUNT };

struct control {
    struct mp_server *server;
    struct pollfd fds[WATCH_COUNT];
    unsigned quiet;                 /* ticks without anything to see */
    unsigned calm;                  /* ticks without tension */
    int64_t beat_at;                /* next heartbeat */
    enum mp_retire_reason retiring; /* what the master was told; 0: nothing */
    struct mp_dump *dump;           /* under way; NULL: none */
    bool reopen;                    /* a log could not be opened anew: try again */
    int status;                     /* -1: goes on */
};

int mp_control_tell(const struct mp_worker_context *context, enum mp_worker_verb verb,
                    uint32_t value)
{
    struct mp_worker_message message = {.verb = (uint32_t)verb, .value = value};
    return mp_socket_send_msg(context->control, &message, sizeof(message), -1);
}

/* ---- what the master and signals want ------------------------------------------------------ */

static void start_draining(struct mp_server *server, uint32_t how)
{
    if (atomic_load_explicit(&server->draining, memory_order_relaxed) >= how)
        return;
    /* Sequentially consistent: a leader about to sleep sees it, or is seen sleeping and woken. */
    atomic_store_explicit(&server->draining, how, memory_order_seq_cst);
    mp_reactor_wake(&server->reactor);
}

/* False: one of them cannot be opened. The master has said what is wrong, if it is so for all; else
 * there is no descriptor here for the moment, and what is written goes into the old file. */
static bool reopen_logs(const struct mp_server *server)
{
    const struct mp_worker_options *options = server->options;
    bool done = true;
    if (options->log_path)
        done = mp_fd_reopen_append(server->log->fd, options->log_path) == 0;
    if (options->access_path && options->access_log >= 0)
        done = mp_fd_reopen_append(options->access_log, options->access_path) == 0 && done;
    return done;
}

/* Takes fd over; -1: none. */
static void on_message(struct control *control, const struct mp_worker_message *message, int fd)
{
    if (message->verb == MP_WORKER_DUMP && fd >= 0) {
        mp_dump_begin(&control->dump, fd, mp_clock_now());
        return;
    }
    mp_fd_close(&fd);
    if (message->verb == MP_WORKER_DRAIN)
        start_draining(control->server, message->value ? 2 : 1);
    else if (message->verb == MP_WORKER_REOPEN)
        control->reopen = !reopen_logs(control->server);
    else if (message->verb == MP_WORKER_QUIT)
        control->status = MP_WORKER_EXIT_QUIT;
}

static void read_control(struct control *control)
{
    struct mp_worker_message message;
    int fd = -1;
    for (;;) {
        ssize_t r =
            mp_socket_recv_msg(control->server->context->control, &message, sizeof(message), &fd);
        if (r == -EAGAIN || r == -EINTR)
            return;
        if (r == -EMSGSIZE || r == -EMFILE)
            continue; /* no message of ours, or nowhere to dump to */
        if (r <= 0) {
            /* The master is gone, and with it whoever would end this process. */
            control->status = MP_WORKER_EXIT_QUIT;
            return;
        }
        if (r == (ssize_t)sizeof(message))
            on_message(control, &message, fd);
        else
            mp_fd_close(&fd);
    }
}

static void read_signals(struct control *control)
{
    int signo;
    while ((signo = mp_sigaction_relay_read(control->server->context->signals)) > 0) {
        if (signo == SIGTERM)
            start_draining(control->server, 1);
        else if (signo == SIGQUIT)
            control->status = MP_WORKER_EXIT_QUIT;
    }
}

/* ---- replacement ------------------------------------------------------------------------- */

/* Who is to be recycled waits for its turn; who is stuck does not. */
static void retire(struct control *control, enum mp_retire_reason reason)
{
    bool again = control->retiring == MP_RETIRE_MAX_REQUESTS && reason != MP_RETIRE_MAX_REQUESTS;
    if (control->retiring && !again)
        return;
    if (mp_control_tell(control->server->context, MP_WORKER_RETIRE, reason) == 0)
        control->retiring = reason;
}

static void look_at_age(struct control *control)
{
    const struct mp_sb_worker *slot = control->server->slot;
    if (!control->retiring && atomic_load_explicit(&slot->requests, memory_order_relaxed) >=
                                  control->server->requests_max)
        retire(control, MP_RETIRE_MAX_REQUESTS);
}

static void look_at_handlers(struct control *control, int64_t now)
{
    unsigned reason = mp_stuck_look(control->server->stuck, now);
    if (reason != 0)
        retire(control, (enum mp_retire_reason)reason);
}

/* ---- the loop ---------------------------------------------------------------------------- */

static void beat(struct control *control, int64_t now)
{
    struct mp_server *server = control->server;
    bool due = now >= control->beat_at;
    if (due) {
        control->beat_at = now + HEARTBEAT;
        if (control->reopen)
            control->reopen = !reopen_logs(server);
        atomic_store_explicit(&server->slot->heartbeat, now, memory_order_relaxed);
    }
    if (server->access_log && (mp_access_log_is_urgent(server->access_log) ||
                               (due && mp_access_log_has_lines(server->access_log))))
        mp_access_writer_poke(server->access_writer);
}

/* True when the watcher may sleep: it has said so, and still nobody needs it. */
static bool fall_asleep(const struct control *control)
{
    struct mp_server *server = control->server;
    struct mp_reactor *reactor = &server->reactor;
    atomic_store_explicit(&server->watcher_asleep, true, memory_order_seq_cst);
    uint64_t token = atomic_load_explicit(&reactor->token, memory_order_seq_cst);
    bool led = mp_token_mode(token) == MP_TOKEN_IO || !mp_pool_has_parked(&reactor->pool);
    bool dry = mp_pool_waiting(&reactor->pool) == 0;
    /* After the lock: whoever has booked a handler since finds the watcher asleep. */
    bool old =
        atomic_load_explicit(&server->slot->requests, memory_order_relaxed) >= server->requests_max;
    if (mp_token_mode(token) != MP_TOKEN_HANDLER && led && dry && !(old && !control->retiring))
        return true;
    atomic_store_explicit(&server->watcher_asleep, false, memory_order_relaxed);
    return false;
}

static int64_t sleep_time(struct control *control, int64_t now)
{
    struct mp_server *server = control->server;
    if (control->calm < CALM_TICKS)
        return MP_TICK_NS;
    if (control->quiet < QUIET_TICKS || !fall_asleep(control))
        return MP_TICK_BUSY_NS;
    int64_t until = control->beat_at;
    int64_t look = mp_threads_next_look(&server->reactor);
    until = look < until ? look : until;
    look = mp_dump_next_look(control->dump, now);
    until = look < until ? look : until;
    look = mp_stuck_next_look(server->stuck, mp_pool_idle(&server->reactor.pool), now);
    until = look < until ? look : until;
    return until > now ? until - now : 0;
}

static void wait_for_something(struct control *control, int64_t now)
{
    struct mp_server *server = control->server;
    const struct mp_app *app = server->app;
    int n = mp_poll(control->fds, WATCH_COUNT, sleep_time(control, now));
    atomic_store_explicit(&server->watcher_asleep, false, memory_order_relaxed);
    if (n == 0 || n == -EINTR) {
        if (app->interrupted && !app->signal_fd && n == -EINTR)
            app->interrupted(app->data);
        return;
    }
    if (control->fds[WATCH_WAKEUP].revents) {
        mp_wakeup_clear(&server->watcher);
        control->quiet = 0;
    }
    if (control->fds[WATCH_SIGNALS].revents)
        read_signals(control);
    if (control->fds[WATCH_APP].revents)
        app->interrupted(app->data);
    if (control->fds[WATCH_CONTROL].revents)
        read_control(control);
}

/* As it was last told to, and not only as it was told before. */
static bool is_drained(struct mp_server *server)
{
    uint32_t drained = atomic_load_explicit(&server->drained, memory_order_acquire);
    return drained != 0 && drained == atomic_load_explicit(&server->draining, memory_order_relaxed);
}

/* Drained: nothing is left, or nothing but handlers that are stuck. Those are left behind. */
static void look_at_end(struct control *control)
{
    struct mp_server *server = control->server;
    if (mp_pool_idle(&server->reactor.pool)) {
        control->status = 0;
    } else if (mp_stuck_is_settled(server->stuck) && mp_pool_is_done(&server->reactor)) {
        mp_log(server->log, MP_LOG_WARNING, "worker %u (pid %d) leaves, with %u handlers stuck",
               server->context->slot + 1, (int)getpid(), mp_stuck_count(server));
        control->status = MP_WORKER_EXIT_QUIT;
    }
}

int mp_control_run(struct mp_server *server)
{
    const struct mp_app *app = server->app;
    int64_t now = mp_clock_now();
    struct control control = {
        .server = server,
        .beat_at = now,
        .status = -1,
        .fds[WATCH_CONTROL] = {.fd = server->context->control, .events = POLLIN},
        .fds[WATCH_SIGNALS] = {.fd = server->context->signals, .events = POLLIN},
        .fds[WATCH_WAKEUP] = {.fd = server->watcher.fd, .events = POLLIN},
        .fds[WATCH_APP] = {.fd = app->signal_fd ? app->signal_fd(app->data) : -1, .events = POLLIN},
    };
    while (control.status < 0) {
        beat(&control, now);
        look_at_handlers(&control, now);
        look_at_age(&control);
        mp_threads_resize(&server->reactor, now);
        mp_dump_step(&control.dump, server, now);
        wait_for_something(&control, now);
        now = mp_clock_now();
        enum mp_tick tick = mp_watch_tick(&server->reactor, now);
        control.quiet = tick == MP_TICK_QUIET ? control.quiet + 1 : 0;
        control.calm = tick == MP_TICK_TENSE ? 0 : control.calm + 1;
        if (is_drained(server))
            look_at_end(&control);
    }
    mp_dump_free(&control.dump);
    return control.status;
}
