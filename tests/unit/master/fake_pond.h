/* SPDX-License-Identifier: MIT */
/*
 * A whole master with an application in C that does as it is told: the test's process stays
 * outside, watches through shared memory and through the log, and sends signals as a person would.
 */
#ifndef MP_TEST_FAKE_POND_H
#define MP_TEST_FAKE_POND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "master/master.h"

#define POND_SLOTS 16
#define POND_LOG_SIZE 65536

#define POND_UNWANTED 77 /* exit status of a master that was not told to go */

/* What a worker is told to do by the test. */
enum pond_command {
    POND_NOTHING = 0,
    POND_EXIT,         /* _exit(argument) */
    POND_RAISE,        /* end by signal argument */
    POND_READY,        /* send READY, after all */
    POND_RETIRE,       /* send RETIRE, for reason argument (0: stuck) */
    POND_STOP,         /* send STOP */
    POND_CLOSE,        /* close the control socket, live on */
    POND_SERVE,        /* look busy in the scoreboard: threads 2 and 5 */
    POND_LOOK,         /* show argument requests that wait, and as many handlers that compute */
    POND_LEAVE_ORPHAN, /* fork a process that outlives the worker for argument ms */
    POND_FORK_AND_TERM /* fork a process and send it SIGTERM; its wait status goes to result */
};

struct pond_worker {
    _Atomic pid_t pid;
    _Atomic int starts;         /* lives in this slot */
    _Atomic int64_t ready_from; /* monotonic ns, of this life: before READY was sent */
    _Atomic int64_t ready_at;   /* and after it: takes commands */
    _Atomic int64_t drain_at;
    _Atomic int drain_value; /* of the DRAIN message + 1; 0: none came */
    _Atomic int quit;        /* QUIT came */
    _Atomic int terms;       /* SIGTERM came through the relay */
    _Atomic int fds;         /* open at serve */
    _Atomic int sockets;     /* of these, sockets */
    _Atomic uint64_t blocked;
    _Atomic uint64_t ignored;
    _Atomic uint64_t caught;
    _Atomic int command;
    _Atomic int argument;
    _Atomic int result;
    _Atomic int done;    /* commands carried out */
    _Atomic int threads; /* of its options */
    _Atomic int generation;
};

/* Set by the test before pond_start, or while it runs. */
struct pond_orders {
    _Atomic int load_status;
    _Atomic int load_ms;
    _Atomic int load_signal;   /* raised in load */
    _Atomic int fork_failures; /* that many forks fail, from pass on */
    _Atomic int fork_pass;     /* forks that succeed before */
    _Atomic int fork_error;    /* errno of those that fail */
    _Atomic int exit_early;    /* workers leave before READY; with that status - 1 */
    _Atomic int exit_ready;    /* workers leave right after READY; with that status - 1 */
    _Atomic int never_ready;
    _Atomic int stubborn;         /* workers do not leave when told to */
    _Atomic int drain_ms;         /* between DRAIN and exit */
    _Atomic int silent;           /* hearts do not beat */
    _Atomic int close_early;      /* workers close their control socket before READY, and stay */
    _Atomic int handlers;         /* load installs handlers for SIGINT and SIGTERM */
    _Atomic int hog_fds;          /* load uses up all descriptors */
    _Atomic int exit_ms;          /* that a zygote takes for its last words */
    _Atomic int configure_status; /* of a fresh zygote */
    _Atomic int new_workers;      /* what a fresh zygote reads in the configuration; 0: as before */
    _Atomic int new_threads;
};

struct pond {
    struct pond_orders orders;
    struct pond_worker workers[POND_SLOTS];
    _Atomic int loads;
    _Atomic int freezes;
    _Atomic int forks;
    _Atomic int ready_calls;
    _Atomic int stopping_signal;
    _Atomic int ready_workers;
    _Atomic int ready_threads;
    _Atomic pid_t zygote;   /* the last process that loaded or froze */
    _Atomic int exits;      /* ops->exit was called */
    _Atomic int configures; /* of zygotes */
    _Atomic int fresh;      /* of these, those that were to take another's place */
    _Atomic int ready_events;
    _Atomic int end_events;           /* of workers */
    _Atomic int end_status;           /* of the last */
    struct mp_master *self;           /* in the master and its children */
    struct mp_master_options options; /* likewise */
    _Atomic int balance; /* before_fork - after_fork_parent, in the process that forks */
    pid_t master;
    int link; /* the program's end, when the master is embedded; the test's */
    int log_fd;
    char log[POND_LOG_SIZE];
};

struct pond_options {
    unsigned workers;       /* 0: 2 */
    unsigned workers_max;   /* 0: 4 */
    unsigned workers_limit; /* 0: as many as workers */
    bool no_preload;
    int graceful_ms; /* 0: 5000 */
    int load_ms;     /* 0: no limit */
    int heart_ms;    /* 0: no limit */
    const char *bind;
    bool embed;          /* the master is a child with a link, as of a program that embeds it */
    bool await_go;       /* ... and waits for GO */
    const char *control; /* the control socket; NULL: none */
    const char *notify;  /* the service manager's socket; NULL: none */
    int watchdog_ms;     /* ... and what it wants */
    int spare_fds;       /* 0: many; else the master may open that many beyond its listeners */
};

struct pond *pond_new(void);
void pond_free(struct pond *pond);

/* A pond whose workers are ready; and its end, by SIGTERM, with status 0. */
struct pond *pond_begin(struct pond_options options);
void pond_end(struct pond *pond);

/* Forks the master into a process group of its own. */
void pond_start(struct pond *pond, const struct pond_options *options);

/* Sends a message on the link, and takes the next one that comes (the test fails when none does, or
 * another verb). */
void pond_tell(struct pond *pond, enum mp_link_verb verb, uint32_t value);
uint32_t pond_hear(struct pond *pond, enum mp_link_verb verb);

/* Waits until on_ready was called and every worker takes commands. */
void pond_wait_ready(struct pond *pond);

/* Waits for the master's end (at most ms). Returns its exit status, or -signal. */
int pond_wait_end(struct pond *pond, int ms);

/* kill(master) and pond_wait_end. */
int pond_stop(struct pond *pond, int signo);

void pond_signal(struct pond *pond, int signo);
void pond_command(struct pond *pond, unsigned slot, enum pond_command command, int argument);

/* What has been logged so far. */
const char *pond_log(struct pond *pond);
int pond_log_count(struct pond *pond, const char *text);
/* Waits until the text is in the log; fails the test after 10 s. */
void pond_expect_log(struct pond *pond, const char *text);

/* Waits until the worker of a slot is ready in a life after `starts`. Returns its pid. */
pid_t pond_wait_life(struct pond *pond, unsigned slot, int starts);

/* Waits until the condition holds; fails the test after 10 s (longer with a sanitizer). */
#define POND_WAIT(condition)                                                                       \
    do {                                                                                           \
        int64_t pond_end = pond_deadline();                                                        \
        while (!(condition)) {                                                                     \
            if (pond_now() > pond_end)                                                             \
                TEST_FAIL("waited in vain for %s; the log:\n%s", #condition, pond_log(pond));      \
            pond_nap(2);                                                                           \
        }                                                                                          \
    } while (0)

int64_t pond_now(void);
int64_t pond_deadline(void);
void pond_nap(int ms);
bool pond_is_alive(pid_t pid);
/* Entries in /proc/PID/fd. */
int pond_count_fds(pid_t pid);

/* Reaps adopted processes until there is none, at most 10 s. Returns how many there were. */
int pond_reap_all(void);

#endif
