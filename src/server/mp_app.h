/* SPDX-License-Identifier: MIT */
/*
 * The application as the server sees it: a table of callbacks. The WSGI gateway is one, the test
 * suite's C application another. The server knows no Python.
 *
 * A thread of the pool calls, in this order:
 *
 *   thread_init  once, on the thread itself
 *     enter      takes what the application needs to run (the GIL)
 *       handle   once or several times, a request each
 *       release  as needed
 *     leave      gives it back
 *   thread_done  once
 *
 * enter may block for as long as another thread holds the interpreter; the pool never calls it
 * while it holds a lock. Between enter and leave the pool makes no blocking system call.
 */
#ifndef MP_SERVER_MP_APP_H
#define MP_SERVER_MP_APP_H

#include <stddef.h>

struct mp_inspection;
struct mp_request;

struct mp_app {
    const char *name; /* for logs */
    void *data;       /* passed to every callback */

    /*
     * How many handlers may compute at the same time: 1 under a GIL, 0 for no bound. Handlers
     * that wait for something (known by their route, or seen by their CPU clock) do not count.
     */
    unsigned max_computing;

    /* Prepares the calling thread; *ret_thread is passed to the callbacks below. Returns 0 or
     * -errno. index is 0 .. threads. NULL: nothing to prepare. */
    int (*thread_init)(void *data, unsigned index, void **ret_thread);
    void (*thread_done)(void *data, void *thread);

    void (*enter)(void *data, void *thread); /* NULL: nothing to take */
    void (*leave)(void *data, void *thread);

    /*
     * Runs one request: reads it with request.h, answers with response.h. Entered. Must have ended
     * or failed the response when it returns; otherwise the server fails it (500, or the connection
     * is cut).
     */
    void (*handle)(void *data, void *thread, struct mp_request *request);

    /* Drops references that responses have kept (mp_response_write with a ref). Entered; any
     * thread. */
    void (*release)(void *data, void *thread, void **refs, size_t count);

    /* The control thread was interrupted by a signal (Python's handlers want to run). Not entered.
     */
    void (*interrupted)(void *data);

    /* A descriptor that is readable when interrupted wants to be called, because a signal that
     * comes while the control thread is not waiting interrupts nothing. interrupted empties it.
     * NULL, or -1: none. */
    int (*signal_fd)(void *data);

    /* How to see where handlers stand, and to interrupt them (inspection.h). NULL: cannot be done.
     */
    const struct mp_inspection *inspection;
};

#endif
