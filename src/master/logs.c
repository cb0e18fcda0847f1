/* SPDX-License-Identifier: MIT */
/*
 * The logs, as the master looks after them: opened anew by all processes when somebody asks for it
 * (SIGUSR1) or has taken the file away; and what is lost, and that the clock was set, is said once.
 *
 * A log keeps its descriptor's number: each process puts the new file there (dup3), so nobody that
 * writes has to know. Who is forked meanwhile has either the new file from its zygote, or the
 * message in its socket.
 */
#include "master/logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "master/private.h"
#include "master/report.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/shm.h"
#include "os/socket.h"

#define LOOK_PERIOD (2 * MP_NSEC_PER_SEC)
/* Beyond what a clock is corrected by while it runs. */
#define CLOCK_STEP (2 * MP_NSEC_PER_SEC)

static const char *const names[MP_LOGS] = {
    [MP_LOG_OF_ERRORS] = "error log", [MP_LOG_OF_ACCESS] = "access log"};

static int fd_of(const struct mp_master *master, unsigned which)
{
    return which == MP_LOG_OF_ERRORS ? master->options.log.fd : master->options.worker.access_log;
}

static const char *path_of(const struct mp_master *master, unsigned which)
{
    const struct mp_worker_options *worker = &master->options.worker;

    return which == MP_LOG_OF_ERRORS ? worker->log_path : worker->access_path;
}

int mp_logs_init(struct mp_master *master)
{
    void *memory;
    int fd;
    int err = mp_shm_create("millpond-logs", MP_LOGS * sizeof(struct mp_log_loss), &memory, &fd);

    if (err)
        return err;
    mp_fd_close(&fd);
    master->logs.losses = memory;
    master->options.log.sink.loss = &master->logs.losses[MP_LOG_OF_ERRORS];
    master->options.worker.access_sink.loss = &master->logs.losses[MP_LOG_OF_ACCESS];
    master->logs.clock = mp_clock_wall() - mp_clock_boot();
    return 0;
}

void mp_logs_done(struct mp_master *master)
{
    if (master->logs.losses)
        mp_shm_unmap(master->logs.losses, MP_LOGS * sizeof(struct mp_log_loss));
    master->logs.losses = NULL;
}

uint64_t mp_logs_lost(const struct mp_master *master, enum mp_log_which which)
{
    return master->logs.losses
               ? atomic_load_explicit(&master->logs.losses[which].lines, memory_order_relaxed)
               : 0;
}

/* ---- opening anew --------------------------------------------------------------------------- */

static bool reopen_own(struct mp_master *master, unsigned which)
{
    int fd = fd_of(master, which);
    const char *path = path_of(master, which);
    int err;

    if (!path || fd < 0)
        return true;
    err = mp_fd_reopen_append(fd, path);
    if (err && master->logs.watches[which].refused != err)
        mp_log(&master->options.log, MP_LOG_ERROR, "the %s cannot be opened anew: %s: %s",
               names[which], path, strerrordesc_np(-err));
    master->logs.watches[which].refused = err;
    return err == 0;
}

static void tell_others(struct mp_master *master)
{
    const struct mp_zygote_message order = {.verb = MP_ZYGOTE_REOPEN};
    const struct mp_worker_message message = {.verb = MP_WORKER_REOPEN};

    for (unsigned i = 0; i < MP_ZYGOTES; i++) {
        if (master->zygotes[i].control >= 0)
            (void)mp_socket_send_msg(master->zygotes[i].control, &order, sizeof(order), -1);
    }
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].control >= 0)
            (void)mp_socket_send_msg(master->workers[i].control, &message, sizeof(message), -1);
    }
}

void mp_logs_reopen(struct mp_master *master)
{
    bool all = true;

    for (unsigned i = 0; i < MP_LOGS; i++)
        all = reopen_own(master, i) && all;
    tell_others(master);
    if (all)
        mp_log(&master->options.log, MP_LOG_INFO, "SIGUSR1: the logs are opened anew");
}

/* In a zygote: for its workers to come. */
void mp_logs_reopen_quietly(const struct mp_master *master)
{
    for (unsigned i = 0; i < MP_LOGS; i++) {
        if (path_of(master, i) && fd_of(master, i) >= 0)
            (void)mp_fd_reopen_append(fd_of(master, i), path_of(master, i));
    }
}

/* Two looks: who rotates logs moves the file away, makes another, and then says so. */
static void look_at_file(struct mp_master *master, unsigned which)
{
    int fd = fd_of(master, which);
    const char *path = path_of(master, which);

    bool gone = path && fd >= 0 && !mp_fd_is_path(fd, path);
    bool again = gone && master->logs.watches[which].gone;

    master->logs.watches[which].gone = gone;
    if (!again || !reopen_own(master, which))
        return;
    tell_others(master);
    mp_log(&master->options.log, MP_LOG_WARNING,
           "the %s %s was removed or moved away: opened anew. SIGUSR1 after that does it at once",
           names[which], path);
}

/* ---- what is lost --------------------------------------------------------------------------- */

static const char *reason(int error)
{
    return error == EAGAIN ? "its reader does not keep up" : strerrordesc_np(error);
}

/* The error log is tried by just that line: it may be the only one. It is not waited for, and
 * failure counts for nothing. */
static bool is_written_again(struct mp_master *master, unsigned which, uint64_t lost)
{
    struct mp_log_loss uncounted = {.error = EAGAIN};
    struct mp_log log = master->options.log;

    if (mp_log_sink_mend(&log.sink, log.fd) < 0)
        return false;
    log.sink.loss = &uncounted;
    return mp_log(&log, MP_LOG_WARNING,
                  "the %s is written again; %" PRIu64 " of its lines were lost: %s", names[which],
                  lost, reason(master->logs.watches[which].error)) == 0;
}

/* Lines go to the error log; when it is that which loses them, the end is told at least. */
static void look_at_loss(struct mp_master *master, unsigned which)
{
    struct mp_log_loss *loss = &master->logs.losses[which];
    struct mp_log_watch *watch = &master->logs.watches[which];
    uint64_t lines = atomic_load_explicit(&loss->lines, memory_order_relaxed);
    int error = atomic_load_explicit(&loss->error, memory_order_relaxed);
    bool more = lines != watch->seen;

    watch->seen = lines;
    if (error != 0)
        watch->error = error;
    if (!watch->losing && lines != watch->told) {
        watch->losing = true;
        mp_log(&master->options.log, MP_LOG_ERROR, "the %s loses lines: %s", names[which],
               reason(watch->error));
    } else if (watch->losing && !more && (error == 0 || which == MP_LOG_OF_ERRORS) &&
               is_written_again(master, which, lines - watch->told)) {
        watch->losing = false;
        atomic_store_explicit(&loss->error, 0, memory_order_relaxed);
        watch->told = atomic_load_explicit(&loss->lines, memory_order_relaxed);
        watch->seen = watch->told;
    }
}

/* ---- the clock ------------------------------------------------------------------------------ */

/* Everything is timed by another clock, but stamps and dates are not. A machine that has slept has
 * not been set. */
static void look_at_clock(struct mp_master *master)
{
    int64_t clock = mp_clock_wall() - mp_clock_boot();
    int64_t step = clock - master->logs.clock;
    char text[32];

    master->logs.clock = clock;
    if (step > -CLOCK_STEP && step < CLOCK_STEP)
        return;
    mp_log(&master->options.log, MP_LOG_WARNING,
           "the machine's clock was set %s by %s: times in the logs are not in order here, nothing "
           "else depends on it",
           step < 0 ? "back" : "forward",
           mp_report_duration(step < 0 ? -step : step, text, sizeof(text)));
}

/* ---- the loop ------------------------------------------------------------------------------- */

void mp_logs_tick(struct mp_master *master, int64_t now)
{
    look_at_clock(master);
    if (now < master->logs.look_at)
        return;
    master->logs.look_at = now + LOOK_PERIOD;
    for (unsigned i = 0; i < MP_LOGS; i++) {
        look_at_file(master, i);
        look_at_loss(master, i);
    }
}

int64_t mp_logs_next_look(const struct mp_master *master)
{
    bool wanted = false;

    for (unsigned i = 0; i < MP_LOGS; i++)
        wanted = wanted || path_of(master, i) || master->logs.watches[i].losing;
    return wanted || master->options.worker.access_log >= 0 ? master->logs.look_at
                                                            : MP_HANDLE_NEVER;
}
