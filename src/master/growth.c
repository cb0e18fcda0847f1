/* SPDX-License-Identifier: MIT */
/* Whether there is room for another worker; see growth.h. */
#include "master/growth.h"

#include "master/private.h"
#include "master/report.h"
#include "os/clock.h"
#include "os/process.h"
#include "scoreboard/seats.h"

bool mp_growth_fits(uint64_t largest, uint64_t available)
{
    return available >= largest + largest / 4 + MP_GROWTH_RESERVE;
}

unsigned mp_growth_first_threads(const struct mp_master *master)
{
    const struct mp_worker_options *options = &master->options.worker;
    bool fixed = options->threads_min == 0 || options->threads_min > options->threads;

    return fixed ? options->threads : options->threads_min;
}

/* Those that workers will take which are wanted, but not begun. */
static uint64_t promised_seats(const struct mp_master *master, unsigned first)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < master->slots; i++) {
        const struct mp_worker_handle *handle = &master->workers[i];
        unsigned own = mp_seats_of(master->board, i);

        if (handle->state == MP_HANDLE_WAITING && handle->replaces < 0 && own < first)
            sum += first - own;
    }
    return sum;
}

bool mp_growth_has_seats(const struct mp_master *master)
{
    unsigned bound = master->options.worker.max_concurrency;
    unsigned first = mp_growth_first_threads(master);

    return bound == 0 ||
           mp_seats_taken(master->board) + promised_seats(master, first) + first <= bound;
}

/* The proportional size of the largest worker that serves: what another may come to. */
static uint64_t largest_worker(const struct mp_master *master)
{
    uint64_t largest = 0;

    for (unsigned i = 0; i < master->slots; i++) {
        const struct mp_worker_handle *handle = &master->workers[i];
        int64_t pss;

        if (handle->state != MP_HANDLE_READY)
            continue;
        pss = mp_process_pss(handle->pid);
        if (pss < 0)
            pss = mp_process_rss(handle->pid);
        if (pss > 0 && (uint64_t)pss > largest)
            largest = (uint64_t)pss;
    }
    return largest;
}

static void refuse_for_memory(struct mp_master *master, uint64_t largest, uint64_t available)
{
    char need[32];
    char left[32];

    mp_log(&master->options.log, MP_LOG_WARNING,
           "no further worker although requests wait: it may need %s and a reserve, and %s of "
           "memory are available",
           mp_report_bytes(largest, need, sizeof(need)),
           mp_report_bytes(available, left, sizeof(left)));
}

static bool has_memory(struct mp_master *master, bool tell)
{
    uint64_t largest = largest_worker(master);
    uint64_t available = mp_memory_available();
    bool fits = mp_growth_fits(largest, available);

    if (!fits && tell)
        refuse_for_memory(master, largest, available);
    return fits;
}

/* Told once, until there is room again. */
bool mp_growth_allowed(struct mp_master *master, int64_t now)
{
    bool tell = !master->growth_refused;

    if (now < master->growth_pause)
        return false;
    if (!mp_growth_has_seats(master)) {
        if (tell)
            mp_log(&master->options.log, MP_LOG_WARNING,
                   "no further worker although requests wait: max-concurrency %u leaves no room "
                   "for it",
                   master->options.worker.max_concurrency);
        master->growth_refused = true;
    } else {
        master->growth_refused = !has_memory(master, tell);
    }
    if (master->growth_refused)
        master->growth_pause = now + MP_GROWTH_PAUSE;
    return !master->growth_refused;
}
