/* SPDX-License-Identifier: MIT */
#include "master/worker_handle.h"

#include "os/clock.h"
#include "runner.h"

#define SECOND MP_NSEC_PER_SEC
#define T0 (1000 * SECOND)

static const struct mp_handle_limits limits = {.load_timeout = 60 * SECOND,
                                               .heartbeat_timeout = 30 * SECOND};
static const struct mp_handle_limits no_limits = {0};

/* A handle that has come as far as state, by the ways there are. */
static struct mp_worker_handle handle_in(enum mp_handle_state state)
{
    struct mp_worker_handle handle;

    mp_worker_handle_init(&handle, 3);
    if (state >= MP_HANDLE_WAITING)
        mp_worker_handle_want(&handle, T0);
    if (state >= MP_HANDLE_SPAWNING)
        mp_worker_handle_asked(&handle, 7, -1, T0);
    if (state >= MP_HANDLE_STARTING)
        mp_worker_handle_spawned(&handle, 4711);
    if (state >= MP_HANDLE_READY)
        CHECK(mp_worker_handle_ready(&handle, T0 + SECOND));
    if (state == MP_HANDLE_DRAINING)
        mp_worker_handle_leave(&handle, T0 + 10 * SECOND);
    if (state == MP_HANDLE_KILLED)
        mp_worker_handle_killed(&handle, T0);
    return handle;
}

TEST(the_way_to_ready)
{
    struct mp_worker_handle handle;

    for (int state = MP_HANDLE_FREE; state <= MP_HANDLE_KILLED; state++) {
        handle = handle_in((enum mp_handle_state)state);
        CHECK_EQ(handle.state, state);
        CHECK_EQ(mp_worker_handle_active(&handle),
                 state >= MP_HANDLE_WAITING && state != MP_HANDLE_DRAINING);
        CHECK_EQ(mp_worker_handle_alive(&handle), state >= MP_HANDLE_SPAWNING);
    }
}

TEST(ready_counts_once_and_only_when_it_starts)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_SPAWNING);

    CHECK(!mp_worker_handle_ready(&handle, T0));
    handle = handle_in(MP_HANDLE_READY);
    CHECK(!mp_worker_handle_ready(&handle, T0 + 5 * SECOND));
    CHECK_EQ(handle.ready_at, T0 + SECOND);
}

TEST(ready_while_it_was_told_to_leave)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_STARTING);

    mp_worker_handle_leave(&handle, T0 + SECOND);
    CHECK_EQ(handle.state, MP_HANDLE_DRAINING);
    CHECK(mp_worker_handle_ready(&handle, T0));
    CHECK_EQ(handle.state, MP_HANDLE_DRAINING);
}

TEST(told_to_leave_before_its_pid_is_known)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_SPAWNING);

    mp_worker_handle_leave(&handle, T0 + SECOND);
    CHECK_EQ(handle.state, MP_HANDLE_SPAWNING);
    CHECK(!mp_worker_handle_active(&handle));
    mp_worker_handle_spawned(&handle, 12);
    CHECK_EQ(handle.state, MP_HANDLE_DRAINING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + SECOND), MP_LOOK_OVERDUE);
}

TEST(a_refused_spawn_waits)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_SPAWNING);

    mp_worker_handle_refused(&handle, T0 + SECOND);
    CHECK_EQ(handle.state, MP_HANDLE_WAITING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + SECOND - 1), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + SECOND), MP_LOOK_SPAWN);
}

TEST(a_refused_spawn_that_nobody_wants_is_over)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_SPAWNING);

    mp_worker_handle_leave(&handle, T0);
    mp_worker_handle_refused(&handle, T0);
    CHECK_EQ(handle.state, MP_HANDLE_FREE);
    CHECK_EQ(handle.slot, 3);
}

TEST(gone_and_again)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_READY);

    CHECK_EQ(mp_worker_handle_gone(&handle, true, T0 + 2 * SECOND), 0);
    CHECK_EQ(handle.state, MP_HANDLE_WAITING);
    CHECK_EQ(handle.due, T0 + 2 * SECOND);
    CHECK_EQ(handle.pid, 0);
    CHECK_EQ(handle.ready_at, 0);
    /* Failures in a row outlive the lives. */
    mp_worker_handle_asked(&handle, 8, -1, T0);
    mp_worker_handle_spawned(&handle, 5);
    CHECK_EQ(mp_worker_handle_gone(&handle, true, T0), 100 * MP_NSEC_PER_MSEC);
    CHECK_EQ(handle.deaths.failures, 2);
}

TEST(gone_for_good)
{
    for (int state = MP_HANDLE_STARTING; state <= MP_HANDLE_KILLED; state++) {
        struct mp_worker_handle handle = handle_in((enum mp_handle_state)state);

        CHECK_EQ(mp_worker_handle_gone(&handle, false, T0), 0);
        CHECK_EQ(handle.state, MP_HANDLE_FREE);
        CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, 0), MP_HANDLE_NEVER);
    }
}

TEST(a_retiring_worker_does_not_count)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_READY);

    handle.retiring = true;
    CHECK(!mp_worker_handle_active(&handle));
}

TEST(late_for_ready)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_STARTING);

    CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, 0), T0 + 60 * SECOND);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + 59 * SECOND), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + 60 * SECOND), MP_LOOK_LATE);
    CHECK_EQ(mp_worker_handle_next_look(&handle, &no_limits, 0), MP_HANDLE_NEVER);
}

TEST(a_zygote_that_does_not_answer)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_SPAWNING);

    CHECK_EQ(mp_worker_handle_look(&handle, &no_limits, 0, T0 + MP_HANDLE_SPAWN_TIMEOUT),
             MP_LOOK_UNANSWERED);
}

TEST(overdue_in_drain)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_DRAINING);

    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + 10 * SECOND - 1), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + 10 * SECOND), MP_LOOK_OVERDUE);
}

TEST(closed_but_alive)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_READY);

    handle.closed_at = T0 + 2 * SECOND;
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, T0 + 2 * SECOND, T0 + 2 * SECOND),
             MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, T0 + 2 * SECOND, T0 + 3 * SECOND),
             MP_LOOK_LOST);
}

/* Its successor takes its slot, unless it hangs inside the kernel. */
TEST(killed_but_alive)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_KILLED);

    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, 0, T0 + SECOND), MP_LOOK_LOST);
    mp_worker_handle_lost(&handle, T0);
    CHECK_EQ(handle.state, MP_HANDLE_KILLED);
    CHECK(!mp_worker_handle_active(&handle));
    CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, 0), MP_HANDLE_NEVER);
}

TEST(a_heart_that_beats)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_READY);

    CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, 0), T0 + 31 * SECOND);
    CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, T0 + 20 * SECOND), T0 + 50 * SECOND);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, T0 + 20 * SECOND, T0 + 49 * SECOND),
             MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_next_look(&handle, &no_limits, 0), MP_HANDLE_NEVER);
}

TEST(a_heart_gets_a_second_look)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_READY);
    int64_t beat = T0 + 2 * SECOND;

    CHECK_EQ(mp_worker_handle_look(&handle, &limits, beat, T0 + 32 * SECOND), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, beat), T0 + 34 * SECOND);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, beat, T0 + 33 * SECOND), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, beat, T0 + 34 * SECOND), MP_LOOK_SILENT);
}

/* Everybody was stopped for an hour; the master runs first. */
TEST(an_hour_asleep_kills_nobody)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_READY);
    int64_t hour = T0 + 3600 * SECOND;

    CHECK_EQ(mp_worker_handle_look(&handle, &limits, T0 + SECOND, hour), MP_LOOK_NOTHING);
    CHECK_EQ(mp_worker_handle_look(&handle, &limits, hour + SECOND, hour + 2 * SECOND),
             MP_LOOK_NOTHING);
    CHECK_EQ(handle.suspect_at, 0);
    CHECK_EQ(mp_worker_handle_next_look(&handle, &limits, hour + SECOND), hour + 31 * SECOND);
}

FAIL_TEST(a_free_slot_has_no_worker_to_kill)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_FREE);

    mp_worker_handle_killed(&handle, T0);
}

FAIL_TEST(a_worker_is_not_asked_for_twice)
{
    struct mp_worker_handle handle = handle_in(MP_HANDLE_SPAWNING);

    mp_worker_handle_asked(&handle, 9, -1, T0);
}
