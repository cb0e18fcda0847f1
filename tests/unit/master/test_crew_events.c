/* SPDX-License-Identifier: MIT */
/*
 * The order of events that two sockets and SIGCHLD can come in, made by hand: a master that does
 * not run, whose zygote and workers are the other ends of the test's own pairs.
 */
#include <errno.h>
#include <signal.h>

#include "master/private.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "runner.h"
#include "scoreboard/seats.h"

#define NOW (1000 * MP_NSEC_PER_SEC)

struct scene {
    struct mp_master *master;
    struct mp_worker_handle *handle; /* slot 1, SPAWNING, serial 7 */
    int zygote;                      /* the zygote's end */
    int worker;                      /* the worker's end */
};

static int serve_nothing(void *data, const struct mp_worker_context *context)
{
    (void)data;
    (void)context;
    return 0;
}

static void set(struct scene *scene)
{
    const struct mp_master_ops ops = {.serve = serve_nothing};
    struct mp_master_options options;
    int fds[2];

    mp_master_options_init(&options);
    options.workers = 2;
    options.workers_max = 2;
    options.log.fd = -1;
    CHECK_OK(mp_master_new(&options, &ops, &scene->master));
    CHECK_OK(mp_socket_pair(fds));
    scene->master->zygotes[0].generation = 1;
    scene->master->zygotes[0].state = MP_ZYGOTE_WAITING;
    scene->master->zygotes[0].pid = 1 << 22; /* nobody's: never signalled here */
    scene->master->zygotes[0].control = fds[0];
    scene->zygote = fds[1];
    scene->handle = &scene->master->workers[1];
    CHECK_OK(mp_socket_pair(fds));
    mp_worker_handle_want(scene->handle, NOW);
    mp_worker_handle_asked(scene->handle, 7, fds[0], NOW);
    scene->handle->generation = 1;
    scene->worker = fds[1];
}

static void strike(struct scene *scene)
{
    mp_fd_close(&scene->master->zygotes[0].control);
    mp_fd_close(&scene->handle->control);
    mp_fd_close(&scene->zygote);
    mp_fd_close(&scene->worker);
    mp_master_free(scene->master);
}

static void zygote_says(struct scene *scene, uint32_t verb, uint32_t slot, uint32_t serial,
                        pid_t pid, int status)
{
    const struct mp_zygote_message message = {
        .verb = verb, .slot = slot, .serial = serial, .pid = pid, .status = status};

    CHECK_OK(mp_socket_send_msg(scene->zygote, &message, sizeof(message), -1));
}

static void worker_says(struct scene *scene, uint32_t verb)
{
    const struct mp_worker_message message = {.verb = verb};

    CHECK_OK(mp_socket_send_msg(scene->worker, &message, sizeof(message), -1));
}

TEST(a_death_comes_before_the_pid_was_read)
{
    struct scene scene;

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    CHECK(mp_crew_on_death(scene.master, 4711, SIGSEGV, 0, NOW));
    CHECK_EQ(scene.handle->state, MP_HANDLE_WAITING);
    CHECK_EQ(scene.handle->deaths.failures, 1);
    CHECK_EQ(scene.handle->old_pid, 4711);
    strike(&scene);
}

TEST(a_stranger_is_reaped_and_nothing_happens)
{
    struct scene scene;

    set(&scene);
    CHECK(!mp_crew_on_death(scene.master, 4712, 0, 0, NOW));
    CHECK_EQ(scene.handle->state, MP_HANDLE_SPAWNING);
    strike(&scene);
}

TEST(ready_comes_before_the_pid_was_read)
{
    struct scene scene;

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    worker_says(&scene, MP_WORKER_READY);
    mp_crew_read(scene.master, scene.handle, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_READY);
    CHECK_EQ(scene.handle->pid, 4711);
    strike(&scene);
}

TEST(the_pairs_end_comes_before_the_pid_was_read)
{
    struct scene scene;

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    mp_fd_close(&scene.worker);
    mp_crew_read(scene.master, scene.handle, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_STARTING);
    CHECK_EQ(scene.handle->closed_at, NOW);
    strike(&scene);
}

TEST(the_pairs_end_without_a_pid_is_a_spawn_that_failed)
{
    struct scene scene;

    set(&scene);
    mp_fd_close(&scene.worker);
    mp_crew_read(scene.master, scene.handle, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_WAITING);
    CHECK(scene.handle->due > NOW);
    strike(&scene);
}

TEST(answers_to_orders_that_were_given_up_are_dropped)
{
    struct scene scene;

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 6, 4710, 0);
    zygote_says(&scene, MP_ZYGOTE_SPAWN_FAILED, 1, 6, 0, EAGAIN);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 0, 7, 4710, 0);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 4000000000u, 7, 4710, 0);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, -1, 0);
    zygote_says(&scene, 99, 1, 7, 4710, 0);
    CHECK_OK(mp_socket_send_msg(scene.zygote, "short", 5, -1));
    mp_zygote_handle_read(scene.master, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_SPAWNING);
    strike(&scene);
}

TEST(orders_of_a_zygote_that_is_gone_are_given_again)
{
    struct scene scene;

    set(&scene);
    mp_crew_on_zygote_gone(scene.master, 1, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_WAITING);
    CHECK_EQ(scene.handle->due, NOW);
    CHECK_EQ(scene.handle->control, -1);
    strike(&scene);
}

TEST(an_order_that_nobody_wants_any_more_is_not_given_again)
{
    struct scene scene;

    set(&scene);
    mp_seats_set(scene.master->board, 1, 4); /* of a bound on all threads */
    mp_worker_handle_leave(scene.handle, NOW);
    mp_crew_on_zygote_gone(scene.master, 1, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_FREE);
    CHECK_EQ(mp_seats_taken(scene.master->board), 0);
    strike(&scene);
}

/* The zygote is reaped; a first child is still on its way and holds the socket. */
TEST(a_dead_zygotes_last_answer_counts)
{
    struct scene scene;

    set(&scene);
    scene.master->ever_loaded = true;
    CHECK(mp_zygote_handle_on_death(scene.master, 1 << 22, SIGKILL, 0, NOW));
    CHECK_EQ(scene.handle->state, MP_HANDLE_SPAWNING);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    mp_fd_close(&scene.zygote);
    mp_zygote_handle_read(scene.master, NOW + 1);
    CHECK_EQ(scene.handle->state, MP_HANDLE_STARTING);
    CHECK_EQ(scene.master->zygotes[0].state, MP_ZYGOTE_ABSENT);
    strike(&scene);
}

/* What the application has forked holds the socket for ever: a second is enough. */
TEST(a_dead_zygotes_socket_is_not_waited_for_without_end)
{
    struct scene scene;

    set(&scene);
    scene.master->ever_loaded = true;
    CHECK(mp_zygote_handle_on_death(scene.master, 1 << 22, SIGKILL, 0, NOW));
    CHECK_EQ(mp_zygote_handle_next_look(scene.master), NOW + MP_NSEC_PER_SEC);
    mp_zygote_handle_tick(scene.master, NOW + MP_NSEC_PER_SEC);
    CHECK_EQ(scene.master->zygotes[0].state, MP_ZYGOTE_ABSENT);
    CHECK_EQ(scene.handle->state, MP_HANDLE_WAITING);
    strike(&scene);
}

TEST(a_worker_that_sends_without_end_is_read_a_little_at_a_time)
{
    struct scene scene;
    ssize_t left = 0;
    struct mp_worker_message message;

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    for (int i = 0; i < 100; i++)
        worker_says(&scene, 1000);
    mp_crew_read(scene.master, scene.handle, NOW);
    while (mp_socket_recv_msg(scene.handle->control, &message, sizeof(message), NULL) > 0)
        left++;
    CHECK_EQ(left, 100 - 32);
    strike(&scene);
}

TEST(nonsense_from_a_worker_is_no_message)
{
    struct scene scene;
    char large[200] = "";

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    CHECK_OK(mp_socket_send_msg(scene.worker, large, sizeof(large), -1));
    CHECK_OK(mp_socket_send_msg(scene.worker, large, 1, -1));
    CHECK_OK(mp_socket_send_msg(scene.worker, large, 1, scene.zygote)); /* with a descriptor */
    worker_says(&scene, MP_WORKER_RETIRE);                              /* before READY */
    worker_says(&scene, MP_WORKER_READY);
    worker_says(&scene, MP_WORKER_READY);
    mp_crew_read(scene.master, scene.handle, NOW);
    CHECK_EQ(scene.handle->state, MP_HANDLE_READY);
    CHECK(!scene.handle->retiring);
    strike(&scene);
}

/* ---- seats: the bound on all workers' threads ---------------------------------------------------
 */

TEST(a_lost_workers_successor_finds_its_first_seats)
{
    struct scene scene;

    set(&scene);
    scene.master->options.worker.threads = 16;
    scene.master->options.worker.threads_min = 4;
    scene.master->options.worker.max_concurrency = 20;
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    worker_says(&scene, MP_WORKER_READY);
    mp_crew_read(scene.master, scene.handle, NOW);
    mp_seats_set(scene.master->board, 1, 12); /* it has grown */
    CHECK(mp_crew_on_death(scene.master, 4711, SIGKILL, 0, NOW));
    CHECK_EQ(scene.handle->state, MP_HANDLE_WAITING);
    CHECK_EQ(mp_seats_of(scene.master->board, 1), 4);
    strike(&scene);
}

TEST(a_worker_that_was_let_go_leaves_none)
{
    struct scene scene;

    set(&scene);
    scene.master->options.worker.max_concurrency = 20;
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    worker_says(&scene, MP_WORKER_READY);
    mp_crew_read(scene.master, scene.handle, NOW);
    mp_seats_set(scene.master->board, 1, 12);
    mp_worker_handle_leave(scene.handle, NOW);
    CHECK(mp_crew_on_death(scene.master, 4711, 0, 0, NOW));
    CHECK_EQ(scene.handle->state, MP_HANDLE_FREE);
    CHECK_EQ(mp_seats_taken(scene.master->board), 0);
    strike(&scene);
}

TEST(recycling_waits_and_a_stuck_handler_does_not)
{
    struct scene scene;
    struct mp_worker_message wish = {.verb = MP_WORKER_RETIRE, .value = MP_RETIRE_MAX_REQUESTS};

    set(&scene);
    zygote_says(&scene, MP_ZYGOTE_SPAWNED, 1, 7, 4711, 0);
    worker_says(&scene, MP_WORKER_READY);
    CHECK_OK(mp_socket_send_msg(scene.worker, &wish, sizeof(wish), -1));
    mp_crew_read(scene.master, scene.handle, NOW);
    CHECK_EQ(scene.handle->wish, MP_RETIRE_MAX_REQUESTS);
    CHECK(!scene.handle->retiring);
    wish.value = MP_RETIRE_STUCK;
    CHECK_OK(mp_socket_send_msg(scene.worker, &wish, sizeof(wish), -1));
    mp_crew_read(scene.master, scene.handle, NOW);
    CHECK(scene.handle->retiring && !scene.handle->recycling);
    strike(&scene);
}
