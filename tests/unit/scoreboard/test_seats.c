/* SPDX-License-Identifier: MIT */
#include "scoreboard/seats.h"

#include <pthread.h>

#include "runner.h"

enum { WORKERS = 4, BOUND = 37, ROUNDS = 20000 };

static struct mp_scoreboard *board;

TEST(no_more_than_the_bound)
{
    CHECK_OK(mp_scoreboard_new(WORKERS, 1, &board));
    CHECK_EQ(mp_seats_take(board, 0, 8, 20), 8);
    CHECK_EQ(mp_seats_take(board, 1, 8, 20), 8);
    CHECK_EQ(mp_seats_take(board, 2, 8, 20), 4);
    CHECK_EQ(mp_seats_take(board, 2, 1, 20), 0);
    CHECK_EQ(mp_seats_of(board, 2), 4);
    CHECK_EQ(mp_seats_taken(board), 20);
    mp_seats_give_back(board, 0, 3);
    CHECK_EQ(mp_seats_take(board, 2, 8, 20), 3);
    mp_seats_give_back(board, 1, 100);
    CHECK_EQ(mp_seats_of(board, 1), 0);
    mp_seats_set(board, 1, 30); /* beyond the bound: nobody gets any */
    CHECK_EQ(mp_seats_take(board, 3, 1, 20), 0);
    CHECK_EQ(mp_seats_of(board, 3), 0);
    mp_scoreboard_free(board);
}

/* What was granted, by each worker's own account. */
static _Atomic unsigned granted;
static _Atomic unsigned most;

static void *take_and_give(void *arg)
{
    unsigned worker = *(const unsigned *)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned got = mp_seats_take(board, worker, 1 + i % 19, BOUND);
        unsigned now = atomic_fetch_add(&granted, got) + got;
        unsigned seen = atomic_load(&most);
        while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
            ;
        atomic_fetch_sub(&granted, got);
        mp_seats_give_back(board, worker, got);
    }
    return NULL;
}

TEST(nor_when_all_ask_at_once)
{
    pthread_t threads[WORKERS];
    unsigned numbers[WORKERS];

    CHECK_OK(mp_scoreboard_new(WORKERS, 1, &board));
    for (unsigned i = 0; i < WORKERS; i++) {
        numbers[i] = i;
        CHECK_OK(pthread_create(&threads[i], NULL, take_and_give, &numbers[i]));
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(most > 0 && most <= BOUND);
    CHECK_EQ(mp_seats_taken(board), 0);
    mp_scoreboard_free(board);
}
