/* SPDX-License-Identifier: MIT */
/*
 * The master's view of one worker, one handle for each slot of the scoreboard. Pure: a handle is
 * told what has happened and says what is to be done by when; who sends, kills and logs is crew.c.
 *
 *            want             asked               spawned             ready
 *    FREE ---------> WAITING --------> SPAWNING -----------> STARTING -------> READY
 *     ^                 ^ ^              | refused            |                 |
 *     |                 | +--------------+                    | leave           | leave
 *     |                 |                                     v                 v
 *     |   gone: to be replaced, after a delay             DRAINING <------------+
 *     +---------------- gone ----------------- KILLED <-------+ (killed: from STARTING, READY too)
 *
 * The process exists from SPAWNED (its pid is known) to gone (it was reaped).
 */
#ifndef MP_MASTER_WORKER_HANDLE_H
#define MP_MASTER_WORKER_HANDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "master/backoff.h"
#include "server/worker.h"

enum mp_handle_state {
    MP_HANDLE_FREE = 0, /* no worker, none wanted */
    MP_HANDLE_WAITING,  /* one is wanted, from due on */
    MP_HANDLE_SPAWNING, /* the zygote has been asked; the pid is not known */
    MP_HANDLE_STARTING, /* runs, not ready */
    MP_HANDLE_READY,    /* serves */
    MP_HANDLE_DRAINING, /* leaves: told to, or has closed its control socket by itself */
    MP_HANDLE_KILLED,   /* SIGKILL is sent; to be reaped */
};

/* What time demands. */
enum mp_handle_look {
    MP_LOOK_NOTHING = 0,
    MP_LOOK_SPAWN,      /* WAITING: due */
    MP_LOOK_UNANSWERED, /* SPAWNING: the zygote does not react */
    MP_LOOK_LATE,       /* STARTING: not ready in time */
    MP_LOOK_LOST,       /* has closed its control socket or was killed, but lives on */
    MP_LOOK_SILENT,     /* READY: its heart does not beat */
    MP_LOOK_OVERDUE,    /* DRAINING: not gone in time */
};

#define MP_HANDLE_NEVER INT64_MAX
/* For the zygote's answer; load_timeout, if that is shorter. */
#define MP_HANDLE_SPAWN_TIMEOUT (30 * MP_NSEC_PER_SEC)
/* Between the end of a control socket, or SIGKILL, and the death that goes with it. */
#define MP_HANDLE_END_GRACE MP_NSEC_PER_SEC

/* ns, 0: no limit. */
struct mp_handle_limits {
    int64_t load_timeout;
    int64_t heartbeat_timeout;
};

struct mp_worker_handle {
    enum mp_handle_state state;
    unsigned slot;
    uint32_t serial;     /* of this life */
    unsigned generation; /* of the zygote that was asked for it; 0: none yet */
    unsigned code;       /* of that zygote; 0: none yet */
    bool proving;        /* asked, or to be asked, of the second zygote: reload.c */
    pid_t pid;           /* 0: not known */
    int control;         /* owned; -1: none */
    int64_t due;
    int64_t started;  /* asked for */
    int64_t ready_at; /* 0: not yet */
    int64_t
        deadline; /* DRAINING, or SPAWNING when asked to leave; KILLED: when it should be gone */
    int64_t closed_at;  /* control has ended; 0: no */
    int64_t stopped_at; /* its process is, since then; 0: it is not */
    int64_t suspect_at; /* first look at a heart that does not beat; 0: none */
    bool dumped;        /* it was told to say where it stands, its heart not beating */
    bool asked_to_leave;
    bool lost;      /* does not end though it should: its successor does not wait for its slot */
    bool retiring;  /* serves until its successor is ready */
    bool recycling; /* ... for its age, its requests or its memory: see recycle.c */
    enum mp_retire_reason wish; /* it is to be recycled when its turn has come; NONE: not */
    uint64_t wish_figure;
    int64_t wish_at;
    int64_t memory_at; /* next look at its memory */
    bool load_failed;
    int load_status;
    int replaces; /* slot of a retiring worker that waits for this one; -1: none */
    /* Whom this one replaces, for the log: its worker's slot, pid and the time; pid 0: nobody. */
    unsigned old_slot;
    pid_t old_pid;
    int64_t old_time;
    struct mp_backoff deaths;   /* outlive the life */
    struct mp_backoff refusals; /* of spawns */
};

void mp_worker_handle_init(struct mp_worker_handle *handle, unsigned slot);

/* Counts for the pool's size: wanted, on its way, serving and meant to stay, or about to be reaped
 * and replaced in the same slot. One that proves new code is one more than are wanted. */
bool mp_worker_handle_active(const struct mp_worker_handle *handle);

/* A process of this handle may exist. */
bool mp_worker_handle_alive(const struct mp_worker_handle *handle);

/* FREE to WAITING. */
void mp_worker_handle_want(struct mp_worker_handle *handle, int64_t due);
/* WAITING to FREE. */
void mp_worker_handle_unwant(struct mp_worker_handle *handle);
/* WAITING to SPAWNING; takes control over. */
void mp_worker_handle_asked(struct mp_worker_handle *handle, uint32_t serial, int control,
                            int64_t now);
/* The spawn was refused: SPAWNING or WAITING to WAITING (to FREE when asked to leave). control must
 * be closed. */
void mp_worker_handle_refused(struct mp_worker_handle *handle, int64_t due);
/* SPAWNING to STARTING (to DRAINING when asked to leave meanwhile). */
void mp_worker_handle_spawned(struct mp_worker_handle *handle, pid_t pid);
/* STARTING to READY; DRAINING stays, but it is known that it serves. False: out of order, ignored.
 */
bool mp_worker_handle_ready(struct mp_worker_handle *handle, int64_t now);
/* It was told to leave: to DRAINING with a deadline. SPAWNING waits for its pid first. */
void mp_worker_handle_leave(struct mp_worker_handle *handle, int64_t deadline);
void mp_worker_handle_killed(struct mp_worker_handle *handle, int64_t now);
/* READY; its heart does not beat, and it was told to say where it stands: it gets a third look. */
void mp_worker_handle_dumped(struct mp_worker_handle *handle, int64_t now);
/* It lives on: DRAINING until deadline, if it is not KILLED. It does not count any more. */
void mp_worker_handle_lost(struct mp_worker_handle *handle, int64_t deadline);
/*
 * The process has been reaped; control must be closed. again: a successor is wanted in this slot:
 * WAITING after the delay that is returned; else FREE (and the failures are forgotten), 0.
 */
int64_t mp_worker_handle_gone(struct mp_worker_handle *handle, bool again, int64_t now);

/* When to look again, MP_HANDLE_NEVER: not by time. beat: the last heartbeat, 0 for none yet. */
int64_t mp_worker_handle_next_look(const struct mp_worker_handle *handle,
                                   const struct mp_handle_limits *limits, int64_t beat);

/* What time demands now. A heart is given two looks, a little apart: when the whole machine was
 * stopped, the master may run before the workers do. */
enum mp_handle_look mp_worker_handle_look(struct mp_worker_handle *handle,
                                          const struct mp_handle_limits *limits, int64_t beat,
                                          int64_t now);

#endif
