/* SPDX-License-Identifier: MIT */
/* Reload: what is new proves itself before anything old goes, and what is broken changes nothing.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "fake_pond.h"
#include "os/clock.h"
#include "runner.h"

static int count_ready(struct pond *pond, int generation)
{
    int count = 0;

    for (unsigned i = 0; i < POND_SLOTS; i++) {
        struct pond_worker *worker = &pond->workers[i];

        count += atomic_load(&worker->generation) == generation && atomic_load(&worker->ready_at) &&
                 !atomic_load(&worker->drain_at) && pond_is_alive(atomic_load(&worker->pid));
    }
    return count;
}

static void reload(struct pond *pond, int times)
{
    pond_signal(pond, SIGHUP);
    POND_WAIT(pond_log_count(pond, "reloaded in") == times);
}

TEST(all_workers_are_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});
    pid_t zygote = atomic_load(&pond->zygote);

    reload(pond, 1);
    POND_WAIT(count_ready(pond, 2) == 3);
    CHECK_EQ(atomic_load(&pond->loads), 2);
    CHECK_EQ(atomic_load(&pond->fresh), 1);
    POND_WAIT(!pond_is_alive(zygote));
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
    pond_end(pond);
}

/* Each worker of before was told to drain only after one of after had said that it serves. */
TEST(the_old_drain_after_the_new_are_ready)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    int64_t drained = 0;
    int64_t ready = INT64_MAX;

    reload(pond, 1);
    for (unsigned i = 0; i < POND_SLOTS; i++) {
        const struct pond_worker *worker = &pond->workers[i];
        int64_t at = atomic_load(&worker->drain_at);

        if (atomic_load(&worker->generation) == 1) {
            POND_WAIT(atomic_load(&worker->drain_at) != 0);
            at = atomic_load(&worker->drain_at);
            if (drained == 0 || at < drained)
                drained = at;
        } else if (atomic_load(&worker->ready_from) && atomic_load(&worker->ready_from) < ready) {
            ready = atomic_load(&worker->ready_from);
        }
    }
    CHECK(drained > ready);
    pond_end(pond);
}

TEST(again_and_again)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    for (int i = 1; i <= 10; i++)
        reload(pond, i);
    POND_WAIT(count_ready(pond, 11) == 2);
    pond_end(pond);
}

/* Asked for while one goes on: what it has read may be old already. */
TEST(asked_for_meanwhile_it_is_done_once_more)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.load_ms, 100);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "SIGHUP: reloading");
    POND_WAIT(atomic_load(&pond->loads) == 2);
    for (int i = 0; i < 3; i++) {
        pond_signal(pond, SIGHUP);
        pond_nap(5);
    }
    POND_WAIT(pond_log_count(pond, "reloaded in") == 2);
    pond_nap(50);
    CHECK_EQ(atomic_load(&pond->loads), 3);
    pond_end(pond);
}

/* The first new worker serves, no other does: what is asked for then may be the remedy. */
TEST(asked_for_while_no_other_new_worker_comes)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    TEST_BUDGET(60);
    atomic_store(&pond->orders.never_ready, 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(atomic_load(&pond->workers[3].starts) == 1);
    atomic_store(&pond->orders.exit_early, 1 + 9);
    atomic_store(&pond->orders.never_ready, 0);
    pond_command(pond, 3, POND_READY, 0);
    POND_WAIT(count_ready(pond, 2) == 1);
    POND_WAIT(pond_log_count(pond, "in a row soon after its start") > 0);
    atomic_store(&pond->orders.load_status, 3);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "SIGHUP: reloading again when this reload is over");
    pond_expect_log(pond, "generation 2 serves beside older ones");
    pond_expect_log(pond, "the reload has failed");
    /* And the one that was cut short comes to its end. */
    atomic_store(&pond->orders.exit_early, 0);
    POND_WAIT(count_ready(pond, 2) == 3 && count_ready(pond, 1) == 0);
    atomic_store(&pond->orders.load_status, 0);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 4) == 3);
    pond_end(pond);
}

TEST(code_that_does_not_load_leaves_the_old_serving)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t zygote = atomic_load(&pond->zygote);

    atomic_store(&pond->orders.load_status, 3);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: the new code could not be loaded; 2 workers of "
                          "generation 1 go on serving");
    CHECK(pond_is_alive(zygote));
    POND_WAIT(count_ready(pond, 1) == 2);
    /* The old zygote still takes orders. */
    atomic_store(&pond->orders.load_status, 0);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_wait_life(pond, 0, 1);
    CHECK_EQ(atomic_load(&pond->workers[0].generation), 1);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 3) == 2);
    pond_end(pond);
}

TEST(a_configuration_that_is_wrong_leaves_the_old_serving)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.configure_status, 2);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: the new configuration cannot be used; 1 workers");
    CHECK_EQ(atomic_load(&pond->loads), 1);
    POND_WAIT(count_ready(pond, 1) == 1);
    pond_end(pond);
}

TEST(a_zygote_that_dies_while_it_loads)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.load_signal, SIGSEGV);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: the new zygote has died: ");
    atomic_store(&pond->orders.load_signal, 0);
    POND_WAIT(count_ready(pond, 1) == 2);
    reload(pond, 1);
    pond_end(pond);
}

TEST(a_zygote_that_loads_for_too_long)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .load_ms = 300});

    atomic_store(&pond->orders.load_ms, 60000);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed");
    POND_WAIT(count_ready(pond, 1) == 1);
    pond_end(pond);
}

/* It loads, but its workers do not begin to serve. */
TEST(a_first_worker_that_dies_ends_the_reload)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.exit_early, 1 + 9);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: its first worker has ended before it was ready");
    POND_WAIT(count_ready(pond, 1) == 2);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(atomic_load(&pond->workers[i].drain_at), 0);
    atomic_store(&pond->orders.exit_early, 0);
    pond_nap(50);
    CHECK_EQ(pond_log_count(pond, "is to be replaced"), 0);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 3) == 2);
    pond_end(pond);
}

TEST(a_first_worker_that_is_never_ready_ends_the_reload)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .load_ms = 300});

    atomic_store(&pond->orders.never_ready, 1);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed");
    atomic_store(&pond->orders.never_ready, 0);
    POND_WAIT(count_ready(pond, 1) == 1);
    reload(pond, 1);
    pond_end(pond);
}

TEST(a_second_zygote_killed_while_its_first_worker_starts)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .load_ms = 5000});

    atomic_store(&pond->orders.never_ready, 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(atomic_load(&pond->workers[1].starts) == 1);
    kill(atomic_load(&pond->zygote), SIGKILL);
    pond_expect_log(pond, "the reload has failed: the new zygote has died");
    atomic_store(&pond->orders.never_ready, 0);
    POND_WAIT(count_ready(pond, 1) == 1);
    reload(pond, 1);
    pond_end(pond);
}

TEST(without_preload_the_first_worker_proves_the_code)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .no_preload = true});

    atomic_store(&pond->orders.load_status, 3);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: the new code could not be loaded");
    POND_WAIT(count_ready(pond, 1) == 2);
    atomic_store(&pond->orders.load_status, 0);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 3) == 2);
    pond_end(pond);
}

TEST(no_process_for_the_new_zygote)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.fork_failures, 1);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: no process for the new zygote");
    reload(pond, 1);
    pond_end(pond);
}

/* Those that die while the new one loads come from the old zygote. */
TEST(a_worker_that_dies_meanwhile_is_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.load_ms, 300);
    pond_signal(pond, SIGHUP);
    POND_WAIT(atomic_load(&pond->loads) == 2);
    kill(atomic_load(&pond->workers[1].pid), SIGKILL);
    pond_wait_life(pond, 1, 1);
    CHECK_EQ(atomic_load(&pond->workers[1].generation), 1);
    POND_WAIT(pond_log_count(pond, "reloaded in") == 1);
    POND_WAIT(count_ready(pond, 2) == 2);
    pond_end(pond);
}

TEST(the_old_zygote_dies_meanwhile)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t zygote = atomic_load(&pond->zygote);

    atomic_store(&pond->orders.load_ms, 100);
    pond_signal(pond, SIGHUP);
    POND_WAIT(atomic_load(&pond->loads) == 2);
    kill(zygote, SIGKILL);
    POND_WAIT(pond_log_count(pond, "reloaded in") == 1);
    POND_WAIT(count_ready(pond, 2) + count_ready(pond, 3) == 2);
    pond_end(pond);
}

/* The next zygote of the old code has a higher number than the second has; its workers are old. */
TEST(the_old_zygote_and_a_worker_die_meanwhile)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t zygote = atomic_load(&pond->zygote);

    atomic_store(&pond->orders.load_ms, 1500);
    pond_signal(pond, SIGHUP);
    POND_WAIT(atomic_load(&pond->loads) == 2);
    pond_nap(50);
    atomic_store(&pond->orders.load_ms, 0);
    kill(zygote, SIGKILL);
    pond_expect_log(pond, "a new zygote");
    kill(atomic_load(&pond->workers[1].pid), SIGKILL);
    pond_wait_life(pond, 1, 1);
    CHECK_EQ(atomic_load(&pond->workers[1].generation), 3);
    POND_WAIT(pond_log_count(pond, "reloaded in") == 1);
    POND_WAIT(count_ready(pond, 2) == 2);
    CHECK_EQ(count_ready(pond, 3), 0);
    pond_end(pond);
}

/* It reads what the reload has read, not what there was at the start. */
TEST(a_zygote_that_dies_after_a_reload)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.new_threads, 5);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 2) == 2);
    atomic_store(&pond->orders.new_workers, 3);
    kill(atomic_load(&pond->zygote), SIGKILL);
    POND_WAIT(count_ready(pond, 3) == 1);
    CHECK_EQ(atomic_load(&pond->fresh), 2);
    for (unsigned i = 0; i < POND_SLOTS; i++) {
        if (atomic_load(&pond->workers[i].generation) == 3)
            CHECK_EQ(atomic_load(&pond->workers[i].threads), 5);
    }
    CHECK_EQ(count_ready(pond, 2), 2);
    pond_end(pond);
}

TEST(a_configuration_with_more_workers_and_fewer_threads)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.new_workers, 3);
    atomic_store(&pond->orders.new_threads, 5);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 2) == 3);
    for (unsigned i = 0; i < POND_SLOTS; i++) {
        if (atomic_load(&pond->workers[i].generation) == 2)
            CHECK_EQ(atomic_load(&pond->workers[i].threads), 5);
    }
    /* What there is no shared memory for is cut to what there is. */
    atomic_store(&pond->orders.new_workers, 4000);
    atomic_store(&pond->orders.new_threads, 4000);
    reload(pond, 2);
    POND_WAIT(count_ready(pond, 3) == 4);
    for (unsigned i = 0; i < POND_SLOTS; i++) {
        if (atomic_load(&pond->workers[i].generation) == 3)
            CHECK_EQ(atomic_load(&pond->workers[i].threads), 8);
    }
    pond_end(pond);
}

/* The old ones are those that are not replaced. */
TEST(a_configuration_with_fewer_workers)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 4});

    atomic_store(&pond->orders.new_workers, 1);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 2) == 1 && count_ready(pond, 1) == 0);
    for (unsigned i = 0; i < POND_SLOTS; i++) {
        if (atomic_load(&pond->workers[i].generation) == 2)
            CHECK_EQ(atomic_load(&pond->workers[i].drain_at), 0);
    }
    pond_end(pond);
}

/* Whoever has changed the number by hand keeps it while the configuration does not. */
TEST(a_number_of_workers_that_was_changed_stays)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    pond_signal(pond, SIGTTIN);
    pond_expect_log(pond, "3 workers from now on");
    POND_WAIT(count_ready(pond, 1) == 3);
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 2) == 3);
    pond_end(pond);
}

TEST(the_pool_shrinks_and_grows_meanwhile)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3, .workers_max = 4});

    atomic_store(&pond->orders.drain_ms, 50);
    for (int i = 1; i <= 8; i++) {
        pond_signal(pond, SIGHUP);
        pond_signal(pond, i % 2 ? SIGTTOU : SIGTTIN);
        POND_WAIT(pond_log_count(pond, "reloaded in") == i);
        POND_WAIT(count_ready(pond, i + 1) == (i % 2 ? 2 : 3));
    }
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
    pond_end(pond);
}

/* Slots of those that drain are not free yet: the reload waits. */
TEST(old_workers_that_take_long_to_drain)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .workers_max = 2});

    atomic_store(&pond->orders.drain_ms, 300);
    for (int i = 1; i <= 4; i++)
        reload(pond, i);
    POND_WAIT(count_ready(pond, 5) == 2);
    pond_end(pond);
}

TEST(stopped_in_any_state)
{
    for (int i = 0; i < 12; i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 2});

        atomic_store(&pond->orders.load_ms, i % 3 == 0 ? 20 : 0);
        pond_signal(pond, SIGHUP);
        pond_nap(i);
        CHECK_EQ(pond_stop(pond, i % 2 ? SIGTERM : SIGINT), 0);
        pond_free(pond);
    }
}

TEST(the_program_hears_of_it)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    POND_WAIT(atomic_load(&pond->ready_events) == 1);
    pond_command(pond, 0, POND_EXIT, 5);
    POND_WAIT(atomic_load(&pond->end_events) == 1);
    CHECK(WIFEXITED(atomic_load(&pond->end_status)));
    CHECK_EQ(WEXITSTATUS(atomic_load(&pond->end_status)), 5);
    POND_WAIT(atomic_load(&pond->workers[0].starts) == 2 &&
              atomic_load(&pond->workers[0].ready_at));
    reload(pond, 1);
    POND_WAIT(atomic_load(&pond->end_events) == 2);
    pond_end(pond);
}

/* ---- the prover is one more than are wanted ------------------------------------------------- */

static bool is_proving(struct pond *pond, unsigned slot)
{
    return atomic_load(&pond->workers[slot].generation) == 2 &&
           atomic_load(&pond->workers[slot].starts) == 1;
}

/* Nobody is there who could be its elder; all the same it has to prove itself. */
TEST(it_proves_itself_while_the_only_worker_is_being_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .workers_max = 2});

    atomic_store(&pond->orders.never_ready, 1);
    pond_command(pond, 0, POND_RETIRE, 0);
    POND_WAIT(atomic_load(&pond->workers[1].starts) == 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(is_proving(pond, 2));
    kill(atomic_load(&pond->workers[2].pid), SIGKILL);
    pond_expect_log(pond, "the reload has failed: its first worker has ended before it was ready");
    CHECK_EQ(atomic_load(&pond->workers[0].drain_at), 0);
    CHECK(pond_is_alive(atomic_load(&pond->workers[0].pid)));
    atomic_store(&pond->orders.never_ready, 0);
    kill(atomic_load(&pond->workers[1].pid), SIGKILL);
    POND_WAIT(atomic_load(&pond->workers[0].drain_at) && count_ready(pond, 1) == 1);
    CHECK_EQ(pond_log_count(pond, "reloaded in"), 0);
    pond_end(pond);
}

/* The successors of the only worker die, which takes both slots: the new code may be the remedy. */
TEST(a_successor_that_dies_again_and_again_gives_way)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .workers_max = 1});

    atomic_store(&pond->orders.exit_early, 1 + 9);
    pond_command(pond, 0, POND_RETIRE, 0);
    POND_WAIT(atomic_load(&pond->workers[1].starts) >= 3);
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "the reload has failed: its first worker");
    CHECK_EQ(atomic_load(&pond->workers[0].drain_at), 0);
    POND_WAIT(atomic_load(&pond->workers[1].generation) == 1);
    atomic_store(&pond->orders.exit_early, 0);
    POND_WAIT(count_ready(pond, 1) == 1 && atomic_load(&pond->workers[0].drain_at));
    atomic_store(&pond->orders.exit_early, 1 + 9);
    pond_command(pond, 1, POND_RETIRE, 0);
    POND_WAIT(pond_log_count(pond, "is to be replaced") == 2);
    POND_WAIT(atomic_load(&pond->workers[0].starts) >= 4);
    pond_signal(pond, SIGHUP);
    pond_nap(20);
    atomic_store(&pond->orders.exit_early, 0);
    POND_WAIT(count_ready(pond, 1) + count_ready(pond, 3) == 1);
    pond_end(pond);
}

TEST(a_worker_that_dies_while_the_first_new_one_starts_is_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.never_ready, 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(is_proving(pond, 2));
    atomic_store(&pond->orders.never_ready, 0);
    for (unsigned i = 0; i < 2; i++)
        kill(atomic_load(&pond->workers[i].pid), SIGKILL);
    for (unsigned i = 0; i < 2; i++)
        pond_wait_life(pond, i, 1);
    CHECK_EQ(count_ready(pond, 1), 2);
    kill(atomic_load(&pond->workers[2].pid), SIGKILL);
    pond_expect_log(pond, "the reload has failed");
    pond_end(pond);
}

TEST(a_worker_that_is_stuck_while_the_first_new_one_starts_is_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .workers_max = 2});

    atomic_store(&pond->orders.never_ready, 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(is_proving(pond, 1));
    atomic_store(&pond->orders.never_ready, 0);
    pond_command(pond, 0, POND_RETIRE, 0);
    POND_WAIT(atomic_load(&pond->workers[0].done) == 1);
    pond_expect_log(pond, "a handler is stuck in it");
    kill(atomic_load(&pond->workers[1].pid), SIGKILL);
    pond_expect_log(pond, "the reload has failed");
    POND_WAIT(atomic_load(&pond->workers[0].drain_at));
    POND_WAIT(count_ready(pond, 1) == 1);
    pond_end(pond);
}

/* They are let go from those that serve already; the reload goes on. */
TEST(fewer_workers_while_the_first_new_one_starts)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    atomic_store(&pond->orders.never_ready, 1);
    pond_signal(pond, SIGHUP);
    POND_WAIT(is_proving(pond, 3));
    atomic_store(&pond->orders.never_ready, 0);
    pond_signal(pond, SIGTTOU);
    pond_expect_log(pond, "2 workers from now on");
    pond_signal(pond, SIGTTOU);
    POND_WAIT(count_ready(pond, 1) == 1);
    CHECK_EQ(pond_log_count(pond, "reload has failed"), 0);
    CHECK(pond_is_alive(atomic_load(&pond->workers[3].pid)));
    kill(atomic_load(&pond->workers[3].pid), SIGKILL);
    pond_expect_log(pond, "the reload has failed");
    reload(pond, 1);
    POND_WAIT(count_ready(pond, 3) == 1);
    pond_end(pond);
}
