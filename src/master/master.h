/* SPDX-License-Identifier: MIT */
/*
 * The master: owns listening sockets, shared memory, signals; supervises a zygote and its workers;
 * runs no application code.
 *
 *   mp_master_new, mp_master_bind*, mp_master_run, mp_master_free
 *
 * One master in a process, on its main thread; other threads must have blocked the signals below.
 * While it runs it adopts and reaps every descendant of the process, also those that the program
 * has started itself. See docs/internals/processes.md.
 *
 * Signals: TERM drains and stops; INT and QUIT stop quickly, at a second one at once; TTIN and
 * TTOU: one worker more, one less. HUP reloads (reload.c), USR2 upgrades (upgrade.c), USR1
 * opens the logs anew (logs.c).
 */
#ifndef MP_MASTER_MASTER_H
#define MP_MASTER_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/log.h"
#include "os/socket.h"
#include "server/worker.h"

struct mp_master;

struct mp_master_options {
    unsigned workers;         /* processes that are kept; >= 1 */
    unsigned workers_limit;   /* ... and that there may be under pressure; 0: as many as workers */
    unsigned workers_max;     /* TTIN goes no further; >= workers */
    int64_t workers_idle;     /* ns: what is beyond workers ends when not needed for so long; 0:
                                 default */
    int64_t max_lifetime;     /* ns that a worker serves before it is replaced; 0: no bound */
    uint64_t max_memory;      /* bytes (proportional set size) of a worker, likewise */
    bool preload;             /* the zygote loads the application; else each worker does */
    int64_t graceful_timeout; /* ns from drain to SIGKILL; 0: at once */
    int64_t
        load_timeout; /* ns for the zygote to load and for a worker to become ready; 0: for ever */
    int64_t
        heartbeat_timeout; /* ns without a heartbeat until a ready worker is killed; 0: for ever */
    int dump_signal;       /* has a worker say where its threads stand, in the log; 0: none does */
    struct mp_log log;
    /* A UNIX socket for those who look at the pool and steer it (control_socket.c), for the
     * master's user alone. With a slash at its end: a folder, made if need be, in which it is
     * PID.sock. NULL: none. */
    const char *control_socket;
    struct mp_socket_access socket_access; /* of the files of UNIX sockets */
    const char *title;                     /* what is served, for the same; may be NULL */
    /* The service manager's (sd_notify): its socket, NULL: nobody is told anything; and the ns
     * within which it wants signs of life, 0: it wants none. */
    const char *notify_socket;
    int64_t notify_watchdog;
    struct mp_worker_options worker;
};

/* One worker, as many as CPUs at most; preload; 30 s, 300 s, 30 s; log to stderr from INFO on. */
void mp_master_options_init(struct mp_master_options *options);

/* What becomes known when the first workers are all ready, for the banner. */
struct mp_master_ready {
    unsigned workers;
    unsigned threads;
    int64_t load_time; /* ns: the zygote's load, 0 without preload */
    const struct mp_listen_socket *listeners;
    size_t listener_count;
};

enum mp_master_event_kind {
    MP_MASTER_EVENT_READY = 1,    /* the first workers are all ready */
    MP_MASTER_EVENT_WORKER_ENDED, /* slot, pid, status */
};

struct mp_master_event {
    enum mp_master_event_kind kind;
    unsigned slot; /* of the worker that has ended */
    pid_t pid;
    int status; /* as of waitpid(2) */
};

/* The exit status of a process that could not use its configuration. */
#define MP_EXIT_CONFIGURATION 2

/*
 * What the embedding program does. In the master: before_fork and after_fork_parent around each of
 * its own forks, on_ready. In a zygote (a child): after_fork_child, configure, load (with preload),
 * on_event, and before_fork/after_fork_parent around each fork of a worker. In a worker (a
 * grandchild): after_fork_child, load (without preload), serve. Any may be NULL except serve.
 *
 * A worker is forked twice from the zygote. before_fork, and after_fork_parent or after_fork_child,
 * are called once for both: the process between the two does nothing but fork, tell the pid and
 * _exit.
 */
struct mp_master_ops {
    void *data;
    void (*before_fork)(void *data);
    void (*after_fork_parent)(void *data);
    void (*after_fork_child)(void *data);
    /* Called in each zygote before load. fresh: it is to take the place of one that serves, and
     * reads the configuration anew; what of it can change is given to mp_master_set_options.
     * 0, or the exit status to end with (it has said why): MP_EXIT_CONFIGURATION if it is the
     * configuration that is wrong, also for load and post_fork. */
    int (*configure)(void *data, bool fresh);
    /* In the current zygote: what the master has seen. */
    void (*on_event)(void *data, const struct mp_master_event *event);
    /* In a zygote, before the fork of a worker, ahead of before_fork. */
    void (*pre_fork)(void *data, unsigned slot);
    /* In a worker, after after_fork_child, ahead of load: 0, or the exit status to end with. */
    int (*post_fork)(void *data, unsigned slot);
    /* Loads the application. 0, or the exit status to end with (it has said why). */
    int (*load)(void *data);
    /* Called in the zygote after load and before the first fork: the place of gc.freeze() and
     * fork-safety warnings. Not called without preload. */
    void (*freeze)(void *data);
    /* Runs the worker: makes an mp_app and calls mp_worker_run. Returns the exit status. */
    int (*serve)(void *data, const struct mp_worker_context *context);
    /* The last call in zygote and worker; must not return (flushes, runs exit handlers, _exit).
     * NULL: _exit. graceful: all threads are joined. */
    void (*exit)(void *data, int status, bool graceful);
    void (*on_ready)(void *data, const struct mp_master_ready *ready);
    /* In the master: TERM, INT or QUIT has come, for the first time. */
    void (*on_stopping)(void *data, int signo);
    /* Instead of fork(2), for all three forks: the pid, 0 in the child, or -errno. For tests of
     * what happens when it fails. */
    pid_t (*fork)(void *data);
};

/* Copies options and ops (data and strings are borrowed). Returns 0 or -errno (-EINVAL: options
 * that make no sense). */
int mp_master_new(const struct mp_master_options *options, const struct mp_master_ops *ops,
                  struct mp_master **ret_master);

/*
 * Opens one listening socket. 0, or -errno with *ret_why (constant text, or NULL for strerror). Of
 * "fd://N" it keeps a duplicate; N stays the caller's. A listening stream socket is made
 * non-blocking, and so is N, which is the same socket. Of the datagram protocol it must be "fd://N"
 * with a bound datagram socket; that one is left as it is.
 */
int mp_master_bind(struct mp_master *master, const char *spec, int backlog, const char **ret_why);

/* In a zygote, from configure: options that its workers, and the master once they serve, go by.
 * What was fixed when the master was made stays as it is (settings.c); strings are borrowed. */
void mp_master_set_options(struct mp_master *master, const struct mp_master_options *options);

/* How this program is started: program, arguments and environment as of execve(2), in folder. */
struct mp_successor {
    const char *program;
    char *const *arguments;
    char *const *environment;
    const char *folder;
};

/* What SIGUSR2 starts (upgrade.c). Borrowed, as long as the master lives. */
void mp_master_set_successor(struct mp_master *master, const struct mp_successor *successor);

/*
 * This program was started by SIGUSR2: text is the value of MILLPOND_UPGRADE, which the caller
 * removes from its environment. Before mp_master_bind, which then uses the sockets of the other
 * master where the address is written the same way. 0 or -errno (-EINVAL: no such text).
 */
int mp_master_inherit(struct mp_master *master, const char *text);

/* The sockets so far, as bound (port 0 replaced by the port that was given). */
const struct mp_listen_socket *mp_master_listeners(const struct mp_master *master,
                                                   size_t *ret_count);

/*
 * The master is a child of the program that it serves, and "the link" ties the two. Called in the
 * master's process, right after its fork, on its only thread. link: SOCK_SEQPACKET, taken over
 * (also on failure). parent: the process that has forked this one. The end of the link, or of the
 * parent, stops the master quickly. SIGINT, SIGQUIT, SIGHUP, SIGUSR1 and SIGUSR2 do nothing from
 * now on: a terminal sends them to the parent too, and what they mean is its decision; SIGTERM
 * still drains. 0 or -errno (-ESRCH: the parent is gone already).
 *
 * mp_master_new may have been called in the parent, so that it can read the scoreboard. Sockets
 * that are bound in the child only have no duplicate in the parent. The parent frees its copy at
 * any time, the child need not.
 */
int mp_master_embed(struct mp_master *master, int link, pid_t parent);

/*
 * After mp_master_embed, for a master that is forked before it is wanted: waits for MP_LINK_GO.
 * True: call mp_master_run. False: MP_LINK_STOP, SIGTERM, or the end of link or parent has come
 * first, and there is nothing to run.
 */
bool mp_master_await_go(struct mp_master *master);

/* On the link, one in each packet. */
enum mp_link_verb {
    MP_LINK_STOP = 1, /* parent to master; value 1: quickly, not waiting for handlers */
    MP_LINK_READY,    /* master to parent: the first workers are all ready; value: how many */
    MP_LINK_FAILED,   /* master to parent: could not start, and stops; value: exit status */
    MP_LINK_GO,       /* parent to master: mp_master_await_go */
};

struct mp_link_message {
    uint32_t verb; /* enum mp_link_verb */
    uint32_t value;
};

/* Its log, as zygotes and workers inherit it. Lives as long as the master's memory. */
const struct mp_log *mp_master_log(const struct mp_master *master);

/* The scoreboard, for those who read it. Lives as long as the master's memory. */
struct mp_scoreboard *mp_master_board(struct mp_master *master);

/*
 * Supervises until stopped; once only. Returns the exit status of the program: 0 after TERM or INT;
 * what load returned, when the first load fails; 1 for other failures. On return all children are
 * gone, the sockets are closed and signals are as before. Children never return from it.
 */
int mp_master_run(struct mp_master *master);

/* Closes the sockets, removes socket files it has made, unmaps. NULL is harmless; so is a child's
 * copy. */
void mp_master_free(struct mp_master *master);

#endif
