/* SPDX-License-Identifier: MIT */
/*
 * How a handler has spent its time; see spent.h.
 *
 * What no clock shows is how long a thread has slept because another had the interpreter. But while
 * it did, that other computed: so it is taken to be as long as the others' CPU time. Without that,
 * handlers that only wait for each other look as if they waited for something, more of them are let
 * in, they wait for each other for longer, and it stays like that. It is no more than that on
 * purpose: the others may have waited for a CPU as well, interpreter in hand; but where many
 * handlers wake at once all wait for a CPU, and adding that would make computing handlers of ones
 * that wait.
 */
#include "server/spent.h"

#include "os/clock.h"

void mp_spent_begin(struct mp_spent *spent)
{
    spent->delay = mp_clock_thread_delay();
    spent->process_cpu = mp_clock_process_cpu();
    spent->sleeps = mp_clock_thread_sleeps();
    spent->cpu = mp_clock_thread_cpu();
}

int64_t mp_spent_estimate(int64_t wall, const struct mp_spent *gained, bool shared)
{
    int64_t delay = gained->delay > 0 ? gained->delay : 0;
    int64_t others = gained->process_cpu - gained->cpu;
    int64_t computing = gained->cpu + delay;
    /* It never slept: what is missing was taken from it by others on this machine. */
    if (gained->sleeps == 0)
        return wall;
    if (shared && others > 0)
        computing += others;
    return computing < wall ? computing : wall;
}

int64_t mp_spent_computing(const struct mp_spent *begin, int64_t wall, bool shared)
{
    struct mp_spent gained = {
        .cpu = mp_clock_thread_cpu() - begin->cpu,
        .sleeps = mp_clock_thread_sleeps() - begin->sleeps,
    };
    if (gained.sleeps == 0)
        return wall;
    gained.process_cpu = mp_clock_process_cpu() - begin->process_cpu;
    if (begin->delay >= 0)
        gained.delay = mp_clock_thread_delay() - begin->delay;
    return mp_spent_estimate(wall, &gained, shared);
}
