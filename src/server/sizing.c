/* SPDX-License-Identifier: MIT */
/* How many threads; see sizing.h. */
#include "server/sizing.h"

#include <string.h>

/* CPU use is judged over this time: starting threads takes some itself. */
#define CPU_WINDOW (INT64_C(50) * 1000 * 1000)
/* Of what the cores can give, in percent: the rest is lost in switching between threads. */
#define CPU_FULL 90
/* A process that uses no more of one CPU, in percent, does not keep its threads from it. */
#define CPU_IDLE 25

void mp_thread_sizing_init(struct mp_thread_sizing *sizing, unsigned least, unsigned most,
                           unsigned cores, int64_t idle, int64_t now)
{
    int64_t span = idle / (2 * MP_SIZING_SPANS);
    memset(sizing, 0, sizeof(*sizing));
    sizing->least = least;
    sizing->most = most;
    sizing->cores = cores > 0 ? cores : 1;
    sizing->span = span > 0 ? span : 1;
    sizing->span_ends = now + sizing->span;
    sizing->grown_at = now;
    sizing->cpu_at = now;
    sizing->cpu = 0;
}

/* A window that has lasted much longer than usual says nothing about now. */
static void watch_cpu(struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen)
{
    int64_t elapsed = seen->now - sizing->cpu_at;
    if (elapsed < CPU_WINDOW)
        return;
    int64_t full = elapsed * sizing->cores / 100 * CPU_FULL;
    sizing->share = (unsigned)((seen->cpu - sizing->cpu) * 100 / elapsed);
    sizing->saturated = elapsed < 8 * CPU_WINDOW && seen->cpu - sizing->cpu >= full;
    sizing->cpu_at = seen->now;
    sizing->cpu = seen->cpu;
}

/* True when a span has ended. */
static bool watch_need(struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen)
{
    unsigned peak = seen->peak > seen->handlers ? seen->peak : seen->handlers;
    bool ended = seen->now >= sizing->span_ends;
    if (peak > sizing->peaks[sizing->at])
        sizing->peaks[sizing->at] = peak;
    if (!ended)
        return false;
    /* Nobody looked for several spans: whatever ran in between is in peak, and counts as new. */
    sizing->at = (sizing->at + 1) % MP_SIZING_SPANS;
    sizing->peaks[sizing->at] = seen->handlers;
    sizing->span_ends = seen->now + sizing->span;
    return true;
}

static unsigned needed(const struct mp_thread_sizing *sizing)
{
    unsigned most = 0;
    for (unsigned i = 0; i < MP_SIZING_SPANS; i++)
        most = sizing->peaks[i] > most ? sizing->peaks[i] : most;
    most += most / 8;
    return most > sizing->least ? most : sizing->least;
}

static unsigned least_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Whether handlers that are known to wait, for something else than the interpreter, do so. */
static bool do_wait(const struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen)
{
    if (seen->looked == 0 || seen->asleep * 2 >= seen->looked)
        return true;
    return (seen->asleep + seen->locked) * 2 >= seen->looked && sizing->share <= CPU_IDLE;
}

static int grow(struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen)
{
    if (!seen->starved || seen->coming > 0 || sizing->saturated || seen->threads >= sizing->most)
        return 0;
    if (!do_wait(sizing, seen))
        return 0;
    unsigned blocked = seen->handlers > seen->computing ? seen->handlers - seen->computing : 0;
    unsigned n = least_of(seen->waiting, blocked);
    n = least_of(n, sizing->most - seen->threads);
    if (n > 0)
        sizing->grown_at = seen->now;
    return (int)n;
}

static int shrink(const struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen)
{
    unsigned need = needed(sizing);
    if (seen->threads <= need || seen->coming > 0 || seen->waiting > 0)
        return 0;
    if (seen->now - sizing->grown_at < sizing->span * MP_SIZING_SPANS)
        return 0;
    return -(int)((seen->threads - need + 1) / 2);
}

int mp_thread_sizing_step(struct mp_thread_sizing *sizing, const struct mp_thread_seen *seen)
{
    watch_cpu(sizing, seen);
    bool ended = watch_need(sizing, seen);
    int change = grow(sizing, seen);
    return change == 0 && ended ? shrink(sizing, seen) : change;
}
