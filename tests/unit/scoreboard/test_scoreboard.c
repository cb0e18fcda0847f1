/* SPDX-License-Identifier: MIT */
/* Includes the file under test over an allocator that can be told to fail. */
#include <stdbool.h>
#include <stdlib.h>

static bool no_memory;

#define malloc(size) (no_memory ? NULL : malloc(size))
#include "scoreboard/scoreboard.c"
#undef malloc

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/runner.h"

static struct mp_scoreboard *new_board(unsigned workers, unsigned threads)
{
    struct mp_scoreboard *board = NULL;

    CHECK_OK(mp_scoreboard_new(workers, threads, &board));
    return board;
}

static bool is_zero(const void *memory, size_t size)
{
    const char *bytes = memory;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

TEST(new_board_is_zeroed_and_knows_its_size)
{
    struct mp_scoreboard *board = new_board(3, 5);

    CHECK_EQ(mp_scoreboard_workers(board), 3);
    CHECK_EQ(mp_scoreboard_threads(board), 5);
    for (unsigned w = 0; w < 3; w++) {
        CHECK(is_zero(mp_scoreboard_worker(board, w), sizeof(struct mp_sb_worker)));
        for (unsigned t = 0; t < 5; t++)
            CHECK(is_zero(mp_scoreboard_thread(board, w, t), sizeof(struct mp_sb_thread)));
    }
    mp_scoreboard_free(board);
    mp_scoreboard_free(NULL);
}

TEST(slots_are_aligned_and_do_not_overlap)
{
    struct mp_scoreboard *board = new_board(3, 5);
    char *last = NULL;

    for (unsigned w = 0; w < 3; w++) {
        char *slot = (char *)mp_scoreboard_worker(board, w);

        CHECK_EQ((uintptr_t)slot % MP_CACHE_LINE, 0);
        CHECK(!last || slot == last + sizeof(struct mp_sb_worker));
        last = slot;
    }
    last += sizeof(struct mp_sb_worker) - sizeof(struct mp_sb_thread);
    for (unsigned w = 0; w < 3; w++) {
        for (unsigned t = 0; t < 5; t++) {
            char *slot = (char *)mp_scoreboard_thread(board, w, t);

            CHECK_EQ((uintptr_t)slot % MP_CACHE_LINE, 0);
            CHECK(slot == last + sizeof(struct mp_sb_thread));
            last = slot;
        }
    }
    mp_scoreboard_free(board);
}

/* Another program: maps the descriptor and finds everything by the header alone. */
TEST(outside_reader_finds_slots_by_the_header)
{
    struct mp_scoreboard *board = new_board(2, 3);
    const struct mp_sb_header *header;
    const struct mp_sb_worker *worker;
    const struct mp_sb_thread *thread;
    struct mp_sb_thread_view view;
    struct stat info;
    const char *memory;

    atomic_store(&mp_scoreboard_worker(board, 1)->pid, 4711);
    mp_sb_thread_begin(mp_scoreboard_thread(board, 1, 2), 5, "GET", 3, "/pond", 5, NULL, 0, 0);
    CHECK_OK(fstat(mp_scoreboard_fd(board), &info));
    memory = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, mp_scoreboard_fd(board), 0);
    CHECK(memory != MAP_FAILED);
    CHECK_MEM(memory, "MILPDB01", 8);
    header = (const struct mp_sb_header *)memory;
    CHECK_EQ(header->version, MP_SB_VERSION);
    CHECK_EQ(header->total_size, info.st_size);
    CHECK_EQ(header->workers, 2);
    CHECK_EQ(header->threads, 3);
    worker = (const struct mp_sb_worker *)(memory + header->header_size + header->worker_size);
    CHECK_EQ(worker->pid, 4711);
    thread = (const struct mp_sb_thread *)(memory + header->header_size +
                                           header->worker_size * header->workers +
                                           header->thread_size * (1 * header->threads + 2));
    mp_sb_thread_read(thread, &view);
    CHECK_STR(view.path, "/pond");
    CHECK_EQ(header->header_size + header->worker_size * 2 + header->thread_size * 6,
             header->total_size);
    CHECK_OK(munmap((void *)memory, (size_t)info.st_size));
    mp_scoreboard_free(board);
}

TEST(descriptor_is_closed_on_exec_and_its_size_is_sealed)
{
    struct mp_scoreboard *board = new_board(1, 1);
    int fd = mp_scoreboard_fd(board);

    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ftruncate(fd, 0), -1);
    CHECK_EQ(errno, EPERM);
    mp_scoreboard_free(board);
}

TEST(impossible_sizes_are_refused)
{
    struct mp_scoreboard *untouched = (struct mp_scoreboard *)&errno;
    struct mp_scoreboard *board = untouched;

    CHECK_EQ(mp_scoreboard_new(0, 1, &board), -EINVAL);
    CHECK_EQ(mp_scoreboard_new(1, 0, &board), -EINVAL);
    CHECK(mp_scoreboard_new(UINT_MAX, UINT_MAX, &board) < 0);
    CHECK(board == untouched);
}

TEST(want_of_descriptors_is_a_result)
{
    struct mp_scoreboard *board = NULL;
    struct rlimit limit;
    struct rlimit none;
    int err;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    none = limit;
    none.rlim_cur = 0;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
    err = mp_scoreboard_new(1, 1, &board);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(err, -EMFILE);
    CHECK(board == NULL);
}

TEST(want_of_memory_is_a_result)
{
    struct mp_scoreboard *board = NULL;

    no_memory = true;
    CHECK_EQ(mp_scoreboard_new(1, 1, &board), -ENOMEM);
    CHECK(board == NULL);
}

TEST(what_a_child_writes_its_parent_reads)
{
    struct mp_scoreboard *board = new_board(1, 2);
    struct mp_sb_thread_view view;
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        atomic_store(&mp_scoreboard_worker(board, 0)->heartbeat, 99);
        mp_sb_thread_begin(mp_scoreboard_thread(board, 0, 1), 7, "PUT", 3, "/x", 2, NULL, 0, 0);
        mp_hist_record(&mp_scoreboard_worker(board, 0)->handler_time, 1000);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(mp_scoreboard_worker(board, 0)->heartbeat, 99);
    CHECK_EQ(mp_hist_quantile(&mp_scoreboard_worker(board, 0)->handler_time, 0.5), 1000);
    mp_sb_thread_read(mp_scoreboard_thread(board, 0, 1), &view);
    CHECK_STR(view.method, "PUT");
    mp_scoreboard_free(board);
}

static void fill(struct mp_scoreboard *board, unsigned worker)
{
    struct mp_sb_worker *slot = mp_scoreboard_worker(board, worker);

    /* Everything, members added later too: only histograms and counters, no pointers, live here. */
    memset(slot, 0x5a, sizeof(*slot));
    for (unsigned t = 0; t < mp_scoreboard_threads(board); t++)
        mp_sb_thread_begin(mp_scoreboard_thread(board, worker, t), 5, "GET", 3, "/", 1,
                           "\x7f\0\0\1", 4, 80);
}

/* The words of a slot, without the padding that nobody writes. */
static bool worker_is_clear(struct mp_scoreboard *board, unsigned worker)
{
    const struct mp_sb_worker *w = mp_scoreboard_worker(board, worker);

    return !w->state && !w->generation && !w->pid && !w->started && !w->heartbeat && !w->threads &&
           !w->stuck && !w->connections && !w->fifo_depth && !w->handlers && !w->computing &&
           !w->accepted && !w->takeovers && !w->handovers && !w->bad_requests && !w->requests &&
           !w->held_since && !w->shed && !w->health && !w->abandoned && !w->waiting_since &&
           !w->full_since && is_zero(&w->enter_wait, sizeof(w->enter_wait)) &&
           is_zero(&w->queue_wait, sizeof(w->queue_wait)) &&
           is_zero(&w->handler_time, sizeof(w->handler_time));
}

TEST(reset_clears_one_worker_and_its_threads_only)
{
    struct mp_scoreboard *board = new_board(3, 4);
    struct mp_sb_thread_view view;

    for (unsigned w = 0; w < 3; w++)
        fill(board, w);
    mp_scoreboard_reset_worker(board, 1);
    CHECK(worker_is_clear(board, 1));
    CHECK(!worker_is_clear(board, 0));
    CHECK(!worker_is_clear(board, 2));
    for (unsigned w = 0; w < 3; w++) {
        for (unsigned t = 0; t < 4; t++) {
            mp_sb_thread_read(mp_scoreboard_thread(board, w, t), &view);
            CHECK(!view.torn);
            CHECK_EQ(view.state, w == 1 ? MP_SB_THREAD_NONE : MP_SB_THREAD_WORKING);
            CHECK_EQ(view.requests, w != 1);
            CHECK_STR(view.method, w == 1 ? "" : "GET");
            CHECK_STR(view.peer, w == 1 ? "" : "127.0.0.1");
        }
    }
    mp_scoreboard_free(board);
}

TEST(reset_heals_a_torn_slot)
{
    struct mp_scoreboard *board = new_board(1, 1);
    struct mp_sb_thread *slot = mp_scoreboard_thread(board, 0, 0);
    struct mp_sb_thread_view view;
    uint32_t before = 17;

    atomic_store(&slot->sequence, before);
    mp_sb_thread_read(slot, &view);
    CHECK(view.torn);
    mp_scoreboard_reset_worker(board, 0);
    mp_sb_thread_read(slot, &view);
    CHECK(!view.torn);
    /* Not back to 0: a reader that began before the reset must notice. */
    CHECK(atomic_load(&slot->sequence) > before);
    mp_scoreboard_free(board);
}

FAIL_TEST(worker_beyond_the_end_aborts)
{
    const struct rlimit no_core = {0, 0};
    struct mp_scoreboard *board = new_board(2, 2);

    setrlimit(RLIMIT_CORE, &no_core);
    mp_scoreboard_worker(board, 2);
}

FAIL_TEST(thread_beyond_the_end_aborts)
{
    const struct rlimit no_core = {0, 0};
    struct mp_scoreboard *board = new_board(2, 2);

    setrlimit(RLIMIT_CORE, &no_core);
    mp_scoreboard_thread(board, 0, 2);
}
