/* SPDX-License-Identifier: MIT */
/*
 * A thread as the pool's are, which runs one request after the other: Python allows one thread
 * state for each thread.
 */
#ifndef MP_TEST_POOL_THREAD_H
#define MP_TEST_POOL_THREAD_H

#include "python/gateway.h"

#include <pthread.h>

enum work {
    WORK_NONE,
    WORK_HANDLE,
    WORK_STOP,
};

struct pool_thread {
    struct mp_py_gateway *gateway;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum work work;
    struct mp_request *request;
    unsigned long repeat;
    int64_t nanoseconds; /* CPU time of the last work */
    int init_result;
};

/* Entered. 0, or -1 with an exception. */
int pool_thread_start(struct pool_thread *thread, struct mp_py_gateway *gateway);

/* Runs the request as often as it says, and waits for that with the interpreter left. */
void pool_thread_handle(struct pool_thread *thread, struct mp_request *request,
                        unsigned long repeat);

/* Harmless for one that has not started. */
void pool_thread_stop(struct pool_thread *thread);

#endif
