/* SPDX-License-Identifier: MIT */
/*
 * The scoreboard: what every worker and every thread does, in shared memory.
 *
 * One mapping made by the master before the first fork: header, worker slots, thread slots. No
 * pointers: everything is found by index and by the sizes in the header. Each cache line has one
 * writer; where several words must agree (a thread's state with its request) a sequence lock
 * guards them, all words being relaxed atomics, so that a reader never stops a writer and a writer
 * that is killed in the middle leaves a slot that readers recognise (odd sequence) and can still
 * show.
 *
 * Writers: `master` fields by the master, `control` fields by the worker's control thread,
 * `reactor` fields by the thread that holds the token (one at a time, ordered by the token's
 * hand-over), thread slots by their thread. One word has a second writer: the control thread may
 * turn a state WORKING into STUCK.
 */
#ifndef MP_SCOREBOARD_SCOREBOARD_H
#define MP_SCOREBOARD_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/hist.h"

#define MP_SB_MAGIC UINT64_C(0x31304244504c494d) /* "MILPDB01", little endian */
#define MP_SB_VERSION 4u

/* At the start of the mapping. Written once, before the first fork. */
struct mp_sb_header {
    uint64_t magic; /* MP_SB_MAGIC */
    uint32_t version;
    uint32_t header_size; /* bytes from the start to worker slot 0 */
    uint32_t worker_size; /* bytes from a worker slot to the next */
    uint32_t thread_size;
    uint32_t
        workers; /* worker slots; behind them workers x threads thread slots, a worker's together */
    uint32_t threads;
    uint64_t total_size; /* bytes of the mapping */
};

enum mp_sb_worker_state {
    MP_SB_WORKER_FREE = 0, /* slot unused */
    MP_SB_WORKER_STARTING, /* forked or about to be, not ready yet */
    MP_SB_WORKER_READY,    /* serves */
    MP_SB_WORKER_DRAINING, /* takes no new connections, finishes what it has */
};

enum mp_sb_thread_state {
    MP_SB_THREAD_NONE = 0, /* no such thread */
    MP_SB_THREAD_READY,    /* parked */
    MP_SB_THREAD_LEADING,  /* holds the token, moves bytes */
    MP_SB_THREAD_WORKING,  /* inside a handler */
    MP_SB_THREAD_STUCK,    /* inside a handler past its deadline */
};

struct mp_sb_worker {
    /* master */
    MP_CACHE_ALIGNED _Atomic uint32_t state; /* enum mp_sb_worker_state */
    _Atomic uint32_t generation;
    _Atomic int32_t pid;
    _Atomic int64_t started; /* monotonic ns */
    /* control */
    MP_CACHE_ALIGNED _Atomic int64_t heartbeat; /* monotonic ns */
    _Atomic uint32_t threads;                   /* handlers that may run at once */
    _Atomic uint32_t stuck;
    _Atomic uint32_t seats; /* of the bound on all workers' threads: seats.h */
    _Atomic int64_t
        held_since; /* monotonic ns: nobody could enter the interpreter; 0: it can be had */
    /* reactor */
    MP_CACHE_ALIGNED _Atomic uint32_t connections;
    _Atomic uint32_t fifo_depth; /* requests that are ready and wait */
    _Atomic uint32_t handlers;   /* handlers that run now */
    _Atomic uint32_t computing;  /* of them, those that are not known to wait */
    _Atomic uint64_t accepted;   /* connections since the start */
    _Atomic uint64_t takeovers;  /* token taken from a leader in a handler */
    _Atomic uint64_t handovers;  /* token handed over before a handler */
    _Atomic uint64_t bad_requests;
    _Atomic uint64_t shed;      /* answered instead of run: they had waited for too long */
    _Atomic uint64_t health;    /* health checks answered */
    _Atomic uint64_t abandoned; /* not run: the client had left while they waited */
    _Atomic int64_t
        waiting_since;          /* monotonic ns: the first in the FIFO was ready; 0: none waits */
    _Atomic int64_t full_since; /* monotonic ns: no place for another handler; 0: there is */
    /* pool, under the pool's lock */
    MP_CACHE_ALIGNED _Atomic uint64_t requests; /* handlers finished */
    struct mp_hist queue_wait;                  /* ns, ready until the handler starts */
    struct mp_hist handler_time;                /* ns */
    struct mp_hist enter_wait; /* ns, for the interpreter (the GIL), each time it was asked for */
};

#define MP_SB_METHOD_SIZE 16 /* bytes kept, NUL-padded */
#define MP_SB_PATH_SIZE 112
#define MP_SB_PEER_SIZE 24 /* as thread_slot.c lays it out; formatted by the reader */

struct mp_sb_thread {
    MP_CACHE_ALIGNED _Atomic uint32_t sequence; /* odd while its thread writes */
    _Atomic uint32_t state;                     /* enum mp_sb_thread_state */
    _Atomic int64_t since;                      /* monotonic ns, of the state */
    _Atomic uint64_t requests;
    _Atomic uint64_t method[MP_SB_METHOD_SIZE / 8];
    _Atomic uint64_t path[MP_SB_PATH_SIZE / 8];
    _Atomic uint64_t peer[MP_SB_PEER_SIZE / 8];
};

/* What a reader gets: a consistent copy. */
struct mp_sb_thread_view {
    enum mp_sb_thread_state state;
    bool torn; /* its writer died while it wrote, or writes without a pause: may be mixed */
    int64_t since;
    uint64_t requests;
    char method[MP_SB_METHOD_SIZE + 1];
    char path[MP_SB_PATH_SIZE + 1];
    char peer[64]; /* "10.0.0.9", "::1", "unix" */
    uint16_t port; /* of the peer; 0: none */
};

struct mp_scoreboard; /* process-local handle; the mapping is inherited by fork */

/* Maps a scoreboard for at most workers x threads slots. Returns 0 or -errno. */
int mp_scoreboard_new(unsigned workers, unsigned threads, struct mp_scoreboard **ret_board);
void mp_scoreboard_free(struct mp_scoreboard *board); /* NULL is harmless */

/*
 * A scoreboard of other processes, for reading only: whoever writes into its slots dies by SIGSEGV.
 * fd is duplicated. 0; -EPROTO: it is no scoreboard, or damaged; -EPROTONOSUPPORT: it is one of
 * another version, *ret_version (which may be NULL); or -errno.
 */
int mp_scoreboard_open(int fd, struct mp_scoreboard **ret_board, uint32_t *ret_version);

unsigned mp_scoreboard_workers(const struct mp_scoreboard *board);
unsigned mp_scoreboard_threads(const struct mp_scoreboard *board);
int mp_scoreboard_fd(const struct mp_scoreboard *board);

/* The slot; worker < workers, thread < threads. */
struct mp_sb_worker *mp_scoreboard_worker(struct mp_scoreboard *board, unsigned worker);
struct mp_sb_thread *mp_scoreboard_thread(struct mp_scoreboard *board, unsigned worker,
                                          unsigned thread);

/* Clears a worker's slot and its threads' for a new process (master, nobody lives in it). */
void mp_scoreboard_reset_worker(struct mp_scoreboard *board, unsigned worker);

/* Written by the thread itself. begin: state WORKING with its request, and counts it. address:
 * family and raw bytes, address_len 0, 4 or 16. Cost: some 30 relaxed stores, no system call. */
void mp_sb_thread_begin(struct mp_sb_thread *slot, int64_t now, const char *method,
                        size_t method_len, const char *path, size_t path_len, const void *address,
                        size_t address_len, uint16_t port);
void mp_sb_thread_set_state(struct mp_sb_thread *slot, enum mp_sb_thread_state state, int64_t now);

/* Another thread of the worker (control): WORKING since that time becomes STUCK; since stays, so
 * that readers see how long. False when the thread has gone on in the meantime. */
bool mp_sb_thread_mark_stuck(struct mp_sb_thread *slot, int64_t since);

/* Any process: a consistent copy, after at most a bounded number of tries (then torn is set). */
void mp_sb_thread_read(const struct mp_sb_thread *slot, struct mp_sb_thread_view *ret_view);

#define MP_SB_CLIENT_TEXT 80

/* The peer with its port, if it has one: "10.0.0.9:4711", "[::1]:4711", "unix". Returns text. */
const char *mp_sb_thread_client(const struct mp_sb_thread_view *view, char *text, size_t size);

#endif
