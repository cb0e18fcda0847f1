/* SPDX-License-Identifier: MIT */
/*
 * How handlers are looked at from outside: callbacks of an application (mp_app.h), with its data.
 *
 * The server has a thread of its own for it, the inspector, since the look may have to wait for the
 * interpreter. It calls, in this order:
 *
 *   init         once; may wait for the interpreter
 *     enter      as of mp_app
 *       capture  where a thread stands
 *       raise    as needed
 *       describe frees what capture has returned
 *     leave
 *   done         once
 *
 * When the interpreter is not to be had, poke makes a thread say by itself where it stands.
 */
#ifndef MP_SERVER_INSPECTION_H
#define MP_SERVER_INSPECTION_H

#include <stddef.h>
#include <sys/types.h>

struct mp_inspection {
    /* 0 or -errno. Not entered, before and after. */
    int (*init)(void *data, void **ret_inspector);
    void (*done)(void *data, void *inspector);
    void (*enter)(void *data, void *inspector);
    void (*leave)(void *data, void *inspector);

    /*
     * thread: what thread_init has returned, of a thread whose handler is claimed (claim.h): it
     * cannot end. Entered; must neither wait for the interpreter, nor let others have it, nor run
     * anybody's code. NULL without memory. thread NULL: all threads that the application has
     * started itself; no claim, and none of these restrictions.
     */
    void *(*capture)(void *data, void *inspector, void *thread);
    /* Lines, each behind "\n    " as continuation lines of the log, the most useful ones when size
     * is small; terminated. Returns the length; 0 when there is nothing to show. Entered. */
    size_t (*describe)(void *data, void *capture, char *text, size_t size);

    /* Has the claimed handler of thread raise an exception, as soon as it can. Entered; as capture.
     * 0 or -errno. */
    int (*raise)(void *data, void *thread);
    /* Takes that back, if it has not come up yet. On the thread itself, after its handler. Entered.
     */
    void (*calm)(void *data, void *thread);

    /*
     * Control thread, not entered: has a thread of this process (as the kernel numbers it) say by
     * itself where it stands. 0, -EBUSY while the last one has not answered, or -errno. NULL:
     * cannot be done.
     */
    int (*poke)(void *data, pid_t tid);
    /* What it has said, as describe; -EAGAIN: nothing yet. */
    ssize_t (*poked)(void *data, char *text, size_t size);
};

#endif
