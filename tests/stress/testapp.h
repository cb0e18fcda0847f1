/* SPDX-License-Identifier: MIT */
/*
 * The test suite's application in C: what a handler can do to the pool, without Python. With an
 * interpreter lock of its own, which handlers hold while they compute and drop while they wait, as
 * Python's do.
 *
 *   /            a short fixed answer
 *   /sleep/N     drops the lock, sleeps N microseconds
 *   /cpu/N       holds the lock and computes for N microseconds of CPU
 *   /echo        the body back
 *   /big/N       N bytes, kept by reference
 *   /stream/N    N pieces, flushed one by one
 *   /file/N      N bytes by sendfile
 *   /never       does not return before release_stuck
 *   /hold        the same, and keeps the lock
 *   /work/N      drops the lock and sleeps, in small steps, for N microseconds altogether
 *   /fail        ends without an answer
 *
 * /work ends early when the server raises an exception in it (inspection.h): testapp.interrupted
 * counts that. A handler that finds an exception at its start, one that was meant for another, is
 * counted by testapp.innocent.
 *   /custom...   what the test wants: testapp.custom
 *
 * With "?id=N" the answer has a field X-Id, and the bytes of its body depend on N as
 * testapp_byte() says, so that a client can tell whose answer it got.
 */
#ifndef TESTAPP_H
#define TESTAPP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/mp_app.h"

enum { TESTAPP_THREADS = 256 };

struct testapp_thread {
    struct testapp *testapp;
    _Atomic bool raised;         /* and not come up yet */
    _Atomic(const char *) where; /* it stands */
};

struct testapp {
    struct mp_app app;
    struct testapp_thread places[TESTAPP_THREADS];
    bool locking; /* there is an interpreter lock */
    pthread_mutex_t lock;
    void (*protect)(int on); /* around what the application itself must not be refused */
    void (*custom)(struct testapp *testapp, struct mp_request *request);
    void *custom_data;
    _Atomic uint64_t handled;
    _Atomic uint64_t refs_made;
    _Atomic uint64_t refs_released;
    _Atomic uint64_t refs_wrong; /* released twice, or not one of ours */
    _Atomic unsigned inside;     /* handlers between entry and exit */
    _Atomic unsigned most_inside;
    _Atomic unsigned threads; /* thread_init minus thread_done */
    _Atomic bool release_stuck;
    _Atomic unsigned raises;      /* exceptions that the server has raised */
    _Atomic unsigned interrupted; /* of them, those that have come up */
    _Atomic unsigned calmed;      /* ... and those that were taken back before that */
    _Atomic unsigned innocent;    /* handlers that began with one that was not theirs */
    pid_t poked;
};

void testapp_init(struct testapp *testapp, bool locking);
void testapp_done(struct testapp *testapp);

/* Drops the lock, sleeps, takes the lock: for handlers. */
void testapp_nap(struct testapp *testapp, int64_t ns);
/* Drops the lock and takes it again, around something that waits. */
void testapp_leave(struct testapp *testapp);
void testapp_enter(struct testapp *testapp);

/* A block of n bytes behind a mark that tells whether it is released once; *ret_ref for
 * mp_response_write. */
char *testapp_block(struct testapp *testapp, size_t n, void **ret_ref);

/* The byte at offset of the body that belongs to a request's id. */
char testapp_byte(uint64_t id, uint64_t offset);
void testapp_fill(char *bytes, size_t n, uint64_t id, uint64_t offset);

/* Sizes of the pieces of /stream. */
size_t testapp_piece(unsigned index);

#endif
