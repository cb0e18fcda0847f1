/* SPDX-License-Identifier: MIT */
/*
 * What a client says on the control socket, and what it is answered. Packets over SOCK_SEQPACKET:
 * one request, one answer, as often as the client likes. In the machine's byte order: both are on
 * the same one. python/millpond/_control.py is the other half.
 */
#ifndef MP_MASTER_CONTROL_PROTOCOL_H
#define MP_MASTER_CONTROL_PROTOCOL_H

#include <stdint.h>

#define MP_CONTROL_MAGIC UINT32_C(0x4354504d) /* "MPTC", little endian */
#define MP_CONTROL_VERSION 1u

enum mp_control_verb {
    MP_CONTROL_HELLO = 1, /* the answer's text describes the server, and a descriptor of the
                             scoreboard, to read, comes with it */
    MP_CONTROL_WORKERS,   /* value: how many workers more, or less */
    MP_CONTROL_RETIRE,    /* value: number of a worker, from 1: its replacement first, then it */
    MP_CONTROL_DUMP,   /* value: number of a worker; with a descriptor of a pipe or a socket, into
                          which it writes where its threads stand, and which it closes then */
    MP_CONTROL_RELOAD, /* new code and configuration; the answer's value is the number of this
                          reload, which is over when reload_finished is as much */
};

struct mp_control_request {
    uint32_t magic; /* MP_CONTROL_MAGIC */
    uint32_t version;
    uint32_t verb; /* enum mp_control_verb */
    int32_t value;
};

/* The head of an answer; text follows, to the end of the packet and without a NUL. */
struct mp_control_answer {
    uint32_t magic;
    uint32_t version;
    uint32_t verb;  /* of the request; 0: that could not be read */
    int32_t status; /* 0, or the errno of what is wrong: the text says it for people */
    int32_t value;
};

/*
 * The text of HELLO: lines of a name, a space and a value, in no particular order. Readers pass
 * over names that they do not know. "listen" may come several times.
 */
#define MP_CONTROL_TEXT_SIZE 4096

#endif
