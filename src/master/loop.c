/* SPDX-License-Identifier: MIT */
/*
 * The master's loop: do what is due, wait, hand out what has come. It uses poll(2), which keeps no
 * registrations. Only sockets that exist are put into the array: the kernel refuses one that is
 * longer than the limit on descriptors, which twice the workers may well be. Nothing here
 * allocates.
 *
 * The order in which events are handed out matters in one place: a worker's pid is told by a
 * message in the zygote's socket, which was sent before that worker became our child. So messages
 * are read before deaths are, and a death of an unknown pid reads them once more
 * (mp_crew_on_death).
 */
#include <errno.h>

#include "master/private.h"
#include "os/clock.h"
#include "os/poll.h"

#define POLL_FAILED_PAUSE (100 * MP_NSEC_PER_MSEC)

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t wait_time(struct mp_master *master)
{
    int64_t next = mp_crew_next_look(master);
    int64_t now;

    next = earliest(next, mp_zygote_handle_next_look(master));
    next = earliest(next, mp_reload_next_look(master));
    next = earliest(next, mp_upgrade_next_look(master));
    next = earliest(next, mp_stop_next_look(master));
    next = earliest(next, mp_logs_next_look(master));
    next = earliest(next, mp_control_socket_next_look(&master->control));
    next = earliest(next, mp_notify_next_look(master));
    if (next == MP_HANDLE_NEVER)
        return -1;
    now = mp_clock_now();
    return next > now ? next - now : 0;
}

/* Returns the number of entries; poll_slots says whose each is. */
static unsigned fill_polls(struct mp_master *master)
{
    unsigned count = MP_POLL_WORKERS;

    master->polls[MP_POLL_SIGNALS] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    for (unsigned i = 0; i < MP_ZYGOTES; i++)
        master->polls[MP_POLL_ZYGOTE + i] =
            (struct pollfd){.fd = master->zygotes[i].control, .events = POLLIN};
    master->polls[MP_POLL_UPGRADE] = (struct pollfd){.fd = master->upgrade.link, .events = POLLIN};
    master->polls[MP_POLL_HANDOVER] =
        (struct pollfd){.fd = master->handover.link, .events = POLLIN};
    master->polls[MP_POLL_LINK] = (struct pollfd){.fd = master->link, .events = POLLIN};
    master->polls[MP_POLL_PARENT] = (struct pollfd){.fd = master->parent_fd, .events = POLLIN};
    for (unsigned i = 0; i < master->slots; i++) {
        if (master->workers[i].control < 0)
            continue;
        master->polls[count] = (struct pollfd){.fd = master->workers[i].control, .events = POLLIN};
        master->poll_slots[count++] = i;
    }
    return count;
}

/* Behind the others. */
static unsigned add_control_polls(struct mp_master *master, unsigned count)
{
    return count + mp_control_socket_fill_polls(&master->control, master->polls + count);
}

/* A slot whose socket was closed meanwhile, by what was handed out before it, has nothing to read.
 */
static void hand_out(struct mp_master *master, unsigned count, int64_t now)
{
    if (master->polls[MP_POLL_ZYGOTE].revents || master->polls[MP_POLL_ZYGOTE_LAST].revents)
        mp_zygote_handle_read(master, now);
    for (unsigned i = MP_POLL_WORKERS; i < count; i++) {
        if (master->polls[i].revents)
            mp_crew_read(master, &master->workers[master->poll_slots[i]], now);
    }
    if (master->polls[MP_POLL_UPGRADE].revents)
        mp_upgrade_read(master, now);
    if (master->polls[MP_POLL_HANDOVER].revents)
        mp_handover_read(master, now);
    if (master->polls[MP_POLL_LINK].revents)
        mp_link_read(master, now);
    if (master->polls[MP_POLL_PARENT].revents)
        mp_link_on_parent_end(master, now);
    if (master->polls[MP_POLL_SIGNALS].revents)
        mp_signals_read(master, now);
}

static void tick(struct mp_master *master)
{
    int64_t now = mp_clock_now();

    mp_control_socket_tick(master, now);
    mp_logs_tick(master, now);
    mp_stop_tick(master, now);
    mp_zygote_handle_tick(master, now);
    mp_reload_tick(master, now);
    mp_notify_tick(master, now);
    mp_upgrade_tick(master, now);
    mp_crew_tick(master, now);
}

void mp_loop_run(struct mp_master *master)
{
    tick(master);
    while (!mp_stop_is_over(master)) {
        unsigned count = fill_polls(master);
        unsigned all = add_control_polls(master, count);
        int ready = mp_poll(master->polls, all, wait_time(master));
        int64_t now;

        if (ready < 0 && ready != -EINTR) /* no memory: the next try may find some */
            (void)mp_poll(NULL, 0, POLL_FAILED_PAUSE);
        if (ready > 0) {
            now = mp_clock_now();
            hand_out(master, count, now);
            mp_control_socket_read(master, master->polls + count, all - count, now);
        }
        tick(master);
    }
}
