/* SPDX-License-Identifier: MIT */
/*
 * Waking threads.
 *
 * The park word has three kinds of value: 0 (awake, nothing wanted), MP_PARK_ASLEEP (the owner
 * sleeps or is about to), and a posted value.
 *
 *   0       -> ASLEEP   mp_park_wait, by the owner
 *   0       -> value    mp_park_post: the owner will find it, no system call
 *   ASLEEP  -> value    mp_park_post: and wakes the owner
 *   value   -> 0        the owner takes it
 *   ASLEEP  -> 0        mp_park_wait_for, by the owner, when the time is over
 *
 * Each transition is one atomic operation on the word, so nothing is lost between looking and
 * sleeping: the kernel compares the word with ASLEEP under its own lock and does not sleep when a
 * value is there. What the poster wrote before the post is seen by the owner after the wait: the
 * exchange that posts is a release, the exchange that takes an acquire. The futex only saves CPU
 * time; without it the protocol would still be right. A wake that comes late, after the owner has
 * taken the value, finds a sleeper that looks and sleeps again, or nobody.
 */
#include "event/wakeup.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "os/clock.h"
#include "os/fd.h"

_Static_assert(sizeof(_Atomic uint32_t) == 4, "the kernel compares 32 bits");

int mp_wakeup_init(struct mp_wakeup *wakeup)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd == -1)
        return -errno;
    wakeup->fd = fd;
    return 0;
}

void mp_wakeup_done(struct mp_wakeup *wakeup)
{
    mp_fd_close(&wakeup->fd);
}

void mp_wakeup_signal(struct mp_wakeup *wakeup)
{
    const uint64_t one = 1;
    int saved = errno;

    /* EAGAIN: the counter is full, so the thread is as awake as it can be. */
    (void)mp_fd_write(wakeup->fd, &one, sizeof(one));
    errno = saved;
}

void mp_wakeup_clear(struct mp_wakeup *wakeup)
{
    uint64_t signals;

    (void)mp_fd_read(wakeup->fd, &signals, sizeof(signals));
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *end)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, end, NULL,
                   FUTEX_BITSET_MATCH_ANY);
}

void mp_park_init(struct mp_park *park)
{
    atomic_init(&park->word, 0);
}

/* Takes what was posted, or goes to sleep in name: the word is ASLEEP then, and the result 0. */
static uint32_t take_or_mark(struct mp_park *park)
{
    uint32_t seen = 0;

    if (atomic_compare_exchange_strong_explicit(&park->word, &seen, MP_PARK_ASLEEP,
                                                memory_order_relaxed, memory_order_relaxed))
        return 0;
    if (seen == MP_PARK_ASLEEP)
        return 0;
    return atomic_exchange_explicit(&park->word, 0, memory_order_acquire);
}

uint32_t mp_park_wait(struct mp_park *park)
{
    uint32_t value;

    while ((value = take_or_mark(park)) == 0)
        futex(&park->word, FUTEX_WAIT_BITSET, MP_PARK_ASLEEP, NULL);
    return value;
}

/* The time is over: back to awake, unless a value has come at the last moment. */
static uint32_t give_up(struct mp_park *park)
{
    uint32_t value = atomic_exchange_explicit(&park->word, 0, memory_order_acquire);

    return value == MP_PARK_ASLEEP ? 0 : value;
}

uint32_t mp_park_wait_for(struct mp_park *park, int64_t timeout_ns)
{
    int64_t now = mp_clock_now();
    int64_t end = timeout_ns < INT64_MAX - now ? now + timeout_ns : INT64_MAX;
    struct timespec until = {.tv_sec = end / MP_NSEC_PER_SEC, .tv_nsec = end % MP_NSEC_PER_SEC};
    uint32_t value;

    if (timeout_ns <= 0)
        return give_up(park);
    while ((value = take_or_mark(park)) == 0) {
        /* An absolute time: a sleep that was interrupted is not begun anew. */
        if (futex(&park->word, FUTEX_WAIT_BITSET, MP_PARK_ASLEEP, &until) == -1 &&
            errno == ETIMEDOUT)
            return give_up(park);
    }
    return value;
}

void mp_park_post(struct mp_park *park, uint32_t value)
{
    uint32_t before;

    mp_assert(value != 0 && value != MP_PARK_ASLEEP);
    before = atomic_exchange_explicit(&park->word, value, memory_order_release);
    mp_assert(before == 0 || before == MP_PARK_ASLEEP);
    if (before == MP_PARK_ASLEEP)
        futex(&park->word, FUTEX_WAKE, 1, NULL);
}
