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
#include "os/clock.h"
#include "os/fd.h"

enum {
    LINE_SIZE = 4096, /* PIPE_BUF on Linux */
    TEXT_SIZE = 4096, /* what is formatted before escaping */
};

static const char cut_mark[] = "...(cut)\n";
static const char continuation[] = "\n    ";

struct line {
    char bytes[LINE_SIZE];
    size_t len;
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

/* Days since 1970-01-01 to a date of the Gregorian calendar, counted in eras of 400 years that
 * begin on the 1st of March, so that the leap day is the last of a year. */
static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = shifted / 146097;
    int64_t of_era = shifted % 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t months = (5 * of_year + 2) / 153; /* since March */

    *day = (int)(of_year - (153 * months + 2) / 5 + 1);
    *month = (int)(months < 10 ? months + 3 : months - 9);
    *year = (int)(years + era * 400 + (*month <= 2));
}

static void add_head(struct line *line, enum mp_log_level level, int64_t wall)
{
    int64_t seconds = wall / MP_NSEC_PER_SEC;
    int of_day = (int)(seconds % 86400);
    int milliseconds = (int)(wall % MP_NSEC_PER_SEC / MP_NSEC_PER_MSEC);
    int year;
    int month;
    int day;
    int n;

    date_of(seconds / 86400, &year, &month, &day);
    n = snprintf(line->bytes, sizeof(line->bytes), "%04d-%02d-%02d %02d:%02d:%02d.%03d %s [%d] ",
                 year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60, milliseconds,
                 level_name(level), (int)getpid());
    line->len = n > 0 ? (size_t)n : 0;
}

/* Appends the text, escaped, and the newline. A line that gets too long ends with the mark. */
static void add_text(struct line *line, const char *text, size_t n)
{
    const size_t end = sizeof(line->bytes) - (sizeof(cut_mark) - 1);
    size_t at = 0;

    while (at < n) {
        char unit[MP_ESCAPE_UNIT];
        size_t used = sizeof(continuation) - 1;
        size_t len = used;
        const char *from = continuation;

        if (n - at < used || memcmp(text + at, continuation, used) != 0) {
            len = mp_escape_unit(MP_ESCAPE_TEXT, text + at, n - at, unit, &used);
            from = unit;
        }
        if (line->len + len > end) {
            memcpy(line->bytes + line->len, cut_mark, sizeof(cut_mark) - 1);
            line->len += sizeof(cut_mark) - 1;
            return;
        }
        memcpy(line->bytes + line->len, from, len);
        line->len += len;
        at += used;
    }
    line->bytes[line->len++] = '\n';
}

/* Formats into text (TEXT_SIZE bytes). Returns the length, without newlines at the end. */
static size_t format_text(char *text, const char *format, va_list args)
{
    int n = vsnprintf(text, TEXT_SIZE, format, args);

    if (n < 0)
        return 0;
    if (n >= TEXT_SIZE)
        return TEXT_SIZE - 1; /* does not fit in the line either, which marks the cut */
    while (n > 0 && text[n - 1] == '\n')
        n--;
    return (size_t)n;
}

void mp_log(const struct mp_log *log, enum mp_log_level level, const char *format, ...)
{
    struct line line;
    char text[TEXT_SIZE];
    int saved = errno;
    va_list args;
    size_t len;

    if (level < log->level || log->fd < 0)
        return;
    va_start(args, format);
    len = format_text(text, format, args);
    va_end(args);
    add_head(&line, level, mp_clock_wall());
    add_text(&line, text, len);
    (void)mp_fd_write_all(log->fd, line.bytes, line.len);
    errno = saved;
}
