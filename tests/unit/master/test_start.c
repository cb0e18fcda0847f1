/* SPDX-License-Identifier: MIT */
/* The first start: all workers become ready, or the program ends and says why. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fake_pond.h"
#include "runner.h"

TEST(options_that_make_no_sense)
{
    struct mp_master_ops ops = {0};
    struct mp_master_options options;
    struct mp_master *master = NULL;

    mp_master_options_init(&options);
    CHECK_EQ(mp_master_new(&options, &ops, &master), -EINVAL); /* nothing to serve with */
    CHECK(master == NULL);
    mp_master_free(NULL);
}

TEST(starts_tells_once_and_stops)
{
    struct pond *pond = pond_new();

    pond_start(pond, &(struct pond_options){.workers = 3});
    pond_wait_ready(pond);
    CHECK_EQ(atomic_load(&pond->ready_workers), 3);
    CHECK_EQ(atomic_load(&pond->ready_threads), 8);
    CHECK_EQ(atomic_load(&pond->loads), 1);
    CHECK_EQ(atomic_load(&pond->freezes), 1);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(atomic_load(&pond->ready_calls), 1);
    CHECK_EQ(atomic_load(&pond->stopping_signal), SIGTERM);
    CHECK_EQ(atomic_load(&pond->exits), 4); /* zygote and workers */
    CHECK_EQ(atomic_load(&pond->balance), 0);
    CHECK_EQ(pond_log_count(pond, "WARNING") + pond_log_count(pond, "ERROR"), 0);
    pond_free(pond);
}

TEST(workers_are_children_of_the_master)
{
    struct pond *pond = pond_new();
    pid_t worker;

    pond_start(pond, &(struct pond_options){.workers = 1});
    worker = pond_wait_life(pond, 0, 0);
    CHECK(worker != atomic_load(&pond->zygote));
    /* Only its parent is told how it dies. */
    kill(worker, SIGKILL);
    pond_expect_log(pond, "killed by SIGKILL");
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

TEST(a_load_that_fails_ends_the_program_with_its_status)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_status, 3);
    pond_start(pond, &(struct pond_options){0});
    CHECK_EQ(pond_wait_end(pond, 5000), 3);
    CHECK_EQ(atomic_load(&pond->loads), 1);
    CHECK_EQ(atomic_load(&pond->ready_calls), 0);
    CHECK_STR(pond_log(pond), ""); /* the application has said it all */
    pond_free(pond);
}

TEST(a_load_that_crashes_ends_the_program)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_signal, SIGSEGV);
    pond_start(pond, &(struct pond_options){0});
    CHECK_EQ(pond_wait_end(pond, 5000), 1);
    CHECK_EQ(atomic_load(&pond->loads), 1);
    pond_expect_log(pond, "killed by SIGSEGV");
    pond_expect_log(pond, "while it loaded the application");
    pond_free(pond);
}

TEST(a_load_that_takes_too_long_ends_the_program)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_ms, 30000);
    pond_start(pond, &(struct pond_options){.load_ms = 200});
    CHECK_EQ(pond_wait_end(pond, 5000), 1);
    pond_expect_log(pond, "has not loaded the application within 200 ms");
    pond_free(pond);
}

TEST(without_preload_each_worker_loads)
{
    struct pond *pond = pond_new();

    pond_start(pond, &(struct pond_options){.workers = 3, .no_preload = true});
    pond_wait_ready(pond);
    CHECK_EQ(atomic_load(&pond->loads), 3);
    CHECK_EQ(atomic_load(&pond->freezes), 0);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

/* One goes ahead, so that the application's complaint is there once and not once for each worker.
 */
TEST(without_preload_a_load_that_fails_is_tried_once)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_status, 3);
    pond_start(pond, &(struct pond_options){.workers = 4, .no_preload = true});
    CHECK_EQ(pond_wait_end(pond, 5000), 3);
    CHECK_EQ(atomic_load(&pond->loads), 1);
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
    pond_free(pond);
}

TEST(workers_that_never_get_ready_end_the_program)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.exit_early, 1 + 5);
    pond_start(pond, &(struct pond_options){.workers = 1});
    CHECK_EQ(pond_wait_end(pond, 5000), 1);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 3);
    CHECK_EQ(pond_log_count(pond, "exited with status 5"), 3);
    pond_expect_log(pond, "has ended 3 times before it was ready: giving up");
    pond_free(pond);
}

TEST(workers_that_hang_at_the_start_end_the_program)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.never_ready, 1);
    pond_start(pond, &(struct pond_options){.workers = 1, .load_ms = 150});
    CHECK_EQ(pond_wait_end(pond, 5000), 1);
    CHECK_EQ(pond_log_count(pond, "killed: not ready within 150 ms"), 3);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 3);
    pond_free(pond);
}

/* ---- fork fails ---------------------------------------------------------------------------- */

static void fail_forks(struct pond *pond, int pass, int count)
{
    atomic_store(&pond->orders.fork_pass, pass);
    atomic_store(&pond->orders.fork_failures, count);
}

TEST(the_zygotes_fork_fails_and_is_tried_again)
{
    struct pond *pond = pond_new();

    fail_forks(pond, 0, 2);
    pond_start(pond, &(struct pond_options){.workers = 1});
    pond_wait_ready(pond);
    CHECK_EQ(pond_log_count(pond, "the zygote cannot be started: Resource temporarily"), 2);
    pond_expect_log(pond, "next try in 200 ms");
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(atomic_load(&pond->balance), 0);
    pond_free(pond);
}

TEST(the_first_fork_of_a_worker_fails_and_is_tried_again)
{
    struct pond *pond = pond_new();

    fail_forks(pond, 1, 2);
    atomic_store(&pond->orders.fork_error, ENOMEM);
    pond_start(pond, &(struct pond_options){.workers = 1});
    pond_wait_ready(pond);
    CHECK_EQ(pond_log_count(pond, "worker 1 cannot be started: Cannot allocate memory"), 2);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(atomic_load(&pond->balance), 0);
    pond_free(pond);
}

TEST(the_second_fork_of_a_worker_fails_and_is_tried_again)
{
    struct pond *pond = pond_new();

    fail_forks(pond, 2, 1);
    pond_start(pond, &(struct pond_options){.workers = 1});
    pond_wait_ready(pond);
    pond_expect_log(pond, "worker 1 cannot be started: Resource temporarily");
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

/* The signals' descriptor, the zygote's socket and one worker's, and one more: not enough for a
 * second pair. */
TEST(a_master_without_descriptors_goes_on_with_what_it_has)
{
    struct pond *pond = pond_new();

    pond_start(pond, &(struct pond_options){.workers = 2, .spare_fds = 4});
    pond_expect_log(pond, "worker 2 cannot be started: Too many open files; next try in 200 ms");
    CHECK(pond_wait_life(pond, 0, 0) > 0);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 0);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

TEST(a_zygote_without_descriptors_loses_orders_and_is_asked_again)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.hog_fds, 1);
    pond_start(pond, &(struct pond_options){.workers = 1});
    pond_expect_log(pond, "worker 1 cannot be started: Operation canceled; next try in 200 ms");
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

TEST(stops_while_nothing_can_be_forked)
{
    struct pond *pond = pond_new();

    fail_forks(pond, 1, 1000000);
    pond_start(pond, &(struct pond_options){.workers = 2});
    pond_expect_log(pond, "worker 2 cannot be started");
    CHECK_EQ(pond_stop(pond, SIGINT), 0);
    pond_free(pond);
}

TEST(stops_while_no_zygote_can_be_forked)
{
    struct pond *pond = pond_new();

    fail_forks(pond, 0, 1000000);
    pond_start(pond, &(struct pond_options){.workers = 2});
    pond_expect_log(pond, "the zygote cannot be started");
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}
