/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told (sd_notify): that the pool is ready, reloads or stops, how it
 * is, and that it lives. Nothing of it costs anything when nobody has asked for it.
 */
#ifndef MP_MASTER_NOTIFY_H
#define MP_MASTER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mp_master;

enum { MP_NOTIFY_STATUS_SIZE = 160, MP_NOTIFY_PENDING_SIZE = 96 };

struct mp_notify {
    bool wanted;                          /* there is somebody to tell, and it can be reached */
    bool refused;                         /* the last was, by an error that is not for the moment */
    char pending[MP_NOTIFY_PENDING_SIZE]; /* what could not be sent: the last counts */
    char status[MP_NOTIFY_STATUS_SIZE];   /* the last that was told */
    int64_t watchdog;                     /* ns between two signs of life; 0: none are wanted */
    int64_t watchdog_due;
    int64_t status_due;
    int64_t retry_due;     /* of pending; 0: nothing is */
    int64_t last_deadline; /* pending is this master's last word, and given up then; 0: it is not */
};

/* From master->options.notify_socket and notify_watchdog. Of a master that follows another one: the
 * other speaks still. */
void mp_notify_init(struct mp_master *master, int64_t now);

/* The states. Ready: also at the end of a reload, whether it has succeeded or not. */
void mp_notify_ready(struct mp_master *master, int64_t now);
void mp_notify_reloading(struct mp_master *master, int64_t now);
void mp_notify_stopping(struct mp_master *master, int64_t now);

/* Another process is the service's master from now on, and speaks for it: this one falls silent as
 * soon as it has said so. It has to be told by a process that the manager knows. */
void mp_notify_hand_over(struct mp_master *master, pid_t pid, int64_t now);
bool mp_notify_is_silent(const struct mp_master *master);
/* The one before has fallen silent, or has ended. */
void mp_notify_speak(struct mp_master *master, int64_t now);

void mp_notify_tick(struct mp_master *master, int64_t now);
int64_t mp_notify_next_look(const struct mp_master *master);

#endif
