/* SPDX-License-Identifier: MIT */
/* See dump.h. */
#include "server/dump.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "os/fd.h"
#include "server/inspector.h"
#include "server/internal.h"

/* While the reader does not keep up. */
#define WRITE_LOOK (5 * MP_NSEC_PER_MSEC)

struct mp_dump {
    int fd;
    int64_t ends;
    unsigned next; /* thread to ask about; thread_count: those of the application; beyond: none */
    bool begun;
    bool asked; /* about a thread; the answer is due */
    bool whole; /* the text: it is being written */
    struct mp_buffer text;
    size_t written;
    struct mp_dump *following;
};

/* ---- the text ------------------------------------------------------------------------------ */

static void append(struct mp_dump *dump, const char *text, size_t n)
{
    /* Without memory the text has gaps. */
    if (mp_buffer_append(&dump->text, text, n) < 0)
        return;
}

MP_PRINTF(2, 3) static void add(struct mp_dump *dump, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0)
        append(dump, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void add_head(struct mp_dump *dump, struct mp_server *server)
{
    const struct mp_pool *pool = &server->reactor.pool;
    unsigned busy = 0;
    unsigned alive = 0;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        const struct mp_thread *thread = &pool->threads[i];
        alive += atomic_load_explicit(&thread->life, memory_order_relaxed) == MP_LIFE_RUNS;
        busy += atomic_load_explicit(&thread->started_at, memory_order_relaxed) != 0;
    }
    add(dump, "worker %u (pid %d): %u threads in handlers, %u not\n", server->context->slot + 1,
        (int)getpid(), busy, alive > busy ? alive - busy : 0);
}

static void add_thread(struct mp_dump *dump, const struct mp_thread *thread, int64_t started,
                       int64_t now)
{
    struct mp_sb_thread_view view;
    char client[MP_SB_CLIENT_TEXT];
    mp_sb_thread_read(thread->slot, &view);
    mp_sb_thread_client(&view, client, sizeof(client));
    for (char *at = view.path; *at; at++)
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
    add(dump, "  thread %u: %s for %.1f s on %s %s%s%s\n", thread->index + 1,
        view.state == MP_SB_THREAD_STUCK ? "stuck" : "working",
        (double)(now - started) / (double)MP_NSEC_PER_SEC, view.method, view.path,
        client[0] ? ", from " : "", client);
}

static void add_answer(struct mp_dump *dump, const struct mp_answer *answer)
{
    if (answer->over)
        add(dump, "    (it has just ended)\n");
    else if (answer->held)
        add(dump, "    (the interpreter is held by somebody%s)\n",
            answer->len > 0 ? ": by the thread's own word, without source lines" : "");
    else if (answer->len == 0)
        add(dump, "    (it is not in any code of the application)\n");
    if (answer->len > 1) {
        append(dump, answer->text + 1, answer->len - 1); /* without the newline before it */
        append(dump, "\n", 1);
    }
}

/* ---- its steps ----------------------------------------------------------------------------- */

/* Asks about the next thread that is in a handler. False: all have been asked about. */
static bool ask_next(struct mp_dump *dump, struct mp_server *server, int64_t now)
{
    struct mp_pool *pool = &server->reactor.pool;
    while (dump->next < pool->thread_count) {
        struct mp_thread *thread = &pool->threads[dump->next++];
        int64_t started = atomic_load_explicit(&thread->started_at, memory_order_acquire);
        if (started <= 0)
            continue;
        add_thread(dump, thread, started, now);
        if (!server->inspector)
            continue;
        mp_inspector_ask(server->inspector,
                         &(struct mp_question){.thread = thread, .started = started}, now);
        return true;
    }
    if (dump->next > pool->thread_count || !server->inspector)
        return false;
    dump->next++;
    mp_inspector_ask(server->inspector, &(struct mp_question){.thread = NULL}, now);
    return true;
}

/* True when the text is whole. */
static bool collect(struct mp_dump *dump, struct mp_server *server, int64_t now)
{
    struct mp_answer answer;
    if (!dump->begun) {
        dump->begun = true;
        add_head(dump, server);
    }
    for (;;) {
        if (dump->asked) {
            if (!mp_inspector_look(server->inspector, &answer, now))
                return false;
            dump->asked = false;
            bool others = dump->next > server->reactor.pool.thread_count;
            if (others && answer.len > 0)
                add(dump, "  threads of the application:\n");
            if (!others || answer.len > 0)
                add_answer(dump, &answer);
        }
        if (now >= dump->ends) {
            add(dump, "  (too slow: the rest is left out)\n");
            return true;
        }
        /* Somebody else's question comes first. */
        if (server->inspector && !mp_inspector_is_free(server->inspector))
            return false;
        if (!ask_next(dump, server, now))
            return true;
        dump->asked = true;
    }
}

/* True when it is over. */
static bool write_out(struct mp_dump *dump, int64_t now)
{
    while (dump->written < dump->text.len) {
        ssize_t n =
            mp_fd_write(dump->fd, dump->text.data + dump->written, dump->text.len - dump->written);
        if (n == -EAGAIN)
            return now >= dump->ends;
        if (n <= 0)
            return true; /* the reader has gone */
        dump->written += (size_t)n;
    }
    return true;
}

static void end(struct mp_dump **dump)
{
    struct mp_dump *over = *dump;
    *dump = over->following;
    mp_fd_close(&over->fd);
    mp_buffer_done(&over->text);
    free(over);
}

void mp_dump_begin(struct mp_dump **dump, int fd, int64_t now)
{
    struct mp_dump *new = calloc(1, sizeof(*new));
    if (!new || mp_fd_set_nonblock(fd, true) < 0) {
        free(new);
        mp_fd_close(&fd);
        return;
    }
    new->fd = fd;
    new->ends = now + MP_DUMP_PATIENCE;
    mp_buffer_init(&new->text);
    while (*dump)
        dump = &(*dump)->following;
    *dump = new;
}

bool mp_dump_step(struct mp_dump **dump, struct mp_server *server, int64_t now)
{
    while (*dump) {
        if (!(*dump)->whole && !collect(*dump, server, now))
            return (*dump)->asked;
        (*dump)->whole = true;
        if (!write_out(*dump, now))
            return false;
        end(dump);
    }
    return false;
}

int64_t mp_dump_next_look(const struct mp_dump *dump, int64_t now)
{
    return dump ? now + WRITE_LOOK : INT64_MAX;
}

void mp_dump_free(struct mp_dump **dump)
{
    while (*dump)
        end(dump);
}
