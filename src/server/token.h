/* SPDX-License-Identifier: MIT */
/*
 * The token: the right to lead a reactor, that is to touch its poller, timers and connections.
 *
 *             give(next)                     give(NULL)
 *   IO(A) ----------------> IO(next)   IO(A) ----------> VACANT ---- claim(B) ----> IO(B)
 *     |  ^
 *     |  | leave_handler (compare-and-swap by A)
 *     v  |
 *   HANDLER(A, stay) ---- steal(next) (compare-and-swap by the control thread) ----> IO(next)
 *
 * In IO mode only the holder changes the token. In HANDLER mode it is contended by two parties, and
 * the compare-and-swap decides: each stay in a handler has its own count, so that a stale view of
 * an earlier stay can never succeed (the count wraps after 2^48 handlers).
 *
 * Memory order. Who lets go of the token publishes everything it did to the reactor (release);
 * who gets it sees that (acquire). enter_handler is sequentially consistent besides: it is the one
 * half of a Dekker handshake with the control thread, which may be falling asleep (control.c). With
 * anything weaker the worst case is a leader stuck in a handler for a second with nobody watching.
 */
#ifndef MP_SERVER_TOKEN_H
#define MP_SERVER_TOKEN_H

#include "server/internal.h"

static inline uint64_t mp_token_make(enum mp_token_mode mode, unsigned index, uint64_t stay)
{
    return stay << 16 | (uint64_t)index << 2 | (uint64_t)mode;
}

static inline enum mp_token_mode mp_token_mode(uint64_t token)
{
    return (enum mp_token_mode)(token & 3);
}

static inline uint64_t mp_token_stay(uint64_t token)
{
    return token >> 16;
}

/* The holder goes into a handler. Returns the token to leave it with. */
static inline uint64_t mp_token_enter_handler(struct mp_reactor *reactor, unsigned index)
{
    /* Relaxed: in IO mode nobody else writes, and the holder has read its own last write. */
    uint64_t token = atomic_load_explicit(&reactor->token, memory_order_relaxed);
    uint64_t stay = mp_token_make(MP_TOKEN_HANDLER, index, mp_token_stay(token) + 1);
    atomic_exchange_explicit(&reactor->token, stay, memory_order_seq_cst);
    return stay;
}

/* The holder is back: true when it still holds the token. */
static inline bool mp_token_leave_handler(struct mp_reactor *reactor, unsigned index, uint64_t stay)
{
    uint64_t back = mp_token_make(MP_TOKEN_IO, index, mp_token_stay(stay));
    return atomic_compare_exchange_strong_explicit(&reactor->token, &stay, back,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* The holder, in IO mode and under the pool's lock, gives the token to next, or leaves it vacant.
 */
static inline void mp_token_give(struct mp_reactor *reactor, const struct mp_thread *next)
{
    uint64_t token = atomic_load_explicit(&reactor->token, memory_order_relaxed);
    enum mp_token_mode mode = next ? MP_TOKEN_IO : MP_TOKEN_VACANT;
    uint64_t given = mp_token_make(mode, next ? next->index : 0, mp_token_stay(token));
    atomic_store_explicit(&reactor->token, given, memory_order_release);
}

/* Under the pool's lock: takes the token if nobody has it. VACANT is entered and left under the
 * lock only. */
static inline bool mp_token_claim(struct mp_reactor *reactor, const struct mp_thread *thread)
{
    uint64_t token = atomic_load_explicit(&reactor->token, memory_order_acquire);
    if (mp_token_mode(token) != MP_TOKEN_VACANT)
        return false;
    uint64_t mine = mp_token_make(MP_TOKEN_IO, thread->index, mp_token_stay(token));
    atomic_store_explicit(&reactor->token, mine, memory_order_release);
    return true;
}

/* The control thread takes the token from a leader that is in the handler seen, for next. */
static inline bool mp_token_steal(struct mp_reactor *reactor, uint64_t seen,
                                  const struct mp_thread *next)
{
    uint64_t given = mp_token_make(MP_TOKEN_IO, next->index, mp_token_stay(seen));
    return atomic_compare_exchange_strong_explicit(&reactor->token, &seen, given,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

#endif
