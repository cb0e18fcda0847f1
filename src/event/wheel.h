/* SPDX-License-Identifier: MIT */
/*
 * Hashed timer wheel for deadlines that are nearly always moved before they expire.
 *
 * An entry sits in the slot of the deadline it was last *placed* for. Moving a deadline is only a
 * store into entry->deadline by its owner; when the slot comes round, the wheel looks at the
 * deadline and places the entry anew if it lies in the future (lazy re-arming). So an event that
 * postpones a deadline costs nothing, whatever the number of entries; a deadline that is moved
 * *nearer* must be placed again (mp_wheel_place). Expiry is late by up to one tick, never early.
 *
 * Not thread-safe, except that entry->deadline is a relaxed atomic: a store that races with the
 * wheel's look is seen at the next look, a tick late at worst.
 */
#ifndef MP_EVENT_WHEEL_H
#define MP_EVENT_WHEEL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/list.h"

#define MP_WHEEL_SLOTS 256
#define MP_WHEEL_TICK_NS INT64_C(134217728) /* 2^27 ns, 0.134 s: the wheel spans 34 s */
#define MP_WHEEL_NEVER INT64_MAX
#define MP_WHEEL_UNPLACED (-1)

struct mp_wheel_entry {
    struct mp_list link;      /* in a slot, or in a list of expired ones; else self-linked */
    _Atomic int64_t deadline; /* monotonic ns, or MP_WHEEL_NEVER */
    int slot;                 /* where it is placed, or MP_WHEEL_UNPLACED; the wheel's own */
};

struct mp_wheel {
    int64_t tick;                           /* the last tick that has been handled */
    unsigned count;                         /* entries placed */
    uint64_t occupied[MP_WHEEL_SLOTS / 64]; /* a bit for each slot that is not empty */
    struct mp_list slots[MP_WHEEL_SLOTS];
};

void mp_wheel_init(struct mp_wheel *wheel, int64_t now);
void mp_wheel_entry_init(struct mp_wheel_entry *entry);

/* Places the entry for its deadline (again, if it is placed already). An entry whose
 * deadline is MP_WHEEL_NEVER or beyond the span is looked at once in each span. */
void mp_wheel_place(struct mp_wheel *wheel, struct mp_wheel_entry *entry);

/* Takes the entry out of the wheel, or out of the list of expired entries that it is in; harmless
 * when it is in neither. */
void mp_wheel_remove(struct mp_wheel *wheel, struct mp_wheel_entry *entry);

/* Moves the entries that are due at now to the end of the list expired (they are no longer placed).
 * Returns their number. Work is bounded by the occupied slots passed (all of them at most, however
 * long the last call is past) and the entries in them, each of which is looked at once. */
unsigned mp_wheel_advance(struct mp_wheel *wheel, int64_t now, struct mp_list *expired);

/* Milliseconds until the next look is needed, rounded up; -1 when no entry is placed. */
int mp_wheel_timeout_ms(const struct mp_wheel *wheel, int64_t now);

#endif
