/* SPDX-License-Identifier: MIT */
/*
 * A worker under test: mp_worker_run in a thread of the test's process, with the test application,
 * listening on the loopback interface; the test plays its master and its clients (client.h).
 *
 *     struct harness h;
 *     harness_init(&h, true);
 *     h.options.threads = 4;      what the test is about
 *     harness_start(&h);
 *     ...
 *     harness_drain(&h);          ends it, and checks that it ended well
 *     harness_done(&h);           checks that nothing was left behind
 */
#ifndef HARNESS_H
#define HARNESS_H

#include "client.h"
#include "os/clock.h"
#include "runner.h"
#include "scoreboard/scoreboard.h"
#include "server/worker.h"
#include "testapp.h"

enum { HARNESS_LISTENERS = 4 };

struct harness {
    struct mp_worker_options options;
    struct mp_listen_socket listeners[HARNESS_LISTENERS]; /* as the master has them */
    struct mp_listen_socket inherited[HARNESS_LISTENERS]; /* ... and the worker */
    size_t listener_count;
    struct testapp testapp;
    struct mp_scoreboard *board;
    struct mp_log log; /* to a file in memory */
    struct mp_worker_context context;
    int control; /* the master's end; -1 when closed */
    pthread_t thread;
    bool running;
    int status;
};

/* Defaults, and one listener on 127.0.0.1. locking: the application has an interpreter lock. */
void harness_init(struct harness *h, bool locking);
void harness_listen(struct harness *h, const char *address);
/* Starts the worker and waits until it is ready. */
void harness_start(struct harness *h);
void harness_tell(struct harness *h, enum mp_worker_verb verb, uint32_t value);
/* Has the worker write a dump. Returns the descriptor to read it from. */
int harness_dump(struct harness *h);
/* Reads a dump until its end. To be freed. */
char *harness_read_dump(int fd);
/* The next message of the worker within a time; false: none came. */
bool harness_message(struct harness *h, int timeout_ms, struct mp_worker_message *ret_message);
/* Waits until the worker has ended. Returns its status. */
int harness_join(struct harness *h);
/* Tells it to drain, and waits. The status must be 0. */
void harness_drain(struct harness *h);
void harness_done(struct harness *h);

/* A connection to a listener, blocking, with a time limit for each call. */
int harness_connect(const struct harness *h, size_t listener);
void harness_open(const struct harness *h, struct client *client);
/* Starts the worker, and opens a connection to it; and the end of both. */
void harness_begin(struct harness *h, struct client *client);
void harness_finish(struct harness *h, struct client *client);
/* A request on a connection of its own; its answer has to be status. */
void harness_get(const struct harness *h, const char *path, int status);

struct mp_sb_worker *harness_slot(const struct harness *h);
/* How often a text occurs in the log. */
unsigned harness_logged(const struct harness *h, const char *text);
/* Waits until the condition holds. */
bool harness_await(bool (*condition)(struct harness *h), struct harness *h, int timeout_ms);
void harness_sleep_ms(int ms);

#endif
