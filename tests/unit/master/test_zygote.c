/* SPDX-License-Identifier: MIT */
/* The zygote dies or cannot load any more: workers serve on, and another takes its place. */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fake_pond.h"
#include "os/clock.h"
#include "runner.h"

TEST(a_killed_zygote_is_replaced_and_workers_serve_on)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t zygote = atomic_load(&pond->zygote);

    kill(zygote, SIGKILL);
    pond_expect_log(pond, "2 workers go on serving");
    pond_expect_log(pond, "a new zygote");
    CHECK(atomic_load(&pond->zygote) != zygote);
    CHECK_EQ(atomic_load(&pond->loads), 2);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_wait_life(pond, 0, 1);
    CHECK_EQ(atomic_load(&pond->ready_calls), 1);
    pond_end(pond);
}

TEST(zygote_and_workers_killed_together)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    kill(atomic_load(&pond->zygote), SIGKILL);
    for (unsigned i = 0; i < 3; i++)
        kill(atomic_load(&pond->workers[i].pid), SIGKILL);
    for (unsigned i = 0; i < 3; i++)
        pond_wait_life(pond, i, 1);
    pond_end(pond);
}

/* Orders that were under way when it died are given again. */
TEST(killed_while_it_spawns_again_and_again)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 4});

    for (int i = 0; i < 5; i++) {
        pid_t zygote = atomic_load(&pond->zygote);

        for (unsigned slot = 0; slot < 4; slot++)
            kill(atomic_load(&pond->workers[slot].pid), SIGKILL);
        pond_nap(i);
        kill(zygote, SIGKILL);
        POND_WAIT(atomic_load(&pond->freezes) >= i + 2);
        for (unsigned slot = 0; slot < 4; slot++)
            POND_WAIT(pond_is_alive(atomic_load(&pond->workers[slot].pid)) &&
                      atomic_load(&pond->workers[slot].ready_at));
    }
    pond_end(pond);
}

TEST(code_that_is_broken_later_leaves_the_workers_serving)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.load_status, 4);
    kill(atomic_load(&pond->zygote), SIGKILL);
    pond_expect_log(pond, "could not load the application; 2 workers go on serving");
    pond_expect_log(pond, "the zygote has died 3 times in a row soon after its start");
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    /* A worker dies meanwhile, and comes back when the code is good again. */
    kill(pond_wait_life(pond, 1, 0), SIGKILL);
    pond_nap(100);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
    atomic_store(&pond->orders.load_status, 0);
    pond_wait_life(pond, 1, 1);
    pond_end(pond);
}

TEST(code_that_is_broken_later_without_preload)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .no_preload = true});

    atomic_store(&pond->orders.load_status, 4);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_expect_log(pond, "could not load the application");
    pond_expect_log(pond, "waiting 200 ms before the next");
    CHECK(pond_is_alive(atomic_load(&pond->workers[1].pid)));
    atomic_store(&pond->orders.load_status, 0);
    pond_wait_life(pond, 0, 1);
    pond_end(pond);
}

TEST(a_zygotes_fork_fails_later)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.fork_failures, 2);
    kill(atomic_load(&pond->zygote), SIGKILL);
    pond_expect_log(pond, "the zygote cannot be started");
    pond_expect_log(pond, "a new zygote");
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    pond_end(pond);
}

TEST(it_ignores_what_the_process_group_gets)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});
    static const int signals[] = {SIGINT,  SIGTERM, SIGQUIT, SIGHUP,
                                  SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        kill(atomic_load(&pond->zygote), signals[i]);
    pond_nap(50);
    CHECK(pond_is_alive(atomic_load(&pond->zygote)));
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_wait_life(pond, 0, 1);
    pond_end(pond);
}

TEST(one_that_does_not_answer_is_killed)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .load_ms = 400});

    kill(atomic_load(&pond->zygote), SIGSTOP);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_expect_log(pond, "does not answer: killed");
    pond_wait_life(pond, 0, 1);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
    CHECK_EQ(pond_log_count(pond, "does not answer"), 1);
    pond_end(pond);
}

/* ---- the master is killed ----------------------------------------------------------------- */

static void kill_master(struct pond *pond)
{
    int64_t end;

    CHECK_OK(kill(pond->master, SIGKILL));
    end = pond_now() + 5 * MP_NSEC_PER_SEC;
    pond_reap_all(); /* they are adopted by this process */
    CHECK(pond_now() < end);
    pond_free(pond);
}

TEST(a_killed_master_leaves_nobody)
{
    kill_master(pond_begin((struct pond_options){.workers = 3}));
}

TEST(a_killed_master_leaves_nobody_stopped_or_stubborn)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    atomic_store(&pond->orders.stubborn, 1);
    kill(atomic_load(&pond->workers[1].pid), SIGSTOP);
    kill(atomic_load(&pond->zygote), SIGSTOP);
    kill_master(pond);
}

TEST(a_killed_master_leaves_nobody_that_loads)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .no_preload = true});

    atomic_store(&pond->orders.load_ms, 60000);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    POND_WAIT(atomic_load(&pond->loads) == 3);
    kill_master(pond);
}

TEST(a_master_killed_at_any_moment_of_its_start_leaves_nobody)
{
    for (int i = 0; i < 12; i++) {
        struct pond *pond = pond_new();

        pond_start(pond, &(struct pond_options){.workers = 4});
        pond_nap(i);
        kill_master(pond);
    }
}
