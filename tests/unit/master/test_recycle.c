/* SPDX-License-Identifier: MIT */
/* Who is recycled, when, and who waits: a master that does not run, with handles made by hand. */
#include <unistd.h>

#include "master/private.h"
#include "os/clock.h"
#include "runner.h"

#define NOW (1000 * MP_NSEC_PER_SEC)
#define SEC MP_NSEC_PER_SEC

enum { WORKERS = 3 };

static int serve_nothing(void *data, const struct mp_worker_context *context)
{
    (void)data;
    (void)context;
    return 0;
}

static void become_ready(struct mp_worker_handle *handle, pid_t pid, int64_t now)
{
    mp_worker_handle_want(handle, now);
    mp_worker_handle_asked(handle, 1, -1, now);
    mp_worker_handle_spawned(handle, pid);
    CHECK(mp_worker_handle_ready(handle, now));
}

static struct mp_master *make(int64_t lifetime, uint64_t memory)
{
    const struct mp_master_ops ops = {.serve = serve_nothing};
    struct mp_master_options options;
    struct mp_master *master;

    mp_master_options_init(&options);
    options.workers = WORKERS;
    options.workers_max = WORKERS;
    options.log.fd = -1;
    options.max_lifetime = lifetime;
    options.max_memory = memory;
    CHECK_OK(mp_master_new(&options, &ops, &master));
    for (unsigned i = 0; i < WORKERS; i++)
        become_ready(&master->workers[i], getpid(), NOW);
    return master;
}

static unsigned count(const struct mp_master *master)
{
    unsigned n = 0;

    for (unsigned i = 0; i < master->slots; i++)
        n += master->workers[i].recycling;
    return n;
}

/* It has been replaced and has ended; another one is in its slot. */
static void replace(struct mp_worker_handle *handle, int64_t now)
{
    mp_worker_handle_gone(handle, false, now);
    become_ready(handle, getpid(), now);
}

TEST(nobody_is_without_a_reason)
{
    struct mp_master *master = make(0, 0);

    mp_recycle_tick(master, NOW + 1000000 * SEC);
    CHECK_EQ(count(master), 0);
    CHECK_EQ(mp_recycle_next_look(master), MP_HANDLE_NEVER);
    mp_master_free(master);
}

TEST(one_at_a_time_in_the_order_of_their_wishes)
{
    struct mp_master *master = make(0, 0);

    mp_recycle_wish(&master->workers[2], MP_RETIRE_MAX_REQUESTS, 0, NOW + 1);
    mp_recycle_wish(&master->workers[0], MP_RETIRE_MAX_REQUESTS, 0, NOW + 2);
    mp_recycle_tick(master, NOW + SEC);
    CHECK(master->workers[2].retiring && master->workers[2].recycling);
    CHECK(!master->workers[0].retiring);
    /* Drains: not gone yet. */
    mp_worker_handle_leave(&master->workers[2], NOW + 30 * SEC);
    mp_recycle_tick(master, NOW + 2 * SEC);
    CHECK_EQ(count(master), 1);
    replace(&master->workers[2], NOW + 3 * SEC);
    mp_recycle_tick(master, NOW + 3 * SEC);
    CHECK(master->workers[0].recycling);
    CHECK_EQ(count(master), 1);
    mp_master_free(master);
}

TEST(one_that_is_stuck_does_not_wait_and_holds_nobody_up)
{
    struct mp_master *master = make(0, 0);

    mp_recycle_wish(&master->workers[0], MP_RETIRE_MAX_REQUESTS, 0, NOW);
    mp_recycle_wish(&master->workers[1], MP_RETIRE_MAX_REQUESTS, 0, NOW);
    master->workers[0].retiring = true; /* as RETIRE with MP_RETIRE_STUCK does */
    mp_recycle_tick(master, NOW);
    CHECK(!master->workers[0].recycling);
    CHECK(master->workers[1].recycling);
    mp_master_free(master);
}

TEST(a_life_has_a_length_and_not_all_have_the_same)
{
    struct mp_master *master = make(100 * SEC, 0);
    int64_t first = mp_recycle_next_look(master);

    CHECK(first >= NOW + 90 * SEC && first <= NOW + 100 * SEC);
    mp_recycle_tick(master, first - 1);
    CHECK_EQ(count(master), 0);
    mp_recycle_tick(master, first);
    CHECK_EQ(count(master), 1);
    mp_recycle_tick(master, NOW + 100 * SEC);
    CHECK_EQ(count(master), 1);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK_EQ(master->workers[i].wish, MP_RETIRE_LIFETIME);
    mp_master_free(master);
}

TEST(lives_that_began_together_end_apart)
{
    struct mp_master *master = make(1000 * SEC, 0);
    int64_t ends[WORKERS];

    for (unsigned i = 0; i < WORKERS; i++)
        replace(&master->workers[i], NOW + i); /* nanoseconds apart */
    for (unsigned i = 0; i < WORKERS; i++) {
        ends[i] = mp_recycle_next_look(master);
        mp_recycle_tick(master, ends[i]);
        for (unsigned k = 0; k < i; k++)
            CHECK(ends[i] - ends[k] > SEC / 100);
    }
    mp_master_free(master);
}

TEST(too_much_memory)
{
    struct mp_master *master = make(0, UINT64_C(1) << 40);

    mp_recycle_tick(master, NOW);
    CHECK_EQ(count(master), 0);
    CHECK(mp_recycle_next_look(master) > NOW);
    master->options.max_memory = 1;
    mp_recycle_tick(master, NOW + 1); /* not yet: seldom is often enough */
    CHECK_EQ(count(master), 0);
    mp_recycle_tick(master, mp_recycle_next_look(master));
    CHECK_EQ(count(master), 1);
    for (unsigned i = 0; i < WORKERS; i++) {
        CHECK_EQ(master->workers[i].wish, MP_RETIRE_MEMORY);
        CHECK(master->workers[i].wish_figure > 4096);
    }
    mp_master_free(master);
}

TEST(a_process_that_has_just_ended_has_no_memory)
{
    struct mp_master *master = make(0, 1);

    for (unsigned i = 0; i < WORKERS; i++)
        master->workers[i].pid = 1 << 22; /* nobody's */
    mp_recycle_tick(master, NOW + SEC);
    CHECK_EQ(count(master), 0);
    mp_master_free(master);
}
