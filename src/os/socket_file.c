/* SPDX-License-Identifier: MIT */
/*
 * Whose file a socket's file is. A master that upgrades or restarts on the same path would
 * otherwise remove the socket of its successor, and a forked child the socket of its parent.
 * Between the look and the removal a successor may still come: link-by-descriptor removal does not
 * exist.
 */
#include "os/socket_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The path, absolute: the process may change its directory before it removes the file. */
static int absolute_path(const char *name, char **ret_path)
{
    char directory[PATH_MAX];
    size_t size;
    char *path;

    directory[0] = '\0';
    if (name[0] != '/' && !getcwd(directory, sizeof(directory)))
        return -errno;
    size = strlen(directory) + 1 + strlen(name) + 1;
    path = malloc(size);
    if (!path)
        return -ENOMEM;
    snprintf(path, size, "%s%s%s", directory, directory[0] ? "/" : "", name);
    *ret_path = path;
    return 0;
}

int mp_socket_file_init(struct mp_socket_file *ret_file, const struct mp_sockaddr *addr)
{
    struct stat info;
    char *path = NULL;
    int err;

    memset(ret_file, 0, sizeof(*ret_file));
    if (addr->any.sa_family != AF_UNIX || addr->len <= offsetof(struct sockaddr_un, sun_path) ||
        addr->un.sun_path[0] == '\0')
        return 0;
    if (lstat(addr->un.sun_path, &info) == -1)
        return -errno;
    err = absolute_path(addr->un.sun_path, &path);
    if (err)
        return err;
    ret_file->path = path;
    ret_file->device = info.st_dev;
    ret_file->inode = info.st_ino;
    ret_file->owner = getpid();
    return 0;
}

bool mp_socket_file_exists(const struct mp_socket_file *file)
{
    struct stat info;

    return file->path && lstat(file->path, &info) == 0 && S_ISSOCK(info.st_mode) &&
           info.st_dev == file->device && info.st_ino == file->inode;
}

void mp_socket_file_done(struct mp_socket_file *file)
{
    if (file->owner == getpid() && mp_socket_file_exists(file))
        (void)unlink(file->path);
    mp_socket_file_forget(file);
}

void mp_socket_file_forget(struct mp_socket_file *file)
{
    free(file->path);
    file->path = NULL;
}
