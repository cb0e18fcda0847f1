/* SPDX-License-Identifier: MIT */
/* The access log; see access_log.h. */
#include "server/access_log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/poll.h"
#include "server/access_datagram.h"
#include "server/access_format.h"
#include "server/internal.h"

enum {
    BUFFER_SIZE = 1 << 20, /* some thousand lines: what comes while the disk is slow */
    FILE_CHUNK = 1 << 16,  /* appended in one piece, whoever else writes to the file */
    WRITE_SOON = BUFFER_SIZE / 4,
    LAST_TRIES = 40,
};

/* A socket's queue may be as short as ten datagrams, and nobody tells when it has room. */
#define STALLED_PAUSE (5 * MP_NSEC_PER_MSEC)
/* A pipe has room for hundreds of lines. */
#define UNREAD_PAUSE (50 * MP_NSEC_PER_MSEC)

struct mp_access_log {
    int fd;
    struct mp_log_sink sink;
    bool datagrams;
    unsigned worker;
    struct mp_access_format *format;
    _Atomic bool soon; /* much is waiting */
    pthread_mutex_t lock;
    char *buffer; /* filled by threads */
    char *drain;  /* being written by the writer */
    size_t size;
    size_t drain_size;
    size_t drained;
    bool stalled; /* writer: the socket took no more */
    uint64_t lost;
};

int mp_access_log_new(const struct mp_worker_options *options, unsigned worker,
                      struct mp_access_log **ret_log)
{
    char why[MP_ACCESS_WHY];
    struct mp_access_log *log = calloc(1, sizeof(*log));
    if (!log)
        return -ENOMEM;
    log->fd = options->access_log;
    log->sink = options->access_sink;
    log->datagrams = log->sink.protocol != MP_LOG_FILE;
    log->worker = worker;
    log->buffer = malloc(BUFFER_SIZE);
    log->drain = malloc(BUFFER_SIZE);
    pthread_mutex_init(&log->lock, NULL);
    int r = log->buffer && log->drain
                ? mp_access_format_new(options->access_format, &log->format, why)
                : -ENOMEM;
    if (r < 0)
        mp_access_log_free(log);
    else
        *ret_log = log;
    return r;
}

static void write_last(struct mp_access_log *log)
{
    mp_access_log_write(log);
    mp_access_log_write(log);
    for (int tries = 0; log->stalled && tries < LAST_TRIES; tries++) {
        (void)mp_poll(NULL, 0, STALLED_PAUSE);
        mp_access_log_write(log);
    }
}

void mp_access_log_free(struct mp_access_log *log)
{
    if (!log)
        return;
    if (log->format)
        write_last(log);
    mp_access_format_free(log->format);
    pthread_mutex_destroy(&log->lock);
    free(log->buffer);
    free(log->drain);
    free(log);
}

static void add(struct mp_access_log *log, const char *bytes, size_t n)
{
    pthread_mutex_lock(&log->lock);
    if (log->size + n <= BUFFER_SIZE) {
        memcpy(log->buffer + log->size, bytes, n);
        log->size += n;
        if (log->size >= WRITE_SOON)
            atomic_store_explicit(&log->soon, true, memory_order_relaxed);
    } else {
        log->lost++;
    }
    pthread_mutex_unlock(&log->lock);
}

static void add_record(struct mp_access_log *log, struct mp_access_record *record)
{
    struct mp_access_line line;
    record->worker = log->worker;
    mp_access_format_make(log->format, record, &line);
    if (log->datagrams) {
        char datagram[MP_ACCESS_DATAGRAM];
        add(log, datagram, mp_access_datagram_make(&log->sink, record, &line, datagram));
    } else {
        add(log, line.text, line.size);
    }
}

void mp_access_log_answered(struct mp_access_log *log, const struct mp_request *request, int status,
                            uint64_t size, int64_t now)
{
    struct mp_access_record record = {
        .request = request, .conn = request->conn, .status = status, .size = size, .now = now};
    add_record(log, &record);
}

/* The response's head is still where the thread has made it. */
void mp_access_log_add(struct mp_access_log *log, const struct mp_request *request, int64_t now)
{
    const struct mp_response *response = &request->response;
    struct mp_access_record record = {
        .request = request,
        .conn = request->conn,
        .head = response->committed && request->thread ? request->thread->head : NULL,
        .status = response->status,
        .size = response->bodyless ? 0 : response->written, /* what was sent of it */
        .now = now};
    add_record(log, &record);
}

void mp_access_log_refused(struct mp_access_log *log, const struct mp_conn *conn, int status)
{
    struct mp_access_record record = {.conn = conn, .status = status};
    add_record(log, &record);
}

bool mp_access_log_has_lines(struct mp_access_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool any = log->size > 0 || log->lost > 0;
    pthread_mutex_unlock(&log->lock);
    return any;
}

bool mp_access_log_is_urgent(struct mp_access_log *log)
{
    return atomic_load_explicit(&log->soon, memory_order_relaxed);
}

static ssize_t write_chunk(struct mp_access_log *log, bool file)
{
    const char *start = log->drain + log->drained;
    size_t n =
        mp_log_sink_chunk(start, log->drain_size - log->drained, file ? FILE_CHUNK : PIPE_BUF);
    return file ? mp_fd_write(log->fd, start, n) : mp_fd_write_now(log->fd, start, n);
}

/* What the drain still has is lost. Returns its lines. */
static uint64_t lose_rest(struct mp_access_log *log, int error)
{
    const char *rest = log->drain + log->drained;
    uint64_t lines = mp_log_sink_lines(rest, log->drain_size - log->drained);
    if (log->drained > 0 && log->drained < log->drain_size && rest[-1] != '\n')
        mp_log_sink_torn(&log->sink);
    mp_log_sink_lost(&log->sink, lines, error);
    log->drained = log->drain_size;
    return lines;
}

/* Returns the lines that are lost: a full disk, a reader gone. */
static uint64_t write_lines(struct mp_access_log *log)
{
    uint64_t size;
    bool file = log->drain_size > 0 && mp_fd_file_size(log->fd, &size) == 1;
    while (log->drained < log->drain_size) {
        ssize_t r = mp_log_sink_mend(&log->sink, log->fd);
        if (r == 0)
            r = write_chunk(log, file);
        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return lose_rest(log, (int)-r);
        mp_log_sink_went(&log->sink);
        log->drained += (size_t)r;
    }
    return 0;
}

/* Under no lock: only the writer touches drain. */
static uint64_t write_drain(struct mp_access_log *log)
{
    uint64_t lost = log->datagrams ? mp_access_datagrams_send(&log->sink, log->fd, log->drain,
                                                              log->drain_size, &log->drained)
                                   : write_lines(log);
    log->stalled = log->datagrams && log->drained < log->drain_size;
    if (log->drained == log->drain_size)
        log->drained = log->drain_size = 0;
    return lost;
}

/* Lines that found no room. */
static uint64_t swap(struct mp_access_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint64_t lost = log->lost;
    log->lost = 0;
    if (log->drain_size == 0 && log->size > 0) {
        char *full = log->buffer;
        log->buffer = log->drain;
        log->drain = full;
        log->drain_size = log->size;
        log->size = 0;
        atomic_store_explicit(&log->soon, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&log->lock);
    return lost;
}

uint64_t mp_access_log_write(struct mp_access_log *log)
{
    uint64_t lost = write_drain(log);
    uint64_t overflown = swap(log);
    mp_log_sink_lost(&log->sink, overflown, EAGAIN);
    return lost + overflown + write_drain(log);
}

int64_t mp_access_log_next_look(const struct mp_access_log *log, int64_t now)
{
    if (log->stalled)
        return now + STALLED_PAUSE;
    return log->drain_size > 0 ? now + UNREAD_PAUSE : INT64_MAX;
}
