/* SPDX-License-Identifier: MIT */
/* Changes of files in folders; see inotify.h. */
#include "os/inotify.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "os/fd.h"

/* CLOSE_WRITE and not MODIFY: what is being written is of no use yet. ATTRIB: times that were set.
 */
#define OF_FILES (IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB)

int mp_inotify_init(struct mp_inotify *self)
{
    self->at = 0;
    self->size = 0;
    self->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return self->fd < 0 ? -errno : 0;
}

void mp_inotify_done(struct mp_inotify *self)
{
    mp_fd_close(&self->fd);
}

int mp_inotify_watch(struct mp_inotify *self, const char *folder)
{
    int watch = inotify_add_watch(self->fd, folder, OF_FILES | IN_MOVE_SELF | IN_ONLYDIR);

    return watch < 0 ? -errno : watch;
}

/* The next one in the buffer; false: there is none. name is of the buffer. */
static bool take(struct mp_inotify *self, struct inotify_event *ret, const char **ret_name)
{
    if (self->size - self->at < sizeof(*ret))
        return false;
    memcpy(ret, self->buffer + self->at, sizeof(*ret));
    self->at += sizeof(*ret);
    if (ret->len > self->size - self->at)
        return false; /* the kernel cuts none in two */
    *ret_name = self->buffer + self->at;
    self->at += ret->len;
    return true;
}

/* False: of no interest. */
static bool translate(struct mp_inotify *self, const struct inotify_event *event, const char *name,
                      struct mp_inotify_event *ret)
{
    *ret = (struct mp_inotify_event){.watch = event->wd};
    if (event->mask & IN_Q_OVERFLOW) {
        ret->what = MP_INOTIFY_LOST;
        return true;
    }
    if (event->mask & IN_IGNORED) {
        ret->what = MP_INOTIFY_GONE;
        return true;
    }
    if (event->mask & IN_MOVE_SELF) {
        /* The watch would follow the folder to its new name; IN_IGNORED comes instead. */
        (void)inotify_rm_watch(self->fd, event->wd);
        return false;
    }
    if (event->len == 0 || !memchr(name, '\0', event->len))
        return false; /* of the folder itself */
    ret->what = MP_INOTIFY_CHANGED;
    ret->name = name;
    return true;
}

/* 1, 0 when there is nothing, or -errno. */
static int fill(struct mp_inotify *self)
{
    ssize_t n = mp_fd_read(self->fd, self->buffer, sizeof(self->buffer));

    self->at = 0;
    self->size = n > 0 ? (size_t)n : 0;
    if (n == -EAGAIN)
        return 0;
    return n > 0 ? 1 : (int)n;
}

int mp_inotify_next(struct mp_inotify *self, struct mp_inotify_event *ret_event)
{
    struct mp_inotify_event found;
    struct inotify_event event;
    const char *name;

    for (;;) {
        while (take(self, &event, &name)) {
            if (translate(self, &event, name, &found)) {
                *ret_event = found;
                return 1;
            }
        }
        int r = fill(self);

        if (r <= 0)
            return r;
    }
}
