/* SPDX-License-Identifier: MIT */
/*
 * What the reactor has learned about routes: how long handlers take, and how much of that they
 * spend waiting instead of computing.
 *
 * A route is a method and a path without its query. The table is direct-mapped and bounded: two
 * routes that fall into one slot evict each other, which only costs their memory. A route that is
 * not in the table is judged by what holds for the application as a whole, so that paths with
 * numbers in them (/user/17) are not strangers each time.
 *
 * Any thread may learn and predict without a lock: all words are relaxed atomics. The worst case
 * of a race is an average that misses a sample, or one sample that is booked under a neighbour's
 * slot; a wrong prediction costs a wake-up or one tick, never correctness.
 */
#ifndef MP_SERVER_ROUTE_H
#define MP_SERVER_ROUTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP_ROUTE_SLOTS 1024

struct mp_route {
    _Atomic uint32_t tag;     /* upper bits of the hash; 0: empty */
    _Atomic uint32_t wall;    /* moving average, ns, saturated at 2^32-1 */
    _Atomic uint32_t blocked; /* moving average of the time not spent computing, ns */
    _Atomic uint32_t asked;   /* how often it was asked whether to measure */
};

struct mp_routes {
    struct mp_route overall;
    struct mp_route slots[MP_ROUTE_SLOTS];
};

/* What one run of a handler has shown. */
struct mp_route_sample {
    int64_t wall;      /* ns */
    int64_t computing; /* ns of it (spent.h), or -1: not measured */
};

void mp_routes_init(struct mp_routes *routes);

/* Never 0. Linear in the lengths. */
uint64_t mp_route_hash(const char *method, size_t method_len, const char *path, size_t path_len);

/* Whether a handler of this route is known to wait: the token is handed over before it runs. */
bool mp_routes_blocks(const struct mp_routes *routes, uint64_t hash);

/* Whether handlers of this route are known to return well within a tick. */
bool mp_routes_is_short(const struct mp_routes *routes, uint64_t hash);

/* Whether handlers of this route are known to return at once: it has been seen, and is short. */
bool mp_routes_is_fast(const struct mp_routes *routes, uint64_t hash);

/* Whether the next run of this route is to be measured: it is long enough to be worth that, and
 * little is known of it, or nothing new for a while. */
bool mp_routes_wants_cpu(struct mp_routes *routes, uint64_t hash);

/* A handler that has not ended has been seen to wait: counts until the first of its route ends. */
void mp_routes_suspect(struct mp_routes *routes, uint64_t hash);

void mp_routes_learn(struct mp_routes *routes, uint64_t hash, const struct mp_route_sample *sample);

#endif
