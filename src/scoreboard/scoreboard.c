/* SPDX-License-Identifier: MIT */
/*
 * The mapping: how it is laid out, made, found one's way in, and cleared for a new process.
 *
 *   header | worker slot x workers | thread slot x threads of worker 0 | ... of worker 1 | ...
 *
 * Every slot is a whole number of cache lines. Other programs read this memory by the sizes in the
 * header; the assertions below are what a change of the layout must change, with MP_SB_VERSION.
 */
#include "scoreboard/scoreboard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "os/fd.h"
#include "os/shm.h"
#include "scoreboard/sequence.h"

#define HEADER_SIZE MP_CACHE_LINE
#define WHOLE_LINES(type) (sizeof(type) % MP_CACHE_LINE == 0)
#define OWN_LINE(type, member) (offsetof(type, member) % MP_CACHE_LINE == 0)

_Static_assert(sizeof(struct mp_sb_header) <= HEADER_SIZE, "the header is one line");
_Static_assert(WHOLE_LINES(struct mp_sb_worker), "no two workers share a line");
_Static_assert(WHOLE_LINES(struct mp_sb_thread), "no two threads share a line");
_Static_assert(sizeof(struct mp_sb_worker) == 8064, "layout: change MP_SB_VERSION with it");
_Static_assert(sizeof(struct mp_sb_thread) == 192, "layout: change MP_SB_VERSION with it");
_Static_assert(OWN_LINE(struct mp_sb_worker, state), "the master's line");
_Static_assert(OWN_LINE(struct mp_sb_worker, heartbeat), "the control thread's line");
_Static_assert(OWN_LINE(struct mp_sb_worker, connections), "the reactor's line");
_Static_assert(OWN_LINE(struct mp_sb_worker, requests), "the pool's lines");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "a lock inside an atomic would not work between processes");

struct mp_scoreboard {
    struct mp_sb_header *memory;
    size_t size;
    int fd;
    /* Copies of the header's: what others might write into shared memory does not lead us astray.
     */
    unsigned workers;
    unsigned threads;
};

static int total_size(unsigned workers, unsigned threads, size_t *ret_size)
{
    size_t thread_slots;
    size_t worker_bytes;
    size_t thread_bytes;
    size_t sum;

    if (__builtin_mul_overflow((size_t)workers, (size_t)threads, &thread_slots) ||
        __builtin_mul_overflow((size_t)workers, sizeof(struct mp_sb_worker), &worker_bytes) ||
        __builtin_mul_overflow(thread_slots, sizeof(struct mp_sb_thread), &thread_bytes) ||
        __builtin_add_overflow(worker_bytes, thread_bytes, &sum) ||
        __builtin_add_overflow(sum, (size_t)HEADER_SIZE, ret_size))
        return -EOVERFLOW;
    return 0;
}

int mp_scoreboard_new(unsigned workers, unsigned threads, struct mp_scoreboard **ret_board)
{
    struct mp_scoreboard *board;
    void *memory;
    size_t size;
    int err;

    if (workers == 0 || threads == 0)
        return -EINVAL;
    err = total_size(workers, threads, &size);
    if (err)
        return err;
    board = malloc(sizeof(*board));
    if (!board)
        return -ENOMEM;
    err = mp_shm_create("millpond-scoreboard", size, &memory, &board->fd);
    if (err) {
        free(board);
        return err;
    }
    board->memory = memory;
    board->size = size;
    board->workers = workers;
    board->threads = threads;
    *board->memory = (struct mp_sb_header){
        .magic = MP_SB_MAGIC,
        .version = MP_SB_VERSION,
        .header_size = HEADER_SIZE,
        .worker_size = sizeof(struct mp_sb_worker),
        .thread_size = sizeof(struct mp_sb_thread),
        .workers = workers,
        .threads = threads,
        .total_size = size,
    };
    *ret_board = board;
    return 0;
}

/* What others have written is not believed: the sizes must be those that this program was compiled
 * with, and their sum the true size of the memory. */
static int check_header(const struct mp_sb_header *header, size_t size, uint32_t *ret_version)
{
    size_t expected;

    if (size < sizeof(*header) || header->magic != MP_SB_MAGIC)
        return -EPROTO;
    if (header->version != MP_SB_VERSION) {
        if (ret_version)
            *ret_version = header->version;
        return -EPROTONOSUPPORT;
    }
    if (header->header_size != HEADER_SIZE || header->worker_size != sizeof(struct mp_sb_worker) ||
        header->thread_size != sizeof(struct mp_sb_thread) || header->workers == 0 ||
        header->threads == 0 || header->total_size != size ||
        total_size(header->workers, header->threads, &expected) || expected != size)
        return -EPROTO;
    return 0;
}

int mp_scoreboard_open(int fd, struct mp_scoreboard **ret_board, uint32_t *ret_version)
{
    struct mp_scoreboard *board;
    struct mp_sb_header header; /* a copy: whoever has made the memory may change it meanwhile */
    const void *memory;
    size_t size;
    int err = mp_shm_map(fd, &memory, &size);

    if (err)
        return err;
    memset(&header, 0, sizeof(header));
    memcpy(&header, memory, size < sizeof(header) ? size : sizeof(header));
    err = check_header(&header, size, ret_version);
    if (err)
        goto fail;
    err = -ENOMEM;
    board = malloc(sizeof(*board));
    if (!board)
        goto fail;
    board->fd = err = mp_fd_dup(fd);
    if (err < 0) {
        free(board);
        goto fail;
    }
    board->memory = (struct mp_sb_header *)memory;
    board->size = size;
    board->workers = header.workers;
    board->threads = header.threads;
    *ret_board = board;
    return 0;
fail:
    mp_shm_unmap(memory, size);
    return err;
}

void mp_scoreboard_free(struct mp_scoreboard *board)
{
    if (!board)
        return;
    mp_shm_unmap(board->memory, board->size);
    mp_fd_close(&board->fd);
    free(board);
}

unsigned mp_scoreboard_workers(const struct mp_scoreboard *board)
{
    return board->workers;
}

unsigned mp_scoreboard_threads(const struct mp_scoreboard *board)
{
    return board->threads;
}

int mp_scoreboard_fd(const struct mp_scoreboard *board)
{
    return board->fd;
}

static struct mp_sb_worker *worker_slots(struct mp_scoreboard *board)
{
    return (struct mp_sb_worker *)((char *)board->memory + HEADER_SIZE);
}

struct mp_sb_worker *mp_scoreboard_worker(struct mp_scoreboard *board, unsigned worker)
{
    mp_assert(worker < board->workers);
    return worker_slots(board) + worker;
}

struct mp_sb_thread *mp_scoreboard_thread(struct mp_scoreboard *board, unsigned worker,
                                          unsigned thread)
{
    struct mp_sb_thread *slots = (struct mp_sb_thread *)(worker_slots(board) + board->workers);

    mp_assert(worker < board->workers && thread < board->threads);
    return slots + (size_t)worker * board->threads + thread;
}

#define CLEAR(word) atomic_store_explicit(&(word), 0, memory_order_relaxed)

static void clear_worker(struct mp_sb_worker *slot)
{
    CLEAR(slot->state);
    CLEAR(slot->generation);
    CLEAR(slot->pid);
    CLEAR(slot->started);
    CLEAR(slot->heartbeat);
    CLEAR(slot->threads);
    CLEAR(slot->stuck);
    CLEAR(slot->held_since);
    CLEAR(slot->connections);
    CLEAR(slot->fifo_depth);
    CLEAR(slot->handlers);
    CLEAR(slot->computing);
    CLEAR(slot->accepted);
    CLEAR(slot->takeovers);
    CLEAR(slot->handovers);
    CLEAR(slot->bad_requests);
    CLEAR(slot->shed);
    CLEAR(slot->health);
    CLEAR(slot->abandoned);
    CLEAR(slot->waiting_since);
    CLEAR(slot->full_since);
    CLEAR(slot->requests);
    mp_hist_reset(&slot->queue_wait);
    mp_hist_reset(&slot->handler_time);
    mp_hist_reset(&slot->enter_wait);
}

/* The sequence goes on and is not set back to 0: a reader in the middle of a copy would take an old
 * and a new even number for the same. */
static void clear_thread(struct mp_sb_thread *slot)
{
    uint32_t sequence = mp_sequence_write_begin(&slot->sequence);

    CLEAR(slot->state);
    CLEAR(slot->since);
    CLEAR(slot->requests);
    for (size_t i = 0; i < mp_array_size(slot->method); i++)
        CLEAR(slot->method[i]);
    for (size_t i = 0; i < mp_array_size(slot->path); i++)
        CLEAR(slot->path[i]);
    for (size_t i = 0; i < mp_array_size(slot->peer); i++)
        CLEAR(slot->peer[i]);
    mp_sequence_write_end(&slot->sequence, sequence);
}

void mp_scoreboard_reset_worker(struct mp_scoreboard *board, unsigned worker)
{
    clear_worker(mp_scoreboard_worker(board, worker));
    for (unsigned i = 0; i < board->threads; i++)
        clear_thread(mp_scoreboard_thread(board, worker, i));
}
