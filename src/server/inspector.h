/* SPDX-License-Identifier: MIT */
/*
 * Where a handler stands, found out without waiting: the control thread asks, and looks again for
 * the answer. All functions are the control thread's.
 *
 *              post                    take                  answer
 *   (no job) ---------> POSTED ----------------> TAKEN ---------------> DONE --> (free)
 *    control thread       |   inspector, which     |      inspector
 *                         |   has entered          | too late (control thread)
 *                         | INSPECT_PATIENCE       v
 *                         +-----------------> ABANDONED: the inspector frees it
 *
 * The inspector is a thread that may wait for the interpreter; it is started when it is needed
 * first. When it has not entered in time, the interpreter is held: the thread in question is asked
 * to say by itself where it stands (poke).
 */
#ifndef MP_SERVER_INSPECTOR_H
#define MP_SERVER_INSPECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mp_inspector;
struct mp_server;
struct mp_thread;

enum { MP_INSPECT_TEXT = 8192 }; /* bytes of an answer */

/* What is asked. */
struct mp_question {
    struct mp_thread *thread; /* NULL: all that are not the pool's, unless mute */
    int64_t started;          /* of the handler that is meant (thread->started_at) */
    bool raise;               /* interrupt it as well */
    bool mute;                /* do not look where it stands */
    size_t size;              /* bytes of the answer at most; 0: MP_INSPECT_TEXT */
};

struct mp_answer {
    bool over;         /* the handler had ended by then: nothing was done */
    bool held;         /* the interpreter was not to be had, since... */
    int64_t held_from; /* ... at least then; text is the thread's own, nothing was raised */
    bool raised;
    size_t len;       /* of text; 0: it is not known where it stands */
    const char *text; /* continuation lines for the log; valid until the next call */
};

/* NULL when the application has no inspection, or without memory. */
struct mp_inspector *mp_inspector_new(struct mp_server *server);

/* The pool has ended, so that nobody holds the interpreter: ends the thread. */
void mp_inspector_free(struct mp_inspector *inspector);

/* Nothing is being asked. */
bool mp_inspector_is_free(const struct mp_inspector *inspector);

/* Asks. It must be free. */
void mp_inspector_ask(struct mp_inspector *inspector, const struct mp_question *question,
                      int64_t now);

/* False: not yet. When it is true, it is free again. */
bool mp_inspector_look(struct mp_inspector *inspector, struct mp_answer *ret_answer, int64_t now);

/* When to look at the latest, if something is asked: INT64_MAX if not. An answer wakes the control
 * thread before. */
int64_t mp_inspector_next_look(const struct mp_inspector *inspector, int64_t now);

/* Since when it has been waiting for the interpreter; 0: it is not. */
int64_t mp_inspector_waits_since(const struct mp_inspector *inspector);

#endif
