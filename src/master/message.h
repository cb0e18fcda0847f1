/* SPDX-License-Identifier: MIT */
/*
 * What master and zygote say to each other: one message in a packet, over a SOCK_SEQPACKET pair.
 * The end of the stream is the order to leave (or the master's death, which is the same to a
 * zygote). What master and worker say is in server/worker.h.
 */
#ifndef MP_MASTER_MESSAGE_H
#define MP_MASTER_MESSAGE_H

#include <stdint.h>

enum mp_zygote_verb {
    MP_ZYGOTE_LOADED = 1,  /* zygote to master: time */
    MP_ZYGOTE_LOAD_FAILED, /* zygote to master: status */
    MP_ZYGOTE_SPAWN, /* master to zygote: slot, serial, generation, and the worker's control socket
                      */
    MP_ZYGOTE_SPAWNED,      /* zygote's first child to master: slot, serial, pid */
    MP_ZYGOTE_SPAWN_FAILED, /* zygote or its first child to master: slot, serial, status */
};

struct mp_zygote_message {
    uint32_t verb;
    uint32_t slot;   /* in the scoreboard */
    uint32_t serial; /* of the worker's life: answers to an order that was given up are dropped */
    uint32_t generation; /* handed on to the worker */
    int32_t pid;
    int32_t status; /* exit status of the load; errno (positive) of a failed spawn */
    int64_t time;   /* ns that the load took */
};

#endif
