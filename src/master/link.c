/* SPDX-License-Identifier: MIT */
/*
 * The link to the program that embeds the master, its parent.
 *
 * Two descriptors tell of the parent's end, because neither does alone: other children of the
 * parent may have inherited its end of the link, and then it stays open; and a parent may close the
 * link and live on. Each is closed when it has told its end, which would be readable for ever.
 *
 * The signals are taken as soon as the master is embedded, and not only when it runs: it may wait
 * for GO for hours, and a Ctrl-C meant for its parent must not reach it meanwhile.
 */
#include <errno.h>
#include <unistd.h>

#include "master/private.h"
#include "os/fd.h"
#include "os/poll.h"
#include "os/process.h"
#include "os/socket.h"

void mp_link_close(struct mp_master *master)
{
    mp_fd_close(&master->link);
    mp_fd_close(&master->parent_fd);
}

/* A pid may be another process by now: only if it is still our parent after its descriptor was
 * opened, the descriptor is our parent's. */
static int open_parent(struct mp_master *master, pid_t parent)
{
    int fd = mp_process_pidfd(parent);

    if (fd < 0)
        return fd;
    master->parent_fd = fd;
    return getppid() == parent ? 0 : -ESRCH;
}

int mp_master_embed(struct mp_master *master, int link, pid_t parent)
{
    int err;

    master->pid = getpid();
    master->link = link;
    err = mp_signals_take(master);
    if (!err)
        err = mp_fd_set_cloexec(link, true);
    if (!err)
        err = mp_fd_set_nonblock(link, true);
    if (!err)
        err = open_parent(master, parent);
    if (err) {
        mp_link_close(master);
        mp_signals_give_back(master);
        return err;
    }
    master->embedded = true;
    return 0;
}

/* If it cannot be sent, the parent is gone (its end tells), or does not read what few messages
 * there are. */
void mp_link_tell(struct mp_master *master, enum mp_link_verb verb, uint32_t value)
{
    const struct mp_link_message message = {.verb = (uint32_t)verb, .value = value};

    if (master->link >= 0)
        (void)mp_socket_send_msg(master->link, &message, sizeof(message), -1);
}

/* The next message that is one of ours: 1; -EAGAIN: none yet; 0: the link has ended and is closed.
 */
static int receive(struct mp_master *master, struct mp_link_message *message)
{
    while (master->link >= 0) {
        ssize_t n = mp_socket_recv_msg(master->link, message, sizeof(*message), NULL);

        if (n == (ssize_t)sizeof(*message))
            return 1;
        if (n == -EAGAIN)
            return -EAGAIN;
        if (n <= 0 && n != -EMSGSIZE && n != -EMFILE)
            mp_fd_close(&master->link);
    }
    return 0;
}

void mp_link_read(struct mp_master *master, int64_t now)
{
    struct mp_link_message message;
    int got;

    while ((got = receive(master, &message)) > 0) {
        if (message.verb == MP_LINK_STOP)
            mp_stop_ask(master, message.value == 1, "the program asks to stop", now);
    }
    if (got == 0)
        mp_stop_ask(master, true, "the program has closed its link", now);
}

void mp_link_on_parent_end(struct mp_master *master, int64_t now)
{
    mp_fd_close(&master->parent_fd);
    mp_stop_ask(master, true, "the program has ended", now);
}

/* ---- waiting for GO ----------------------------------------------------------------------- */

/* What the link says: 1 go, 0 do not, -EAGAIN nothing yet. */
static int ask_link(struct mp_master *master)
{
    struct mp_link_message message;
    int got;

    while ((got = receive(master, &message)) > 0) {
        if (message.verb == MP_LINK_GO)
            return 1;
        if (message.verb == MP_LINK_STOP)
            return 0;
    }
    return got;
}

static bool was_told_to_end(struct mp_master *master)
{
    int signo;

    while ((signo = mp_signal_fd_read(master->signal_fd, NULL)) > 0) {
        if (signo == SIGTERM)
            return true;
    }
    return false;
}

bool mp_master_await_go(struct mp_master *master)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = master->link, .events = POLLIN},
                               {.fd = master->parent_fd, .events = POLLIN},
                               {.fd = master->signal_fd, .events = POLLIN}};
        int answer = ask_link(master);

        if (answer >= 0)
            return answer > 0;
        if (mp_poll(fds, 3, -1) <= 0)
            continue;
        if (fds[1].revents || (fds[2].revents && was_told_to_end(master)))
            return false;
    }
}
