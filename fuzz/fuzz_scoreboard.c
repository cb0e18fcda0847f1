/* SPDX-License-Identifier: MIT */
/*
 * The reader of a scoreboard that somebody else has written. The input is a list of changes to a
 * good one: where (two bytes), how many bytes, and the bytes.
 *
 * Checked: it is refused, or every slot of it can be read, within its size, in bounded time, and
 * what is read are strings that end.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "scoreboard/scoreboard.h"

enum { WORKERS = 2, THREADS = 3 };

/* The bytes of a good one, with something in each slot. */
static size_t make_good(char **ret_image)
{
    struct mp_scoreboard *board;
    FUZZ_CHECK(mp_scoreboard_new(WORKERS, THREADS, &board) == 0);
    for (unsigned w = 0; w < WORKERS; w++) {
        mp_hist_record(&mp_scoreboard_worker(board, w)->handler_time, 1000);
        for (unsigned t = 0; t < THREADS; t++)
            mp_sb_thread_begin(mp_scoreboard_thread(board, w, t), 5, "GET", 3, "/path", 5,
                               "\x7f\0\0\1", 4, 80);
    }
    size_t size = (size_t)lseek(mp_scoreboard_fd(board), 0, SEEK_END);
    *ret_image = malloc(size);
    FUZZ_CHECK(*ret_image != NULL);
    FUZZ_CHECK(pread(mp_scoreboard_fd(board), *ret_image, size, 0) == (ssize_t)size);
    mp_scoreboard_free(board);
    return size;
}

static void change(char *image, size_t size, const uint8_t *data, size_t n)
{
    while (n >= 3) {
        size_t at = ((size_t)data[0] << 8 | data[1]) % size;
        size_t len = data[2];
        data += 3;
        n -= 3;
        len = len < n ? len : n;
        len = len < size - at ? len : size - at;
        memcpy(image + at, data, len);
        data += len;
        n -= len;
    }
}

static int share(const char *image, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(pwrite(fd, image, size, 0) == (ssize_t)size);
    FUZZ_CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    return fd;
}

static void read_all(struct mp_scoreboard *board)
{
    char text[MP_SB_CLIENT_TEXT];
    for (unsigned w = 0; w < mp_scoreboard_workers(board); w++) {
        const struct mp_sb_worker *worker = mp_scoreboard_worker(board, w);
        uint64_t median = mp_hist_quantile(&worker->queue_wait, 0.5);
        FUZZ_CHECK(mp_hist_quantile(&worker->queue_wait, 0.99) >= median);
        (void)mp_hist_quantile(&worker->handler_time, 1.0);
        for (unsigned t = 0; t < mp_scoreboard_threads(board); t++) {
            struct mp_sb_thread_view view;
            mp_sb_thread_read(mp_scoreboard_thread(board, w, t), &view);
            FUZZ_CHECK(strnlen(view.method, sizeof(view.method)) < sizeof(view.method));
            FUZZ_CHECK(strnlen(view.path, sizeof(view.path)) < sizeof(view.path));
            FUZZ_CHECK(strnlen(view.peer, sizeof(view.peer)) < sizeof(view.peer));
            mp_sb_thread_client(&view, text, sizeof(text));
            FUZZ_CHECK(strnlen(text, sizeof(text)) < sizeof(text));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *good; /* the same for every input */
    static size_t good_size;
    struct mp_scoreboard *board;
    uint32_t version = 0;

    if (good == NULL)
        good_size = make_good(&good);
    char *image = fuzz_copy(good, good_size);
    change(image, good_size, data, size);
    int fd = share(image, good_size);
    int r = mp_scoreboard_open(fd, &board, &version);
    FUZZ_CHECK(r == 0 || r == -EPROTO || r == -EPROTONOSUPPORT);
    if (r == 0) {
        FUZZ_CHECK(mp_scoreboard_workers(board) > 0 && mp_scoreboard_threads(board) > 0);
        read_all(board);
        mp_scoreboard_free(board);
    }
    close(fd);
    free(image);
    return 0;
}
