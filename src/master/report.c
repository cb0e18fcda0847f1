/* SPDX-License-Identifier: MIT */
#include "master/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "master/master.h"
#include "os/clock.h"
#include "os/process.h"

enum {
    LINES_MOST = 16,
    PATH_WIDTH_MOST = 40, /* longer paths are shown whole, but push no others to the right */
};

/* A busy thread, chosen to be shown. */
struct busy {
    unsigned index;
    struct mp_sb_thread_view view;
    char client[MP_SB_CLIENT_TEXT];
};

struct busy_list {
    unsigned shown;
    unsigned hidden;
    struct busy longest[LINES_MOST]; /* by since, oldest first */
};

/* A text that is appended to and never overflows. */
struct text {
    char *bytes;
    size_t size;
    size_t len;
};

MP_PRINTF(2, 3) static void add(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->bytes + text->len, text->size - text->len, format, args);
    va_end(args);
    if (n > 0)
        text->len += (size_t)n;
    if (text->len >= text->size)
        text->len = text->size - 1;
}

const char *mp_report_duration(int64_t ns, char *text, size_t size)
{
    long long milliseconds = (long long)((ns < 0 ? 0 : ns) / MP_NSEC_PER_MSEC);
    long long seconds = milliseconds / 1000;

    if (milliseconds < 1000)
        snprintf(text, size, "%lld ms", milliseconds);
    else if (seconds < 120)
        snprintf(text, size, "%lld.%lld s", seconds, milliseconds % 1000 / 100);
    else if (seconds < 7200)
        snprintf(text, size, "%lld min %lld s", seconds / 60, seconds % 60);
    else
        snprintf(text, size, "%lld h %lld min", seconds / 3600, seconds / 60 % 60);
    return text;
}

const char *mp_report_bytes(uint64_t bytes, char *text, size_t size)
{
    double kib = (double)bytes / 1024;

    if (kib < 1024)
        snprintf(text, size, "%.0f KiB", kib);
    else if (kib < 1024.0 * 1024)
        snprintf(text, size, "%.0f MiB", kib / 1024);
    else
        snprintf(text, size, "%.1f GiB", kib / 1024 / 1024);
    return text;
}

static const char *describe_killer(enum mp_killer killer)
{
    switch (killer) {
    case MP_KILLER_MASTER:
        return "";
    case MP_KILLER_KERNEL:
        return " by the kernel for want of memory";
    case MP_KILLER_SOMEBODY:
        return ", which somebody has sent, and not the kernel for want of memory";
    case MP_KILLER_UNKNOWN:
        break;
    }
    return ", most likely by the kernel for want of memory";
}

const char *mp_report_death(int status, enum mp_killer killer, uint64_t peak, char *bytes,
                            size_t size)
{
    struct text text = {.bytes = bytes, .size = size};
    char part[32];

    if (!WIFSIGNALED(status)) {
        add(&text, "exited with status %d", WEXITSTATUS(status));
        return bytes;
    }
    add(&text, "killed by %s", mp_signal_name(WTERMSIG(status), part, sizeof(part)));
    if (WTERMSIG(status) == SIGKILL)
        add(&text, "%s", describe_killer(killer));
    if (WCOREDUMP(status))
        add(&text, ", with a core dump");
    if (peak > 0)
        add(&text, " (peak memory %s)", mp_report_bytes(peak, part, sizeof(part)));
    return bytes;
}

/* A parser has accepted these bytes, but the memory they come from is the worker's to write: no
 * line of the log shall be made of them. */
static void make_plain(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ')
            *text = '?';
    }
}

/* Keeps the thread if it is among the longest running. */
static void consider(struct busy_list *list, const struct busy *busy)
{
    unsigned at = list->shown;

    while (at > 0 && list->longest[at - 1].view.since > busy->view.since)
        at--;
    if (list->shown == LINES_MOST)
        list->hidden++;
    else
        list->shown++;
    if (at == LINES_MOST)
        return;
    memmove(&list->longest[at + 1], &list->longest[at],
            (list->shown - 1 - at) * sizeof(list->longest[0]));
    list->longest[at] = *busy;
}

static void find_busy(struct mp_scoreboard *board, unsigned slot, struct busy_list *list)
{
    list->shown = 0;
    list->hidden = 0;
    for (unsigned i = 0; i < mp_scoreboard_threads(board); i++) {
        struct busy busy = {.index = i};

        mp_sb_thread_read(mp_scoreboard_thread(board, slot, i), &busy.view);
        if (busy.view.state != MP_SB_THREAD_WORKING && busy.view.state != MP_SB_THREAD_STUCK)
            continue;
        /* A request that has no path can only be told from others by its client. */
        if (busy.view.path[0])
            snprintf(busy.client, sizeof(busy.client), "%s", busy.view.peer);
        else
            mp_sb_thread_client(&busy.view, busy.client, sizeof(busy.client));
        make_plain(busy.view.method);
        make_plain(busy.view.path);
        consider(list, &busy);
    }
}

/* Columns as wide as what they hold. */
struct widths {
    int index;
    int method;
    int path;
    int peer;
};

static int wider(int width, size_t len, int most)
{
    if ((int)len > most)
        return width;
    return (int)len > width ? (int)len : width;
}

static void measure(const struct busy_list *list, struct widths *widths)
{
    char number[16];

    *widths = (struct widths){0};
    for (unsigned i = 0; i < list->shown; i++) {
        const struct busy *busy = &list->longest[i];
        int digits = snprintf(number, sizeof(number), "%u", busy->index + 1);

        widths->index = wider(widths->index, (size_t)digits, (int)sizeof(number));
        widths->method = wider(widths->method, strlen(busy->view.method), MP_SB_METHOD_SIZE);
        widths->path = wider(widths->path, strlen(busy->view.path), PATH_WIDTH_MOST);
        widths->peer = wider(widths->peer, strlen(busy->client), (int)sizeof(busy->client));
    }
}

static void add_line(struct text *text, const struct busy *busy, const struct widths *widths,
                     int64_t now)
{
    const struct mp_sb_thread_view *view = &busy->view;
    char age[32];

    add(text, "\n          thread %-*u  %-*s %-*s  from %-*s  for %s%s%s", widths->index,
        busy->index + 1, widths->method, view->method, widths->path, view->path, widths->peer,
        busy->client[0] ? busy->client : "?",
        mp_report_duration(now - view->since, age, sizeof(age)),
        view->state == MP_SB_THREAD_STUCK ? ", stuck" : "",
        view->torn ? " (was being written: may be mixed)" : "");
}

const char *mp_report_load_failure(int status)
{
    return status == MP_EXIT_CONFIGURATION ? "the new configuration cannot be used"
                                           : "the new code could not be loaded";
}

const char *mp_report_serving(struct mp_scoreboard *board, unsigned slot, int64_t now, char *bytes,
                              size_t size)
{
    struct text text = {.bytes = bytes, .size = size};
    struct busy_list list;
    struct widths widths;

    bytes[0] = '\0';
    find_busy(board, slot, &list);
    if (list.shown == 0)
        return bytes;
    measure(&list, &widths);
    add(&text, " It was serving:");
    for (unsigned i = 0; i < list.shown; i++)
        add_line(&text, &list.longest[i], &widths, now);
    if (list.hidden > 0)
        add(&text, "\n          and %u more", list.hidden);
    return bytes;
}
