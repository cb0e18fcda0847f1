/* SPDX-License-Identifier: MIT */
/*
 * The server's objects and who may touch them. Private to src/server.
 *
 *   struct mp_server    the worker as a whole: options, application, scoreboard slot
 *   struct mp_reactor   one event core: poller, timers, connections; touched by the token's holder
 *   struct mp_pool      its threads, the FIFO of ready requests, admission; under pool->lock
 *   struct mp_thread    one pool thread
 *   struct mp_conn      one connection; owned by the reactor or by one thread: its gate says which
 *   struct mp_request   one request with its response; owned as its connection is
 *
 * The rules, their proofs and the state machines are in docs/internals/reactor.md.
 */
#ifndef MP_SERVER_INTERNAL_H
#define MP_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "event/poller.h"
#include "event/wakeup.h"
#include "event/wheel.h"
#include "http/chunked.h"
#include "http/date.h"
#include "http/forwarded.h"
#include "http/head.h"
#include "os/socket.h"
#include "scoreboard/scoreboard.h"
#include "server/body.h"
#include "server/mp_app.h"
#include "server/output.h"
#include "server/pace.h"
#include "server/route.h"
#include "server/sizing.h"
#include "server/spool.h"
#include "server/worker.h"

struct mp_conn;
struct mp_inspector;
struct mp_parked;
struct mp_protocol;
struct mp_reactor;
struct mp_server;
struct mp_stuck;
struct mp_thread;
struct mp_trust;

/* ---- requests ---------------------------------------------------------------------------- */

struct mp_response {
    int status;
    bool begun;
    bool committed; /* the head has left, or is queued: nothing of it can change */
    bool ended;
    bool failed;     /* cut the connection when what is queued has left */
    bool has_length; /* length is declared */
    bool has_date;
    bool has_server;
    bool bodyless; /* HEAD, 204, 205, 304: bodies are counted and dropped */
    bool chunked;
    bool truncated; /* the application wrote more than it declared */
    bool close;     /* close after this response */
    uint64_t length;
    uint64_t written; /* body bytes given by the application */
    size_t head_size; /* bytes in the thread's head buffer */
    /* A first body block that waits to learn whether it is the only one. */
    const void *first;
    size_t first_size;
    void *first_ref;
    bool flushing; /* in mp_response_flush, perhaps without the interpreter */
    void *orphan;  /* a reference to be dropped that was met there */
};

enum {
    MP_REQUEST_INLINE = 4096, /* head bytes that need no other memory */
    MP_THREAD_HEAD = 65536,   /* response heads at most */
    MP_RESPONSE_COPY = 16384, /* bodies up to it are copied behind the head: one send */
    MP_SCRATCH = 65536,       /* bytes received at a time where a body goes to a file */
};

struct mp_request {
    struct mp_list link; /* in the FIFO, or among the spare ones */
    struct mp_conn *conn;
    struct mp_thread *thread; /* that runs its handler */
    char *text;               /* received bytes: the head, perhaps more */
    size_t size;
    size_t capacity;
    size_t head_size; /* of text, 0 until the head is complete */
    uint64_t route;
    int64_t ready_at;
    int64_t started_at;
    bool timed_out; /* answered and logged by the control thread, which had claimed it */
    void *user;
    struct mp_body body;
    struct mp_http_chunked chunked;
    struct mp_response response;
    struct mp_http_forwarded forwarded; /* what trusted proxies have said of it; see trust.h */
    struct mp_sockaddr client;          /* by them; len 0: it is the connection's peer */
    struct mp_http_head head;
    char inline_text[MP_REQUEST_INLINE];
};

/* ---- connections ------------------------------------------------------------------------- */

enum mp_conn_state {
    MP_CONN_IDLE,    /* between requests: no byte of the next one yet */
    MP_CONN_HEAD,    /* part of a head is there */
    MP_CONN_BODY,    /* head complete, body incomplete */
    MP_CONN_RUNNING, /* its request is ready, or in a handler */
    MP_CONN_WRITING, /* response complete, not all of it taken by the client yet */
    MP_CONN_LINGER,  /* our last byte is out; what the client still sends is thrown away */
};

/*
 * The gate says who owns a connection. Events for one that a thread owns are not handled: the
 * leader leaves MP_GATE_EVENT behind, and who gives the connection back looks at it.
 */
enum {
    MP_GATE_REACTOR = 0,
    MP_GATE_THREAD = 1,
    MP_GATE_EVENT = 2, /* with MP_GATE_THREAD */
};

struct mp_conn {
    _Atomic uint32_t gate;
    _Atomic bool gone;        /* reset or closed both ways; set by the leader, read by anyone */
    _Atomic bool streaming;   /* the handler has flushed: its leader may send, under output_lock */
    _Atomic bool push_missed; /* the leader would have sent, but the handler had the lock */
    int fd;
    uint16_t generation; /* in the poller's data: tells late events from current ones */
    uint8_t state;       /* enum mp_conn_state */
    bool readable;       /* edge-triggered: the socket may have more */
    bool ended;          /* end of stream was read */
    bool close_after;    /* no further request on it */
    bool watched;        /* it is in the poller */
    bool taken;          /* stream: the handler has the socket */
    bool awaits_proxy;   /* a PROXY header comes first; see trust.h */
    bool hidden;         /* ... which did not say who the client is: nothing it says is believed */
    uint32_t requests;   /* so far */
    uint32_t pipelined;  /* requests in a row that were here before the last answer had left */
    int64_t expires;     /* monotonic ns; it is not kept beyond; 0: no limit */
    struct mp_reactor *reactor;
    struct mp_request *request; /* NULL while idle */
    struct mp_parked *parked;   /* in its place while a body comes slowly; see parked.h */
    struct mp_conn *returned_next;
    struct mp_list link; /* in reactor->conns, or among the spare ones */
    struct mp_wheel_entry timer;
    _Atomic int64_t deadline; /* the true one; the timer only says when to look */
    int64_t phase_start;      /* when the head or body began to arrive, or it became idle */
    const struct mp_listen_socket *listener;
    struct mp_sockaddr peer;
    struct mp_pace pace; /* of a body that arrives, or a response that leaves */
    struct mp_http_scan scan;
    char *stash; /* received bytes while there is no request to hold them */
    size_t stash_size;
    pthread_mutex_t output_lock; /* while streaming: output and litter are shared with the leader */
    struct mp_output output;
    struct mp_litter litter; /* what the leader has sent for a handler that streams */
};

/* ---- threads ----------------------------------------------------------------------------- */

/* What a parked thread is woken for. */
enum mp_park_reason {
    MP_PARK_NONE = 0,
    MP_PARK_LEAD, /* the token is already its own */
    MP_PARK_RUN,  /* thread->assigned is accounted for and to be run */
    MP_PARK_STOP,
};

/* Whether there is a thread at this place of the array; see threads.c. */
enum mp_thread_life {
    MP_LIFE_NONE = 0,
    MP_LIFE_RUNS,   /* it was started, and has not been joined */
    MP_LIFE_ENDED,  /* its last word: to be joined */
    MP_LIFE_FAILED, /* the same, of one that the application could not prepare */
};

struct mp_thread {
    struct mp_park park;
    struct mp_list link; /* in pool->parked */
    struct mp_reactor *reactor;
    unsigned index;
    pthread_t id;
    pid_t tid; /* its own word, before its first handler; the control thread reads it during one */
    _Atomic uint32_t life; /* enum mp_thread_life */
    uint64_t born;         /* control thread: the order in which they were started */
    bool late;             /* started while the pool served: adds itself to pool->alive */
    void *app_thread;
    bool entered;     /* has the interpreter; own use only */
    int64_t ended_at; /* when its last handler ended */
    /* That handler, until it is booked at the next time the thread takes the pool's lock. */
    bool ended;
    int64_t ended_waited; /* ns in the FIFO */
    int64_t ended_ran;    /* ns in the handler */
    int64_t asked;        /* ns that entering the application took; -1: it was inside already */
    struct mp_request *assigned;
    struct mp_sb_thread *slot;
    struct mp_litter litter; /* own use only; swept when entered */
    char *head;              /* MP_THREAD_HEAD + MP_RESPONSE_COPY: response under construction */
    char *scratch;           /* MP_SCRATCH */
    int64_t io_date;         /* second that date is for */
    char date[MP_HTTP_DATE_SIZE];
    /* Under pool->lock: */
    uint64_t route; /* of the last handler that was picked for it */
    bool counted;   /* its handler counts as computing */
    bool brief;     /* ... and is of a route that is known to be short */
    /*
     * The handler now running, for the control thread: started_at is set last (release) when it
     * begins and exchanged for 0 first when it ends. See claim.h.
     */
    _Atomic int64_t started_at; /* monotonic ns; 0: none */
    _Atomic(struct mp_request *) running;
    _Atomic uint32_t claim_over;
    /* Written by who has claimed the handler, and by the thread itself at its end: */
    bool raised; /* an exception, in this handler */
    bool stuck;  /* it is past its deadline */
    /* When this handler is to have ended; see stuck.h. The thread sets it to 0 before the handler
     * begins. Relaxed: it stands alone, and who gets another value than 0 into it first has it. */
    _Atomic int64_t deadline;
    /* Own use of the control thread: */
    int64_t cpu_seen;
    int64_t cpu_seen_of_process;
    int64_t cpu_seen_at;
    int64_t cpu_seen_for; /* the started_at it belongs to */
};

#define MP_STARTED_CLAIMED INT64_C(-1)

/* ---- the pool ---------------------------------------------------------------------------- */

/* What the control thread knows of the threads: how many, and whether there are to be others. */
struct mp_staff {
    struct mp_thread_sizing sizing;
    unsigned existing;       /* started and not joined yet */
    unsigned leaving;        /* of them, those that were told to end */
    uint64_t births;         /* so far */
    int64_t pause_until;     /* no thread could be started: not before that */
    int64_t report_again_at; /* the log has had it lately */
    bool is_short;           /* a stuck handler's thread could not be replaced */
    int64_t surplus_at;      /* next look for threads that have stood in for others */
};

struct mp_pool {
    pthread_mutex_t lock;
    struct mp_list fifo;   /* ready requests, first come first served */
    struct mp_list parked; /* threads, last parked first */
    struct mp_list spare;  /* requests that threads have finished with */
    unsigned spare_count;
    unsigned fifo_size;
    unsigned handlers;   /* running */
    unsigned computing;  /* of them, those that count as computing */
    unsigned brief;      /* of those, the ones of routes that are known to be short */
    int64_t admitted_at; /* when the last one that counts began */
    unsigned sample_at;  /* control thread: whom it has looked at last; see watch.c */
    bool stopping;
    struct mp_litter litter;
    _Atomic bool has_litter;
    /* The bound on all workers' handlers has kept the last thread from being started. Relaxed:
     * written by the control thread, for others a moment late. */
    _Atomic bool bounded;
    unsigned alive; /* threads that take part: one more than handlers may run at once */
    unsigned peak;  /* the most handlers at once since the control thread last looked */
    struct mp_routes *routes;
    struct mp_thread *threads;
    unsigned thread_count; /* places in the array; not all need have a thread */
    struct mp_staff staff; /* control thread's own */
};

/* ---- the reactor ------------------------------------------------------------------------- */

/*
 * The token: who leads. Low 2 bits mode, 14 bits index of the thread, 48 bits a count that makes
 * every stay in a handler distinct.
 */
enum mp_token_mode {
    MP_TOKEN_VACANT = 0,  /* nobody leads; the next thread with nothing to do will */
    MP_TOKEN_IO = 1,      /* the thread moves bytes: only it can give the token away */
    MP_TOKEN_HANDLER = 2, /* the thread is in a handler: the control thread may take the token */
};

enum { MP_POLL_BATCH = 64 };

struct mp_reactor {
    struct mp_server *server;
    const struct mp_protocol *protocol;
    MP_CACHE_ALIGNED _Atomic uint64_t token;
    _Atomic bool sleeping; /* the leader waits in the poller, or is about to */
    _Atomic bool unsure;   /* it went into a handler that is not known to be short */
    _Atomic bool eager;    /* it has room for what is given back, or a drain to end */
    MP_CACHE_ALIGNED _Atomic(struct mp_conn *) returned;
    MP_CACHE_ALIGNED struct mp_poller poller;
    struct mp_wakeup wakeup;
    struct mp_wheel wheel;
    int64_t look; /* ns: how often a connection's deadline is looked at */
    struct mp_list conns;
    struct mp_list spare_conns;
    struct mp_list spare_requests;
    unsigned spare_count;
    struct mp_list newcomers; /* connections given a moment, the oldest first; see stream.c */
    unsigned in_vain;         /* moments that have passed without a word, in a row */
    struct mp_list fresh;     /* requests made ready in this turn, not in the FIFO yet */
    unsigned fresh_size;
    unsigned conn_count;
    unsigned unheard;  /* of them, those that have not brought a request yet */
    bool accepting;    /* the listeners are in the poller */
    bool closed;       /* a connection, since the listeners and the drain were last looked at */
    unsigned siblings; /* other workers that serve */
    unsigned waiting;  /* requests in the FIFO when the leader last chose */
    uint32_t draining; /* what of server->draining has been acted on */
    _Atomic bool stop; /* the pool ends: lead no more */
    int64_t accept_pause_until;
    int64_t leaving_since; /* connections are left to a sibling that may come; 0: not; listener.c */
    bool accept_reported;  /* the log knows of the pause */
    int64_t full_report_at;      /* not before that does the log hear that no more fit */
    unsigned shed_unreported;    /* requests shed since the log was told */
    int64_t shed_report_at;      /* not before that */
    unsigned refused_unreported; /* HTTP: what clients were refused for, since the log was told */
    int64_t refused_report_at;   /* not before that */
    uint64_t last_token;         /* control thread: as it was at the last tick */
    struct mp_pool pool;
};

/* ---- the worker -------------------------------------------------------------------------- */

struct mp_server {
    const struct mp_worker_context *context;
    const struct mp_worker_options *options;
    const struct mp_app *app;
    const struct mp_log *log;
    struct mp_sb_worker *slot;
    uint64_t requests_max; /* handlers until the worker asks to be replaced */
    struct mp_reactor reactor;
    _Atomic uint32_t draining; /* told by control: 1 draining, 2 stopping for good */
    _Atomic int64_t drain_since;
    _Atomic uint32_t
        drained; /* by the leader: for which of them no connection is left; 0: some are */
    _Atomic bool watcher_asleep; /* the control thread does not tick */
    struct mp_wakeup watcher;
    struct mp_access_log *access_log;
    struct mp_access_writer *access_writer;
    struct mp_spool spool; /* bodies and responses that memory should not hold */
    struct mp_trust *trust;
    struct mp_stuck *stuck;
    _Atomic bool held; /* the interpreter, for a while: no new connections; see stuck.c */
    _Atomic uint32_t stuck_handlers; /* run past their deadline now; see stuck.h */
    struct mp_inspector *inspector;  /* NULL: the application cannot be looked at */
};

#endif
