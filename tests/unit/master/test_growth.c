/* SPDX-License-Identifier: MIT */
/* Whether there is room for another worker: memory by its formula, seats by the scoreboard.
 * Includes the file under test, to show it a machine without memory. */
#include <stdint.h>

static uint64_t memory_left = UINT64_MAX;

static uint64_t fake_memory_available(void)
{
    return memory_left;
}

#define mp_memory_available fake_memory_available
#include "master/growth.c"
#undef mp_memory_available

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner.h"

#define MIB (UINT64_C(1) << 20)
#define NOW (1000 * MP_NSEC_PER_SEC)

static int serve_nothing(void *data, const struct mp_worker_context *context)
{
    (void)data;
    (void)context;
    return 0;
}

static struct mp_master *make(unsigned bound, unsigned threads_min, int log_fd)
{
    const struct mp_master_ops ops = {.serve = serve_nothing};
    struct mp_master_options options;
    struct mp_master *master;

    mp_master_options_init(&options);
    options.workers = 1;
    options.workers_limit = 4;
    options.workers_max = 4;
    options.worker.threads = 16;
    options.worker.threads_min = threads_min;
    options.worker.max_concurrency = bound;
    options.log.fd = log_fd;
    CHECK_OK(mp_master_new(&options, &ops, &master));
    return master;
}

TEST(memory_for_one_as_large_as_the_largest_and_a_reserve)
{
    CHECK(mp_growth_fits(200 * MIB, UINT64_MAX));
    CHECK(mp_growth_fits(200 * MIB, 314 * MIB));
    CHECK(!mp_growth_fits(200 * MIB, 313 * MIB));
    CHECK(mp_growth_fits(0, 64 * MIB));
    CHECK(!mp_growth_fits(0, 63 * MIB));
    CHECK(!mp_growth_fits(0, 0));
}

TEST(seats_for_the_first_threads)
{
    struct mp_master *master = make(20, 4, -1);

    CHECK_EQ(mp_growth_first_threads(master), 4);
    CHECK(mp_growth_has_seats(master));
    mp_seats_set(master->board, 0, 16);
    CHECK(mp_growth_has_seats(master));
    mp_seats_set(master->board, 0, 17);
    CHECK(!mp_growth_has_seats(master));
    mp_master_free(master);
    master = make(0, 0, -1);
    CHECK_EQ(mp_growth_first_threads(master), 16);
    mp_seats_set(master->board, 0, 1000);
    CHECK(mp_growth_has_seats(master)); /* no bound */
    mp_master_free(master);
}

TEST(no_worker_that_memory_would_not_hold)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct mp_master *master = make(0, 4, fd);
    struct mp_worker_handle *handle = &master->workers[0];
    char text[4096];
    ssize_t n;

    mp_worker_handle_want(handle, NOW);
    mp_worker_handle_asked(handle, 1, -1, NOW);
    mp_worker_handle_spawned(handle, getpid());
    CHECK(mp_worker_handle_ready(handle, NOW));
    CHECK(mp_growth_allowed(master, NOW));
    memory_left = MP_GROWTH_RESERVE; /* and nothing for the worker itself */
    CHECK(!mp_growth_allowed(master, NOW));
    CHECK(!mp_growth_allowed(master, NOW + MP_GROWTH_PAUSE));
    n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    CHECK(strstr(text, "no further worker although requests wait: it may need ") != NULL);
    CHECK(strstr(text, "and 64 MiB of memory are available") != NULL);
    CHECK(strchr(text, '\n') == text + n - 1); /* once */
    memory_left = 4096 * MIB;
    CHECK(mp_growth_allowed(master, NOW + 2 * MP_GROWTH_PAUSE));
    close(fd);
    mp_master_free(master);
}

TEST(a_refusal_is_told_once_and_asked_about_seldom)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct mp_master *master = make(4, 4, fd);
    char text[4096];
    ssize_t n;

    mp_seats_set(master->board, 0, 4);
    CHECK(!mp_growth_allowed(master, NOW));
    CHECK(!mp_growth_allowed(master, NOW + MP_GROWTH_PAUSE));
    mp_seats_set(master->board, 0, 0);
    CHECK(!mp_growth_allowed(master, NOW + MP_GROWTH_PAUSE + 1)); /* not asked again yet */
    CHECK(mp_growth_allowed(master, NOW + 2 * MP_GROWTH_PAUSE));
    mp_seats_set(master->board, 0, 4);
    CHECK(!mp_growth_allowed(master, NOW + 2 * MP_GROWTH_PAUSE));
    n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    char *first = strstr(text, "max-concurrency 4 leaves no room");
    CHECK(first != NULL);
    char *second = strstr(first + 1, "max-concurrency 4");
    CHECK(second != NULL); /* there was room in between */
    CHECK(strstr(second + 1, "max-concurrency 4") == NULL);
    close(fd);
    mp_master_free(master);
}
