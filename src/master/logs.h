/* SPDX-License-Identifier: MIT */
/* The error log and the access log, as the master looks after them. */
#ifndef MP_MASTER_LOGS_H
#define MP_MASTER_LOGS_H

#include <stdbool.h>
#include <stdint.h>

#include "os/log_sink.h"

struct mp_master;

enum mp_log_which { MP_LOG_OF_ERRORS = 0, MP_LOG_OF_ACCESS, MP_LOGS };

struct mp_log_watch {
    bool losing;   /* it was said that lines are lost */
    int error;     /* errno of the last that was */
    uint64_t told; /* lines, up to the last time that it ended */
    uint64_t seen; /* at the last look */
    bool gone;     /* at the last look another file, or none, had its name */
    int refused;   /* -errno of the last try to open it anew; 0: it worked */
};

struct mp_logs {
    struct mp_log_loss *losses; /* [MP_LOGS], shared with all processes */
    struct mp_log_watch watches[MP_LOGS];
    int64_t look_at;
    int64_t clock; /* ns: the wall clock, less the time since boot */
};

/* Memory for the counters. 0 or -errno. */
int mp_logs_init(struct mp_master *master);
void mp_logs_done(struct mp_master *master);

/* Lines that were lost so far. */
uint64_t mp_logs_lost(const struct mp_master *master, enum mp_log_which which);

/* SIGUSR1: in all processes. */
void mp_logs_reopen(struct mp_master *master);
/* In this one, a zygote. */
void mp_logs_reopen_quietly(const struct mp_master *master);

void mp_logs_tick(struct mp_master *master, int64_t now);
int64_t mp_logs_next_look(const struct mp_master *master);

#endif
