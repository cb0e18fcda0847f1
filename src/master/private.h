/* SPDX-License-Identifier: MIT */
/*
 * The master as its own files see it. Everything here lives in the master's process; zygote and
 * workers have a copy from the fork, which they only read.
 *
 *   logs.c           the logs: opened anew, what is lost of them
 *   loop.c           waits, and hands out what has come
 *   signals.c        taken at the start, acted on, given back
 *   stop.c           the stages of stopping
 *   notify.c         the service manager: what it is told
 *   link.c           the program that embeds the master
 *   control_socket.c clients that look at the pool, and steer it
 *   control_text.c   ... and what they are told about it
 *   listeners.c      the sockets
 *   crew.c           how many workers, and which: starts, drains, kills
 *   crew_sizing.c    ... as far as that follows the load: the policy, pure
 *   growth.c         ... and whether there is room
 *   recycle.c        who is to be replaced for its age, one at a time
 *   crew_events.c    what is heard of workers: messages, deaths
 *   zygote_handle.c  a zygote, seen from here
 *   reload.c         new code and configuration: the next zygote, and whom it replaces
 *   settings.c       what of the options a reload can change
 *   upgrade.c        another master in the place of this one
 *   handover.c       ... as that one sees it
 */
#ifndef MP_MASTER_PRIVATE_H
#define MP_MASTER_PRIVATE_H

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "master/backoff.h"
#include "master/control_socket.h"
#include "master/crew_sizing.h"
#include "master/logs.h"
#include "master/master.h"
#include "master/message.h"
#include "master/notify.h"
#include "master/report.h"
#include "master/worker_handle.h"
#include "os/socket_file.h"

/* Never backwards. */
enum mp_stage {
    MP_STAGE_RUNNING = 0,
    MP_STAGE_DRAINING, /* TERM: workers finish what they have, until stop_deadline */
    MP_STAGE_QUITTING, /* INT: workers leave at once, until stop_deadline */
    MP_STAGE_KILLING,  /* SIGKILL is sent to all; they are reaped, until stop_deadline */
};

enum mp_zygote_state {
    MP_ZYGOTE_ABSENT = 0, /* to be started at due */
    MP_ZYGOTE_LOADING,    /* forked, loads the application */
    MP_ZYGOTE_WAITING,    /* loaded: takes orders */
    MP_ZYGOTE_LEAVING,    /* told to leave, failed to load, or killed */
};

struct mp_zygote_handle {
    enum mp_zygote_state state;
    unsigned generation; /* counted over all zygotes; of the last one, when ABSENT */
    unsigned code;       /* counted over reloads: the same in one that takes a dead one's place */
    pid_t pid;
    int control;       /* owned; -1: none, or it has ended */
    int64_t due;       /* ABSENT */
    int64_t started;   /* LOADING on */
    int64_t loaded_at; /* 0: not */
    int64_t load_time; /* ns */
    int64_t deadline;  /* LEAVING: SIGKILL after it */
    int64_t
        reaped_at; /* 0: lives. The handle is ABSENT only when its control socket has ended too */
    bool told_to_leave; /* its end is no news */
    bool killed;        /* by the master */
    int load_status;    /* not 0: the load has failed with it */
    struct mp_backoff deaths;
    struct mp_backoff refusals;
    struct mp_settings settings; /* that it has come back with; not of the current one */
};

/* The current one, and the one of a reload. */
#define MP_ZYGOTES 2u

enum mp_reload_state {
    MP_RELOAD_IDLE = 0,
    MP_RELOAD_WANTED,  /* the place of the second zygote is not free yet */
    MP_RELOAD_LOADING, /* it loads */
    MP_RELOAD_PROVING, /* it waits; its first worker is to become ready */
    MP_RELOAD_ROLLING, /* it is the current one; the older workers are replaced */
};

#define MP_RELOAD_NOBODY UINT_MAX

struct mp_reload {
    enum mp_reload_state state;
    bool again;        /* asked for once more meanwhile */
    unsigned prover;   /* PROVING: slot of its first worker; MP_RELOAD_NOBODY: to be chosen */
    int64_t started;   /* of this one */
    int64_t deadline;  /* PROVING; ROLLING: of its patience, when another one waits */
    unsigned asked;    /* how many there were, for those who wait for one */
    unsigned finished; /* ... that are over */
    uint32_t failures; /* bit n: whether the one before the last n has failed */
    char why[256];     /* why the last that has failed did */
};

/* Tells a new master what it inherits: "1 LINK\n", then "FD ADDRESS\n" for each socket. */
#define MP_UPGRADE_VARIABLE "MILLPOND_UPGRADE"

enum mp_upgrade_verb {
    MP_UPGRADE_READY = 1, /* new master to old: serves, and owns the files */
    /* Old master to new: stops, and so does the new one. */
    MP_UPGRADE_STOP, /* gracefully, if it serves */
    MP_UPGRADE_QUIT, /* at once */
    MP_UPGRADE_HERE, /* new master to old: hears from now on */
    MP_UPGRADE_LESS, /* new master to old: serves fewer of the addresses than it was given */
    MP_UPGRADE_LATE, /* old master to new: stop gracefully, unless you have said READY */
};

struct mp_upgrade_message {
    uint32_t verb; /* enum mp_upgrade_verb */
};

/* Of a master: the one that is to follow it. */
struct mp_upgrade {
    bool wanted; /* as soon as this one serves */
    pid_t pid;   /* 0: there is none */
    int link;    /* owned; -1: none */
    int64_t deadline;
    bool hears; /* it has said so */
    bool late;  /* it was told so */
    bool less;  /* it does not serve all of the addresses */
    bool killed;
    bool done; /* it serves: this one ends */
};

struct mp_inherited {
    int fd; /* owned; -1: taken */
    char *spec;
};

/* Of a master that follows another. */
struct mp_handover {
    bool pending; /* nothing has been taken over yet */
    bool less;    /* a socket of the other was closed */
    int link;     /* owned; -1: none, or the one before has nothing to say any more, or has ended */
    struct mp_inherited *inherited;
    size_t count;
};

/* What the loop waits for: the entries of struct mp_master's polls. */
enum mp_poll_entry {
    MP_POLL_SIGNALS = 0,
    MP_POLL_ZYGOTE,
    MP_POLL_ZYGOTE_LAST = MP_POLL_ZYGOTE + MP_ZYGOTES - 1,
    MP_POLL_UPGRADE,
    MP_POLL_HANDOVER,
    MP_POLL_LINK,
    MP_POLL_PARENT,
    MP_POLL_WORKERS, /* the first of them */
};

/* What a worker has shown at the last look: the next wants the difference. */
struct mp_crew_past {
    pid_t pid; /* another one: it is worth nothing */
    int64_t cpu;
    uint64_t waits; /* requests that have waited, and how long together */
    uint64_t waited;
};

struct mp_master {
    struct mp_master_options options;
    struct mp_master_ops ops;
    struct mp_handle_limits limits;
    pid_t pid; /* of the process that runs the master; 0 before mp_master_run or mp_master_embed */

    bool embedded;
    int link;      /* owned; -1: none, or it has ended */
    int parent_fd; /* owned; pidfd of the program; -1: none, or it has ended */

    struct mp_logs logs;
    struct mp_control_socket control;
    struct mp_notify notify;
    int64_t started; /* monotonic ns: when it began to run */

    struct mp_successor successor; /* program NULL: not known */
    struct mp_upgrade upgrade;
    struct mp_handover handover;

    struct mp_listen_socket *listeners;
    struct mp_socket_file *files; /* parallel to listeners */
    char **specs;                 /* likewise: as they were given */
    size_t listener_count;

    struct mp_scoreboard *board;
    unsigned slots;
    struct mp_worker_handle *workers; /* [slots] */
    unsigned target;                  /* how many workers are wanted */
    uint32_t serial;                  /* of the last spawn */
    struct mp_zygote_handle zygotes[MP_ZYGOTES];
    unsigned current;     /* which of them takes the orders */
    unsigned generations; /* how many zygotes there were */
    unsigned codes;       /* how many numbers of code were given out */
    bool reloaded;        /* once at least: the configuration is not that of the start */
    struct mp_reload reload;
    unsigned threads_max; /* handlers at once in a worker, for which the scoreboard has room */
    bool ever_loaded;
    bool ever_ready;      /* a worker has been */
    bool announced;       /* on_ready was called */
    unsigned lost_starts; /* workers that have closed their socket before they were ready */

    struct mp_crew_sizing sizing; /* of the target */
    struct mp_crew_seen *seen;    /* [slots]: for a look of it */
    struct mp_crew_past *past;    /* [slots]: of the look before */
    bool growth_refused;          /* the log has it */
    int64_t growth_pause;         /* no worker is added before that */

    uint64_t oom_kills;  /* that the control group had counted; MP_MEMORY_UNKNOWN */
    int64_t oom_kill_at; /* when that was last seen to change; 0: never */

    enum mp_stage stage;
    int64_t release_deadline; /* DRAINING: who does not serve lets the sockets go; 0: the others are
                                 told */
    bool release_forced;      /* who has not let them go was killed */
    int64_t stop_deadline;
    int exit_status;

    struct pollfd *polls; /* [MP_POLL_WORKERS + slots + MP_CONTROL_POLLS] */
    unsigned *poll_slots; /* parallel: whose entry it is */
    int signal_fd;        /* -1: the signals are not taken */
    sigset_t old_mask;
    struct sigaction old_pipe;
    struct sigaction old_child;
    bool was_subreaper;
};

/* "worker 3" in texts. */
#define MP_WORKER_NUMBER(handle) ((handle)->slot + 1)

/* ---- loop.c */

/* Until everything has stopped. */
void mp_loop_run(struct mp_master *master);

/* ---- signals.c */

/* Twice is harmless; so is giving back what was not taken. */
int mp_signals_take(struct mp_master *master);
void mp_signals_give_back(struct mp_master *master);
/* In a new zygote: what reaches the whole process group does nothing there, and nothing is blocked.
 */
void mp_signals_reset_in_zygote(const struct mp_master *master);
/* In a process that is about to be another program: as they were before the master took them. */
void mp_signals_restore_for_exec(const struct mp_master *master);
/* In a new worker, just before it serves: the contract of struct mp_worker_context. Returns the
 * relay's descriptor or -errno. */
int mp_signals_prepare_worker(const struct mp_master *master);
void mp_signals_read(struct mp_master *master, int64_t now);

/* ---- link.c */

/* To the program, if there is one. */
void mp_link_tell(struct mp_master *master, enum mp_link_verb verb, uint32_t value);
/* Reads what the program has sent. */
void mp_link_read(struct mp_master *master, int64_t now);
/* The program has ended. */
void mp_link_on_parent_end(struct mp_master *master, int64_t now);
void mp_link_close(struct mp_master *master);

/* ---- stop.c */

/* SIGTERM, SIGINT or SIGQUIT has come. */
void mp_stop_on_signal(struct mp_master *master, int signo, int64_t now);
/* Somebody else wants it to stop; who: for the log, "worker 1 asks to stop". What is asked again,
 * or less than what goes on already, changes nothing. */
void mp_stop_ask(struct mp_master *master, bool quick, const char *who, int64_t now);
/* The start has failed: stop, and end with status. */
void mp_stop_failed(struct mp_master *master, int status, int64_t now);
void mp_stop_tick(struct mp_master *master, int64_t now);
int64_t mp_stop_next_look(const struct mp_master *master);
bool mp_stop_is_over(const struct mp_master *master);

/* ---- listeners.c */

/* The files of UNIX sockets become, and are no more, this master's to remove. */
void mp_listeners_claim(struct mp_master *master);
void mp_listeners_disown(struct mp_master *master);
/* Closes the sockets; keeps addresses and files. */
void mp_listeners_close(struct mp_master *master);
void mp_listeners_done(struct mp_master *master);

/* ---- crew.c */

/* Does what is due: keeps the number of workers, starts, gives up on those that are late. */
void mp_crew_tick(struct mp_master *master, int64_t now);
int64_t mp_crew_next_look(struct mp_master *master);
bool mp_crew_is_empty(const struct mp_master *master);
/* One more or less wanted, within its bounds; who wants it: for the log. 0, -ERANGE: as many as
 * there may be are there already, -ENOSPC: the bound on all threads leaves no room, -ESHUTDOWN: it
 * stops. */
int mp_crew_resize(struct mp_master *master, int by, const char *who);
/* Tells a worker to drain until deadline; stopping: the pool as a whole does. */
void mp_crew_drain(struct mp_master *master, struct mp_worker_handle *handle, bool stopping,
                   int64_t deadline);
/* The same for all, when the pool stops. verb: MP_WORKER_DRAIN or MP_WORKER_QUIT. */
void mp_crew_stop(struct mp_master *master, uint32_t verb, int64_t now, int64_t deadline);
/* DRAIN for those that do not serve yet: they have the listening sockets nevertheless. */
void mp_crew_stop_starting(struct mp_master *master, int64_t now, int64_t deadline);
bool mp_crew_has_starting(const struct mp_master *master);
/* SIGKILL, with a line in the log that says why and what it was serving; why NULL: silently. */
void mp_crew_kill(struct mp_master *master, struct mp_worker_handle *handle, const char *why,
                  int64_t now);
void mp_crew_kill_all(struct mp_master *master, const char *why, int64_t now);
/* A spawn came to nothing: try again later. */
void mp_crew_refused(struct mp_master *master, struct mp_worker_handle *handle, int error,
                     int64_t now);
/* A handle that is free now holds no seats of the bound on all threads. */
void mp_crew_free_seats(struct mp_master *master, const struct mp_worker_handle *handle);
/* The first worker of the second zygote, one more than are wanted; NULL: there is no slot for it.
 */
struct mp_worker_handle *mp_crew_add_prover(struct mp_master *master, int64_t now);
/* A worker that has not served yet is not wanted any more. */
void mp_crew_dismiss(struct mp_master *master, struct mp_worker_handle *handle, int64_t now);
/* All first workers are ready: tell the program, once. */
void mp_crew_announce(struct mp_master *master);

/* ---- growth.c */

/* Threads that a worker begins with, those for handlers. */
unsigned mp_growth_first_threads(const struct mp_master *master);
/* Whether the bound on all threads leaves enough for another worker. */
bool mp_growth_has_seats(const struct mp_master *master);
/* The same, and memory. Measures, and says in the log when there is none. */
bool mp_growth_allowed(struct mp_master *master, int64_t now);

/* ---- recycle.c */

/* A worker is to be replaced when its turn has come. figure: for the log. */
void mp_recycle_wish(struct mp_worker_handle *handle, enum mp_retire_reason reason, uint64_t figure,
                     int64_t now);
void mp_recycle_tick(struct mp_master *master, int64_t now);
int64_t mp_recycle_next_look(const struct mp_master *master);

/* ---- crew_look.c */

/* What the workers that serve show, into master->seen; their number. False when not all that are
 * wanted serve. */
bool mp_crew_see(struct mp_master *master, unsigned *ret_count, int64_t now);

/* ---- crew_events.c */

/* Reads what a worker has sent. */
void mp_crew_read(struct mp_master *master, struct mp_worker_handle *handle, int64_t now);
/* Wants a worker replaced, and drained when its successor is ready. False: it does not serve, or is
 * to be replaced already. */
bool mp_crew_retire(struct mp_master *master, struct mp_worker_handle *handle,
                    enum mp_retire_reason reason);
/* It lives on, but has closed its control socket. */
void mp_crew_on_lost(struct mp_master *master, struct mp_worker_handle *handle, int64_t now);
/* What the zygote says about spawns. */
void mp_crew_on_spawned(struct mp_master *master, const struct mp_zygote_message *message,
                        int64_t now);
void mp_crew_on_spawn_failed(struct mp_master *master, const struct mp_zygote_message *message,
                             int64_t now);
/* The zygote of that generation is gone, and so are its answers. */
void mp_crew_on_zygote_gone(struct mp_master *master, unsigned generation, int64_t now);
/* Of a process that was reaped and that the master has not killed. */
enum mp_killer mp_crew_killer(struct mp_master *master, int status, int64_t now);
/* A process was stopped (by SIGSTOP and the like), or goes on. */
void mp_crew_on_stopped(struct mp_master *master, pid_t pid, bool stopped, int64_t now);
/* A process was reaped. False: it is no worker. */
bool mp_crew_on_death(struct mp_master *master, pid_t pid, int status, uint64_t peak, int64_t now);

/* ---- zygote_handle.c */

void mp_zygote_handle_init(struct mp_zygote_handle *zygote, int64_t due);
/* The one of that generation that exists, or NULL. */
struct mp_zygote_handle *mp_zygote_of_generation(struct mp_master *master, unsigned generation);
/* ABSENT to LOADING. */
void mp_zygote_handle_start(struct mp_master *master, struct mp_zygote_handle *zygote, int64_t now);
void mp_zygote_handle_tick(struct mp_master *master, int64_t now);
int64_t mp_zygote_handle_next_look(const struct mp_master *master);
/* Reads what all of them have sent. */
void mp_zygote_handle_read(struct mp_master *master, int64_t now);
bool mp_zygote_handle_on_death(struct mp_master *master, pid_t pid, int status, uint64_t peak,
                               int64_t now);
/* Something that the current one lets the program know; lost when it does not listen. */
void mp_zygote_tell(struct mp_master *master, enum mp_zygote_verb verb,
                    const struct mp_worker_handle *handle, int status);
/* Orders a worker; control is its end of the pair and stays the caller's. 0 or -errno. */
int mp_zygote_handle_order(struct mp_zygote_handle *zygote, const struct mp_zygote_message *order,
                           int control);
/* Tells it to leave until deadline, for good; one that still loads cannot hear, and is killed. */
void mp_zygote_handle_leave(struct mp_zygote_handle *zygote, int64_t deadline);
void mp_zygote_handle_kill(struct mp_zygote_handle *zygote);

/* ---- reload.c */

/* New code and configuration are wanted; who: for the log. 0, or -ESHUTDOWN: it stops. */
int mp_reload_ask(struct mp_master *master, const char *who, int64_t now);
void mp_reload_tick(struct mp_master *master, int64_t now);
int64_t mp_reload_next_look(const struct mp_master *master);
/* The zygote that takes this worker's order. */
struct mp_zygote_handle *mp_reload_zygote_for(struct mp_master *master,
                                              const struct mp_worker_handle *handle);
/* The second zygote has loaded. */
void mp_reload_on_loaded(struct mp_master *master, int64_t now);
/* It came to nothing, for a reason of two parts (detail may be NULL): what serves goes on. */
void mp_reload_failed(struct mp_master *master, const char *why, const char *detail, int64_t now);
/* What happens to workers; most of interest when it is the one that proves. */
void mp_reload_on_ready(struct mp_master *master, const struct mp_worker_handle *handle,
                        int64_t now);
void mp_reload_on_end(struct mp_master *master, struct mp_worker_handle *handle, int64_t now);
/* The pool stops. */
void mp_reload_stop(struct mp_master *master, int64_t deadline);

/* ---- upgrade.c */

/* Starts a new master, if that is possible; who: for the log. */
void mp_upgrade_ask(struct mp_master *master, const char *who, int64_t now);
void mp_upgrade_read(struct mp_master *master, int64_t now);
bool mp_upgrade_on_death(struct mp_master *master, pid_t pid, int status, uint64_t peak,
                         int64_t now);
void mp_upgrade_tick(struct mp_master *master, int64_t now);
int64_t mp_upgrade_next_look(const struct mp_master *master);
void mp_upgrade_stop(struct mp_master *master, bool quick, int64_t now);
/* The one that was to follow, and was told to stop, has the listening sockets and nobody that
 * serves them. */
bool mp_upgrade_has_sockets(const struct mp_master *master);
/* Ends one that cannot hear yet. */
void mp_upgrade_force(struct mp_master *master);
/* Another master serves everything that this one does. */
bool mp_upgrade_has_followed(const struct mp_master *master);
/* None is under way that would be left behind. */
bool mp_upgrade_is_over(const struct mp_master *master);

/* ---- handover.c */

/* The descriptor that was inherited for this address, taken out; -1: there is none. */
int mp_handover_take(struct mp_master *master, const char *spec);
/* Closes what nobody has taken. */
void mp_handover_done(struct mp_master *master);
/* This one hears the other from now on. */
void mp_handover_begin(struct mp_master *master);
/* The first workers serve. */
void mp_handover_claim(struct mp_master *master);
void mp_handover_read(struct mp_master *master, int64_t now);

/* ---- settings.c */

/* In a zygote: what of fresh can change becomes so, in this process and its workers. */
void mp_settings_take(struct mp_master *master, const struct mp_master_options *fresh);
/* What the master has to know of it. */
struct mp_settings mp_settings_tell(const struct mp_master *master);
/* In the master: goes by it from now on. */
void mp_settings_apply(struct mp_master *master, const struct mp_settings *settings);

/* ---- zygote.c, newborn.c: in the children */

/* What a zygote is made of. */
struct mp_zygote {
    const struct mp_master *master;
    int control; /* its own end */
};

pid_t mp_master_fork(const struct mp_master *master);
_Noreturn void mp_master_leave_child(const struct mp_master *master, int status, bool graceful);
/* handle: its own, in the copy of the master's memory. */
_Noreturn void mp_zygote_run(struct mp_master *master, struct mp_zygote_handle *handle,
                             int control);
/* In a worker that has just been forked: control is its own; first is its parent until that ends.
 */
_Noreturn void mp_newborn_run(const struct mp_zygote *zygote, const struct mp_zygote_message *order,
                              int control, pid_t first);

#endif
