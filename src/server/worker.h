/* SPDX-License-Identifier: MIT */
/*
 * A worker: the process that serves. This header is also the master's view of it: what it hands
 * over, and the messages between the two.
 */
#ifndef MP_SERVER_WORKER_H
#define MP_SERVER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"
#include "os/log.h"
#include "os/socket.h"
#include "scoreboard/scoreboard.h"
#include "server/mp_app.h"

/* A listening socket; owned by the master, inherited by everyone. */
struct mp_listen_socket {
    int fd;
    struct mp_sockaddr addr;
};

/* What the listening sockets bring. One for all of a worker's. */
enum mp_protocol_kind {
    MP_PROTOCOL_HTTP1 = 0,
    MP_PROTOCOL_STREAM,   /* connections, handed to the handler as they are (stream.h) */
    MP_PROTOCOL_DATAGRAM, /* each datagram is a request; the listeners are datagram sockets */
};

/* Stream protocol: when a connection takes a thread. */
enum mp_admission {
    MP_ADMISSION_CONNECT = 0, /* as soon as it is accepted */
    MP_ADMISSION_READABLE,    /* when its first bytes, or its end, are there */
};

/* Fields that only proxies should send are left to the application, whoever has sent them. */
#define MP_FORWARDED_OFF (1u << 16)

/* Times in nanoseconds, 0: none (unless said otherwise). Sizes in bytes. */
struct mp_worker_options {
    enum mp_protocol_kind protocol;
    enum mp_admission admission;
    unsigned threads;     /* handlers at once at most; >= 1 */
    unsigned threads_min; /* ... that are kept; 0: as many as threads */
    int64_t threads_idle; /* what is beyond those ends when not needed for so long; 0: default */
    unsigned max_concurrency;     /* handlers at once in all workers (seats.h); 0: no bound */
    unsigned workers_most;        /* how many workers there may be; 0: as many as there are */
    uint64_t max_requests;        /* handlers until the worker asks to be replaced; 0: no bound */
    uint64_t max_requests_jitter; /* each worker adds a random number up to it */
    int64_t readable_timeout;     /* admission readable: until the first bytes */
    unsigned connections;         /* open connections at most; >= 1 */
    int64_t request_timeout;      /* handler's deadline */
    int64_t slow_log;             /* a handler that runs for longer is logged, once */
    int64_t stuck_grace;          /* past its deadline, before the worker asks to be replaced */
    int64_t hang_timeout;         /* nobody could have the interpreter: before it does the same */
    int64_t queue_timeout;        /* a ready request waits no longer for its handler */
    const char *health_path;      /* HTTP: answered by the event core (health.h); NULL: none */
    int64_t header_timeout;       /* head complete, from its first byte or the accept */
    int64_t body_timeout; /* a body must keep to body_rate in each period of so long; 0: no limit */
    uint64_t body_rate;   /* bytes per second, at most 2^32; 0: the body must be complete within
                             body_timeout */
    int64_t write_timeout; /* a client must keep to write_rate in each period of so long; 0: none */
    uint64_t write_rate;   /* bytes per second, at most 2^32; 0: one byte in each period will do */
    int64_t connection_timeout; /* a connection with all its requests; 0: no limit */
    int64_t keep_alive;         /* idle between requests; 0: close after each response */
    int64_t drain_idle;         /* draining: idle connections are closed after that */
    struct mp_http_limits limits;
    uint64_t body_max;              /* 413 beyond; 0: unlimited */
    uint32_t chunks_max;            /* 413 beyond; 0: unlimited */
    uint32_t pipelined_max;         /* requests sent ahead on a connection; 0: unlimited */
    uint32_t keep_alive_max;        /* requests on a connection; 0: unlimited */
    unsigned temp_files;            /* open at once; 0: unlimited */
    uint64_t temp_size;             /* bytes in them at once; 0: unlimited */
    size_t body_memory;             /* bodies above it go to a file */
    size_t output_memory;           /* responses above it go to a file */
    uint64_t output_file;           /* ... up to that; then the handler waits */
    const char *tmp_dir;            /* for both */
    int access_log;                 /* descriptor or -1 */
    struct mp_log_sink access_sink; /* what access_log leads to */
    const char *log_path;           /* of the error log's file, absolute; NULL: it has none */
    const char *access_path;        /* likewise */
    const char *access_format;      /* as of access_format.h; NULL: combined */
    bool multiprocess;              /* told to applications */
    /* HTTP: whom to believe what (trust.h). Lists are as of mp_ip_set_init. */
    unsigned proxy_versions;     /* of the PROXY header that begins each connection; 0: none does */
    const char *proxy_allow;     /* who may send it */
    const char *forwarded_allow; /* whose fields count */
    unsigned forwarded;          /* MP_HTTP_FORWARDED_*: which of them do; or MP_FORWARDED_OFF */
};

/* Places of a worker that runs so many handlers at once: for their threads, one to lead, and those
 * that stand in for threads whose handlers are stuck. The scoreboard has as many. */
static inline unsigned mp_worker_places(unsigned threads)
{
    return threads + 1 + (threads < 128 ? threads : 128);
}

/* Sets every option to its default. */
void mp_worker_options_init(struct mp_worker_options *options);

/*
 * What a new worker gets from its master, through fork. Read-only, but for the listeners.
 *
 * Signals, as src/master leaves them on the main thread, and as the pool's threads inherit them:
 * nothing is blocked (a blocked signal would stay blocked in every program that a handler starts).
 * SIGTERM and SIGQUIT arrive as bytes in `signals`. SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN,
 * SIGTTOU and SIGWINCH, which reach the whole process group and are the master's to act on, have
 * handlers that do nothing; SIGPIPE is ignored. The others are as the application has set them.
 * Blocking calls may be interrupted by any of them.
 */
struct mp_worker_context {
    unsigned slot; /* in the scoreboard */
    unsigned generation;
    int control; /* SOCK_SEQPACKET to the master, non-blocking; owned by the worker */
    int signals; /* readable when SIGTERM (drain) or SIGQUIT (quit) was sent to this process:
                    mp_sigaction_relay_read (os/sigaction.h); not owned; -1: no relay */
    struct mp_listen_socket *listeners; /* this process's descriptors: closed when it drains */
    size_t listener_count;
    struct mp_scoreboard *board;
    const struct mp_worker_options *options;
    const struct mp_log *log;
};

/* Messages, one in each packet. */
enum mp_worker_verb {
    MP_WORKER_READY = 1, /* worker to master: serves now */
    MP_WORKER_RETIRE, /* worker to master: replace me, then drain me; value: enum mp_retire_reason
                       */
    MP_WORKER_DRAIN,  /* master to worker: finish what you have, then exit; value 1: stopping for
                         good */
    MP_WORKER_QUIT,   /* master to worker: exit without waiting for handlers */
    MP_WORKER_LOAD_FAILED, /* worker to master, instead of READY: no application; value: exit status
                            */
    MP_WORKER_REOPEN,      /* master to worker: open log files anew, under the same descriptors */
    MP_WORKER_STOP,        /* worker to master: a handler wants the whole pool to stop gracefully */
    MP_WORKER_DUMP, /* master to worker, with a descriptor: write where all threads stand to it, and
                       close it (dump.h) */
};

enum mp_retire_reason {
    MP_RETIRE_NONE = 0,
    MP_RETIRE_STUCK,        /* a handler goes on past its deadline */
    MP_RETIRE_MAX_REQUESTS, /* as many handlers as it was to run have ended */
    MP_RETIRE_HANGS,        /* the interpreter is held */
    /* The master's own, never sent: */
    MP_RETIRE_ASKED,    /* somebody has asked the master for it */
    MP_RETIRE_LIFETIME, /* it has lived as long as it may */
    MP_RETIRE_MEMORY,   /* it has more memory than it may */
};

struct mp_worker_message {
    uint32_t verb;
    uint32_t value;
    int32_t pid;
};

/*
 * Serves until drained. Called on the main thread of the new process, which becomes the control
 * thread; starts options->threads + 1 pool threads. Sends READY. Closes of the context the
 * listening sockets, when it drains (not those of datagrams, which handlers answer on), and
 * control, but that not when it was told to quit. The end of control (the master has died) ends the
 * worker at once. Returns the exit status: 0 drained (all pool threads joined); MP_WORKER_EXIT_QUIT
 * when told to quit or the master died while handlers were running: their threads still exist then,
 * so the caller must _exit soon without running code that they may use.
 */
int mp_worker_run(const struct mp_worker_context *context, const struct mp_app *app);

#define MP_WORKER_EXIT_QUIT 70

/* Asks the master to stop the whole pool gracefully. Any thread. 0 or -errno. */
int mp_worker_ask_stop(const struct mp_worker_context *context);

#endif
