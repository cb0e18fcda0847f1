/* SPDX-License-Identifier: MIT */
/* How many workers; see crew_sizing.h. */
#include "master/crew_sizing.h"

#include <string.h>

/* Of a CPU, in percent: an interpreter that uses so much of one is busy all the time. */
enum { BUSY = 80, CPUS_FULL = 90 };

void mp_crew_sizing_init(struct mp_crew_sizing *sizing, unsigned least, unsigned most,
                         unsigned threads, unsigned cpus, int64_t idle, int64_t now)
{
    int64_t span = idle / (2 * MP_CREW_SPANS);

    memset(sizing, 0, sizeof(*sizing));
    sizing->least = least;
    sizing->most = most;
    sizing->threads = threads;
    sizing->cpus = cpus;
    sizing->span = span > 0 ? span : 1;
    sizing->look_at = now + MP_CREW_LOOK;
    sizing->looked_at = now;
    sizing->grown_at = now;
    sizing->span_ends = now + sizing->span;
}

void mp_crew_sizing_shift(struct mp_crew_sizing *sizing, int by)
{
    if (by > 0 || sizing->least > 1)
        sizing->least += (unsigned)by;
    sizing->most += (unsigned)by;
    if (sizing->most < sizing->least)
        sizing->most = sizing->least;
}

static bool needs_threads(const struct mp_crew_sizing *sizing, const struct mp_crew_seen *worker)
{
    unsigned waiting = worker->waiting + worker->backlog;

    return waiting > 0 && worker->handlers + waiting >= sizing->threads &&
           worker->computing * 2 <= worker->handlers && worker->handlers > 0;
}

static bool lacks_cpu(const struct mp_crew_seen *worker, int64_t elapsed)
{
    return worker->waiting > 0 && worker->computing > 0 &&
           (worker->waited >= MP_CREW_WAIT || worker->cpu * 100 >= elapsed * BUSY);
}

/* Whether another worker would find a CPU. */
static bool has_cpu(const struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                    unsigned count, int64_t elapsed)
{
    int64_t used = 0;

    for (unsigned i = 0; i < count; i++)
        used += workers[i].cpu;
    return count < sizing->cpus && used * 100 < elapsed * sizing->cpus * CPUS_FULL;
}

/* How many of the workers are pressed, so that another would help. */
static unsigned count_pressed(const struct mp_crew_sizing *sizing,
                              const struct mp_crew_seen *workers, unsigned count, int64_t elapsed,
                              unsigned *ret_pressed)
{
    bool cpu = has_cpu(sizing, workers, count, elapsed);
    unsigned curable = 0;

    *ret_pressed = 0;
    for (unsigned i = 0; i < count; i++) {
        bool threads = needs_threads(sizing, &workers[i]);
        bool computes = lacks_cpu(&workers[i], elapsed);

        *ret_pressed += threads || computes;
        curable += threads || (computes && cpu);
    }
    return curable;
}

static unsigned divide_up(uint64_t n, uint64_t by)
{
    return (unsigned)((n + by - 1) / by);
}

/* Books what is needed; true when a span has ended. */
static bool watch_need(struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                       unsigned count, bool pressed, int64_t now)
{
    uint64_t handlers = 0;
    unsigned need;

    sizing->looks++;
    for (unsigned i = 0; i < count; i++) {
        handlers += workers[i].handlers;
        sizing->busy += workers[i].computing > 0;
    }
    need = pressed ? count : divide_up(handlers * 4, (uint64_t)sizing->threads * 3);
    if (need > sizing->needs[sizing->at])
        sizing->needs[sizing->at] = need;
    if (now < sizing->span_ends)
        return false;
    need = divide_up(sizing->busy * 2, sizing->looks);
    if (need > sizing->needs[sizing->at])
        sizing->needs[sizing->at] = need;
    sizing->at = (sizing->at + 1) % MP_CREW_SPANS;
    sizing->needs[sizing->at] = 0;
    sizing->looks = 0;
    sizing->busy = 0;
    sizing->span_ends = now + sizing->span;
    return true;
}

static int shrink(const struct mp_crew_sizing *sizing, unsigned count, int64_t now)
{
    unsigned need = sizing->least;

    for (unsigned i = 0; i < MP_CREW_SPANS; i++)
        need = sizing->needs[i] > need ? sizing->needs[i] : need;
    if (count <= need || now - sizing->grown_at < sizing->span * MP_CREW_SPANS)
        return 0;
    return -(int)((count - need + 1) / 2);
}

static void look_again(struct mp_crew_sizing *sizing, bool pressed, int64_t now)
{
    int64_t pause = pressed ? MP_CREW_LOOK_PRESSED : MP_CREW_LOOK;

    sizing->looked_at = now;
    sizing->look_at = now + (pause < sizing->span ? pause : sizing->span);
}

int mp_crew_sizing_look(struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                        unsigned count, int64_t now)
{
    int64_t elapsed = now - sizing->looked_at;
    unsigned pressed;
    bool all = count_pressed(sizing, workers, count, elapsed, &pressed) == count && count > 0;
    bool ended = watch_need(sizing, workers, count, pressed > 0, now);

    look_again(sizing, pressed > 0, now);
    if (!all)
        sizing->pressed_since = 0;
    else if (sizing->pressed_since == 0)
        sizing->pressed_since = now;
    if (all && count < sizing->most && now - sizing->pressed_since >= MP_CREW_PRESS) {
        sizing->pressed_since = 0;
        sizing->grown_at = now;
        return 1;
    }
    return ended ? shrink(sizing, count, now) : 0;
}

void mp_crew_sizing_skip(struct mp_crew_sizing *sizing, int64_t now)
{
    sizing->pressed_since = 0;
    look_again(sizing, true, now);
}
