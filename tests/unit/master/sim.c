/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <string.h>

#include "runner.h"

#define MS MP_NSEC_PER_MSEC

static int64_t now_of(const struct sim *sim)
{
    return sim->ms * MS;
}

unsigned sim_random(uint32_t *state, unsigned n)
{
    *state = *state * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)*state * n) >> 32);
}

/* ---- workers ------------------------------------------------------------------------------ */

static void start_worker(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];

        if (worker->state != SIM_NONE)
            continue;
        memset(worker, 0, sizeof(*worker));
        worker->state = SIM_STARTING;
        worker->born = sim->ms;
        worker->threads = sim->threads_least;
        mp_thread_sizing_init(&worker->sizing, sim->threads_least, sim->threads_most, 1, sim->idle,
                              now_of(sim));
        return;
    }
    TEST_FAIL("no place for another worker");
}

static void stop_youngest(struct sim *sim)
{
    struct sim_worker *youngest = NULL;

    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];

        if (worker->state == SIM_SERVES && (!youngest || worker->born > youngest->born))
            youngest = worker;
    }
    CHECK(youngest != NULL);
    youngest->state = SIM_LEAVES;
}

void sim_init(struct sim *sim, unsigned workers_least, unsigned workers_most,
              unsigned threads_least, unsigned threads_most, unsigned cpus, int64_t idle_ms)
{
    memset(sim, 0, sizeof(*sim));
    sim->cpus = cpus;
    sim->threads_least = threads_least;
    sim->threads_most = threads_most;
    sim->idle = idle_ms * MS;
    sim->target = workers_least;
    mp_crew_sizing_init(&sim->crew, workers_least, workers_most, threads_most, cpus, sim->idle, 0);
    for (unsigned i = 0; i < workers_least; i++) {
        start_worker(sim);
        sim->workers[i].state = SIM_SERVES;
    }
}

/* ---- requests ----------------------------------------------------------------------------- */

static struct sim_worker *least_busy(struct sim *sim)
{
    struct sim_worker *best = NULL;

    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];

        if (worker->state != SIM_SERVES)
            continue;
        if (!best || worker->handlers + worker->waiting < best->handlers + best->waiting)
            best = worker;
    }
    return best;
}

static void bring(struct sim *sim)
{
    for (unsigned kind = 0; kind < SIM_KINDS; kind++) {
        const struct sim_kind *what = &sim->kinds[kind];

        for (; sim->asked[kind] < what->clients; sim->asked[kind]++) {
            struct sim_worker *worker = least_busy(sim);

            CHECK(worker && worker->waiting < SIM_QUEUE);
            worker->queue[worker->waiting++] =
                (struct sim_request){.kind = kind,
                                     .ready_at = now_of(sim),
                                     .compute = what->compute_us * MP_NSEC_PER_USEC,
                                     .wait = what->wait_ms * MS};
        }
    }
}

static bool mostly_waits(const struct sim_request *request)
{
    return request->wait > request->compute / 3;
}

/* Of the handlers, those that compute and whose route is not known to wait. */
static unsigned computing(const struct sim_worker *worker)
{
    unsigned count = 0;

    for (unsigned i = 0; i < worker->handlers; i++)
        count += worker->running[i].compute > 0 && !mostly_waits(&worker->running[i]);
    return count;
}

static bool next_may_start(const struct sim_worker *worker)
{
    return worker->waiting > 0 && (mostly_waits(&worker->queue[0]) || computing(worker) == 0);
}

static void start_handlers(struct sim *sim, struct sim_worker *worker)
{
    while (worker->handlers < worker->threads && next_may_start(worker)) {
        CHECK(worker->handlers < SIM_HANDLERS);
        worker->running[worker->handlers++] = worker->queue[0];
        worker->waited += now_of(sim) - worker->queue[0].ready_at;
        worker->begun++;
        memmove(worker->queue, worker->queue + 1, --worker->waiting * sizeof(worker->queue[0]));
    }
    worker->peak = worker->handlers > worker->peak ? worker->handlers : worker->peak;
}

/* The interpreter goes round among those that want it; budget: ns of CPU in this millisecond. */
static int64_t compute(struct sim *sim, struct sim_worker *worker, int64_t budget)
{
    int64_t left = budget;

    for (unsigned i = 0; i < worker->handlers; i++) {
        struct sim_request *request = &worker->running[i];
        int64_t used = request->compute < left ? request->compute : left;

        if (request->compute == 0 && request->wait > 0)
            request->wait -= request->wait < MS ? request->wait : MS;
        request->compute -= used;
        left -= used;
    }
    for (unsigned i = 0; i < worker->handlers;) {
        struct sim_request *request = &worker->running[i];

        if (request->compute > 0 || request->wait > 0) {
            i++;
            continue;
        }
        sim->asked[request->kind]--;
        sim->answered++;
        *request = worker->running[--worker->handlers];
    }
    worker->cpu += budget - left;
    return budget - left;
}

/* ---- the policies ------------------------------------------------------------------------- */

static void size_threads(struct sim *sim, struct sim_worker *worker)
{
    struct mp_thread_seen seen;
    int change;

    if (worker->coming > 0 && sim->ms >= worker->coming_at) {
        worker->threads += worker->coming;
        worker->coming = 0;
    }
    seen = (struct mp_thread_seen){
        .now = now_of(sim),
        .cpu = worker->cpu,
        .threads = worker->threads,
        .coming = worker->coming,
        .handlers = worker->handlers,
        .computing = computing(worker),
        .waiting = worker->waiting,
        .starved = worker->handlers >= worker->threads && next_may_start(worker),
        .peak = worker->peak,
    };
    worker->peak = worker->handlers;
    change = mp_thread_sizing_step(&worker->sizing, &seen);
    if (change > 0) {
        worker->coming = (unsigned)change;
        worker->coming_at = sim->ms + SIM_THREAD_MS;
    } else {
        unsigned idle = worker->threads - worker->handlers;

        worker->threads -= (unsigned)-change < idle ? (unsigned)-change : idle;
    }
    CHECK(worker->threads >= sim->threads_least);
    CHECK(worker->threads + worker->coming <= sim->threads_most);
}

static unsigned see(struct sim *sim, struct mp_crew_seen *seen)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[i];
        int64_t oldest;
        int64_t average;

        if (worker->state != SIM_SERVES)
            continue;
        oldest = worker->waiting > 0 ? now_of(sim) - worker->queue[0].ready_at : 0;
        average = worker->begun > 0 ? worker->waited / worker->begun : 0;
        seen[count++] = (struct mp_crew_seen){
            .waiting = worker->waiting,
            .handlers = worker->handlers,
            .computing = computing(worker),
            .waited = oldest > average ? oldest : average,
            .cpu = worker->cpu - worker->cpu_at_look,
        };
        worker->cpu_at_look = worker->cpu;
        worker->waited = 0;
        worker->begun = 0;
    }
    return count;
}

static void size_crew(struct sim *sim)
{
    struct mp_crew_seen seen[SIM_WORKERS];
    unsigned count;
    int change;

    if (!mp_crew_sizing_is_open(&sim->crew) || now_of(sim) < sim->crew.look_at)
        return;
    count = see(sim, seen);
    if (count != sim->target) {
        mp_crew_sizing_skip(&sim->crew, now_of(sim));
        return;
    }
    change = mp_crew_sizing_look(&sim->crew, seen, count, now_of(sim));
    for (int i = 0; i < change; i++)
        start_worker(sim);
    for (int i = 0; i > change; i--)
        stop_youngest(sim);
    sim->target += (unsigned)change;
    CHECK(sim->target >= sim->crew.least && sim->target <= sim->crew.most);
}

/* ---- time --------------------------------------------------------------------------------- */

static void follow(struct sim_turns *turns, unsigned number)
{
    int direction = number > turns->last ? 1 : number < turns->last ? -1 : 0;

    if (direction != 0 && turns->last != 0) {
        turns->turns += turns->direction != 0 && direction != turns->direction;
        turns->direction = direction;
    }
    turns->last = number;
}

static void step(struct sim *sim)
{
    int64_t cpu = sim->cpus * MS;

    sim->ms++;
    bring(sim);
    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        struct sim_worker *worker = &sim->workers[(i + (unsigned)sim->ms) % SIM_WORKERS];

        if (worker->state == SIM_STARTING && sim->ms - worker->born >= SIM_WORKER_MS)
            worker->state = SIM_SERVES;
        if (worker->state == SIM_NONE || worker->state == SIM_STARTING)
            continue;
        start_handlers(sim, worker);
        cpu -= compute(sim, worker, cpu < MS ? cpu : MS);
        start_handlers(sim, worker); /* nobody finds a worker between two handlers */
        size_threads(sim, worker);
        if (worker->state == SIM_LEAVES && worker->handlers + worker->waiting == 0)
            worker->state = SIM_NONE;
    }
    size_crew(sim);
    follow(&sim->worker_turns, sim->target);
    follow(&sim->thread_turns, sim_threads(sim));
}

void sim_run(struct sim *sim, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++)
        step(sim);
}

int64_t sim_until(struct sim *sim, bool (*condition)(const struct sim *sim), int64_t ms)
{
    for (int64_t i = 1; i <= ms; i++) {
        step(sim);
        if (condition(sim))
            return i;
    }
    return -1;
}

unsigned sim_workers(const struct sim *sim)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SIM_WORKERS; i++)
        count += sim->workers[i].state == SIM_SERVES;
    return count;
}

unsigned sim_threads(const struct sim *sim)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        if (sim->workers[i].state == SIM_SERVES)
            count += sim->workers[i].threads;
    }
    return count;
}

unsigned sim_handlers(const struct sim *sim)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SIM_WORKERS; i++) {
        if (sim->workers[i].state != SIM_NONE)
            count += sim->workers[i].handlers;
    }
    return count;
}
