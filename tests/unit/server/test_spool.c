/* SPDX-License-Identifier: MIT */
/* The worker's temporary files: bounds on their number and size, and that the books balance. */
#include <errno.h>
#include <pthread.h>

#include "os/clock.h"
#include "runner.h"
#include "server/spool.h"

static const char bytes[4096];

TEST(number_of_files_is_bounded)
{
    struct mp_spool spool;
    mp_spool_init(&spool, "/tmp", 2, 0);
    int one = mp_spool_open(&spool);
    int two = mp_spool_open(&spool);
    CHECK(one >= 0 && two >= 0);
    CHECK_EQ(mp_spool_open(&spool), -EDQUOT);
    CHECK_EQ(spool.files, 2);
    mp_spool_close(&spool, &one, 0);
    CHECK_EQ(one, -1);
    mp_spool_close(&spool, &one, 0); /* harmless */
    CHECK_EQ(spool.files, 1);
    one = mp_spool_open(&spool);
    CHECK(one >= 0);
    mp_spool_close(&spool, &one, 0);
    mp_spool_close(&spool, &two, 0);
    CHECK_EQ(spool.files, 0);
}

TEST(size_of_all_files_is_bounded_exactly)
{
    struct mp_spool spool;
    mp_spool_init(&spool, "/tmp", 0, 6000);
    int one = mp_spool_open(&spool);
    int two = mp_spool_open(&spool);
    CHECK_OK(mp_spool_write(&spool, one, bytes, 4000, 0));
    CHECK_EQ(mp_spool_write(&spool, two, bytes, 2001, 0), -EDQUOT);
    CHECK_OK(mp_spool_write(&spool, two, bytes, 2000, 0));
    CHECK_EQ(mp_spool_write(&spool, two, bytes, 1, 2000), -EDQUOT);
    CHECK_EQ(spool.size, 6000);
    mp_spool_close(&spool, &one, 4000);
    CHECK_EQ(spool.size, 2000);
    mp_spool_release(&spool, 500);
    mp_spool_close(&spool, &two, 1500);
    CHECK_EQ(spool.size, 0);
}

TEST(what_fails_is_not_accounted_for)
{
    struct mp_spool spool;
    mp_spool_init(&spool, "/nonexistent/dir", 0, 0);
    CHECK_EQ(mp_spool_open(&spool), -ENOENT);
    CHECK_EQ(spool.files, 0);
    CHECK_EQ(mp_spool_write(&spool, -1, bytes, 100, 0), -EBADF);
    CHECK_EQ(spool.size, 0);
}

TEST(log_is_told_now_and_then)
{
    struct mp_spool spool;
    mp_spool_init(&spool, "/tmp", 0, 0);
    CHECK(mp_spool_report_due(&spool, MP_NSEC_PER_SEC));
    CHECK(!mp_spool_report_due(&spool, 2 * MP_NSEC_PER_SEC));
    CHECK(mp_spool_report_due(&spool, 6 * MP_NSEC_PER_SEC));
}

static void *churn(void *arg)
{
    struct mp_spool *spool = arg;
    for (int i = 0; i < 300; i++) {
        int fd = mp_spool_open(spool);
        if (fd < 0)
            continue;
        int r = mp_spool_write(spool, fd, bytes, 1000, 0);
        mp_spool_close(spool, &fd, r == 0 ? 1000 : 0);
    }
    return NULL;
}

TEST(many_threads_leave_nothing)
{
    struct mp_spool spool;
    pthread_t threads[4];
    mp_spool_init(&spool, "/tmp", 3, 2500);
    for (int i = 0; i < 4; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, churn, &spool));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(spool.files, 0);
    CHECK_EQ(spool.size, 0);
}
