/* SPDX-License-Identifier: MIT */
/* What the log says of handlers that take long. Control thread's. */
#ifndef MP_SERVER_STUCK_REPORT_H
#define MP_SERVER_STUCK_REPORT_H

#include <stdbool.h>
#include <stdint.h>

struct mp_answer;
struct mp_server;
struct mp_thread;

enum { MP_STUCK_TEXT = 512 };

/* A handler that takes long: what is known of it, and what is still to be done. */
struct mp_stuck_case {
    int64_t started;  /* of the handler that it is about; 0: none */
    int64_t since;    /* it is stuck; 0: it is not */
    int64_t raise_at; /* not before that; 0: done, or not wanted */
    bool slow_told;
    bool slow_due;
    bool stuck_due;
    bool traceback; /* in the record that is due */
    bool lost;
    bool extended;
    bool computing; /* when the inspector was asked */
    bool replaced;
    unsigned usable; /* threads, when it got stuck */
    const char *done;
    char text[MP_STUCK_TEXT]; /* the request */
};

void mp_stuck_report_slow(const struct mp_server *server, const struct mp_stuck_case *found,
                          const struct mp_thread *thread, const struct mp_answer *answer,
                          int64_t now);
/* answer NULL: nobody was asked. */
void mp_stuck_report_stuck(const struct mp_server *server, const struct mp_stuck_case *found,
                           const struct mp_thread *thread, const struct mp_answer *answer);
/* It goes on after its grace. */
void mp_stuck_report_lost(const struct mp_server *server, const struct mp_stuck_case *found,
                          const struct mp_thread *thread, int64_t now);
/* It has ended after all. */
void mp_stuck_report_back(const struct mp_server *server, const struct mp_stuck_case *found,
                          const struct mp_thread *thread, int64_t now);
/* Nobody has had the interpreter since then; thread: who is most likely to hold it. */
void mp_stuck_report_hang(const struct mp_server *server, const struct mp_thread *thread,
                          const struct mp_answer *answer, int64_t since, int64_t now);

#endif
