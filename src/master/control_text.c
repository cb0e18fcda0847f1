/* SPDX-License-Identifier: MIT */
#include "master/control_text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/compiler.h"
#include "master/private.h"
#include "os/socket.h"

struct lines {
    char *text;
    size_t size;
    size_t length;
};

static void MP_PRINTF(2, 3) add(struct lines *lines, const char *format, ...)
{
    size_t room = lines->size - lines->length;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(lines->text + lines->length, room, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= room)
        lines->text[lines->length] = '\0';
    else
        lines->length += (size_t)n;
}

/* A value that somebody else has chosen: it stays on its line. */
static void add_text(struct lines *lines, const char *name, const char *value)
{
    size_t start = lines->length;

    add(lines, "%s %.512s\n", name, value);
    for (size_t i = start; i + 1 < lines->length; i++) {
        if ((unsigned char)lines->text[i] < ' ')
            lines->text[i] = '?';
    }
}

static const char *stage_name(enum mp_stage stage)
{
    switch (stage) {
    case MP_STAGE_RUNNING:
        return "running";
    case MP_STAGE_DRAINING:
        return "draining";
    case MP_STAGE_QUITTING:
    case MP_STAGE_KILLING:
        return "quitting";
    }
    return "running";
}

static const char *protocol_name(enum mp_protocol_kind kind)
{
    switch (kind) {
    case MP_PROTOCOL_HTTP1:
        return "http1";
    case MP_PROTOCOL_STREAM:
        return "stream";
    case MP_PROTOCOL_DATAGRAM:
        return "datagram";
    }
    return "http1";
}

/* The bounds move with the number of workers that somebody has asked for. */
static void add_sizes(struct lines *lines, const struct mp_master *master)
{
    const struct mp_worker_options *worker = &master->options.worker;
    bool open = mp_crew_sizing_is_open(&master->sizing);

    add(lines, "workers %u\n", master->target);
    add(lines, "workers_min %u\n", open ? master->sizing.least : master->target);
    add(lines, "workers_limit %u\n", open ? master->sizing.most : master->target);
    add(lines, "workers_max %u\n", master->options.workers_max);
    add(lines, "threads %u\n", worker->threads);
    add(lines, "threads_min %u\n", worker->threads_min ? worker->threads_min : worker->threads);
    add(lines, "concurrency_max %u\n", worker->max_concurrency);
    add(lines, "connections_max %u\n", worker->connections);
}

static const char *reload_state(enum mp_reload_state state)
{
    switch (state) {
    case MP_RELOAD_IDLE:
        return "idle";
    case MP_RELOAD_WANTED:
    case MP_RELOAD_LOADING:
        return "loading";
    case MP_RELOAD_PROVING:
        return "proving";
    case MP_RELOAD_ROLLING:
        return "rolling";
    }
    return "idle";
}

static void add_reload(struct lines *lines, const struct mp_reload *reload)
{
    add(lines, "reload %s\n", reload_state(reload->state));
    add(lines, "reload_asked %u\n", reload->asked);
    add(lines, "reload_finished %u\n", reload->finished);
    add(lines, "reload_failures %u\n", reload->failures);
    if (reload->why[0])
        add_text(lines, "reload_why", reload->why);
}

static void add_options(struct lines *lines, const struct mp_master_options *options)
{
    add(lines, "preload %d\n", options->preload);
    add(lines, "timeout_ns %lld\n", (long long)options->worker.request_timeout);
    add(lines, "graceful_timeout_ns %lld\n", (long long)options->graceful_timeout);
    add(lines, "protocol %s\n", protocol_name(options->worker.protocol));
}

/* How many clients the kernel keeps waiting, where it says. */
static void add_backlog(struct lines *lines, const struct mp_master *master)
{
    unsigned waiting = 0;
    bool known = false;

    for (size_t i = 0; i < master->listener_count; i++) {
        int one = mp_socket_backlog(master->listeners[i].fd);

        known = known || one >= 0;
        waiting += one > 0 ? (unsigned)one : 0;
    }
    if (known)
        add(lines, "backlog %u\n", waiting);
}

void mp_control_text_describe(const struct mp_master *master, char *text, size_t size)
{
    struct lines lines = {.text = text, .size = size};
    char address[MP_SOCKADDR_TEXT];

    text[0] = '\0';
    add(&lines, "version %s\n", MP_CONTROL_SERVER);
    add(&lines, "pid %d\n", (int)master->pid);
    add(&lines, "started_ns %lld\n", (long long)master->started);
    add(&lines, "stage %s\n", stage_name(master->stage));
    add(&lines, "generation %u\n", master->zygotes[master->current].generation);
    add_reload(&lines, &master->reload);
    add_sizes(&lines, master);
    add_options(&lines, &master->options);
    add_backlog(&lines, master);
    add(&lines, "log_lines_lost %llu\n",
        (unsigned long long)mp_logs_lost(master, MP_LOG_OF_ERRORS));
    add(&lines, "access_log_lines_lost %llu\n",
        (unsigned long long)mp_logs_lost(master, MP_LOG_OF_ACCESS));
    if (master->options.title)
        add_text(&lines, "application", master->options.title);
    for (size_t i = 0; i < master->listener_count; i++) {
        mp_sockaddr_format(&master->listeners[i].addr, address, sizeof(address));
        add_text(&lines, "listen", address);
    }
}
