/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets: opened before the first fork, closed when stopping begins (the workers
 * have their own descriptors and serve what the kernel has queued; when the last of them closes,
 * new clients are refused rather than left waiting). The files of UNIX sockets stay until the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "master/private.h"
#include "os/fd.h"
#include "os/socket.h"

/* Room for one more; fails before anything has been opened. */
static int reserve(struct mp_master *master)
{
    size_t count = master->listener_count + 1;
    struct mp_listen_socket *listeners;
    struct mp_socket_file *files;
    char **specs;

    listeners = reallocarray(master->listeners, count, sizeof(*listeners));
    if (!listeners)
        return -ENOMEM;
    master->listeners = listeners;
    files = reallocarray(master->files, count, sizeof(*files));
    if (!files)
        return -ENOMEM;
    master->files = files;
    specs = reallocarray(master->specs, count, sizeof(*specs));
    if (!specs)
        return -ENOMEM;
    master->specs = specs;
    return 0;
}

/* What an inherited socket lacks, for the protocol that is to be served on it; NULL: see errno. */
static const char *what_is_wrong(bool datagrams, int err)
{
    switch (err) {
    case -EINVAL:
        return datagrams ? "this descriptor is a socket that is not bound"
                         : "this descriptor is a socket that does not listen";
    case -ENOTSOCK:
    case -EPROTOTYPE:
        return datagrams ? "this descriptor is no datagram socket"
                         : "this descriptor is no stream socket";
    default:
        return NULL;
    }
}

/* A duplicate of the inherited descriptor: whoever passed it may close it, or not. */
static int adopt(int inherited, bool datagrams, const char **ret_why)
{
    int fd = mp_fd_dup(inherited);
    int err;

    if (fd < 0)
        return fd;
    err = datagrams ? mp_socket_adopt_datagram(fd) : mp_socket_adopt(fd);
    if (err == 0)
        return fd;
    *ret_why = what_is_wrong(datagrams, err);
    mp_fd_close(&fd);
    return err;
}

/* Datagram sockets are the program's, and only handed over. */
static int open_listener(const struct mp_master *master, int inherited,
                         const struct mp_sockaddr *addr, int backlog, const char **ret_why)
{
    const struct mp_listen_options options = {.backlog = backlog,
                                              .access = master->options.socket_access};
    bool datagrams = master->options.worker.protocol == MP_PROTOCOL_DATAGRAM;

    if (inherited >= 0)
        return adopt(inherited, datagrams, ret_why);
    if (!datagrams)
        return mp_socket_listen(addr, &options);
    *ret_why = "a datagram socket must be passed as fd://N";
    return -EINVAL;
}

int mp_master_bind(struct mp_master *master, const char *spec, int backlog, const char **ret_why)
{
    struct mp_listen_socket listener = {.fd = -1};
    struct mp_socket_file file = {0};
    char *copy = NULL;
    int inherited = -1;
    int handed;
    int err;

    *ret_why = NULL;
    err = reserve(master);
    if (err)
        return err;
    /* Of a socket that was handed over only the name is left: fd://3 may be anything by now. */
    handed = mp_handover_take(master, spec);
    if (handed < 0)
        err = mp_sockaddr_parse(spec, &listener.addr, &inherited, ret_why);
    if (err)
        return err;
    listener.fd =
        open_listener(master, handed >= 0 ? handed : inherited, &listener.addr, backlog, ret_why);
    if (listener.fd >= 0 && inherited < 0 && handed < 0)
        err = mp_socket_file_init(&file, &listener.addr);
    mp_fd_close(&handed);
    if (listener.fd < 0)
        return listener.fd;
    if (err == 0)
        err = mp_socket_local(listener.fd, &listener.addr);
    copy = err == 0 ? strdup(spec) : NULL;
    if (err == 0 && !copy)
        err = -ENOMEM;
    if (err) {
        mp_socket_file_done(&file);
        mp_fd_close(&listener.fd);
        return err;
    }
    master->specs[master->listener_count] = copy;
    master->listeners[master->listener_count] = listener;
    master->files[master->listener_count++] = file;
    return 0;
}

/* Of one that is not there any more nothing is to be removed. */
void mp_listeners_claim(struct mp_master *master)
{
    for (size_t i = 0; i < master->listener_count; i++) {
        if (!master->files[i].path && strncmp(master->specs[i], "fd:", 3) != 0)
            (void)mp_socket_file_init(&master->files[i], &master->listeners[i].addr);
    }
}

void mp_listeners_disown(struct mp_master *master)
{
    for (size_t i = 0; i < master->listener_count; i++)
        mp_socket_file_forget(&master->files[i]);
}

void mp_listeners_close(struct mp_master *master)
{
    for (size_t i = 0; i < master->listener_count; i++)
        mp_fd_close(&master->listeners[i].fd);
}

void mp_listeners_done(struct mp_master *master)
{
    mp_listeners_close(master);
    for (size_t i = 0; i < master->listener_count; i++) {
        mp_socket_file_done(&master->files[i]);
        free(master->specs[i]);
    }
    free(master->listeners);
    free(master->files);
    free(master->specs);
    master->listeners = NULL;
    master->files = NULL;
    master->specs = NULL;
    master->listener_count = 0;
}
