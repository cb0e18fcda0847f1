/* SPDX-License-Identifier: MIT */
/* How many workers; see crew_sizing.h. */
#include "master/crew_sizing.h"

#include <string.h>

enum { PRESSED_LOOKS = 2 };

static void begin_idle(struct mp_crew_sizing *sizing, int64_t now)
{
    sizing->since = now;
    sizing->looks = 0;
    sizing->busy = 0;
    sizing->handlers_peak = 0;
}

void mp_crew_sizing_init(struct mp_crew_sizing *sizing, unsigned least, unsigned most,
                         unsigned threads, unsigned cpus, int64_t idle, int64_t now)
{
    memset(sizing, 0, sizeof(*sizing));
    sizing->least = least;
    sizing->most = most;
    sizing->threads = threads;
    sizing->cpus = cpus;
    sizing->idle = idle;
    sizing->look_at = now;
    begin_idle(sizing, now);
}

static bool is_full(const struct mp_crew_sizing *sizing, const struct mp_crew_seen *worker)
{
    return worker->handlers >= sizing->threads && worker->computing < worker->handlers;
}

static bool lacks_cpu(const struct mp_crew_seen *worker)
{
    return worker->waiting > 0 && worker->computing > 0;
}

/* Whether all are pressed, and a worker more would help. */
static bool is_pressed(const struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                       unsigned count)
{
    bool free_cpu = count < sizing->cpus;

    for (unsigned i = 0; i < count; i++) {
        if (!is_full(sizing, &workers[i]) && !(free_cpu && lacks_cpu(&workers[i])))
            return false;
    }
    return count > 0;
}

/* Books a look; true when a worker was pressed. */
static bool book(struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers, unsigned count)
{
    unsigned handlers = 0;
    bool pressed = false;

    sizing->looks++;
    for (unsigned i = 0; i < count; i++) {
        handlers += workers[i].handlers;
        sizing->busy += workers[i].computing > 0;
        pressed = pressed || is_full(sizing, &workers[i]) || lacks_cpu(&workers[i]);
    }
    if (handlers > sizing->handlers_peak)
        sizing->handlers_peak = handlers;
    return pressed;
}

static bool fewer_would_do(const struct mp_crew_sizing *sizing, unsigned count)
{
    uint64_t others = count - 1;

    return sizing->handlers_peak <= others * sizing->threads * 3 / 4 &&
           sizing->busy * 2 <= others * sizing->looks;
}

int mp_crew_sizing_look(struct mp_crew_sizing *sizing, const struct mp_crew_seen *workers,
                        unsigned count, int64_t now)
{
    bool any_pressed = book(sizing, workers, count);

    sizing->look_at = now + MP_CREW_LOOK;
    sizing->pressed = is_pressed(sizing, workers, count) ? sizing->pressed + 1 : 0;
    if (any_pressed)
        begin_idle(sizing, now);
    if (sizing->pressed >= PRESSED_LOOKS && count < sizing->most) {
        sizing->pressed = 0;
        return 1;
    }
    if (now - sizing->since < sizing->idle)
        return 0;
    bool less = count > sizing->least && fewer_would_do(sizing, count);
    begin_idle(sizing, now);
    return less ? -1 : 0;
}
