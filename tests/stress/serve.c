/* SPDX-License-Identifier: MIT */
/*
 * The test application as a server of one process, for trying the reactor by hand and under load:
 *
 *   stress-serve ADDRESS THREADS [nolock]
 *
 * Ends on SIGINT at once, by the end of its control socket as a worker does when its master dies.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/socket.h"
#include "server/worker.h"
#include "testapp.h"

int main(int argc, char **argv)
{
    struct mp_listen_socket listener;
    struct mp_listen_options listen_options = {.backlog = 2048};
    struct mp_worker_options options;
    struct mp_log log = {.fd = 2, .level = MP_LOG_DEBUG};
    struct mp_scoreboard *board;
    struct testapp testapp;
    const char *why = NULL;
    int control[2];
    int inherited;
    if (argc < 3)
        return 2;
    mp_worker_options_init(&options);
    options.threads = (unsigned)atoi(argv[2]);
    if (mp_sockaddr_parse(argv[1], &listener.addr, &inherited, &why) < 0)
        return 2;
    listener.fd = mp_socket_listen(&listener.addr, &listen_options);
    if (listener.fd < 0 || mp_socket_pair(control) < 0 ||
        mp_scoreboard_new(1, mp_worker_places(options.threads), &board) < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    struct mp_worker_context context = {
        .control = control[1],
        .signals = -1,
        .listeners = &listener,
        .listener_count = 1,
        .board = board,
        .options = &options,
        .log = &log,
    };
    testapp_init(&testapp, argc < 4 || strcmp(argv[3], "nolock") != 0);
    int status = mp_worker_run(&context, &testapp.app);
    close(control[0]);
    return status;
}
