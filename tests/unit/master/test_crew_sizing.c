/* SPDX-License-Identifier: MIT */
/* How many workers: the policy alone, told what was seen. */
#include "master/crew_sizing.h"
#include "runner.h"

enum { THREADS = 8 };

#define MS MP_NSEC_PER_MSEC

struct crew {
    struct mp_crew_sizing sizing;
    unsigned count;
    int64_t now;
};

static struct crew begin(unsigned least, unsigned most, unsigned cpus)
{
    struct crew crew = {.count = least};

    mp_crew_sizing_init(&crew.sizing, least, most, THREADS, cpus, MP_CREW_IDLE, 0);
    return crew;
}

static int look(struct crew *crew, const struct mp_crew_seen *workers)
{
    int change;

    crew->now = crew->sizing.look_at;
    change = mp_crew_sizing_look(&crew->sizing, workers, crew->count, crew->now);
    crew->count += (unsigned)change;
    CHECK(crew->count >= crew->sizing.least && crew->count <= crew->sizing.most);
    CHECK(crew->sizing.look_at > crew->now);
    return change;
}

/* All workers look alike, for a time. */
static void run(struct crew *crew, struct mp_crew_seen each, int64_t ms)
{
    int64_t end = crew->now + ms * MS;

    while (crew->sizing.look_at <= end) {
        struct mp_crew_seen workers[16];

        for (unsigned k = 0; k < crew->count; k++)
            workers[k] = each;
        look(crew, workers);
    }
    crew->now = end;
}

static const struct mp_crew_seen idle = {0};
static const struct mp_crew_seen computes = {
    .waiting = 5, .handlers = 1, .computing = 1, .waited = 100 * MS};
static const struct mp_crew_seen full = {.waiting = 1, .handlers = THREADS};
static const struct mp_crew_seen waits = {.waiting = 0, .handlers = THREADS / 2};

TEST(a_fixed_number_is_left_alone)
{
    struct crew crew = begin(3, 3, 8);

    CHECK(!mp_crew_sizing_is_open(&crew.sizing));
    run(&crew, computes, 30000);
    run(&crew, idle, 30000);
    CHECK_EQ(crew.count, 3);
}

TEST(computing_handlers_bring_workers_as_long_as_there_are_cpus)
{
    struct crew crew = begin(1, 8, 4);

    run(&crew, computes, 60);
    CHECK_EQ(crew.count, 1); /* a moment is no pressure */
    run(&crew, computes, 100);
    CHECK_EQ(crew.count, 2);
    run(&crew, computes, 10000);
    CHECK_EQ(crew.count, 4);
}

TEST(short_queues_are_no_pressure_unless_the_interpreter_is_busy)
{
    struct crew crew = begin(1, 4, 4);
    struct mp_crew_seen brisk = {.waiting = 2, .handlers = 1, .computing = 1, .waited = MS / 10};

    brisk.cpu = MP_CREW_LOOK * 6 / 10;
    run(&crew, brisk, 10000);
    CHECK_EQ(crew.count, 1);
    brisk.cpu = MP_CREW_LOOK;
    run(&crew, brisk, 150);
    CHECK_EQ(crew.count, 2);
}

TEST(none_while_the_workers_use_all_cpus)
{
    struct crew crew = begin(1, 4, 2);
    struct mp_crew_seen busy = computes;

    busy.cpu = 10 * MP_CREW_LOOK; /* an interpreter without a GIL */
    run(&crew, busy, 10000);
    CHECK_EQ(crew.count, 1);
}

TEST(workers_without_a_free_thread_bring_others_whatever_the_cpus)
{
    struct crew crew = begin(1, 6, 2);

    run(&crew, full, 150);
    CHECK_EQ(crew.count, 2);
    run(&crew, full, 10000);
    CHECK_EQ(crew.count, 6);
}

TEST(and_so_do_those_whose_threads_are_still_coming)
{
    struct crew crew = begin(1, 6, 2);
    const struct mp_crew_seen grows = {.waiting = THREADS - 2, .handlers = 2};

    run(&crew, grows, 150);
    CHECK_EQ(crew.count, 2);
}

TEST(all_threads_taken_and_nobody_waiting_is_no_pressure)
{
    struct crew crew = begin(1, 6, 2);
    struct mp_crew_seen taken = full;

    taken.waiting = 0;
    run(&crew, taken, 5000);
    CHECK_EQ(crew.count, 1);
    taken.backlog = 1;
    run(&crew, taken, 150);
    CHECK_EQ(crew.count, 2);
}

TEST(one_that_is_not_pressed_is_enough)
{
    struct crew crew = begin(2, 8, 8);
    struct mp_crew_seen workers[2] = {computes, waits};

    for (int i = 0; i < 200; i++)
        CHECK_EQ(look(&crew, workers), 0);
}

TEST(handlers_that_wait_on_threads_that_exist_bring_none)
{
    struct crew crew = begin(1, 8, 8);

    run(&crew, waits, 30000);
    CHECK_EQ(crew.count, 1);
}

TEST(idle_workers_go_within_the_idle_time)
{
    struct crew crew = begin(1, 4, 4);

    run(&crew, computes, 2000);
    CHECK_EQ(crew.count, 4);
    run(&crew, idle, 4500);
    CHECK_EQ(crew.count, 4); /* not yet */
    run(&crew, idle, 5600);
    CHECK_EQ(crew.count, 1);
}

TEST(what_the_others_could_not_carry_stays)
{
    struct crew crew = begin(1, 4, 4);
    const struct mp_crew_seen busy = {.handlers = 1, .computing = 1};

    run(&crew, computes, 2000);
    run(&crew, busy, 50000); /* all of the time, in each of them */
    CHECK_EQ(crew.count, 4);
    run(&crew, waits, 6000); /* 16 handlers, and three quarters of 24 threads */
    CHECK_EQ(crew.count, 3);
    run(&crew, waits, 30000);
    CHECK_EQ(crew.count, 2); /* 12 of 12, then 8 of 6 */
}

TEST(pressure_begins_the_idle_time_anew)
{
    struct crew crew = begin(1, 4, 4);

    run(&crew, computes, 2000);
    for (int i = 0; i < 10; i++) {
        run(&crew, idle, 4000);
        run(&crew, computes, 100);
    }
    CHECK_EQ(crew.count, 4);
}

TEST(pressure_that_is_interrupted_begins_anew)
{
    struct crew crew = begin(1, 4, 4);

    for (int i = 0; i < 100; i++) {
        run(&crew, computes, 60);
        run(&crew, idle, 60);
    }
    CHECK_EQ(crew.count, 1);
}

TEST(bounds_are_moved_together)
{
    struct crew crew = begin(1, 4, 4);

    mp_crew_sizing_shift(&crew.sizing, 1);
    CHECK_EQ(crew.sizing.least, 2);
    CHECK_EQ(crew.sizing.most, 5);
    mp_crew_sizing_shift(&crew.sizing, -1);
    mp_crew_sizing_shift(&crew.sizing, -1);
    CHECK_EQ(crew.sizing.least, 1); /* none is fewer */
    CHECK_EQ(crew.sizing.most, 3);
    crew = begin(2, 2, 4);
    mp_crew_sizing_shift(&crew.sizing, 1);
    CHECK(!mp_crew_sizing_is_open(&crew.sizing));
    CHECK_EQ(crew.sizing.least, 3);
}

TEST(a_short_idle_time_is_kept_too)
{
    struct crew crew = begin(1, 4, 4);

    mp_crew_sizing_init(&crew.sizing, 1, 4, THREADS, 4, 400 * MS, crew.now);
    crew.count = 4;
    run(&crew, idle, 440);
    CHECK_EQ(crew.count, 1);
}
