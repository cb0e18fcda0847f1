/* SPDX-License-Identifier: MIT */
/* How many workers: the policy alone, told what was seen. */
#include "master/crew_sizing.h"
#include "runner.h"

enum { THREADS = 8 };

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

/* All workers look alike, for a number of looks. */
static void run(struct crew *crew, struct mp_crew_seen each, unsigned looks)
{
    for (unsigned i = 0; i < looks; i++) {
        struct mp_crew_seen workers[16];

        for (unsigned k = 0; k < crew->count; k++)
            workers[k] = each;
        crew->now += MP_CREW_LOOK;
        crew->count +=
            (unsigned)mp_crew_sizing_look(&crew->sizing, workers, crew->count, crew->now);
        CHECK(crew->count >= crew->sizing.least && crew->count <= crew->sizing.most);
    }
}

static const struct mp_crew_seen idle = {0};
static const struct mp_crew_seen computes = {.waiting = 5, .handlers = 1, .computing = 1};
static const struct mp_crew_seen full = {.waiting = 0, .handlers = THREADS};
static const struct mp_crew_seen waits = {.waiting = 0, .handlers = THREADS / 2};

TEST(a_fixed_number_is_left_alone)
{
    struct crew crew = begin(3, 3, 8);

    CHECK(!mp_crew_sizing_is_open(&crew.sizing));
    run(&crew, computes, 300);
    run(&crew, idle, 300);
    CHECK_EQ(crew.count, 3);
}

TEST(computing_handlers_bring_workers_as_long_as_there_are_cpus)
{
    struct crew crew = begin(1, 8, 4);

    run(&crew, computes, 1);
    CHECK_EQ(crew.count, 1); /* a moment is no pressure */
    run(&crew, computes, 1);
    CHECK_EQ(crew.count, 2);
    run(&crew, computes, 100);
    CHECK_EQ(crew.count, 4);
}

TEST(workers_without_a_free_thread_bring_others_whatever_the_cpus)
{
    struct crew crew = begin(1, 6, 2);

    run(&crew, full, 2);
    CHECK_EQ(crew.count, 2);
    run(&crew, full, 100);
    CHECK_EQ(crew.count, 6);
}

TEST(one_that_is_not_pressed_is_enough)
{
    struct crew crew = begin(2, 8, 8);
    struct mp_crew_seen workers[2] = {computes, waits};

    for (int i = 0; i < 50; i++) {
        crew.now += MP_CREW_LOOK;
        CHECK_EQ(mp_crew_sizing_look(&crew.sizing, workers, 2, crew.now), 0);
    }
}

TEST(handlers_that_wait_on_threads_that_exist_bring_none)
{
    struct crew crew = begin(1, 8, 8);

    run(&crew, waits, 300);
    CHECK_EQ(crew.count, 1);
}

TEST(idle_workers_go_one_by_one)
{
    struct crew crew = begin(1, 4, 4);

    run(&crew, computes, 20);
    CHECK_EQ(crew.count, 4);
    run(&crew, idle, 95);
    CHECK_EQ(crew.count, 4);
    run(&crew, idle, 10);
    CHECK_EQ(crew.count, 3);
    run(&crew, idle, 250);
    CHECK_EQ(crew.count, 1);
}

TEST(what_the_others_could_not_carry_stays)
{
    struct crew crew = begin(1, 4, 4);
    const struct mp_crew_seen busy = {.handlers = 1, .computing = 1};

    run(&crew, computes, 20);
    run(&crew, busy, 500); /* all of the time, in each of them */
    CHECK_EQ(crew.count, 4);
    run(&crew, waits, 101);
    CHECK_EQ(crew.count, 3); /* 16 handlers, and three quarters of 24 threads */
    run(&crew, waits, 500);
    CHECK_EQ(crew.count, 2); /* 12 of 12, then 8 of 6 */
}

TEST(pressure_begins_the_idle_time_anew)
{
    struct crew crew = begin(1, 4, 4);

    run(&crew, computes, 20);
    for (int i = 0; i < 10; i++) {
        run(&crew, idle, 80);
        run(&crew, computes, 1);
    }
    CHECK_EQ(crew.count, 4);
}
