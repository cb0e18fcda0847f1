/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

/* The file under test, with its looks at deadlines counted: each look ends in one append. */
static uint64_t looks;

static inline void counted_append(struct mp_list *head, struct mp_list *node)
{
    looks++;
    mp_list_append(head, node);
}

#define mp_list_append counted_append
#include "event/wheel.c"
#undef mp_list_append

#include "support/runner.h"

#define TICK MP_WHEEL_TICK_NS
#define SECOND INT64_C(1000000000)
#define START (1000 * SECOND + 12345)

static void set_deadline(struct mp_wheel_entry *entry, int64_t deadline)
{
    atomic_store_explicit(&entry->deadline, deadline, memory_order_relaxed);
}

static void place_at(struct mp_wheel *wheel, struct mp_wheel_entry *entry, int64_t deadline)
{
    set_deadline(entry, deadline);
    mp_wheel_place(wheel, entry);
}

/* Advances, checks the result against the list, and leaves the expired entries unlinked. */
static unsigned advance(struct mp_wheel *wheel, int64_t now)
{
    struct mp_list expired;
    struct mp_list *node;
    unsigned count;
    unsigned n = 0;

    mp_list_init(&expired);
    count = mp_wheel_advance(wheel, now, &expired);
    while ((node = mp_list_pop(&expired))) {
        CHECK(deadline_of(mp_list_entry(node, struct mp_wheel_entry, link)) <= now);
        n++;
    }
    CHECK_EQ(n, count);
    return count;
}

/* Invariants 1 and 2, and the count. */
static void check_wheel(const struct mp_wheel *wheel)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MP_WHEEL_SLOTS; i++) {
        bool bit = wheel->occupied[i / 64] >> i % 64 & 1;

        CHECK_EQ(bit, !mp_list_empty(&wheel->slots[i]));
        mp_list_foreach (node, &wheel->slots[i]) {
            CHECK_EQ(mp_list_entry(node, struct mp_wheel_entry, link)->slot, i);
            count++;
        }
    }
    CHECK_EQ(wheel->count, count);
}

TEST(empty_wheel_has_nothing_to_wait_for)
{
    struct mp_wheel wheel;

    mp_wheel_init(&wheel, START);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, START), -1);
    CHECK_EQ(advance(&wheel, START + 100 * SECOND), 0);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, START + 100 * SECOND), -1);
    check_wheel(&wheel);
}

/* Every phase of the deadline within a tick, every nanosecond near its edges. */
TEST(never_early_and_at_most_a_tick_late)
{
    static const int64_t offsets[] = {1,           2,          TICK / 2,     TICK - 1,  TICK,
                                      TICK + 1,    3 * TICK,   3 * TICK + 1, SECOND,    5 * SECOND,
                                      30 * SECOND, 254 * TICK, 255 * TICK,   256 * TICK};
    static const int64_t starts[] = {0, 1, TICK - 1, TICK, TICK + 1, START};

    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
            struct mp_wheel wheel;
            struct mp_wheel_entry entry;
            int64_t deadline = starts[s] + offsets[i];

            mp_wheel_init(&wheel, starts[s]);
            mp_wheel_entry_init(&entry);
            place_at(&wheel, &entry, deadline);
            CHECK_EQ(advance(&wheel, deadline - 1), 0);
            CHECK_EQ(advance(&wheel, deadline + TICK - 1), 1);
            CHECK_EQ(wheel.count, 0);
            check_wheel(&wheel);
        }
    }
}

TEST(deadline_in_the_past_expires_at_the_next_tick)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entries[3];

    mp_wheel_init(&wheel, START);
    for (int i = 0; i < 3; i++)
        mp_wheel_entry_init(&entries[i]);
    place_at(&wheel, &entries[0], START - 100 * SECOND);
    place_at(&wheel, &entries[1], 0);
    place_at(&wheel, &entries[2], -5);
    CHECK_EQ(advance(&wheel, START + TICK), 3);
}

TEST(timeout_leads_exactly_to_the_look)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;

    mp_wheel_entry_init(&entry);
    srand(17);
    for (int i = 0; i < 2000; i++) {
        int64_t now = START + (int64_t)rand() * 1000;
        int64_t deadline = now + (int64_t)rand() % (30 * SECOND);
        int timeout;

        mp_wheel_init(&wheel, now);
        place_at(&wheel, &entry, deadline);
        timeout = mp_wheel_timeout_ms(&wheel, now);
        CHECK(timeout >= 0);
        now += timeout * INT64_C(1000000);
        CHECK(now >= deadline);
        CHECK(now - deadline <= TICK + INT64_C(1000000));
        CHECK_EQ(advance(&wheel, now), 1);
    }
}

TEST(timeout_is_of_the_nearest_entry)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry far;
    struct mp_wheel_entry near;
    int64_t now = 1000 * TICK;

    mp_wheel_init(&wheel, now);
    mp_wheel_entry_init(&far);
    mp_wheel_entry_init(&near);
    place_at(&wheel, &far, now + 200 * TICK);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now), 26844); /* 200 ticks, rounded up */
    place_at(&wheel, &near, now + TICK);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now), 135);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now + TICK - 1), 1);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now + TICK), 0);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now + 50 * TICK), 0);
    mp_wheel_remove(&wheel, &near);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now), 26844);
    mp_wheel_remove(&wheel, &far);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now), -1);
}

/* The distance to the next occupied slot, for every pair of position and slot. */
TEST(next_slot_is_found_from_everywhere)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;

    mp_wheel_entry_init(&entry);
    for (int64_t start = 1000; start < 1000 + MP_WHEEL_SLOTS; start++) {
        for (int64_t distance = 1; distance <= MP_WHEEL_SLOTS; distance++) {
            mp_wheel_init(&wheel, start * TICK);
            place_at(&wheel, &entry, (start + distance) * TICK);
            CHECK_EQ(ticks_to_next(&wheel), distance);
            mp_wheel_remove(&wheel, &entry);
        }
    }
}

TEST(moving_a_deadline_further_is_a_store)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;
    int64_t now = START;

    mp_wheel_init(&wheel, now);
    mp_wheel_entry_init(&entry);
    place_at(&wheel, &entry, now + SECOND);
    for (int i = 0; i < 100; i++) {
        now += SECOND / 2;
        set_deadline(&entry, now + SECOND);
        CHECK_EQ(advance(&wheel, now), 0);
    }
    CHECK_EQ(advance(&wheel, now + SECOND - 1), 0);
    CHECK_EQ(advance(&wheel, now + SECOND + TICK), 1);
}

TEST(moving_a_deadline_nearer_needs_placing)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;

    mp_wheel_init(&wheel, START);
    mp_wheel_entry_init(&entry);
    place_at(&wheel, &entry, START + 20 * SECOND);
    place_at(&wheel, &entry, START + SECOND);
    CHECK_EQ(wheel.count, 1);
    check_wheel(&wheel);
    CHECK_EQ(advance(&wheel, START + SECOND + TICK), 1);
    CHECK_EQ(wheel.count, 0);
}

TEST(deadlines_beyond_the_span_are_kept)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry hour;
    struct mp_wheel_entry never;
    int64_t now = START;
    int64_t deadline = START + 3600 * SECOND;
    int timeouts = 0;

    mp_wheel_init(&wheel, now);
    mp_wheel_entry_init(&hour);
    mp_wheel_entry_init(&never);
    place_at(&wheel, &hour, deadline);
    mp_wheel_place(&wheel, &never);
    for (;;) {
        unsigned expired;

        now += mp_wheel_timeout_ms(&wheel, now) * INT64_C(1000000);
        expired = advance(&wheel, now);
        timeouts++;
        CHECK_EQ(expired, now >= deadline);
        if (expired)
            break;
    }
    CHECK(now - deadline <= TICK + INT64_C(1000000));
    CHECK(timeouts < 3600 / 34 * 2 + 20);
    CHECK_EQ(wheel.count, 1);
    mp_wheel_remove(&wheel, &never);
    CHECK_EQ(wheel.count, 0);
}

TEST(remove_is_harmless_when_not_placed)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;

    mp_wheel_init(&wheel, START);
    mp_wheel_entry_init(&entry);
    mp_wheel_remove(&wheel, &entry);
    place_at(&wheel, &entry, START + SECOND);
    mp_wheel_remove(&wheel, &entry);
    mp_wheel_remove(&wheel, &entry);
    CHECK_EQ(wheel.count, 0);
    check_wheel(&wheel);
    CHECK_EQ(advance(&wheel, START + 10 * SECOND), 0);
}

/* A connection whose expiry closes another one that has expired too. */
TEST(remove_takes_an_entry_out_of_the_expired_list)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entries[4];
    struct mp_list expired;

    mp_wheel_init(&wheel, START);
    mp_list_init(&expired);
    for (int i = 0; i < 4; i++) {
        mp_wheel_entry_init(&entries[i]);
        place_at(&wheel, &entries[i], START + SECOND + i);
    }
    set_deadline(&entries[3], START + 10 * SECOND);
    CHECK_EQ(mp_wheel_advance(&wheel, START + 2 * SECOND, &expired), 3);
    CHECK(mp_list_pop(&expired) == &entries[0].link);
    mp_wheel_remove(&wheel, &entries[1]);
    CHECK_EQ(wheel.count, 1);
    place_at(&wheel, &entries[2], START + 5 * SECOND);
    CHECK_EQ(wheel.count, 2);
    CHECK(mp_list_pop(&expired) == NULL);
    check_wheel(&wheel);
    CHECK_EQ(advance(&wheel, START + 11 * SECOND), 2);
}

TEST(expired_are_appended_in_order_of_their_ticks)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entries[5];
    struct mp_list expired;

    mp_wheel_init(&wheel, START);
    mp_list_init(&expired);
    for (int i = 0; i < 5; i++) {
        mp_wheel_entry_init(&entries[i]);
        place_at(&wheel, &entries[i], START + (5 - i) * SECOND);
    }
    CHECK_EQ(mp_wheel_advance(&wheel, START + 3 * SECOND + TICK, &expired), 3);
    CHECK_EQ(mp_wheel_advance(&wheel, START + 9 * SECOND, &expired), 2);
    for (int i = 4; i >= 0; i--)
        CHECK(mp_list_pop(&expired) == &entries[i].link);
}

TEST(long_sleep_costs_one_look_at_each_entry)
{
    enum { COUNT = 10000 };
    static struct mp_wheel_entry entries[COUNT];
    struct mp_wheel wheel;
    int64_t now = START;
    int64_t slept = now + 36000 * SECOND;

    mp_wheel_init(&wheel, now);
    for (int i = 0; i < COUNT; i++) {
        mp_wheel_entry_init(&entries[i]);
        place_at(&wheel, &entries[i], now + i * SECOND / 100);
    }
    for (int i = 0; i < COUNT; i += 2)
        set_deadline(&entries[i], slept + 10 * SECOND);
    looks = 0;
    CHECK_EQ(advance(&wheel, slept), COUNT / 2);
    CHECK(looks <= COUNT * 2); /* onto the list of due ones, and from there to where it belongs */
    CHECK_EQ(wheel.count, COUNT / 2);
    check_wheel(&wheel);
    CHECK(mp_wheel_timeout_ms(&wheel, slept) > 9000);
    CHECK_EQ(advance(&wheel, slept + 11 * SECOND), COUNT / 2);
}

TEST(placing_into_a_wheel_that_was_not_advanced_for_long)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;
    int64_t now = START + 5000 * SECOND;

    mp_wheel_init(&wheel, START);
    mp_wheel_entry_init(&entry);
    place_at(&wheel, &entry, now + SECOND);
    CHECK_EQ(mp_wheel_timeout_ms(&wheel, now), 0);
    CHECK_EQ(advance(&wheel, now), 0);
    CHECK(mp_wheel_timeout_ms(&wheel, now) >= 1000);
    CHECK_EQ(advance(&wheel, now + SECOND + TICK), 1);
}

TEST(time_does_not_go_back)
{
    struct mp_wheel wheel;
    struct mp_wheel_entry entry;

    mp_wheel_init(&wheel, START);
    mp_wheel_entry_init(&entry);
    CHECK_EQ(advance(&wheel, START + 10 * SECOND), 0);
    place_at(&wheel, &entry, START + 12 * SECOND);
    CHECK_EQ(advance(&wheel, START), 0);
    CHECK_EQ(wheel.tick, (START + 10 * SECOND) / TICK);
    CHECK_EQ(advance(&wheel, START + 13 * SECOND), 1);
}

/* What connections do: each event moves a deadline 5 s ahead. The wheel looks at each entry as
 * often as the deadline goes by, however many events there are. */
TEST(many_entries_with_moving_deadlines_cost_nothing_per_move)
{
    enum { COUNT = 100000, SECONDS = 60 };
    struct mp_wheel_entry *entries = malloc(COUNT * sizeof(*entries));
    struct mp_wheel wheel;
    int64_t now = START;
    uint64_t moves = 0;

    TEST_BUDGET(30);
    CHECK(entries != NULL);
    mp_wheel_init(&wheel, now);
    for (int i = 0; i < COUNT; i++) {
        mp_wheel_entry_init(&entries[i]);
        place_at(&wheel, &entries[i], now + 5 * SECOND);
    }
    looks = 0;
    for (int tick = 0; tick < SECONDS * 7; tick++) {
        now += TICK;
        for (int i = 0; i < COUNT; i++)
            set_deadline(&entries[i], now + 5 * SECOND);
        moves += COUNT;
        CHECK_EQ(advance(&wheel, now), 0);
    }
    CHECK_EQ(wheel.count, COUNT);
    CHECK(looks <= (uint64_t)COUNT * 2 * (SECONDS / 5 + 1));
    CHECK(looks * 15 < moves);
    CHECK_EQ(advance(&wheel, now + 5 * SECOND + TICK), COUNT);
    free(entries);
}

enum {
    MODEL_ENTRIES = 300,
    MODEL_STEPS = 30000,
};

/* What an entry should do, the simple way: due says by when it must have expired. */
struct model {
    struct mp_wheel_entry entry;
    bool placed;
    int64_t placed_at;
};

static void random_operation(struct mp_wheel *wheel, struct model *model, int64_t now)
{
    int64_t ahead = (int64_t)rand() % (rand() % 8 ? 5 * SECOND : 100 * SECOND);

    if (!model->placed || rand() % 8 == 0) {
        place_at(wheel, &model->entry, rand() % 50 ? now + ahead : MP_WHEEL_NEVER);
        model->placed = true;
        model->placed_at = now;
    } else if (rand() % 8 == 0) {
        mp_wheel_remove(wheel, &model->entry);
        model->placed = false;
    } else if (deadline_of(&model->entry) != MP_WHEEL_NEVER) {
        set_deadline(&model->entry, deadline_of(&model->entry) + ahead);
    }
}

static void check_model(const struct mp_wheel *wheel, struct model *models, int64_t now)
{
    unsigned placed = 0;

    for (int i = 0; i < MODEL_ENTRIES; i++) {
        struct model *model = &models[i];
        int64_t deadline = deadline_of(&model->entry);
        int64_t due = deadline > model->placed_at ? deadline : model->placed_at;
        bool expired = model->placed && model->entry.slot == MP_WHEEL_UNPLACED;

        if (expired) {
            CHECK(deadline <= now);
            model->placed = false;
        } else if (model->placed) {
            CHECK(due > now - TICK);
            placed++;
        }
    }
    CHECK_EQ(wheel->count, placed);
}

TEST(random_use_keeps_to_the_promise)
{
    struct model *models = calloc(MODEL_ENTRIES, sizeof(*models));
    struct mp_wheel wheel;
    int64_t now = START;

    CHECK(models != NULL);
    TEST_BUDGET(30);
    srand(23);
    mp_wheel_init(&wheel, now);
    for (int i = 0; i < MODEL_ENTRIES; i++)
        mp_wheel_entry_init(&models[i].entry);
    for (int step = 0; step < MODEL_STEPS; step++) {
        for (int i = 0; i < 5; i++)
            random_operation(&wheel, &models[rand() % MODEL_ENTRIES], now);
        now += rand() % 500 == 0 ? 60 * SECOND : (int64_t)rand() % (2 * TICK);
        advance(&wheel, now);
        check_model(&wheel, models, now);
        if (step % 256 == 0)
            check_wheel(&wheel);
    }
    free(models);
}
