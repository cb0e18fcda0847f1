/* SPDX-License-Identifier: MIT */
/* TERM finishes, INT and QUIT hurry, a second one kills; whatever state the pool is in. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fake_pond.h"
#include "os/clock.h"
#include "runner.h"

/* Ends within ms (more with a sanitizer), with status 0. */
static void ends_within(struct pond *pond, int ms)
{
    CHECK_EQ(pond_wait_end(pond, ms), 0);
    pond_free(pond);
}

TEST(term_tells_all_to_drain_for_good)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.drain_ms, 300);
    pond_signal(pond, SIGTERM);
    pond_nap(100);
    CHECK(pond_is_alive(atomic_load(&pond->workers[0].pid)));
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 1 + 1);
    CHECK_EQ(atomic_load(&pond->workers[1].drain_value), 1 + 1);
    CHECK_EQ(pond_wait_end(pond, 2000), 0);
    pond_expect_log(pond, "SIGTERM: finishing what is being served, for at most 5.0 s");
    CHECK_EQ(pond_log_count(pond, "ERROR") + pond_log_count(pond, "WARNING"), 0);
    pond_free(pond);
}

TEST(int_and_quit_tell_all_to_quit)
{
    static const int signals[] = {SIGINT, SIGQUIT};

    for (int i = 0; i < 2; i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 2});

        atomic_store(&pond->orders.drain_ms, 5000);
        CHECK_EQ(pond_stop(pond, signals[i]), 0);
        CHECK_EQ(atomic_load(&pond->workers[0].quit), 1);
        CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 0);
        CHECK_EQ(atomic_load(&pond->stopping_signal), signals[i]);
        pond_free(pond);
    }
}

TEST(term_kills_after_the_graceful_timeout_and_says_what_it_cut)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .graceful_ms = 300});

    atomic_store(&pond->orders.stubborn, 1);
    pond_command(pond, 0, POND_SERVE, 0);
    POND_WAIT(atomic_load(&pond->workers[0].done) == 1);
    pond_signal(pond, SIGTERM);
    CHECK_EQ(pond_wait_end(pond, 2000), 0);
    pond_expect_log(pond, "killed: not finished within the graceful timeout. It was serving:");
    CHECK_EQ(pond_log_count(pond, "killed: not finished within the graceful timeout."), 2);
    pond_free(pond);
}

TEST(int_kills_after_a_second)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});
    int64_t before = pond_now();

    atomic_store(&pond->orders.stubborn, 1);
    CHECK_EQ(pond_stop(pond, SIGINT), 0);
    CHECK(pond_now() - before >= 900 * MP_NSEC_PER_MSEC);
    pond_expect_log(pond, "killed: did not leave when told to");
    pond_free(pond);
}

TEST(a_second_int_kills_at_once)
{
    static const int seconds[] = {SIGINT, SIGQUIT, SIGTERM};

    for (int i = 0; i < 3; i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 2});

        atomic_store(&pond->orders.stubborn, 1);
        pond_signal(pond, SIGINT);
        POND_WAIT(atomic_load(&pond->workers[0].quit));
        pond_signal(pond, seconds[i]);
        CHECK_EQ(pond_wait_end(pond, 700), 0);
        CHECK_EQ(pond_log_count(pond, "killed: stopped by a second signal"), 2);
        pond_free(pond);
    }
}

TEST(int_while_draining_hurries)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.drain_ms, 30000);
    pond_signal(pond, SIGTERM);
    POND_WAIT(atomic_load(&pond->workers[0].drain_value));
    CHECK_EQ(atomic_load(&pond->workers[0].quit), 0);
    pond_signal(pond, SIGINT);
    ends_within(pond, 900);
}

TEST(term_twice_is_term)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.drain_ms, 400);
    pond_signal(pond, SIGTERM);
    POND_WAIT(atomic_load(&pond->workers[0].drain_value));
    pond_signal(pond, SIGTERM);
    pond_expect_log(pond, "SIGTERM again");
    CHECK_EQ(pond_wait_end(pond, 2000), 0);
    CHECK_EQ(atomic_load(&pond->workers[0].quit), 0);
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
    pond_free(pond);
}

TEST(what_is_asked_for_meanwhile_is_refused)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.drain_ms, 400);
    pond_signal(pond, SIGTERM);
    POND_WAIT(atomic_load(&pond->workers[0].drain_value));
    pond_signal(pond, SIGHUP);
    pond_expect_log(pond, "SIGHUP: no reload: the server is stopping");
    pond_signal(pond, SIGUSR2);
    pond_expect_log(pond, "SIGUSR2: no upgrade: the server is stopping");
    ends_within(pond, 2000);
}

/* Ctrl-C: everybody in the foreground gets the signal, the master alone acts on it. */
TEST(int_to_the_whole_process_group)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    CHECK_OK(kill(-pond->master, SIGINT));
    CHECK_EQ(pond_wait_end(pond, 2000), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(atomic_load(&pond->workers[i].quit), 1);
    CHECK_EQ(pond_log_count(pond, "ERROR") + pond_log_count(pond, "WARNING"), 0);
    pond_free(pond);
}

/* As service managers do that signal every process of a unit. */
TEST(term_to_the_whole_process_group)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    CHECK_OK(kill(-pond->master, SIGTERM));
    CHECK_EQ(pond_wait_end(pond, 3000), 0);
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
    pond_free(pond);
}

TEST(at_any_moment_of_the_start)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGQUIT};

    for (int i = 0; i < 24; i++) {
        struct pond *pond = pond_new();

        pond_start(pond, &(struct pond_options){.workers = 4});
        POND_WAIT(atomic_load(&pond->loads)); /* from here on the master has the signals */
        pond_nap(i / 3);
        pond_signal(pond, signals[i % 3]);
        ends_within(pond, 4000);
    }
}

TEST(while_the_zygote_loads)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_ms, 60000);
    pond_start(pond, &(struct pond_options){0});
    POND_WAIT(atomic_load(&pond->loads));
    pond_signal(pond, SIGTERM);
    ends_within(pond, 1000);
}

TEST(while_a_worker_loads)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_ms, 60000);
    pond_start(pond, &(struct pond_options){.no_preload = true});
    POND_WAIT(atomic_load(&pond->loads));
    pond_signal(pond, SIGTERM);
    ends_within(pond, 2500);
}

TEST(while_workers_are_being_replaced)
{
    for (int i = 0; i < 8; i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 4});

        for (unsigned slot = 0; slot < 4; slot++)
            kill(atomic_load(&pond->workers[slot].pid), SIGKILL);
        pond_nap(i);
        pond_signal(pond, i % 2 ? SIGINT : SIGTERM);
        ends_within(pond, 4000);
    }
}

TEST(while_the_zygote_is_dead)
{
    for (int i = 0; i < 8; i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 2});

        kill(atomic_load(&pond->zygote), SIGKILL);
        kill(atomic_load(&pond->workers[0].pid), SIGKILL);
        pond_nap(i);
        pond_signal(pond, i % 2 ? SIGINT : SIGTERM);
        ends_within(pond, 4000);
    }
}

TEST(a_stopped_worker_and_a_stopped_zygote_are_killed)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .graceful_ms = 300});

    kill(atomic_load(&pond->workers[0].pid), SIGSTOP);
    kill(atomic_load(&pond->zygote), SIGSTOP);
    pond_signal(pond, SIGTERM);
    ends_within(pond, 2000);
}

TEST(with_no_graceful_timeout_to_speak_of)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .graceful_ms = 1});

    atomic_store(&pond->orders.stubborn, 1);
    pond_signal(pond, SIGTERM);
    ends_within(pond, 1000);
}

/* Its last words hold up nobody, and are said. */
TEST(a_zygote_that_takes_long_to_leave_has_let_the_sockets_go)
{
    struct pond *pond = pond_new();
    int64_t told;

    pond_start(pond, &(struct pond_options){.workers = 2});
    pond_wait_ready(pond);
    atomic_store(&pond->orders.exit_ms, 600);
    told = pond_now();
    pond_signal(pond, SIGTERM);
    POND_WAIT(atomic_load(&pond->workers[0].drain_at) && atomic_load(&pond->workers[1].drain_at));
    CHECK(atomic_load(&pond->workers[0].drain_at) - told < 500 * MP_NSEC_PER_MSEC);
    CHECK_EQ(pond_wait_end(pond, 10000), 0);
    CHECK(pond_now() - told >= 600 * MP_NSEC_PER_MSEC);
    CHECK_EQ(atomic_load(&pond->exits), 3);
    pond_free(pond);
}

/* It is killed: a queue that nobody serves would be left otherwise. */
TEST(a_zygote_that_does_not_let_the_sockets_go)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.drain_ms, 500);
    kill(atomic_load(&pond->zygote), SIGSTOP);
    pond_signal(pond, SIGTERM);
    POND_WAIT(atomic_load(&pond->workers[0].drain_value) == 2);
    CHECK(!pond_is_alive(atomic_load(&pond->zygote)));
    pond_expect_log(pond, "does not leave: killed, for it has the listening sockets");
    ends_within(pond, 4000);
}

/* It has the sockets, too: those that serve are told when it is gone. */
TEST(a_worker_that_loads_has_let_the_sockets_go)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .no_preload = true});
    pid_t loading;
    int64_t told;

    atomic_store(&pond->orders.drain_ms, 500);
    atomic_store(&pond->orders.load_ms, 60000);
    kill(pond_wait_life(pond, 1, 0), SIGKILL);
    POND_WAIT(atomic_load(&pond->loads) == 3);
    loading = atomic_load(&pond->zygote); /* the last that loaded: this worker */
    told = pond_now();
    pond_signal(pond, SIGTERM);
    POND_WAIT(atomic_load(&pond->workers[0].drain_at));
    CHECK(!pond_is_alive(loading));
    CHECK(atomic_load(&pond->workers[0].drain_at) - told > 500 * MP_NSEC_PER_MSEC);
    pond_expect_log(pond, "killed: told to leave while it was starting");
    ends_within(pond, 4000);
}

/* One that hears leaves, and nobody waits for longer than that takes. */
TEST(a_worker_that_starts_and_hears_is_not_waited_for)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    int64_t told;

    atomic_store(&pond->orders.never_ready, 1);
    kill(pond_wait_life(pond, 1, 0), SIGKILL);
    POND_WAIT(atomic_load(&pond->workers[1].starts) == 2);
    told = pond_now();
    pond_signal(pond, SIGTERM);
    CHECK_EQ(pond_wait_end(pond, 4000), 0);
    CHECK(atomic_load(&pond->workers[0].drain_at) - told < 700 * MP_NSEC_PER_MSEC);
    CHECK_EQ(atomic_load(&pond->workers[1].drain_value), 2);
    pond_free(pond);
}

TEST(a_stopped_worker_goes_on_and_drains)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .graceful_ms = 15000});

    kill(atomic_load(&pond->workers[0].pid), SIGSTOP);
    pond_expect_log(pond, "was stopped by a signal");
    pond_signal(pond, SIGTERM);
    CHECK_EQ(pond_wait_end(pond, 4000), 0);
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 2);
    CHECK_EQ(pond_log_count(pond, "killed"), 0);
    pond_free(pond);
}
