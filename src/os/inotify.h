/* SPDX-License-Identifier: MIT */
/*
 * Changes of the files in folders, as the kernel tells them (inotify). They are hints: events of
 * one file are merged, and may be lost (MP_INOTIFY_LOST), so who wants to know what a file is like
 * looks at it. Nothing is told of folders on other machines, and nothing of what is in folders
 * within.
 */
#ifndef MP_OS_INOTIFY_H
#define MP_OS_INOTIFY_H

#include <limits.h>
#include <stddef.h>
#include <sys/inotify.h>

enum mp_inotify_what {
    MP_INOTIFY_CHANGED, /* a file of that name was written, made, renamed, removed, or its times set
                         */
    MP_INOTIFY_GONE,    /* the folder was removed or renamed: the watch has ended */
    MP_INOTIFY_LOST,    /* anything may have changed in any folder */
};

struct mp_inotify_event {
    enum mp_inotify_what what;
    int watch;        /* not with LOST */
    const char *name; /* with CHANGED; until the next call */
};

/* fd polls as readable when there are events. */
struct mp_inotify {
    int fd;
    size_t at;   /* of the next event in the buffer */
    size_t size; /* of what is in it */
    _Alignas(struct inotify_event) char buffer[4 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
};

/* 0 or -errno; -EMFILE also when the user has as many as fs.inotify.max_user_instances. */
int mp_inotify_init(struct mp_inotify *self);
void mp_inotify_done(struct mp_inotify *self);

/* The number of the folder's watch (that it has already, if it is watched), or -errno; -ENOSPC: the
 * user has as many as fs.inotify.max_user_watches. */
int mp_inotify_watch(struct mp_inotify *self, const char *folder);

/* 1 with an event, 0 when there are none, or -errno. Does not wait. */
int mp_inotify_next(struct mp_inotify *self, struct mp_inotify_event *ret_event);

#endif
