/* SPDX-License-Identifier: MIT */
/* The worker's temporary files; see spool.h. */
#include "server/spool.h"

#include <errno.h>
#include <string.h>

#include "os/clock.h"
#include "os/fd.h"

#define REPORT_PAUSE (5 * MP_NSEC_PER_SEC)

void mp_spool_init(struct mp_spool *spool, const char *dir, unsigned files_max, uint64_t size_max)
{
    *spool = (struct mp_spool){.dir = dir, .files_max = files_max, .size_max = size_max};
}

int mp_spool_open(struct mp_spool *spool)
{
    unsigned before = atomic_fetch_add_explicit(&spool->files, 1, memory_order_relaxed);
    int fd = -EDQUOT;
    if (spool->files_max == 0 || before < spool->files_max)
        fd = mp_fd_tmpfile(spool->dir);
    if (fd < 0)
        atomic_fetch_sub_explicit(&spool->files, 1, memory_order_relaxed);
    return fd;
}

int mp_spool_write(struct mp_spool *spool, int fd, const void *data, size_t n, uint64_t offset)
{
    uint64_t before = atomic_fetch_add_explicit(&spool->size, n, memory_order_relaxed);
    int r = -EDQUOT;
    if (spool->size_max == 0 || (n <= spool->size_max && before <= spool->size_max - n))
        r = mp_fd_pwrite_all(fd, data, n, offset);
    if (r < 0)
        mp_spool_release(spool, n);
    return r;
}

void mp_spool_release(struct mp_spool *spool, uint64_t n)
{
    atomic_fetch_sub_explicit(&spool->size, n, memory_order_relaxed);
}

void mp_spool_close(struct mp_spool *spool, int *fd, uint64_t n)
{
    if (*fd < 0)
        return;
    mp_fd_close(fd);
    mp_spool_release(spool, n);
    atomic_fetch_sub_explicit(&spool->files, 1, memory_order_relaxed);
}

bool mp_spool_report_due(struct mp_spool *spool, int64_t now)
{
    int64_t at = atomic_load_explicit(&spool->report_at, memory_order_relaxed);
    /* Of several threads one has it. */
    return now >= at &&
           atomic_compare_exchange_strong_explicit(&spool->report_at, &at, now + REPORT_PAUSE,
                                                   memory_order_relaxed, memory_order_relaxed);
}

const char *mp_spool_error(int error)
{
    if (error == -EDQUOT)
        return "the limit of temporary files is reached (--limit-temp-files, --limit-temp-size, or "
               "a quota of the disk)";
    return strerror(-error);
}
