/* SPDX-License-Identifier: MIT */
/*
 * One line, one write(2). A line is at most 4096 bytes (PIPE_BUF), so that what several processes
 * write into one pipe or one file opened for appending does not mix.
 *
 * Nothing here locks or allocates, so that a thread may log right after a fork, whatever the others
 * held at that moment. This is why the time is UTC and converted by hand: localtime_r() and
 * gmtime_r() both take the C library's time-zone lock.
 *
 * The text may hold bytes that a client has chosen. Whatever could end a line or steer a terminal
 * is written as \xNN: C0 and C1 controls, DEL, and bytes that are no UTF-8.
 */
#include "os/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "os/calendar.h"
#include "os/clock.h"
#include "os/fd.h"

enum {
    LINE_SIZE = 4096, /* PIPE_BUF on Linux */
    TEXT_SIZE = 4096, /* what is formatted before escaping */
    TAIL_SIZE = 16,   /* what comes behind the text */
};

static const char cut_mark[] = "...(cut)";
static const char continuation[] = "\n    ";
static const char message_field[] = "MESSAGE\n";

/* A line, or a datagram. */
struct line {
    char bytes[MP_LOG_HEAD + LINE_SIZE + TAIL_SIZE];
    size_t len;
    size_t begin;   /* of what may not be longer than LINE_SIZE */
    size_t message; /* journal: where the message begins, behind its size */
    enum mp_escape how;
    bool continues; /* lines of continuation stay lines */
};

static const char *level_name(enum mp_log_level level)
{
    switch (level) {
    case MP_LOG_DEBUG:
        return "DEBUG";
    case MP_LOG_INFO:
        return "INFO";
    case MP_LOG_WARNING:
        return "WARNING";
    case MP_LOG_ERROR:
        return "ERROR";
    case MP_LOG_CRITICAL:
        return "CRITICAL";
    }
    return "CRITICAL";
}

/* ---- the parts of a line ----------------------------------------------------------------- */

static void put(struct line *line, const void *bytes, size_t n)
{
    memcpy(line->bytes + line->len, bytes, n);
    line->len += n;
}

/* What the daemon wants first. The journal has the text behind its size, which is not known yet. */
static void begin_datagram(struct line *line, const struct mp_log *log, enum mp_log_level level)
{
    const uint64_t size = 0;

    line->len = mp_log_sink_head(&log->sink, level, line->bytes);
    if (log->sink.protocol != MP_LOG_JOURNALD)
        return;
    put(line, message_field, sizeof(message_field) - 1);
    put(line, &size, sizeof(size));
    line->message = line->len;
}

/* Daemons keep time, level and process themselves. */
static void add_head(struct line *line, const struct mp_log *log, enum mp_log_level level)
{
    char *at = line->bytes + line->len;
    size_t room = sizeof(line->bytes) - line->len;
    char time[MP_CALENDAR_TEXT];
    int64_t wall = mp_clock_wall();
    int n = 0;

    if (log->form == MP_LOG_JSON)
        n = snprintf(at, room, "{\"time\":\"%s\",\"level\":\"%s\",\"pid\":%d,\"message\":\"",
                     mp_calendar_rfc3339(wall, time), level_name(level), (int)getpid());
    else if (log->sink.protocol == MP_LOG_FILE)
        n = snprintf(at, room, "%s %s [%d] ", mp_calendar_plain(wall, time), level_name(level),
                     (int)getpid());
    line->len += n > 0 ? (size_t)n : 0;
}

static bool continues(const struct mp_log *log)
{
    return log->form != MP_LOG_JSON && log->sink.protocol != MP_LOG_SYSLOG;
}

static enum mp_escape how_of(const struct mp_log *log)
{
    return log->form == MP_LOG_JSON ? MP_ESCAPE_JSON : MP_ESCAPE_TEXT;
}

static void begin(struct line *line, const struct mp_log *log, enum mp_log_level level)
{
    line->len = 0;
    line->how = how_of(log);
    line->continues = continues(log);
    if (log->sink.protocol != MP_LOG_FILE)
        begin_datagram(line, log, level);
    line->begin = line->len;
    add_head(line, log, level);
}

/* What the beginning of the text becomes: in unit, or a constant. *ret_used: of the text. */
static const char *escape_next(enum mp_escape how, bool keep_lines, const char *text, size_t n,
                               char unit[MP_ESCAPE_UNIT], size_t *ret_len, size_t *ret_used)
{
    size_t mark = sizeof(continuation) - 1;

    if (keep_lines && n >= mark && memcmp(text, continuation, mark) == 0) {
        *ret_len = *ret_used = mark;
        return continuation;
    }
    *ret_len = mp_escape_unit(how, text, n, unit, ret_used);
    return unit;
}

/* Appends the text, escaped. One that gets too long ends with the mark. */
static void add_text(struct line *line, const char *text, size_t n)
{
    size_t tail = line->how == MP_ESCAPE_JSON ? sizeof("\"}\n") - 1 : sizeof("\n") - 1;
    const size_t end = line->begin + LINE_SIZE - (sizeof(cut_mark) - 1) - tail;
    size_t at = 0;

    while (at < n) {
        char unit[MP_ESCAPE_UNIT];
        size_t used;
        size_t len;
        const char *from =
            escape_next(line->how, line->continues, text + at, n - at, unit, &len, &used);

        if (line->len + len > end) {
            put(line, cut_mark, sizeof(cut_mark) - 1);
            return;
        }
        put(line, from, len);
        at += used;
    }
}

size_t mp_log_size(const struct mp_log *log, const char *text, size_t n)
{
    size_t size = 0;
    size_t at = 0;

    while (at < n) {
        char unit[MP_ESCAPE_UNIT];
        size_t used;
        size_t len;

        (void)escape_next(how_of(log), continues(log), text + at, n - at, unit, &len, &used);
        size += len;
        at += used;
    }
    return size;
}

/* The journal wants the size with its lowest byte first. */
static void put_message_size(struct line *line)
{
    uint64_t size = line->len - line->message;

    for (size_t i = 0; i < sizeof(size); i++)
        line->bytes[line->message - sizeof(size) + i] = (char)(size >> 8 * i & 0xff);
}

static void finish(struct line *line, const struct mp_log *log)
{
    if (log->form == MP_LOG_JSON)
        put(line, "\"}", 2);
    if (log->sink.protocol == MP_LOG_JOURNALD)
        put_message_size(line);
    if (log->sink.protocol != MP_LOG_SYSLOG)
        put(line, "\n", 1);
}

/* The length without newlines at the end. */
static size_t trim(const char *text, size_t n)
{
    while (n > 0 && text[n - 1] == '\n')
        n--;
    return n;
}

/* Formats into text (TEXT_SIZE bytes). Returns the length, without newlines at the end. */
static size_t format_text(char *text, const char *format, va_list args)
{
    int n = vsnprintf(text, TEXT_SIZE, format, args);

    if (n < 0)
        return 0;
    if (n >= TEXT_SIZE)
        return TEXT_SIZE - 1; /* does not fit in the line either, which marks the cut */
    return trim(text, (size_t)n);
}

/* ---- the log ----------------------------------------------------------------------------- */

static int deliver(const struct mp_log *log, const struct line *line)
{
    if (log->sink.protocol == MP_LOG_FILE)
        return mp_log_sink_write(&log->sink, log->fd, line->bytes, line->len, 1);
    return mp_log_sink_tell(&log->sink, log->fd, line->bytes, line->len);
}

static int log_text(const struct mp_log *log, enum mp_log_level level, const char *text, size_t n)
{
    struct line line;

    begin(&line, log, level);
    add_text(&line, text, n);
    finish(&line, log);
    return deliver(log, &line);
}

int mp_log(const struct mp_log *log, enum mp_log_level level, const char *format, ...)
{
    char text[TEXT_SIZE];
    int saved = errno;
    va_list args;
    size_t len;
    int err;

    if (level < log->level || log->fd < 0)
        return 0;
    va_start(args, format);
    len = format_text(text, format, args);
    va_end(args);
    err = log_text(log, level, text, len);
    errno = saved;
    return err;
}

int mp_log_bytes(const struct mp_log *log, enum mp_log_level level, const char *text, size_t n)
{
    int saved = errno;
    int err;

    if (level < log->level || log->fd < 0)
        return 0;
    err = log_text(log, level, text, trim(text, n));
    errno = saved;
    return err;
}

void mp_log_lines(const struct mp_log *log, const char *text, size_t n)
{
    int saved = errno;

    if (log->fd < 0)
        return;
    if (log->form == MP_LOG_TEXT && log->sink.protocol == MP_LOG_FILE) {
        (void)mp_log_sink_write(&log->sink, log->fd, text, n, mp_log_sink_lines(text, n));
        errno = saved;
        return;
    }
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t len = end ? (size_t)(end - text) : n;
        size_t used = end ? len + 1 : len;

        if (len > 0)
            (void)log_text(log, MP_LOG_ERROR, text, len);
        text += used;
        n -= used;
    }
    errno = saved;
}
