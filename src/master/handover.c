/* SPDX-License-Identifier: MIT */
/*
 * The other side of an upgrade: a master that was started to follow another one (upgrade.c). Its
 * sockets are the other's, as far as the addresses are the same; when its first workers serve, it
 * takes over the files and tells the other. The other answers by closing the link; from then on
 * this one speaks to the service manager, and is a master like any.
 *
 * If the other dies before that, this one goes on: somebody has to serve.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "master/private.h"
#include "os/fd.h"
#include "os/socket.h"

/* A number at *text, not negative, and what ends it; -1: there is none. Moves *text behind it. */
static int take_number(const char **text, char end)
{
    char *rest;
    long number;

    if (**text < '0' || **text > '9')
        return -1;
    number = strtol(*text, &rest, 10);
    if (*rest != end || number > INT_MAX)
        return -1;
    *text = rest + 1;
    return (int)number;
}

static int keep(struct mp_handover *handover, int fd, const char *spec, size_t length)
{
    struct mp_inherited *all =
        reallocarray(handover->inherited, handover->count + 1, sizeof(*handover->inherited));
    char *copy;
    int err;

    if (!all)
        return -ENOMEM;
    handover->inherited = all;
    err = mp_fd_set_cloexec(fd, true);
    if (err)
        return err;
    copy = strndup(spec, length);
    if (!copy)
        return -ENOMEM;
    all[handover->count++] = (struct mp_inherited){.fd = fd, .spec = copy};
    return 0;
}

int mp_master_inherit(struct mp_master *master, const char *text)
{
    struct mp_handover *handover = &master->handover;
    int version = take_number(&text, ' ');
    int link = version == 1 ? take_number(&text, '\n') : -1;
    int err = link < 3 ? -EINVAL : mp_fd_set_cloexec(link, true);

    if (!err)
        err = mp_fd_set_nonblock(link, true);
    if (err)
        return err;
    handover->link = link;
    handover->pending = true;
    while (*text && !err) {
        int fd = take_number(&text, ' ');
        const char *end = strchr(text, '\n');

        if (fd < 0 || !end)
            return -EINVAL;
        err = keep(handover, fd, text, (size_t)(end - text));
        text = end + 1;
    }
    return err;
}

int mp_handover_take(struct mp_master *master, const char *spec)
{
    struct mp_handover *handover = &master->handover;

    for (size_t i = 0; i < handover->count; i++) {
        struct mp_inherited *one = &handover->inherited[i];

        if (one->fd >= 0 && strcmp(one->spec, spec) == 0) {
            int fd = one->fd;

            one->fd = -1;
            return fd;
        }
    }
    return -1;
}

void mp_handover_done(struct mp_master *master)
{
    struct mp_handover *handover = &master->handover;

    for (size_t i = 0; i < handover->count; i++) {
        handover->less = handover->less || handover->inherited[i].fd >= 0;
        mp_fd_close(&handover->inherited[i].fd);
        free(handover->inherited[i].spec);
    }
    free(handover->inherited);
    handover->inherited = NULL;
    handover->count = 0;
}

static void tell(const struct mp_master *master, enum mp_upgrade_verb verb)
{
    const struct mp_upgrade_message message = {.verb = (uint32_t)verb};

    if (master->handover.link >= 0)
        (void)mp_socket_send_msg(master->handover.link, &message, sizeof(message), -1);
}

void mp_handover_begin(struct mp_master *master)
{
    tell(master, MP_UPGRADE_HERE);
    if (master->handover.less)
        tell(master, MP_UPGRADE_LESS);
}

/* The files first, so that they have an owner at any time. */
void mp_handover_claim(struct mp_master *master)
{
    struct mp_handover *handover = &master->handover;

    if (!handover->pending)
        return;
    handover->pending = false;
    mp_listeners_claim(master);
    mp_control_socket_open(master, true);
    tell(master, MP_UPGRADE_READY);
}

/* The other waits for the end of the link, so that it is not the last to have the sockets. With
 * workers that serve this one has them longest, and empties their queues: nothing is to be waited
 * for. Without, the link ends with this process. */
static void on_stop(struct mp_master *master, bool quick, int64_t now)
{
    mp_stop_ask(master, quick || !master->ever_ready, "the master before this one stops", now);
    if (master->stage == MP_STAGE_DRAINING && master->ever_ready)
        mp_fd_close(&master->handover.link);
}

/* The other has not waited for READY. If that is on its way, it counts. */
static void on_late(struct mp_master *master, int64_t now)
{
    if (master->handover.pending)
        mp_stop_ask(master, !master->ever_ready,
                    "the master before this one does not wait any longer", now);
}

static void on_end(struct mp_master *master, int64_t now)
{
    mp_fd_close(&master->handover.link);
    mp_notify_speak(master, now);
    if (!master->handover.pending || master->stage != MP_STAGE_RUNNING)
        return;
    mp_log(&master->options.log, MP_LOG_WARNING,
           "the master before this one has ended: going on without it");
    mp_listeners_claim(master); /* they have no other owner now */
}

void mp_handover_read(struct mp_master *master, int64_t now)
{
    struct mp_handover *handover = &master->handover;

    while (handover->link >= 0) {
        struct mp_upgrade_message message;
        ssize_t n = mp_socket_recv_msg(handover->link, &message, sizeof(message), NULL);

        if (n == -EAGAIN)
            return;
        if (n == sizeof(message) && message.verb == MP_UPGRADE_STOP)
            on_stop(master, false, now);
        else if (n == sizeof(message) && message.verb == MP_UPGRADE_QUIT)
            on_stop(master, true, now);
        else if (n == sizeof(message) && message.verb == MP_UPGRADE_LATE)
            on_late(master, now);
        else if (n <= 0 && n != -EMSGSIZE)
            on_end(master, now);
    }
}
