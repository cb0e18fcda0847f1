/* SPDX-License-Identifier: MIT */
/* The access log; see access_log.h. */
#include "server/access_log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "os/fd.h"
#include "server/access_format.h"
#include "server/internal.h"

enum {
    BUFFER_SIZE = 1 << 20, /* some thousand lines: what comes while the disk is slow */
    WRITE_CHUNK = 4096,    /* PIPE_BUF: never a part of it, and no waiting after POLLOUT */
    WRITE_SOON = BUFFER_SIZE / 4,
};

struct mp_access_log {
    int fd;
    unsigned worker;
    struct mp_access_format *format;
    _Atomic bool soon; /* much is waiting */
    pthread_mutex_t lock;
    char *buffer; /* filled by threads */
    char *drain;  /* being written by the control thread */
    size_t size;
    size_t drain_size;
    size_t drained;
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

void mp_access_log_free(struct mp_access_log *log)
{
    if (!log)
        return;
    if (log->buffer && log->drain) {
        mp_access_log_write(log);
        mp_access_log_write(log);
    }
    mp_access_format_free(log->format);
    pthread_mutex_destroy(&log->lock);
    free(log->buffer);
    free(log->drain);
    free(log);
}

static void add_line(struct mp_access_log *log, const struct mp_access_line *line)
{
    pthread_mutex_lock(&log->lock);
    if (log->size + line->size <= BUFFER_SIZE) {
        memcpy(log->buffer + log->size, line->text, line->size);
        log->size += line->size;
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
    add_line(log, &line);
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
        .size = response->written,
        .now = now};
    add_record(log, &record);
}

void mp_access_log_refused(struct mp_access_log *log, const struct mp_conn *conn, int status)
{
    struct mp_access_record record = {.conn = conn, .status = status};
    add_record(log, &record);
}

bool mp_access_log_is_urgent(struct mp_access_log *log)
{
    return atomic_load_explicit(&log->soon, memory_order_relaxed);
}

/* Whole lines, as many as may be written at once: other workers write to the same file or pipe. */
static size_t next_chunk(const struct mp_access_log *log)
{
    const char *start = log->drain + log->drained;
    size_t n = log->drain_size - log->drained;
    if (n <= WRITE_CHUNK)
        return n;
    const char *end = memrchr(start, '\n', WRITE_CHUNK);
    return end ? (size_t)(end - start) + 1 : WRITE_CHUNK;
}

/* Under no lock: only the control thread touches drain. */
static void write_drain(struct mp_access_log *log)
{
    while (log->drained < log->drain_size) {
        if (mp_fd_writable(log->fd, 0) <= 0)
            return;
        ssize_t r = mp_fd_write(log->fd, log->drain + log->drained, next_chunk(log));
        if (r == -EAGAIN)
            return;
        if (r < 0)
            break; /* a full disk, a reader gone: these lines are lost */
        log->drained += (size_t)r;
    }
    log->drained = 0;
    log->drain_size = 0;
}

uint64_t mp_access_log_write(struct mp_access_log *log)
{
    write_drain(log);
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
    write_drain(log);
    return lost;
}
