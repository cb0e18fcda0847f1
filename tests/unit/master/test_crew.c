/* SPDX-License-Identifier: MIT */
/* Workers die, hang, retire, are wanted more or less: the pool is whole again, and the log says
 * what was lost. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_pond.h"
#include "os/clock.h"
#include "os/process.h"
#include "runner.h"

static void expect_formatted(struct pond *pond, const char *format, int a, int b)
{
    char text[256];

    snprintf(text, sizeof(text), format, a, b);
    pond_expect_log(pond, text);
}

/* ---- deaths ------------------------------------------------------------------------------- */

TEST(a_worker_killed_by_each_signal_is_replaced_in_its_slot)
{
    static const struct {
        int signo;
        const char *text;
    } cases[] = {
        {SIGSEGV, "killed by SIGSEGV"}, {SIGABRT, "killed by SIGABRT"},
        {SIGBUS, "killed by SIGBUS"},   {SIGFPE, "killed by SIGFPE"},
        {SIGILL, "killed by SIGILL"},   {SIGKILL, "killed by SIGKILL, most likely by the kernel"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 2});
        pid_t other = pond_wait_life(pond, 1, 0);
        pid_t old = pond_wait_life(pond, 0, 0);
        pid_t new;

        pond_command(pond, 0, POND_RAISE, cases[i].signo);
        new = pond_wait_life(pond, 0, 1);
        CHECK(new != old);
        expect_formatted(pond, "worker 1 (pid %d) killed by SIG", old, 0);
        pond_expect_log(pond, cases[i].text);
        expect_formatted(pond, "worker 1 (pid %d) replaced by pid %d in ", old, new);
        CHECK_EQ(atomic_load(&pond->workers[1].pid), other);
        CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
        CHECK_EQ(pond_log_count(pond, "ERROR"), 1);
        pond_end(pond);
    }
}

TEST(a_worker_that_exits_is_replaced)
{
    static const int statuses[] = {0, 1, 3, MP_WORKER_EXIT_QUIT, 255};

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct pond *pond = pond_begin((struct pond_options){.workers = 1});
        pid_t old = pond_wait_life(pond, 0, 0);

        pond_command(pond, 0, POND_EXIT, statuses[i]);
        pond_wait_life(pond, 0, 1);
        expect_formatted(pond, "worker 1 (pid %d) exited with status %d", old, statuses[i]);
        CHECK_EQ(pond_log_count(pond, statuses[i] ? "ERROR" : "WARNING"), 1);
        pond_end(pond);
    }
}

TEST(the_log_says_what_it_was_serving)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t old = pond_wait_life(pond, 1, 0);

    pond_command(pond, 1, POND_SERVE, 0);
    POND_WAIT(atomic_load(&pond->workers[1].done) == 1);
    kill(old, SIGKILL);
    pond_wait_life(pond, 1, 1);
    expect_formatted(pond, "ERROR [%d] worker 2 (pid %d) killed by SIGKILL", pond->master, old);
    pond_expect_log(pond,
                    "It was serving:\n          thread 2  POST /import  from 10.0.0.9  for 41.");
    pond_expect_log(pond, "\n          thread 5  GET  /        from 10.0.0.9  for ");
    /* The successor's slot is clean. */
    kill(pond_wait_life(pond, 1, 1), SIGKILL);
    pond_wait_life(pond, 1, 2);
    CHECK_EQ(pond_log_count(pond, "It was serving"), 1);
    pond_end(pond);
}

TEST(all_workers_killed_at_once)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 4});

    for (unsigned i = 0; i < 4; i++)
        kill(atomic_load(&pond->workers[i].pid), SIGKILL);
    for (unsigned i = 0; i < 4; i++)
        pond_wait_life(pond, i, 1);
    CHECK_EQ(atomic_load(&pond->loads), 1);
    pond_end(pond);
}

/* A client that can crash a worker shall not be able to keep the pool small. */
TEST(killed_again_and_again_it_is_whole_within_a_second)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    for (int i = 0; i < 7; i++) {
        int64_t before;

        kill(pond_wait_life(pond, 0, i), SIGKILL);
        before = pond_now();
        pond_wait_life(pond, 0, i + 1);
        CHECK(pond_now() - before < 1000 * MP_NSEC_PER_MSEC);
    }
    pond_end(pond);
}

TEST(a_crash_loop_after_ready_is_slowed_down_and_reported_once_per_step)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    int starts;

    atomic_store(&pond->orders.exit_ready, 1 + 9);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_nap(3000); /* at 0, 0.1, 0.3, 0.7, 1.2, 1.7, 2.2, 2.7 s after the first */
    starts = atomic_load(&pond->workers[0].starts);
    CHECK(starts >= 5);
    CHECK(starts <= 10);
    CHECK_EQ(pond_log_count(pond, "waiting 100 ms before the next"), 1);
    CHECK_EQ(pond_log_count(pond, "waiting 500 ms before the next"), 1);
    /* And it recovers. */
    atomic_store(&pond->orders.exit_ready, 0);
    pond_wait_life(pond, 0, starts);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
    pond_end(pond);
}

TEST(a_crash_loop_before_ready_doubles)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});
    int starts;

    atomic_store(&pond->orders.exit_early, 1 + 9);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_nap(2500); /* at 0, 0.1, 0.3, 0.7, 1.5 s; the next at 3.1 s */
    starts = atomic_load(&pond->workers[0].starts);
    CHECK(starts >= 4);
    CHECK(starts <= 6);
    CHECK_EQ(pond_log_count(pond, "waiting 800 ms before the next"), 1);
    pond_end(pond); /* while it waits */
}

TEST(a_worker_that_does_not_get_ready_is_killed_and_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .load_ms = 300});

    atomic_store(&pond->orders.never_ready, 1);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_expect_log(pond, "killed: not ready within 300 ms.");
    atomic_store(&pond->orders.never_ready, 0);
    pond_wait_life(pond, 0, 2);
    pond_end(pond);
}

TEST(a_worker_whose_fork_fails_comes_later)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.fork_failures, 2);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_wait_life(pond, 0, 1);
    CHECK_EQ(pond_log_count(pond, "worker 1 cannot be started: Resource temporarily"), 2);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
    pond_end(pond);
}

/* ---- hearts ------------------------------------------------------------------------------- */

TEST(a_worker_whose_heart_stops_is_killed_and_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .heart_ms = 400});
    pid_t old = pond_wait_life(pond, 0, 0);

    kill(old, SIGSTOP);
    pond_wait_life(pond, 0, 1);
    expect_formatted(pond, "worker 1 (pid %d) killed: its heart has not beaten for ", old, 0);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 1);
    pond_end(pond);
}

TEST(a_control_thread_that_does_not_beat_is_no_better)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .heart_ms = 300});

    atomic_store(&pond->orders.silent, 1);
    pond_expect_log(pond, "its heart has not beaten for ");
    atomic_store(&pond->orders.silent, 0);
    pond_wait_life(pond, 0, 1);
    pond_end(pond);
}

/* The whole machine sleeps for longer than the limit: nobody is to blame. */
TEST(everybody_stopped_and_continued_nobody_killed)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3, .heart_ms = 1000});

    for (unsigned i = 0; i < 3; i++)
        kill(atomic_load(&pond->workers[i].pid), SIGSTOP);
    kill(pond->master, SIGSTOP);
    pond_nap(1500);
    kill(pond->master, SIGCONT);
    pond_nap(20); /* the master looks first */
    for (unsigned i = 0; i < 3; i++)
        kill(atomic_load(&pond->workers[i].pid), SIGCONT);
    pond_nap(600);
    CHECK_EQ(pond_log_count(pond, "heart"), 0);
    pond_end(pond);
}

/* ---- leaving by itself -------------------------------------------------------------------- */

TEST(sigterm_to_a_worker_drains_it_and_it_is_replaced)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t old = pond_wait_life(pond, 0, 0);

    kill(old, SIGTERM);
    pond_wait_life(pond, 0, 1);
    CHECK_EQ(atomic_load(&pond->workers[0].terms), 1);
    expect_formatted(pond, "worker 1 (pid %d) exited with status 0", old, 0);
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
    pond_end(pond);
}

TEST(a_worker_that_closes_its_socket_is_replaced_and_killed_in_time)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .graceful_ms = 500});
    pid_t old = pond_wait_life(pond, 0, 0);

    pond_command(pond, 0, POND_CLOSE, 0);
    pond_wait_life(pond, 1, 0); /* in the next slot, for this one is taken */
    expect_formatted(pond, "worker 1 (pid %d) killed: not finished within 500 ms", old, 0);
    POND_WAIT(!pond_is_alive(old));
    pond_nap(200);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    pond_end(pond);
}

/* ---- retirement --------------------------------------------------------------------------- */

TEST(a_retiring_worker_drains_when_its_successor_is_ready)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    pid_t old = pond_wait_life(pond, 0, 0);
    pid_t new;

    pond_command(pond, 0, POND_RETIRE, 0);
    new = pond_wait_life(pond, 2, 0);
    POND_WAIT(atomic_load(&pond->workers[0].drain_at));
    CHECK(atomic_load(&pond->workers[0].drain_at) > atomic_load(&pond->workers[2].ready_from));
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 0 + 1); /* not stopping for good */
    expect_formatted(pond, "worker 1 (pid %d) is to be replaced: a handler is stuck in it", old, 0);
    expect_formatted(pond, "worker 1 (pid %d) replaced by pid %d in ", old, new);
    expect_formatted(pond, "worker 1 (pid %d) has left", old, 0);
    pond_nap(100);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    /* Its slot is free for the next one. */
    kill(atomic_load(&pond->workers[1].pid), SIGKILL);
    pond_wait_life(pond, 1, 1);
    pond_end(pond);
}

TEST(a_retiring_worker_that_does_not_drain_is_killed)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .graceful_ms = 300});
    pid_t old = pond_wait_life(pond, 0, 0);

    atomic_store(&pond->orders.stubborn, 1);
    pond_command(pond, 0, POND_SERVE, 0);
    POND_WAIT(atomic_load(&pond->workers[0].done) == 1);
    pond_command(pond, 0, POND_RETIRE, 0);
    pond_wait_life(pond, 1, 0);
    expect_formatted(
        pond, "worker 1 (pid %d) killed: not finished within 300 ms. It was serving:", old, 0);
    POND_WAIT(!pond_is_alive(old));
    atomic_store(&pond->orders.stubborn, 0);
    pond_end(pond);
}

TEST(a_successor_that_dies_does_not_release_the_old_one)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    atomic_store(&pond->orders.exit_early, 1 + 2);
    pond_command(pond, 0, POND_RETIRE, 0);
    POND_WAIT(atomic_load(&pond->workers[1].starts) >= 2);
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 0);
    atomic_store(&pond->orders.exit_early, 0);
    POND_WAIT(atomic_load(&pond->workers[0].drain_value) == 1);
    CHECK(atomic_load(&pond->workers[1].ready_at));
    pond_end(pond);
}

TEST(a_retiring_worker_that_dies_has_its_successor_already)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.never_ready, 1);
    pond_command(pond, 0, POND_RETIRE, 0);
    POND_WAIT(atomic_load(&pond->workers[2].starts) == 1);
    kill(atomic_load(&pond->workers[0].pid), SIGKILL);
    pond_expect_log(pond, "worker 1");
    pond_nap(200);
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    CHECK_EQ(atomic_load(&pond->workers[2].starts), 1);
    pond_end(pond);
}

TEST(all_workers_retire_at_once)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 4});

    atomic_store(&pond->orders.drain_ms, 300);
    for (unsigned i = 0; i < 4; i++)
        pond_command(pond, i, POND_RETIRE, 0);
    for (unsigned i = 4; i < 8; i++)
        pond_wait_life(pond, i, 0);
    for (unsigned i = 0; i < 4; i++)
        POND_WAIT(!pond_is_alive(atomic_load(&pond->workers[i].pid)));
    pond_end(pond);
}

TEST(a_retiring_worker_goes_at_once_when_the_pool_shrinks)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});

    atomic_store(&pond->orders.never_ready, 1);
    pond_command(pond, 0, POND_RETIRE, 0);
    POND_WAIT(atomic_load(&pond->workers[2].starts) == 1);
    pond_signal(pond, SIGTTOU); /* the youngest is the successor */
    POND_WAIT(atomic_load(&pond->workers[0].drain_value) == 1);
    POND_WAIT(!pond_is_alive(atomic_load(&pond->workers[0].pid)));
    CHECK(pond_is_alive(atomic_load(&pond->workers[1].pid)));
    pond_end(pond);
}

/* ---- TTIN, TTOU --------------------------------------------------------------------------- */

TEST(one_more_and_one_less_within_bounds)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .workers_max = 2});

    pond_signal(pond, SIGTTIN);
    pond_wait_life(pond, 1, 0);
    pond_expect_log(pond, "SIGTTIN: 2 workers from now on");
    pond_signal(pond, SIGTTIN);
    pond_expect_log(pond, "SIGTTIN: there are 2 workers, of 1 to 2");
    pond_signal(pond, SIGTTOU);
    POND_WAIT(atomic_load(&pond->workers[1].drain_value) == 1);
    POND_WAIT(!pond_is_alive(atomic_load(&pond->workers[1].pid)));
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 0);
    pond_signal(pond, SIGTTOU);
    pond_expect_log(pond, "SIGTTOU: there are 1 workers, of 1 to 2");
    CHECK_EQ(atomic_load(&pond->ready_calls), 1);
    pond_end(pond);
}

TEST(a_worker_is_added_when_all_are_pressed)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1, .workers_limit = 2});

    if (mp_cpu_count() < 2) {
        pond_end(pond);
        return; /* another worker would not help */
    }
    pond_nap(350);
    CHECK_EQ(atomic_load(&pond->workers[1].starts), 0);
    pond_command(pond, 0, POND_LOOK, 1);
    pond_wait_life(pond, 1, 0);
    pond_expect_log(pond, "2 workers from now on: all were busy, and requests waited");
    pond_command(pond, 1, POND_LOOK, 1);
    pond_nap(350);
    CHECK_EQ(atomic_load(&pond->workers[2].starts), 0); /* that is the limit */
    pond_end(pond);
}

TEST(the_youngest_goes_first)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3});

    kill(pond_wait_life(pond, 1, 0), SIGKILL);
    pond_wait_life(pond, 1, 1);
    pond_signal(pond, SIGTTOU);
    POND_WAIT(atomic_load(&pond->workers[1].drain_value) == 1);
    CHECK_EQ(atomic_load(&pond->workers[2].drain_value), 0);
    pond_end(pond);
}

TEST(more_and_less_in_one_breath)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2, .workers_max = 4});

    for (int i = 0; i < 10; i++) {
        pond_signal(pond, SIGTTIN);
        pond_signal(pond, SIGTTOU);
        pond_nap(i);
    }
    pond_nap(300);
    pond_end(pond);
}

/* ---- nothing leaks ------------------------------------------------------------------------ */

TEST(descriptors_of_the_master_and_of_workers_do_not_grow)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 2});
    int fds = atomic_load(&pond->workers[0].fds);
    int master = pond_count_fds(pond->master);

    for (int i = 0; i < 6; i++) {
        kill(pond_wait_life(pond, 0, i), SIGKILL);
        pond_wait_life(pond, 0, i + 1);
    }
    kill(atomic_load(&pond->zygote), SIGKILL);
    pond_expect_log(pond, "a new zygote");
    kill(pond_wait_life(pond, 0, 6), SIGKILL);
    pond_wait_life(pond, 0, 7);
    CHECK_EQ(atomic_load(&pond->workers[0].fds), fds);
    /* No control sockets of others: only its own. */
    CHECK_EQ(atomic_load(&pond->workers[0].sockets), 1);
    CHECK_EQ(pond_count_fds(pond->master), master);
    pond_end(pond);
}

TEST(what_workers_leave_behind_is_reaped)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    pond_command(pond, 0, POND_LEAVE_ORPHAN, 200);
    POND_WAIT(atomic_load(&pond->workers[0].done) == 1);
    kill(pond_wait_life(pond, 0, 0), SIGKILL);
    pond_wait_life(pond, 0, 1);
    pond_expect_log(pond, "which is none of ours");
    pond_end(pond);
}

TEST(harmless_signals)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 1});

    pond_signal(pond, SIGUSR1);
    pond_signal(pond, SIGUSR2);
    pond_signal(pond, SIGWINCH);
    pond_signal(pond, SIGPIPE);
    pond_expect_log(pond, "SIGUSR2: no upgrade: it is not known how this program was started");
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    pond_end(pond);
}

/* A process that is traced is the tracer's to reap first: until then the master sees it live on. */
TEST(one_worker_less_while_a_killed_one_is_not_reaped)
{
    struct pond *pond = pond_begin((struct pond_options){.workers = 3, .heart_ms = 400});
    pid_t held = pond_wait_life(pond, 2, 0);

    CHECK_OK(ptrace(PTRACE_SEIZE, held, NULL, NULL));
    kill(held, SIGSTOP);
    pond_expect_log(pond, "killed: its heart");
    pond_signal(pond, SIGTTOU);
    pond_expect_log(pond, "2 workers from now on");
    pond_nap(50);
    while (waitpid(held, NULL, 0) == held && pond_is_alive(held))
        ;
    POND_WAIT(!pond_is_alive(held));
    pond_nap(100);
    CHECK_EQ(atomic_load(&pond->workers[2].starts), 1);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(atomic_load(&pond->workers[i].drain_at), 0);
    pond_end(pond);
}
