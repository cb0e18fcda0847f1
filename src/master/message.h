/* SPDX-License-Identifier: MIT */
/*
 * What master and zygote say to each other: one message in a packet, over a SOCK_SEQPACKET pair.
 * The end of the stream is the order to leave (or the master's death, which is the same to a
 * zygote). What master and worker say is in server/worker.h.
 */
#ifndef MP_MASTER_MESSAGE_H
#define MP_MASTER_MESSAGE_H

#include <stdint.h>

/* What a reload can change, and the master goes by. See the options of the same names. */
struct mp_settings {
    uint32_t workers;
    uint32_t workers_limit;
    uint32_t threads;
    uint32_t threads_min;
    uint32_t max_concurrency;
    uint32_t connections;
    uint32_t log_level;
    uint32_t preload;
    int64_t workers_idle;
    int64_t max_lifetime;
    uint64_t max_memory;
    int64_t graceful_timeout;
    int64_t load_timeout;
    int64_t heartbeat_timeout;
    int64_t request_timeout;
};

enum mp_zygote_verb {
    MP_ZYGOTE_LOADED = 1,  /* zygote to master: time, settings */
    MP_ZYGOTE_LOAD_FAILED, /* zygote to master: status */
    MP_ZYGOTE_SPAWN,  /* master to zygote: slot, serial, generation, and the worker's control socket
                       */
    MP_ZYGOTE_REOPEN, /* master to zygote: the logs */
    MP_ZYGOTE_SPAWNED,      /* zygote's first child to master: slot, serial, pid */
    MP_ZYGOTE_SPAWN_FAILED, /* zygote or its first child to master: slot, serial, status */
    /* Master to zygote, for mp_master_ops.on_event: */
    MP_ZYGOTE_POOL_READY,   /* the first workers are all ready */
    MP_ZYGOTE_WORKER_ENDED, /* slot, pid, status as of waitpid(2) */
};

struct mp_zygote_message {
    uint32_t verb;
    uint32_t slot;   /* in the scoreboard */
    uint32_t serial; /* of the worker's life: answers to an order that was given up are dropped */
    uint32_t generation; /* handed on to the worker */
    int32_t pid;
    int32_t status; /* exit status of the load; errno (positive) of a failed spawn */
    int64_t time;   /* ns that the load took */
    struct mp_settings settings;
};

#endif
