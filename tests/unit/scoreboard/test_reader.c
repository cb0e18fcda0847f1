/* SPDX-License-Identifier: MIT */
/* A scoreboard that comes as a descriptor, from a process that may be anybody. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner.h"
#include "scoreboard/scoreboard.h"

enum {
    WORKERS = 2,
    THREADS = 3,
};

/* The bytes of a new scoreboard, with what the test does to them, as memory of fixed size. */
struct forgery {
    size_t size;
    union {
        struct mp_sb_header header;
        unsigned char bytes[65536];
    } memory;
};

static void begin(struct forgery *forgery)
{
    struct mp_scoreboard *board;
    ssize_t n;

    CHECK_OK(mp_scoreboard_new(WORKERS, THREADS, &board));
    n = pread(mp_scoreboard_fd(board), forgery->memory.bytes, sizeof(forgery->memory.bytes), 0);
    CHECK(n > 0 && (size_t)n < sizeof(forgery->memory.bytes));
    forgery->size = (size_t)n;
    mp_scoreboard_free(board);
}

static int try_open(const struct forgery *forgery, uint32_t *ret_version)
{
    struct mp_scoreboard *untouched = (struct mp_scoreboard *)&errno;
    struct mp_scoreboard *board = untouched;
    int fd = memfd_create("forgery", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int rc;

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, forgery->memory.bytes, forgery->size), (ssize_t)forgery->size);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    rc = mp_scoreboard_open(fd, &board, ret_version);
    close(fd);
    if (rc == 0)
        mp_scoreboard_free(board);
    else
        CHECK(board == untouched);
    return rc;
}

TEST(another_process_reads_what_is_written)
{
    struct mp_scoreboard *board;
    struct mp_scoreboard *seen;
    struct mp_sb_thread_view view;

    CHECK_OK(mp_scoreboard_new(WORKERS, THREADS, &board));
    CHECK_OK(mp_scoreboard_open(mp_scoreboard_fd(board), &seen, NULL));
    CHECK_EQ(mp_scoreboard_workers(seen), WORKERS);
    CHECK_EQ(mp_scoreboard_threads(seen), THREADS);
    atomic_store(&mp_scoreboard_worker(board, 1)->pid, 4711);
    mp_hist_record(&mp_scoreboard_worker(board, 1)->queue_wait, 99);
    mp_sb_thread_begin(mp_scoreboard_thread(board, 1, 2), 5, "GET", 3, "/pond", 5, NULL, 0, 0);
    mp_scoreboard_free(board); /* its maker may go */
    CHECK_EQ(mp_scoreboard_worker(seen, 1)->pid, 4711);
    CHECK_EQ(mp_hist_quantile(&mp_scoreboard_worker(seen, 1)->queue_wait, 0.5), 99);
    mp_sb_thread_read(mp_scoreboard_thread(seen, 1, 2), &view);
    CHECK_STR(view.path, "/pond");
    CHECK_EQ(view.state, MP_SB_THREAD_WORKING);
    mp_scoreboard_free(seen);
}

TEST(the_forgery_itself_is_good)
{
    struct forgery forgery;

    begin(&forgery);
    CHECK_OK(try_open(&forgery, NULL));
}

TEST(another_version_is_named)
{
    struct forgery forgery;
    uint32_t version = 0;

    begin(&forgery);
    forgery.memory.header.version = MP_SB_VERSION + 1;
    CHECK_EQ(try_open(&forgery, &version), -EPROTONOSUPPORT);
    CHECK_EQ(version, MP_SB_VERSION + 1);
    CHECK_EQ(try_open(&forgery, NULL), -EPROTONOSUPPORT);
}

TEST(what_is_no_scoreboard_is_refused)
{
    struct forgery forgery;

    begin(&forgery);
    forgery.memory.header.magic ^= 1;
    CHECK_EQ(try_open(&forgery, NULL), -EPROTO);
    begin(&forgery);
    forgery.size = sizeof(struct mp_sb_header) - 1;
    CHECK_EQ(try_open(&forgery, NULL), -EPROTO);
    forgery.size = 1;
    CHECK_EQ(try_open(&forgery, NULL), -EPROTO);
}

TEST(sizes_that_are_not_true_are_refused)
{
    struct forgery forgery;

#define WITH(member, value)                                                                        \
    do {                                                                                           \
        begin(&forgery);                                                                           \
        forgery.memory.header.member = (value);                                                    \
        CHECK_EQ(try_open(&forgery, NULL), -EPROTO);                                               \
    } while (0)
    WITH(header_size, 0);
    WITH(header_size, UINT32_MAX);
    WITH(worker_size, 64);
    WITH(thread_size, 0);
    WITH(workers, 0);
    WITH(workers, WORKERS + 1);
    WITH(workers, UINT32_MAX);
    WITH(threads, 0);
    WITH(threads, UINT32_MAX);
    WITH(total_size, UINT64_MAX);
    WITH(total_size, 0);
#undef WITH
    begin(&forgery);
    forgery.size -= 64; /* cut off */
    CHECK_EQ(try_open(&forgery, NULL), -EPROTO);
    begin(&forgery);
    forgery.size += 64;
    CHECK_EQ(try_open(&forgery, NULL), -EPROTO);
}

TEST(memory_whose_size_can_change_is_refused)
{
    struct mp_scoreboard *board;
    struct forgery forgery;
    int fd = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    begin(&forgery);
    CHECK_EQ(write(fd, forgery.memory.bytes, forgery.size), (ssize_t)forgery.size);
    CHECK_EQ(mp_scoreboard_open(fd, &board, NULL), -EPROTO);
    CHECK_EQ(mp_scoreboard_open(-1, &board, NULL), -EBADF);
    close(fd);
}

/* Whatever the slots hold, they can be read. */
TEST(slots_of_garbage_are_read_without_harm)
{
    struct mp_scoreboard *board;
    struct mp_sb_thread_view view;
    struct forgery forgery;
    char client[MP_SB_CLIENT_TEXT];
    int fd = memfd_create("garbage", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    begin(&forgery);
    memset(forgery.memory.bytes + 64, 0xff, forgery.size - 64);
    CHECK_EQ(write(fd, forgery.memory.bytes, forgery.size), (ssize_t)forgery.size);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK_OK(mp_scoreboard_open(fd, &board, NULL));
    for (unsigned i = 0; i < THREADS; i++) {
        mp_sb_thread_read(mp_scoreboard_thread(board, 1, i), &view);
        CHECK_EQ(view.state, MP_SB_THREAD_NONE);
        CHECK(view.torn);
        (void)mp_sb_thread_client(&view, client, sizeof(client));
    }
    (void)mp_hist_quantile(&mp_scoreboard_worker(board, 0)->queue_wait, 0.99);
    mp_scoreboard_free(board);
    close(fd);
}
