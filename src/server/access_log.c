/* SPDX-License-Identifier: MIT */
/* The access log; see access_log.h. */
#include "server/access_log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "os/fd.h"
#include "server/internal.h"
#include "server/request.h"

enum {
    BUFFER_SIZE = 1 << 20, /* some thousand lines: what comes while the disk is slow */
    LINE_MAX_SIZE = 4096,
    WRITE_CHUNK = 4096, /* PIPE_BUF: never a part of it, and no waiting after POLLOUT */
    WRITE_SOON = BUFFER_SIZE / 4,
};

struct mp_access_log {
    int fd;
    _Atomic bool soon; /* much is waiting */
    pthread_mutex_t lock;
    char *buffer; /* filled by threads */
    char *drain;  /* being written by the control thread */
    size_t size;
    size_t drain_size;
    size_t drained;
    uint64_t lost;
};

struct line {
    char text[LINE_MAX_SIZE];
    size_t size;
};

int mp_access_log_new(int fd, struct mp_access_log **ret_log)
{
    struct mp_access_log *log = calloc(1, sizeof(*log));
    if (!log)
        return -ENOMEM;
    log->fd = fd;
    log->buffer = malloc(BUFFER_SIZE);
    log->drain = malloc(BUFFER_SIZE);
    pthread_mutex_init(&log->lock, NULL);
    if (!log->buffer || !log->drain) {
        mp_access_log_free(log);
        return -ENOMEM;
    }
    *ret_log = log;
    return 0;
}

void mp_access_log_free(struct mp_access_log *log)
{
    if (!log)
        return;
    if (log->buffer && log->drain) {
        mp_access_log_write(log);
        mp_access_log_write(log);
    }
    pthread_mutex_destroy(&log->lock);
    free(log->buffer);
    free(log->drain);
    free(log);
}

static void put(struct line *line, const char *text, size_t n)
{
    size_t room = sizeof(line->text) - line->size;
    n = n < room ? n : room;
    memcpy(line->text + line->size, text, n);
    line->size += n;
}

/* Escapes quotes, backslashes and what is not printable ASCII, as Apache does. */
static void put_escaped(struct line *line, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        if (c == '"' || c == '\\') {
            escaped[1] = (char)c;
            put(line, escaped, 2);
        } else if (c < 0x20 || c >= 0x7f) {
            put(line, escaped, 4);
        } else {
            put(line, text + i, 1);
        }
    }
}

static void put_field(struct line *line, const struct mp_request *request, enum mp_http_known known)
{
    const struct mp_http_head *head = &request->head;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct mp_http_field *field = &head->fields[i];
        if (field->known == known && field->value.len > 0) {
            put_escaped(line, request->text + field->value.at,
                        field->value.len < 1024 ? field->value.len : 1024);
            return;
        }
    }
    put(line, "-", 1);
}

static void put_time(struct line *line)
{
    char text[40];
    time_t seconds = (time_t)mp_clock_wall_seconds();
    struct tm tm;
    localtime_r(&seconds, &tm);
    size_t n = strftime(text, sizeof(text), " - - [%d/%b/%Y:%H:%M:%S %z] \"", &tm);
    put(line, text, n);
}

/* The client and the time. */
static void begin_line(struct line *line, const struct mp_sockaddr *peer)
{
    char text[MP_SOCKADDR_TEXT];
    size_t n = mp_sockaddr_host(peer, text, sizeof(text));
    line->size = 0;
    put(line, n > 0 ? text : "-", n > 0 ? n : 1);
    put_time(line);
}

static void end_line(struct line *line)
{
    if (line->size == sizeof(line->text))
        line->size--;
    line->text[line->size++] = '\n';
}

static void format_line(struct line *line, const struct mp_request *request, int status,
                        uint64_t size, int64_t now)
{
    const struct mp_http_head *head = &request->head;
    char text[MP_SOCKADDR_TEXT];
    begin_line(line, mp_request_peer(request));
    put_escaped(line, request->text + head->method_name.at, head->method_name.len);
    put(line, " ", 1);
    put_escaped(line, request->text + head->target.at,
                head->target.len < 2048 ? head->target.len : 2048);
    int m = snprintf(text, sizeof(text), " HTTP/1.%u\" %d %llu \"", head->minor, status,
                     (unsigned long long)size);
    put(line, text, (size_t)m);
    put_field(line, request, MP_HTTP_NAME_REFERER);
    put(line, "\" \"", 3);
    put_field(line, request, MP_HTTP_NAME_USER_AGENT);
    m = snprintf(text, sizeof(text), "\" %.6f",
                 (double)(now - request->ready_at) / (double)MP_NSEC_PER_SEC);
    put(line, text, (size_t)m);
    end_line(line);
}

static void add_line(struct mp_access_log *log, const struct line *line)
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

void mp_access_log_answered(struct mp_access_log *log, const struct mp_request *request, int status,
                            uint64_t size, int64_t now)
{
    struct line line;
    format_line(&line, request, status, size, now);
    add_line(log, &line);
}

void mp_access_log_add(struct mp_access_log *log, const struct mp_request *request, int64_t now)
{
    mp_access_log_answered(log, request, request->response.status, request->response.written, now);
}

void mp_access_log_refused(struct mp_access_log *log, const struct mp_conn *conn, int status)
{
    struct line line;
    char text[64];
    begin_line(&line, &conn->peer);
    int n = snprintf(text, sizeof(text), "-\" %d 0 \"-\" \"-\" 0.000000", status);
    put(&line, text, (size_t)n);
    end_line(&line);
    add_line(log, &line);
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
