/* SPDX-License-Identifier: MIT */
/*
 * The control socket: through it `millpond status`, `top` and `dump` see and steer a running pool.
 *
 * The master does what it is asked at once and answers in one packet. A client costs a descriptor
 * and nothing else: nothing is kept for it, no answer waits for it (one that does not read is
 * dropped), and there are few of them. So none can hold up the master, whatever it does.
 *
 * Who may: the file is of mode 0600, and in its usual place in a folder of mode 0700; and whoever
 * has connected must be the master's user, or root. What such a client may do it could do to the
 * processes anyhow.
 */
#include "master/control_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "master/control_protocol.h"
#include "master/control_text.h"
#include "master/private.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/private.h"
#include "os/shm.h"
#include "os/socket.h"

enum {
    BACKLOG = 16,
    /* Of one client at a time: it shall not keep the master busy. */
    REQUESTS_MOST = 8,
};

/* Between two looks whether the file is still there. */
#define FILE_LOOK (5 * MP_NSEC_PER_SEC)
/* Until accept is tried again when there was no descriptor for it. */
#define ACCEPT_PAUSE MP_NSEC_PER_SEC

struct answer {
    struct mp_control_answer head;
    char text[MP_CONTROL_TEXT_SIZE];
};

void mp_control_socket_init(struct mp_control_socket *control)
{
    memset(control, 0, sizeof(*control));
    control->listener = -1;
    for (size_t i = 0; i < MP_CONTROL_CLIENTS; i++)
        control->clients[i].fd = -1;
}

/* ---- the socket --------------------------------------------------------------------------- */

/* The option names a socket, or, with a slash at its end, a folder in which it is to be. 0 or
 * -errno. */
static int choose_path(const struct mp_master *master, char *path, size_t size)
{
    const char *wanted = master->options.control_socket;
    size_t length = strlen(wanted);
    int n;

    if (length == 0 || wanted[length - 1] != '/') {
        n = snprintf(path, size, "%s", wanted);
    } else {
        n = snprintf(path, size, "%.*s", (int)length - 1, wanted);
        if (n >= 0 && (size_t)n < size) {
            int err = mp_private_folder(path);

            if (err)
                return err;
        }
        n = snprintf(path, size, "%s%d.sock", wanted, (int)master->pid);
    }
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int open_socket(struct mp_master *master, bool replace, char *path, size_t size)
{
    struct mp_control_socket *control = &master->control;
    struct mp_sockaddr addr;
    int err = choose_path(master, path, size);

    if (err)
        return err;
    if (!mp_shm_is_sealed(mp_scoreboard_fd(master->board)))
        return -EOPNOTSUPP; /* whoever is given it could write to it */
    if (replace)
        mp_private_unlink(path);
    control->listener = mp_private_listen(path, BACKLOG, &addr);
    if (control->listener < 0)
        return control->listener;
    err = mp_socket_file_init(&control->file, &addr);
    if (err)
        mp_fd_close(&control->listener);
    control->look_at = mp_clock_now() + FILE_LOOK;
    return err;
}

static const char *reason(int err)
{
    switch (err) {
    case -EPERM:
        return "the folder is another user's, or open to others";
    case -EADDRINUSE:
        return "another process listens there";
    case -EEXIST:
        return "there is a file that is no socket";
    case -ENAMETOOLONG:
        return "the path is longer than a socket's can be";
    default:
        return strerrordesc_np(-err);
    }
}

void mp_control_socket_open(struct mp_master *master, bool replace)
{
    char path[MP_SOCKADDR_TEXT] = "";
    int err;

    if (!master->options.control_socket)
        return;
    err = open_socket(master, replace, path, sizeof(path));
    if (!err)
        return;
    master->control.listener = -1;
    mp_log(&master->options.log, MP_LOG_WARNING,
           "no control socket, so millpond status, top and dump cannot see this server: %s: %s",
           path[0] ? path : master->options.control_socket, reason(err));
}

void mp_control_socket_done(struct mp_control_socket *control)
{
    for (size_t i = 0; i < MP_CONTROL_CLIENTS; i++)
        mp_fd_close(&control->clients[i].fd);
    mp_fd_close(&control->listener);
    mp_socket_file_done(&control->file);
}

/* ---- what is asked ------------------------------------------------------------------------ */

/* The end of a request that cannot be done; the text is for people. */
static void MP_PRINTF(3, 4) refuse(struct answer *answer, int status, const char *format, ...)
{
    va_list arguments;

    answer->head.status = status;
    va_start(arguments, format);
    vsnprintf(answer->text, sizeof(answer->text), format, arguments);
    va_end(arguments);
}

static void add_workers(struct mp_master *master, int by, struct answer *answer)
{
    int err = by == 1 || by == -1 ? mp_crew_resize(master, by, "a client of the control socket")
                                  : -EINVAL;

    answer->head.value = (int32_t)master->target;
    if (err == -ENOSPC)
        refuse(answer, ENOSPC, "max-concurrency %u leaves no room for another worker",
               master->options.worker.max_concurrency);
    else if (err == -ERANGE)
        refuse(answer, ERANGE, "there are %u workers, of 1 to %u", master->target,
               master->options.workers_max);
    else if (err == -EINVAL)
        refuse(answer, EINVAL, "one worker more or less at a time");
    else if (err)
        refuse(answer, -err, "the server is stopping");
}

/* The worker of a number, or NULL with the answer that says so. */
static struct mp_worker_handle *find_worker(struct mp_master *master, int number,
                                            struct answer *answer)
{
    struct mp_worker_handle *handle = NULL;

    if (number >= 1 && (unsigned)number <= master->slots)
        handle = &master->workers[number - 1];
    if (handle && handle->pid > 0)
        return handle;
    refuse(answer, ESRCH, "there is no worker %d", number);
    return NULL;
}

static void retire(struct mp_master *master, int number, struct answer *answer)
{
    struct mp_worker_handle *handle = find_worker(master, number, answer);

    if (!handle)
        return;
    answer->head.value = (int32_t)handle->pid;
    if (master->stage != MP_STAGE_RUNNING)
        refuse(answer, ESHUTDOWN, "the server is stopping");
    else if (!mp_crew_retire(master, handle, MP_RETIRE_ASKED))
        refuse(answer, EALREADY, "worker %d does not serve, or retires already", number);
}

static void dump(struct mp_master *master, int number, int fd, struct answer *answer)
{
    const struct mp_worker_message message = {.verb = MP_WORKER_DUMP};
    const struct mp_worker_handle *handle = find_worker(master, number, answer);

    if (!handle)
        return;
    answer->head.value = (int32_t)handle->pid;
    if (fd < 0)
        refuse(answer, EBADF, "no descriptor to write to came with it");
    else if (handle->control < 0 ||
             mp_socket_send_msg(handle->control, &message, sizeof(message), fd) != 0)
        refuse(answer, EAGAIN, "worker %d does not listen to its master", number);
}

static void reload(struct mp_master *master, struct answer *answer, int64_t now)
{
    if (mp_reload_ask(master, "a client of the control socket", now) == 0)
        answer->head.value = (int32_t)master->reload.asked;
    else
        refuse(answer, ESHUTDOWN, "the server is stopping");
}

static void act(struct mp_master *master, const struct mp_control_request *request, int fd,
                struct answer *answer, int64_t now)
{
    answer->head.verb = request->verb;
    switch (request->verb) {
    case MP_CONTROL_HELLO:
        mp_control_text_describe(master, answer->text, sizeof(answer->text));
        break;
    case MP_CONTROL_WORKERS:
        add_workers(master, request->value, answer);
        break;
    case MP_CONTROL_RETIRE:
        retire(master, request->value, answer);
        break;
    case MP_CONTROL_DUMP:
        dump(master, request->value, fd, answer);
        break;
    case MP_CONTROL_RELOAD:
        reload(master, answer, now);
        break;
    default:
        refuse(answer, ENOSYS,
               "this server (millpond " MP_CONTROL_SERVER ") does not know what request %u is",
               request->verb);
        break;
    }
}

/* ---- the clients -------------------------------------------------------------------------- */

/* A client that does not read its answers is dropped. */
static void send_answer(struct mp_control_client *client, const struct answer *answer, int fd)
{
    size_t size = sizeof(answer->head) + strnlen(answer->text, sizeof(answer->text));

    if (mp_socket_send_msg(client->fd, answer, size, fd) != 0)
        mp_fd_close(&client->fd);
}

static void answer_request(struct mp_master *master, struct mp_control_client *client,
                           const struct mp_control_request *request, int fd, int64_t now)
{
    struct answer answer;
    int board = -1;

    answer.head =
        (struct mp_control_answer){.magic = MP_CONTROL_MAGIC, .version = MP_CONTROL_VERSION};
    answer.text[0] = '\0';
    if (request->version != MP_CONTROL_VERSION)
        refuse(&answer, EPROTONOSUPPORT,
               "this server (millpond " MP_CONTROL_SERVER
               ") speaks version %u of the control protocol, not %u",
               MP_CONTROL_VERSION, request->version);
    else
        act(master, request, fd, &answer, now);
    if (request->verb == MP_CONTROL_HELLO && answer.head.status == 0)
        board = mp_scoreboard_fd(master->board);
    send_answer(client, &answer, board);
}

/* Something that is no request: who sends it is no client of ours. */
static void answer_garbage(struct mp_control_client *client)
{
    struct answer answer = {
        .head = {.magic = MP_CONTROL_MAGIC, .version = MP_CONTROL_VERSION, .status = EBADMSG},
        .text = "this is no request of the control protocol",
    };

    send_answer(client, &answer, -1);
    mp_fd_close(&client->fd);
}

static void hear(struct mp_master *master, struct mp_control_client *client, int64_t now)
{
    for (int i = 0; i < REQUESTS_MOST && client->fd >= 0; i++) {
        struct mp_control_request request;
        int fd = -1;
        ssize_t n = mp_socket_recv_msg(client->fd, &request, sizeof(request), &fd);

        if (n == -EAGAIN)
            return;
        client->heard = ++master->control.turn;
        if (n == 0 || (n < 0 && n != -EMSGSIZE && n != -EMFILE))
            mp_fd_close(&client->fd);
        else if (n != (ssize_t)sizeof(request) || request.magic != MP_CONTROL_MAGIC)
            answer_garbage(client);
        else
            answer_request(master, client, &request, fd, now);
        mp_fd_close(&fd);
    }
}

/* A free place; if there is none, that of the client that has been silent longest. */
static struct mp_control_client *find_place(struct mp_control_socket *control)
{
    struct mp_control_client *found = &control->clients[0];

    for (size_t i = 0; i < MP_CONTROL_CLIENTS; i++) {
        struct mp_control_client *client = &control->clients[i];

        if (client->fd < 0)
            return client;
        if (client->heard < found->heard)
            found = client;
    }
    mp_fd_close(&found->fd);
    return found;
}

/* One in each step of the loop: others wait in the kernel. */
static void accept_client(struct mp_master *master, int64_t now)
{
    struct mp_control_socket *control = &master->control;
    struct mp_control_client *place;
    int fd = mp_socket_accept(control->listener, NULL);

    if (fd < 0) {
        /* An error that stays would have the loop run without a pause. */
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
            control->paused_until = now + ACCEPT_PAUSE;
        return;
    }
    if (!mp_private_peer(fd)) {
        mp_log(&master->options.log, MP_LOG_WARNING,
               "the control socket has turned away another user's process");
        mp_fd_close(&fd);
        return;
    }
    place = find_place(control);
    place->fd = fd;
    place->heard = ++control->turn;
}

/* ---- for the loop ------------------------------------------------------------------------- */

unsigned mp_control_socket_fill_polls(const struct mp_control_socket *control, struct pollfd *polls)
{
    unsigned count = 0;

    if (control->listener >= 0 && !control->paused_until)
        polls[count++] = (struct pollfd){.fd = control->listener, .events = POLLIN};
    for (size_t i = 0; i < MP_CONTROL_CLIENTS; i++) {
        if (control->clients[i].fd >= 0)
            polls[count++] = (struct pollfd){.fd = control->clients[i].fd, .events = POLLIN};
    }
    return count;
}

/* Clients first: an accept may give one's place to another. Nothing here opens a descriptor while
 * entries are compared, except that accept, which comes last. */
void mp_control_socket_read(struct mp_master *master, const struct pollfd *polls, unsigned count,
                            int64_t now)
{
    struct mp_control_socket *control = &master->control;
    bool more = false;

    for (unsigned i = 0; i < count; i++) {
        if (!polls[i].revents)
            continue;
        if (polls[i].fd == control->listener)
            more = true;
        for (size_t j = 0; j < MP_CONTROL_CLIENTS; j++) {
            if (control->clients[j].fd == polls[i].fd) {
                hear(master, &control->clients[j], now);
                break;
            }
        }
    }
    if (more)
        accept_client(master, now);
}

int64_t mp_control_socket_next_look(const struct mp_control_socket *control)
{
    int64_t next = control->paused_until ? control->paused_until : MP_HANDLE_NEVER;

    if (control->listener >= 0 && control->look_at < next)
        next = control->look_at;
    return next;
}

/* Whoever cleans up /tmp, or the folder, takes the file with it; those who are connected stay. A
 * master that follows this one may have taken the path over. */
static void look_at_file(struct mp_master *master, int64_t now)
{
    struct mp_control_socket *control = &master->control;

    control->look_at = now + FILE_LOOK;
    if (mp_socket_file_exists(&control->file) || master->upgrade.pid != 0)
        return;
    mp_log(&master->options.log, MP_LOG_WARNING,
           "the control socket's file %s was removed: making it anew", control->file.path);
    mp_fd_close(&control->listener);
    mp_socket_file_done(&control->file);
    mp_control_socket_open(master, false);
}

void mp_control_socket_tick(struct mp_master *master, int64_t now)
{
    struct mp_control_socket *control = &master->control;

    if (now >= control->paused_until)
        control->paused_until = 0;
    if (control->listener >= 0 && now >= control->look_at)
        look_at_file(master, now);
}
