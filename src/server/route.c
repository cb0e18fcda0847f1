/* SPDX-License-Identifier: MIT */
/* What the reactor has learned about routes; see route.h. */
#include "server/route.h"

#include <string.h>

enum {
    WORTH_MEASURING = 40 * 1000, /* ns of wall: below it a handler is fast, whatever it does */
    SHORT = 500 * 1000,          /* ns: half a tick */
    BLOCKS_ABOVE = 60 * 1000,    /* ns: several times what handing over the token costs */
    MEASURED_FIRST = 16,         /* runs of a route, all measured */
    MEASURED_EACH = 8,           /* after that, every so many: it costs several system calls */
};

void mp_routes_init(struct mp_routes *routes)
{
    memset(routes, 0, sizeof(*routes));
}

static inline uint64_t mix(uint64_t h, uint64_t v)
{
    h ^= v;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t hash_bytes(uint64_t h, const char *data, size_t n)
{
    uint64_t word;
    for (; n >= sizeof(word); data += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        h = mix(h, word);
    }
    word = n;
    for (size_t i = 0; i < n; i++)
        word = word << 8 | (unsigned char)data[i];
    return mix(h, word);
}

uint64_t mp_route_hash(const char *method, size_t method_len, const char *path, size_t path_len)
{
    uint64_t h = hash_bytes(UINT64_C(0x51ab3c), method, method_len);
    h = hash_bytes(h, path, path_len);
    return h | 1; /* the tag below must not be 0 either: see tag_of */
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1;
}

static const struct mp_route *lookup(const struct mp_routes *routes, uint64_t hash)
{
    const struct mp_route *slot = &routes->slots[(hash >> 8) % MP_ROUTE_SLOTS];
    if (atomic_load_explicit(&slot->tag, memory_order_relaxed) == tag_of(hash))
        return slot;
    return &routes->overall;
}

bool mp_routes_blocks(const struct mp_routes *routes, uint64_t hash)
{
    const struct mp_route *route = lookup(routes, hash);
    uint32_t blocked = atomic_load_explicit(&route->blocked, memory_order_relaxed);
    uint32_t wall = atomic_load_explicit(&route->wall, memory_order_relaxed);
    return blocked > BLOCKS_ABOVE && blocked > wall / 4;
}

bool mp_routes_is_short(const struct mp_routes *routes, uint64_t hash)
{
    uint32_t wall = atomic_load_explicit(&lookup(routes, hash)->wall, memory_order_relaxed);
    return wall > 0 && wall <= SHORT;
}

bool mp_routes_is_fast(const struct mp_routes *routes, uint64_t hash)
{
    const struct mp_route *route = lookup(routes, hash);
    uint32_t wall = atomic_load_explicit(&route->wall, memory_order_relaxed);
    return route != &routes->overall && wall > 0 && wall <= WORTH_MEASURING;
}

bool mp_routes_wants_cpu(struct mp_routes *routes, uint64_t hash)
{
    struct mp_route *route = (struct mp_route *)(uintptr_t)lookup(routes, hash);
    if (atomic_load_explicit(&route->wall, memory_order_relaxed) <= WORTH_MEASURING)
        return false;
    /* Not one operation: of two threads that count at the same time one may be lost. */
    uint32_t asked = atomic_load_explicit(&route->asked, memory_order_relaxed);
    atomic_store_explicit(&route->asked, asked + 1, memory_order_relaxed);
    return asked < MEASURED_FIRST || asked % MEASURED_EACH == 0;
}

static uint32_t saturate(int64_t ns)
{
    if (ns < 0)
        return 0;
    return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* Moves an average by a quarter of the difference. */
static uint32_t average(uint32_t old, uint32_t sample)
{
    return (uint32_t)((uint64_t)old * 3 / 4 + sample / 4);
}

static void learn_one(struct mp_route *route, const struct mp_route_sample *sample)
{
    uint32_t wall = atomic_load_explicit(&route->wall, memory_order_relaxed);
    uint32_t blocked = atomic_load_explicit(&route->blocked, memory_order_relaxed);
    wall = wall == 0 ? saturate(sample->wall) : average(wall, saturate(sample->wall));
    atomic_store_explicit(&route->wall, wall, memory_order_relaxed);
    if (sample->computing < 0 && sample->wall > WORTH_MEASURING)
        return; /* long, and nobody knows why: another run will be measured */
    uint32_t seen = 0;
    if (sample->computing >= 0)
        seen = saturate(sample->wall - sample->computing);
    /* One run that was preempted for long must not make a computing route look like a waiting
     * one: a sample counts for no more than a usual run. */
    seen = seen > wall ? wall : seen;
    atomic_store_explicit(&route->blocked, average(blocked, seen), memory_order_relaxed);
}

/* One more quick run of a route that is known to be quick says little: most of them are left out.
 */
static bool is_old_news(const struct mp_route *slot, const struct mp_route_sample *sample)
{
    return sample->computing < 0 && sample->wall <= WORTH_MEASURING && (sample->wall & 7) != 0 &&
           atomic_load_explicit(&slot->wall, memory_order_relaxed) <= WORTH_MEASURING;
}

/* Enough to be taken for one that waits, and so little that the first run outweighs it. */
static void suspect_one(struct mp_route *route)
{
    atomic_store_explicit(&route->wall, SHORT + 1, memory_order_relaxed);
    atomic_store_explicit(&route->blocked, SHORT + 1, memory_order_relaxed);
}

static void take_slot(struct mp_route *slot, uint32_t tag)
{
    atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
    atomic_store_explicit(&slot->wall, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->blocked, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->asked, 0, memory_order_relaxed);
}

void mp_routes_suspect(struct mp_routes *routes, uint64_t hash)
{
    struct mp_route *slot = &routes->slots[(hash >> 8) % MP_ROUTE_SLOTS];
    uint32_t tag = tag_of(hash);
    if (atomic_load_explicit(&slot->tag, memory_order_relaxed) == tag)
        return;
    take_slot(slot, tag);
    suspect_one(slot);
    if (atomic_load_explicit(&routes->overall.wall, memory_order_relaxed) == 0)
        suspect_one(&routes->overall);
}

void mp_routes_learn(struct mp_routes *routes, uint64_t hash, const struct mp_route_sample *sample)
{
    struct mp_route *slot = &routes->slots[(hash >> 8) % MP_ROUTE_SLOTS];
    uint32_t tag = tag_of(hash);
    if (atomic_load_explicit(&slot->tag, memory_order_relaxed) != tag) {
        take_slot(slot, tag);
    } else if (is_old_news(slot, sample)) {
        return;
    }
    learn_one(slot, sample);
    learn_one(&routes->overall, sample);
}
