/* SPDX-License-Identifier: MIT */
/* What a worker finds when it begins to serve, and what a program finds when the master has
 * returned. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_pond.h"
#include "runner.h"

static bool has(uint64_t mask, int signo)
{
    return (mask >> (signo - 1)) & 1;
}

/* The contract of struct mp_worker_context, also when the application has set handlers of its own.
 */
static void check_contract(bool preload)
{
    static const int handled[] = {SIGTERM, SIGQUIT, SIGINT,  SIGHUP,  SIGUSR1,
                                  SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};
    struct pond *pond = pond_new();
    struct pond_worker *worker = &pond->workers[0];

    atomic_store(&pond->orders.handlers, 1);
    pond_start(pond, &(struct pond_options){.workers = 1, .no_preload = !preload});
    pond_wait_ready(pond);
    CHECK_EQ(atomic_load(&worker->blocked), 0);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        CHECK(has(atomic_load(&worker->caught), handled[i]));
        CHECK(!has(atomic_load(&worker->ignored), handled[i]));
    }
    CHECK(has(atomic_load(&worker->ignored), SIGPIPE));
    CHECK(has(atomic_load(&worker->caught), SIGALRM)); /* the application's own stays */
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

TEST(the_contract_with_preload)
{
    check_contract(true);
}

TEST(the_contract_without_preload)
{
    check_contract(false);
}

TEST(the_process_group_does_not_disturb_a_worker)
{
    static const int signals[] = {SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};
    struct pond *pond = pond_new();
    pid_t worker;

    pond_start(pond, &(struct pond_options){.workers = 1});
    worker = pond_wait_life(pond, 0, 0);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        kill(worker, signals[i]);
    pond_nap(50);
    CHECK(pond_is_alive(worker));
    CHECK_EQ(atomic_load(&pond->workers[0].terms), 0);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

TEST(quit_to_a_worker_ends_it_quickly)
{
    struct pond *pond = pond_new();

    pond_start(pond, &(struct pond_options){.workers = 1});
    kill(pond_wait_life(pond, 0, 0), SIGQUIT);
    pond_wait_life(pond, 0, 1);
    pond_expect_log(pond, "exited with status 70");
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

/* terminate() of a process that the application has forked ends that one, and not the worker. */
TEST(sigterm_to_a_child_of_a_worker_is_the_childs)
{
    struct pond *pond = pond_new();
    pid_t worker;

    pond_start(pond, &(struct pond_options){.workers = 1});
    worker = pond_wait_life(pond, 0, 0);
    pond_command(pond, 0, POND_FORK_AND_TERM, 0);
    POND_WAIT(atomic_load(&pond->workers[0].done) == 1);
    CHECK(WIFSIGNALED(atomic_load(&pond->workers[0].result)));
    CHECK_EQ(WTERMSIG(atomic_load(&pond->workers[0].result)), SIGTERM);
    pond_nap(50);
    CHECK(pond_is_alive(worker));
    CHECK_EQ(atomic_load(&pond->workers[0].terms), 0);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}

static void on_usr1(int signo)
{
    (void)signo;
}

static int serve_nothing(void *data, const struct mp_worker_context *context)
{
    (void)data;
    (void)context;
    return 1;
}

static int load_nothing(void *data)
{
    (void)data;
    return 3;
}

/* In this process: a master that fails at once, and gives everything back. */
TEST(signals_are_as_before_when_it_returns)
{
    const struct mp_master_ops ops = {.serve = serve_nothing, .load = load_nothing};
    struct sigaction usr1 = {.sa_handler = on_usr1};
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    struct mp_master_options options;
    struct mp_master *master;
    struct sigaction now;
    sigset_t before;
    sigset_t after;
    int subreaper = 0;

    sigaction(SIGUSR1, &usr1, NULL);
    sigaction(SIGCHLD, &ignored, NULL);
    sigemptyset(&before);
    sigaddset(&before, SIGWINCH);
    sigprocmask(SIG_SETMASK, &before, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);

    mp_master_options_init(&options);
    options.log.fd = -1;
    CHECK_OK(mp_master_new(&options, &ops, &master));
    CHECK_EQ(mp_master_run(master), 3); /* known although SIGCHLD was ignored */
    mp_master_free(master);

    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int signo = 1; signo < 32; signo++)
        CHECK_EQ(sigismember(&after, signo), signo == SIGWINCH);
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == on_usr1);
    sigaction(SIGCHLD, NULL, &now);
    CHECK(now.sa_handler == SIG_IGN);
    sigaction(SIGPIPE, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL);
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    CHECK_EQ(subreaper, 0);
}

/* Each is told once; the worker lives on. */
TEST(a_worker_that_is_stopped_and_continued)
{
    struct pond *pond = pond_new();
    pid_t worker;

    pond_start(pond, &(struct pond_options){.workers = 2});
    pond_wait_ready(pond);
    worker = pond_wait_life(pond, 0, 0);
    for (int i = 1; i <= 2; i++) {
        kill(worker, SIGSTOP);
        POND_WAIT(pond_log_count(pond, "was stopped by a signal") == i);
        kill(worker, SIGSTOP);
        kill(worker, SIGCONT);
        POND_WAIT(pond_log_count(pond, "goes on, after") == i);
    }
    CHECK_EQ(atomic_load(&pond->workers[0].starts), 1);
    CHECK_EQ(pond_log_count(pond, "was stopped by a signal"), 2);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}
