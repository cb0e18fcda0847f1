/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel. A tick is a number: monotonic time divided by MP_WHEEL_TICK_NS. An entry is put
 * into the slot of the first tick that begins at or after its deadline; ticks are handled once they
 * have begun. Hence never early, and at most one tick late.
 *
 * Invariants:
 *   1. An entry that is placed sits in a slot that comes round within MP_WHEEL_SLOTS ticks of
 *      wheel->tick; entry->slot names it. An entry that is not placed has slot MP_WHEEL_UNPLACED;
 * it may be linked in a caller's list of expired entries.
 *   2. The bit of a slot in wheel->occupied is set exactly when the slot's list is not empty, so
 * that the next look is found without touching the slots.
 *   3. wheel->tick never goes back.
 */
#include "event/wheel.h"

#include <stdbool.h>

#include "base/assert.h"

#define SLOT_MASK (MP_WHEEL_SLOTS - 1)
#define WORD_BITS 64
#define WORDS (MP_WHEEL_SLOTS / WORD_BITS)
#define NSEC_PER_MSEC INT64_C(1000000)

_Static_assert((MP_WHEEL_SLOTS & SLOT_MASK) == 0, "slots are found by masking");
_Static_assert(MP_WHEEL_SLOTS % WORD_BITS == 0, "occupied is made of whole words");

/* The last tick that has begun at that time; the first that begins at or after it. */
static int64_t tick_begun(int64_t when)
{
    return when > 0 ? when / MP_WHEEL_TICK_NS : 0;
}

static int64_t tick_after(int64_t when)
{
    return when > 0 ? when / MP_WHEEL_TICK_NS + (when % MP_WHEEL_TICK_NS != 0) : 0;
}

void mp_wheel_init(struct mp_wheel *wheel, int64_t now)
{
    wheel->tick = tick_begun(now);
    wheel->count = 0;
    for (unsigned i = 0; i < WORDS; i++)
        wheel->occupied[i] = 0;
    for (unsigned i = 0; i < MP_WHEEL_SLOTS; i++)
        mp_list_init(&wheel->slots[i]);
}

void mp_wheel_entry_init(struct mp_wheel_entry *entry)
{
    mp_list_init(&entry->link);
    atomic_init(&entry->deadline, MP_WHEEL_NEVER);
    entry->slot = MP_WHEEL_UNPLACED;
}

static int64_t deadline_of(const struct mp_wheel_entry *entry)
{
    return atomic_load_explicit(&entry->deadline, memory_order_relaxed);
}

/* Links an entry that is in no list into the slot of its deadline. */
static void link_entry(struct mp_wheel *wheel, struct mp_wheel_entry *entry)
{
    int64_t tick = tick_after(deadline_of(entry));
    unsigned slot;

    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    slot = (unsigned)tick & SLOT_MASK;
    mp_list_append(&wheel->slots[slot], &entry->link);
    wheel->occupied[slot / WORD_BITS] |= UINT64_C(1) << slot % WORD_BITS;
    entry->slot = (int)slot;
    wheel->count++;
}

void mp_wheel_remove(struct mp_wheel *wheel, struct mp_wheel_entry *entry)
{
    int slot = entry->slot;

    mp_list_remove(&entry->link);
    if (slot == MP_WHEEL_UNPLACED)
        return;
    entry->slot = MP_WHEEL_UNPLACED;
    mp_assert(wheel->count > 0);
    wheel->count--;
    if (mp_list_empty(&wheel->slots[slot]))
        wheel->occupied[slot / WORD_BITS] &= ~(UINT64_C(1) << slot % WORD_BITS);
}

void mp_wheel_place(struct mp_wheel *wheel, struct mp_wheel_entry *entry)
{
    mp_wheel_remove(wheel, entry);
    link_entry(wheel, entry);
}

/* Ticks from the last handled one to the first whose slot is occupied, 1 .. MP_WHEEL_SLOTS; the
 * wheel is not empty. */
static int64_t ticks_to_next(const struct mp_wheel *wheel)
{
    unsigned start = ((unsigned)wheel->tick + 1) & SLOT_MASK;
    unsigned word = start / WORD_BITS;
    uint64_t bits = wheel->occupied[word] & ~UINT64_C(0) << start % WORD_BITS;

    /* Once round, and the first word again for the bits below the start. */
    for (unsigned i = 0; i <= WORDS; i++) {
        if (bits) {
            unsigned slot = word * WORD_BITS + (unsigned)__builtin_ctzll(bits);

            return 1 + ((slot - start) & SLOT_MASK);
        }
        word = (word + 1) % WORDS;
        bits = wheel->occupied[word];
    }
    mp_assert(!"an entry is placed, but no slot is occupied");
}

/* Moves all entries whose slots have come round by the tick target to the list due, and the wheel
 * there. */
static void collect(struct mp_wheel *wheel, int64_t target, struct mp_list *due)
{
    while (wheel->count > 0 && wheel->tick < target) {
        int64_t next = wheel->tick + ticks_to_next(wheel);

        if (next > target)
            break;
        wheel->tick = next;
        while (!mp_list_empty(&wheel->slots[next & SLOT_MASK])) {
            struct mp_list *first = wheel->slots[next & SLOT_MASK].next;

            mp_wheel_remove(wheel, mp_list_entry(first, struct mp_wheel_entry, link));
            mp_list_append(due, first);
        }
    }
    if (wheel->tick < target)
        wheel->tick = target;
}

unsigned mp_wheel_advance(struct mp_wheel *wheel, int64_t now, struct mp_list *expired)
{
    struct mp_list due;
    struct mp_list *node;
    unsigned count = 0;

    /* First all that is due for a look, then the looks: an entry that is placed anew cannot come
     * round again in the same call, however long ago the last one was. */
    mp_list_init(&due);
    collect(wheel, tick_begun(now), &due);
    while ((node = mp_list_pop(&due))) {
        struct mp_wheel_entry *entry = mp_list_entry(node, struct mp_wheel_entry, link);

        if (deadline_of(entry) > now) {
            link_entry(wheel, entry);
            continue;
        }
        mp_list_append(expired, node);
        count++;
    }
    return count;
}

int mp_wheel_timeout_ms(const struct mp_wheel *wheel, int64_t now)
{
    int64_t left;

    if (wheel->count == 0)
        return -1;
    left = (wheel->tick + ticks_to_next(wheel)) * MP_WHEEL_TICK_NS - now;
    return left > 0 ? (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC) : 0;
}
