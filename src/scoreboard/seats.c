/* SPDX-License-Identifier: MIT */
/* A bound on all workers' handlers; see seats.h for why it holds. */
#include "scoreboard/seats.h"

static _Atomic uint32_t *seats_of(struct mp_scoreboard *board, unsigned worker)
{
    return &mp_scoreboard_worker(board, worker)->seats;
}

unsigned mp_seats_of(struct mp_scoreboard *board, unsigned worker)
{
    return atomic_load_explicit(seats_of(board, worker), memory_order_seq_cst);
}

void mp_seats_set(struct mp_scoreboard *board, unsigned worker, unsigned count)
{
    atomic_store_explicit(seats_of(board, worker), count, memory_order_seq_cst);
}

uint64_t mp_seats_taken(struct mp_scoreboard *board)
{
    unsigned workers = mp_scoreboard_workers(board);
    uint64_t sum = 0;

    for (unsigned i = 0; i < workers; i++)
        sum += mp_seats_of(board, i);
    return sum;
}

unsigned mp_seats_take(struct mp_scoreboard *board, unsigned worker, unsigned want, unsigned bound)
{
    unsigned own = mp_seats_of(board, worker);
    uint64_t sum;
    uint64_t over;

    mp_seats_set(board, worker, own + want);
    sum = mp_seats_taken(board);
    over = sum > bound ? sum - bound : 0;
    if (over == 0)
        return want;
    want = over < want ? want - (unsigned)over : 0;
    mp_seats_set(board, worker, own + want);
    return want;
}

void mp_seats_give_back(struct mp_scoreboard *board, unsigned worker, unsigned count)
{
    unsigned own = mp_seats_of(board, worker);

    mp_seats_set(board, worker, own > count ? own - count : 0);
}
