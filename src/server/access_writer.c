/* SPDX-License-Identifier: MIT */
/* See access_writer.h. */
#include "server/access_writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "event/wakeup.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/process.h"
#include "server/access_log.h"

#define END_PAUSE MP_NSEC_PER_MSEC

struct mp_access_writer {
    struct mp_access_log *log;
    struct mp_wakeup wakeup;
    pthread_t id;
    /* Relaxed: the wakeup, a system call at both ends, comes after it, and is looked at before. */
    _Atomic bool stop;
    /* Release, acquire: who sees it may free what the thread has used. The join would do; this says
     * that it will not wait. */
    _Atomic bool ended;
};

static void *writer_main(void *arg)
{
    struct mp_access_writer *writer = arg;
    struct pollfd entry = {.fd = writer->wakeup.fd, .events = POLLIN};
    bool stop = false;
    mp_thread_set_name("mp-access-log");
    while (!stop) {
        int64_t now = mp_clock_now();
        int64_t next = mp_access_log_next_look(writer->log, now);
        (void)mp_poll(&entry, 1, next == INT64_MAX ? -1 : next - now);
        mp_wakeup_clear(&writer->wakeup);
        stop = atomic_load_explicit(&writer->stop, memory_order_relaxed);
        mp_access_log_write(writer->log);
    }
    atomic_store_explicit(&writer->ended, true, memory_order_release);
    return NULL;
}

int mp_access_writer_new(struct mp_access_log *log, struct mp_access_writer **ret_writer)
{
    struct mp_access_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    writer->log = log;
    int r = mp_wakeup_init(&writer->wakeup);
    if (r == 0) {
        r = -pthread_create(&writer->id, NULL, writer_main, writer);
        if (r < 0)
            mp_wakeup_done(&writer->wakeup);
    }
    if (r < 0)
        free(writer);
    else
        *ret_writer = writer;
    return r;
}

void mp_access_writer_poke(struct mp_access_writer *writer)
{
    mp_wakeup_signal(&writer->wakeup);
}

bool mp_access_writer_stop(struct mp_access_writer *writer, int64_t patience)
{
    if (!writer)
        return true;
    atomic_store_explicit(&writer->stop, true, memory_order_relaxed);
    mp_wakeup_signal(&writer->wakeup);
    int64_t end = mp_clock_now() + patience;
    while (patience >= 0 && !atomic_load_explicit(&writer->ended, memory_order_acquire)) {
        if (mp_clock_now() >= end)
            return false;
        (void)mp_poll(NULL, 0, END_PAUSE);
    }
    pthread_join(writer->id, NULL);
    mp_wakeup_done(&writer->wakeup);
    free(writer);
    return true;
}
