/* SPDX-License-Identifier: MIT */
#include "os/log_sink.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/calendar.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/poll.h"

/* For a reader. */
#define READER_PATIENCE (100 * MP_NSEC_PER_MSEC)
#define SOCKET_PAUSE (MP_NSEC_PER_MSEC / 2)

/* As of syslog(3). */
static int severity_of(enum mp_log_level level)
{
    switch (level) {
    case MP_LOG_DEBUG:
        return 7;
    case MP_LOG_INFO:
        return 6;
    case MP_LOG_WARNING:
        return 4;
    case MP_LOG_ERROR:
        return 3;
    case MP_LOG_CRITICAL:
        return 2;
    }
    return 2;
}

/* Daemons behind UNIX sockets know the time, and expect no host. */
static int local_head(const struct mp_log_sink *sink, int severity, char *text)
{
    return snprintf(text, MP_LOG_HEAD, "<%u>%.64s[%d]: ", sink->facility * 8 + (unsigned)severity,
                    sink->name, (int)getpid());
}

static int remote_head(const struct mp_log_sink *sink, int severity, char *text)
{
    char time[MP_CALENDAR_TEXT];
    char host[65];

    if (gethostname(host, sizeof(host)) == -1)
        host[0] = '\0';
    host[sizeof(host) - 1] = '\0';
    mp_calendar_rfc3339(mp_clock_wall(), time);
    return snprintf(text, MP_LOG_HEAD, "<%u>1 %s %s %.48s %d - - ",
                    sink->facility * 8 + (unsigned)severity, time, host[0] ? host : "-", sink->name,
                    (int)getpid());
}

size_t mp_log_sink_head(const struct mp_log_sink *sink, enum mp_log_level level,
                        char text[MP_LOG_HEAD])
{
    int severity = severity_of(level);
    int n;

    if (sink->protocol == MP_LOG_JOURNALD)
        n = snprintf(text, MP_LOG_HEAD, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%.64s\n", severity,
                     sink->name);
    else if (sink->addr.un.sun_family == AF_UNIX)
        n = local_head(sink, severity, text);
    else
        n = remote_head(sink, severity, text);
    return n > 0 ? (size_t)n : 0;
}

int mp_log_sink_send(const struct mp_log_sink *sink, int fd, const void *data, size_t n)
{
    ssize_t sent;

    do
        sent = sendto(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL, &sink->addr.any, sink->addr.len);
    while (sent == -1 && errno == EINTR);
    if (sent == -1)
        return errno == ENOBUFS ? -EAGAIN : -errno;
    mp_log_sink_went(sink);
    return 0;
}

void mp_log_sink_lost(const struct mp_log_sink *sink, uint64_t lines, int error)
{
    if (!sink->loss || lines == 0)
        return;
    atomic_fetch_add_explicit(&sink->loss->lines, lines, memory_order_relaxed);
    atomic_store_explicit(&sink->loss->error, error, memory_order_relaxed);
}

void mp_log_sink_went(const struct mp_log_sink *sink)
{
    if (sink->loss && atomic_load_explicit(&sink->loss->error, memory_order_relaxed) != 0)
        atomic_store_explicit(&sink->loss->error, 0, memory_order_relaxed);
}

void mp_log_sink_torn(const struct mp_log_sink *sink)
{
    if (sink->loss)
        atomic_store_explicit(&sink->loss->torn, 1, memory_order_relaxed);
}

int mp_log_sink_mend(const struct mp_log_sink *sink, int fd)
{
    ssize_t written;

    if (!sink->loss || atomic_load_explicit(&sink->loss->torn, memory_order_relaxed) == 0 ||
        atomic_exchange_explicit(&sink->loss->torn, 0, memory_order_relaxed) == 0)
        return 0;
    written = mp_fd_write_now(fd, "\n", 1);
    if (written == 1)
        return 0;
    mp_log_sink_torn(sink);
    return written < 0 ? (int)written : -EIO;
}

/* ---- waiting for a reader ------------------------------------------------------------------ */

/* Until when; 0: not at all. */
static int64_t patience(const struct mp_log_sink *sink)
{
    bool losing = sink->loss && atomic_load_explicit(&sink->loss->error, memory_order_relaxed) != 0;

    return losing ? 0 : mp_clock_now() + READER_PATIENCE;
}

static int left_of(int64_t until)
{
    int64_t left = until == 0 ? 0 : until - mp_clock_now();

    return left > 0 ? (int)(left / MP_NSEC_PER_MSEC) + 1 : 0;
}

/* Nobody says when another one's socket has room. */
int mp_log_sink_tell(const struct mp_log_sink *sink, int fd, const void *data, size_t n)
{
    int err = mp_log_sink_send(sink, fd, data, n);
    int64_t until = err == -EAGAIN ? patience(sink) : 0;

    while (err == -EAGAIN && left_of(until) > 0) {
        (void)mp_poll(NULL, 0, SOCKET_PAUSE);
        err = mp_log_sink_send(sink, fd, data, n);
    }
    if (err)
        mp_log_sink_lost(sink, 1, -err);
    return err;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

size_t mp_log_sink_chunk(const char *data, size_t n, size_t most)
{
    const char *end;

    if (n <= most)
        return n;
    end = memrchr(data, '\n', most);
    return end ? (size_t)(end - data) + 1 : most;
}

uint64_t mp_log_sink_lines(const char *data, size_t n)
{
    uint64_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += data[i] == '\n';
    return count;
}

/* Says how much of it went. */
static int write_all(const struct mp_log_sink *sink, int fd, const char *data, size_t n,
                     size_t *ret_written)
{
    int64_t until = -1;

    *ret_written = 0;
    while (*ret_written < n) {
        const char *at = data + *ret_written;
        ssize_t written =
            mp_fd_write_now(fd, at, mp_log_sink_chunk(at, n - *ret_written, PIPE_BUF));

        if (written == -EAGAIN) {
            until = until < 0 ? patience(sink) : until;
            if (mp_fd_writable(fd, left_of(until)) == 1 && left_of(until) > 0)
                continue;
        }
        if (written <= 0)
            return written < 0 ? (int)written : -EIO;
        *ret_written += (size_t)written;
    }
    return 0;
}

int mp_log_sink_write(const struct mp_log_sink *sink, int fd, const char *data, size_t n,
                      uint64_t lines)
{
    size_t written = 0;
    int err = mp_log_sink_mend(sink, fd);
    uint64_t left;

    if (!err)
        err = write_all(sink, fd, data, n, &written);
    if (!err) {
        mp_log_sink_went(sink);
        return 0;
    }
    if (written > 0 && data[written - 1] != '\n')
        mp_log_sink_torn(sink);
    left = mp_log_sink_lines(data + written, n - written);
    mp_log_sink_lost(sink, left < lines ? left : lines, -err);
    return err;
}
