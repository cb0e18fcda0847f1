/* SPDX-License-Identifier: MIT */
/* A master that is the child of the program that it serves, and the link between the two. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_pond.h"
#include "os/socket.h"
#include "runner.h"

static struct pond *start(const struct pond_options *options)
{
    struct pond *pond = pond_new();

    pond_start(pond, options);
    return pond;
}

static struct pond *start_embedded(unsigned workers)
{
    struct pond *pond = start(&(struct pond_options){.embed = true, .workers = workers});

    CHECK_EQ(pond_hear(pond, MP_LINK_READY), workers);
    pond_wait_ready(pond);
    return pond;
}

static void finish(struct pond *pond, int status)
{
    CHECK_EQ(pond_wait_end(pond, 10000), status);
    close(pond->link);
    pond_free(pond);
}

TEST(it_says_when_it_is_ready_and_drains_when_told_to_stop)
{
    struct pond *pond = start_embedded(2);

    pond_tell(pond, MP_LINK_STOP, 0);
    CHECK_EQ(pond_wait_end(pond, 10000), 0);
    for (unsigned slot = 0; slot < 2; slot++)
        CHECK_EQ(atomic_load(&pond->workers[slot].drain_value), 1 + 1);
    pond_expect_log(pond, "the program asks to stop: finishing what is being served");
    close(pond->link);
    pond_free(pond);
}

TEST(it_stops_quickly_when_told_so)
{
    struct pond *pond = start_embedded(2);

    atomic_store(&pond->orders.drain_ms, 60000);
    pond_tell(pond, MP_LINK_STOP, 1);
    CHECK_EQ(pond_wait_end(pond, 10000), 0);
    CHECK_EQ(atomic_load(&pond->workers[0].quit), 1);
    close(pond->link);
    pond_free(pond);
}

TEST(told_again_it_hurries)
{
    struct pond *pond = start_embedded(1);

    atomic_store(&pond->orders.drain_ms, 60000);
    pond_tell(pond, MP_LINK_STOP, 0);
    POND_WAIT(atomic_load(&pond->workers[0].drain_at));
    pond_tell(pond, MP_LINK_STOP, 0); /* changes nothing */
    pond_nap(50);
    CHECK_EQ(atomic_load(&pond->workers[0].quit), 0);
    pond_tell(pond, MP_LINK_STOP, 1);
    finish(pond, 0);
}

TEST(the_end_of_the_link_stops_it)
{
    struct pond *pond = start_embedded(1);

    close(pond->link);
    CHECK_EQ(pond_wait_end(pond, 10000), 0);
    pond_expect_log(pond, "the program has closed its link: stopping at once");
    pond_free(pond);
}

/* Another process has the program's end of the link as well, as children of a program may. */
TEST(the_end_of_the_program_stops_it_though_the_link_lives)
{
    struct pond *pond = pond_new();
    pid_t program = fork();
    int status;

    CHECK(program >= 0);
    if (program == 0) {
        pond_start(pond, &(struct pond_options){.embed = true, .workers = 1});
        pond_hear(pond, MP_LINK_READY);
        if (fork() == 0) {
            pond_nap(3000);
            _exit(0);
        }
        kill(getpid(), SIGKILL);
    }
    CHECK_EQ(waitpid(program, &status, 0), program);
    pond_expect_log(pond, "the program has ended: stopping at once");
    CHECK(pond_reap_all() >= 1);
    pond_free(pond);
}

TEST(what_a_terminal_sends_to_all_is_the_programs)
{
    static const int signals[] = {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
    struct pond *pond = start_embedded(1);

    for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        pond_signal(pond, signals[i]);
    pond_nap(100);
    CHECK(pond_is_alive(pond->master));
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 0);
    pond_signal(pond, SIGTERM);
    finish(pond, 0);
}

TEST(a_start_that_fails_is_told)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.load_status, 7);
    pond_start(pond, &(struct pond_options){.embed = true});
    CHECK_EQ(pond_hear(pond, MP_LINK_FAILED), 7);
    finish(pond, 7);
}

/* Their successors get other slots, so that no slot's deaths add up. */
TEST(workers_that_are_lost_at_the_start_end_the_program)
{
    struct pond *pond = pond_new();

    atomic_store(&pond->orders.close_early, 1);
    atomic_store(&pond->orders.never_ready, 1);
    pond_start(pond, &(struct pond_options){.workers = 1, .graceful_ms = 200});
    CHECK_EQ(pond_wait_end(pond, 10000), 1);
    CHECK_EQ(pond_log_count(pond, "has closed its socket before it was ready"), 3);
    pond_free(pond);
}

/* Whether the master has blocked SIGINT, which it does when it is embedded. */
static bool has_taken_signals(const struct pond *pond)
{
    char path[64];
    char line[256];
    unsigned long long mask = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pond->master);
    file = fopen(path, "re");
    CHECK(file);
    while (fgets(line, sizeof(line), file))
        (void)sscanf(line, "SigBlk: %llx", &mask);
    fclose(file);
    return mask & 1ULL << (SIGINT - 1);
}

/* ---- before it runs ------------------------------------------------------------------------ */

TEST(it_waits_until_it_is_told_to_go)
{
    struct pond *pond =
        start(&(struct pond_options){.embed = true, .await_go = true, .workers = 1});

    POND_WAIT(has_taken_signals(pond));
    pond_signal(pond, SIGINT);
    pond_nap(100);
    CHECK_EQ(atomic_load(&pond->loads), 0);
    pond_tell(pond, MP_LINK_GO, 0);
    CHECK_EQ(pond_hear(pond, MP_LINK_READY), 1);
    pond_tell(pond, MP_LINK_STOP, 0);
    finish(pond, 0);
}

TEST(it_ends_when_it_is_not_wanted)
{
    const struct pond_options options = {.embed = true, .await_go = true, .workers = 1};
    struct pond *pond = start(&options);

    pond_tell(pond, MP_LINK_STOP, 0);
    finish(pond, POND_UNWANTED);
    pond = start(&options);
    close(pond->link);
    CHECK_EQ(pond_wait_end(pond, 10000), POND_UNWANTED);
    pond_free(pond);
}

/* ---- what workers ask for ------------------------------------------------------------------- */

TEST(a_worker_stops_the_pool)
{
    struct pond *pond = start_embedded(2);

    pond_command(pond, 1, POND_STOP, 0);
    CHECK_EQ(pond_wait_end(pond, 10000), 0);
    CHECK_EQ(atomic_load(&pond->workers[0].drain_value), 1 + 1);
    pond_expect_log(pond, "worker 2 (pid ");
    pond_expect_log(pond, " asks to stop: finishing what is being served");
    close(pond->link);
    pond_free(pond);
}

TEST(a_worker_is_recycled_without_a_warning)
{
    struct pond *pond = start_embedded(1);

    pond_command(pond, 0, POND_RETIRE, MP_RETIRE_MAX_REQUESTS);
    POND_WAIT(atomic_load(&pond->workers[0].drain_value) == 1);
    pond_expect_log(pond, "is recycled: 0 requests");
    CHECK_EQ(pond_log_count(pond, "WARNING"), 0);
    pond_tell(pond, MP_LINK_STOP, 0);
    finish(pond, 0);
}
