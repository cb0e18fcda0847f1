/* SPDX-License-Identifier: MIT */
/* The output queue, over a pair of sockets with a small buffer: order, partial sends, references,
 * files, the spool, and what happens when something fails. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/fd.h"
#include "runner.h"
#include "server/output.h"
#include "server/spool.h"

enum { UNBOUNDED = 1 << 30, TOTAL_MAX = 4 << 20 };

/* A queue with its socket, and everything that was appended and received. */
struct rig {
    struct mp_output output;
    struct mp_litter litter;
    struct mp_spool spool;
    int ours;
    int theirs;
    char *expected;
    size_t expected_size;
    char *got;
    size_t got_size;
};

static void rig_init(struct rig *rig)
{
    int pair[2];
    int small = 4096;
    memset(rig, 0, sizeof(*rig));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    rig->ours = pair[0];
    rig->theirs = pair[1];
    rig->expected = malloc(TOTAL_MAX);
    rig->got = malloc(TOTAL_MAX);
    mp_output_init(&rig->output);
    mp_spool_init(&rig->spool, "/tmp", 0, 0);
}

static void rig_done(struct rig *rig)
{
    mp_output_done(&rig->output, &rig->litter);
    CHECK_EQ(rig->spool.files, 0);
    CHECK_EQ(rig->spool.size, 0);
    close(rig->ours);
    close(rig->theirs);
    free(rig->expected);
    free(rig->got);
}

static void pattern(struct rig *rig, char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)((rig->expected_size + i) * 31 / 7);
    CHECK(rig->expected_size + n <= TOTAL_MAX);
    memcpy(rig->expected + rig->expected_size, bytes, n);
    rig->expected_size += n;
}

static void add_copy(struct rig *rig, size_t n)
{
    char *bytes = malloc(n + 1);
    pattern(rig, bytes, n);
    CHECK_OK(mp_output_copy(&rig->output, bytes, n));
    memset(bytes, '!', n); /* it is a copy */
    free(bytes);
}

static char *add_ref(struct rig *rig, size_t n)
{
    char *bytes = malloc(n);
    pattern(rig, bytes, n);
    CHECK_OK(mp_output_keep(&rig->output, bytes, n, bytes));
    return bytes;
}

static void add_file(struct rig *rig, size_t n, size_t offset)
{
    char *bytes = malloc(n);
    int fd = memfd_create("file", MFD_CLOEXEC);
    pattern(rig, bytes, n);
    CHECK_OK(mp_fd_pwrite_all(fd, bytes, n, offset));
    CHECK_OK(mp_output_file(&rig->output, fd, offset, n));
    free(bytes);
}

static void receive(struct rig *rig, size_t at_most)
{
    while (at_most > 0) {
        ssize_t n = recv(rig->theirs, rig->got + rig->got_size, at_most, MSG_DONTWAIT);
        if (n <= 0)
            return;
        rig->got_size += (size_t)n;
        at_most -= (size_t)n;
    }
}

static int send_some(struct rig *rig, const char *first, size_t n, uint64_t budget)
{
    uint64_t sent = 77;
    uint64_t before = rig->output.pending + n;
    int r = mp_output_send(&rig->output, rig->ours, first, n, budget, &sent, &rig->litter);
    if (r == 0 || r == -EAGAIN || r == -EBUSY)
        CHECK_EQ(rig->output.pending, before - sent);
    return r;
}

/* Sends and receives in steps until everything is through; then compares. */
static void pump(struct rig *rig, size_t step)
{
    int r;
    while ((r = send_some(rig, NULL, 0, UNBOUNDED)) == -EAGAIN)
        receive(rig, step);
    CHECK_OK(r);
    receive(rig, TOTAL_MAX);
    CHECK_EQ(rig->got_size, rig->expected_size);
    CHECK_MEM(rig->got, rig->expected, rig->expected_size);
    CHECK(mp_output_empty(&rig->output));
    CHECK_EQ(rig->output.pending, 0);
    CHECK_EQ(rig->output.memory, 0);
}

static unsigned litter_count(struct mp_litter *litter, void *wanted)
{
    void *refs[3];
    unsigned count = 0;
    size_t n;
    while ((n = mp_litter_take(litter, refs, 3)) > 0) {
        for (size_t i = 0; i < n; i++) {
            count += !wanted || refs[i] == wanted;
            free(refs[i]);
        }
    }
    return count;
}

TEST(empty_queue_sends_nothing)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_OK(send_some(&rig, NULL, 0, UNBOUNDED));
    rig_done(&rig);
}

TEST(small_copies_share_a_segment_and_keep_their_order)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 500; i++)
        add_copy(&rig, (size_t)(i % 37));
    CHECK_EQ(rig.output.pending, rig.expected_size);
    CHECK_EQ(rig.output.memory, rig.expected_size);
    pump(&rig, 1000);
    rig_done(&rig);
}

TEST(appending_to_a_segment_that_is_sent_in_part)
{
    struct rig rig;
    rig_init(&rig);
    add_copy(&rig, 20000);
    add_copy(&rig, 100);
    while (rig.output.pending > 50) {
        if (send_some(&rig, NULL, 0, UNBOUNDED) == 0)
            break;
        receive(&rig, 700);
        add_copy(&rig, 13);
    }
    pump(&rig, 700);
    rig_done(&rig);
}

TEST(more_segments_than_vectors)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 100; i++)
        add_ref(&rig, 300);
    pump(&rig, 5000);
    CHECK_EQ(litter_count(&rig.litter, NULL), 100);
    rig_done(&rig);
}

TEST(all_kinds_in_order)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 8; i++) {
        add_copy(&rig, 10);
        add_ref(&rig, 9000);
        add_file(&rig, 7000, (size_t)i * 1000);
        add_copy(&rig, 5000);
    }
    pump(&rig, 3001);
    CHECK_EQ(litter_count(&rig.litter, NULL), 8);
    rig_done(&rig);
}

TEST(reference_becomes_litter_once_and_only_when_sent)
{
    struct rig rig;
    rig_init(&rig);
    char *bytes = add_ref(&rig, 200000);
    CHECK_EQ(send_some(&rig, NULL, 0, UNBOUNDED), -EAGAIN);
    CHECK(rig.litter.head == NULL);
    pump(&rig, 10000);
    CHECK_EQ(litter_count(&rig.litter, bytes), 1);
    mp_output_done(&rig.output, &rig.litter);
    CHECK(rig.litter.head == NULL);
    rig_done(&rig);
}

TEST(done_makes_litter_of_what_was_not_sent)
{
    struct rig rig;
    rig_init(&rig);
    add_ref(&rig, 100000);
    add_file(&rig, 1000, 0);
    add_ref(&rig, 1000);
    CHECK_EQ(send_some(&rig, NULL, 0, UNBOUNDED), -EAGAIN);
    mp_output_done(&rig.output, &rig.litter);
    CHECK_EQ(litter_count(&rig.litter, NULL), 2);
    CHECK_EQ(rig.output.pending, 0);
    rig_done(&rig);
}

TEST(litter_is_merged_whole)
{
    struct rig a;
    struct rig b;
    rig_init(&a);
    rig_init(&b);
    for (int i = 0; i < 5; i++)
        add_ref(&a, 10);
    for (int i = 0; i < 7; i++)
        add_ref(&b, 10);
    mp_output_done(&a.output, &a.litter);
    mp_output_done(&b.output, &b.litter);
    mp_litter_merge(&a.litter, &b.litter);
    CHECK(b.litter.head == NULL);
    mp_litter_merge(&a.litter, &b.litter);
    CHECK_EQ(litter_count(&a.litter, NULL), 12);
    rig_done(&a);
    rig_done(&b);
}

static void first_of_size(size_t n, bool queue)
{
    struct rig rig;
    char *first = malloc(n);
    rig_init(&rig);
    pattern(&rig, first, n);
    if (queue) {
        add_copy(&rig, 3000);
        add_file(&rig, 3000, 0);
    }
    int r = send_some(&rig, first, n, UNBOUNDED);
    CHECK(r == 0 || r == -EAGAIN);
    memset(first, '!', n);
    pump(&rig, 999);
    free(first);
    rig_done(&rig);
}

TEST(first_bytes_precede_the_queue_however_little_is_taken)
{
    const size_t sizes[] = {1, 100, 4096, 30000, 70000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        first_of_size(sizes[i], false);
        first_of_size(sizes[i], true);
    }
}

TEST(first_bytes_before_a_full_socket_are_kept)
{
    struct rig rig;
    char first[100];
    rig_init(&rig);
    add_copy(&rig, 100000);
    CHECK_EQ(send_some(&rig, NULL, 0, UNBOUNDED), -EAGAIN);
    size_t left = rig.output.pending;
    memset(first, 'x', sizeof(first));
    CHECK_EQ(send_some(&rig, first, sizeof(first), UNBOUNDED), -EAGAIN);
    CHECK_EQ(rig.output.pending, left + sizeof(first));
    CHECK_EQ(rig.output.memory, left + sizeof(first));
    rig_done(&rig);
}

TEST(budget_bounds_files_only)
{
    struct rig rig;
    rig_init(&rig);
    add_copy(&rig, 500);
    add_file(&rig, 3000, 0);
    add_copy(&rig, 500);
    CHECK_EQ(send_some(&rig, NULL, 0, 1000), -EBUSY);
    CHECK_EQ(rig.output.pending, 2500);
    CHECK_EQ(send_some(&rig, NULL, 0, 0), -EBUSY);
    CHECK_EQ(rig.output.pending, 2500);
    CHECK_OK(send_some(&rig, NULL, 0, 2000));
    pump(&rig, 100);
    rig_done(&rig);
}

TEST(file_that_is_shorter_than_promised_loses_the_connection)
{
    struct rig rig;
    uint64_t sent;
    int fd = memfd_create("short", MFD_CLOEXEC);
    rig_init(&rig);
    CHECK_OK(mp_fd_pwrite_all(fd, "12345", 5, 0));
    CHECK_OK(mp_output_file(&rig.output, fd, 0, 10));
    CHECK_EQ(mp_output_send(&rig.output, rig.ours, NULL, 0, UNBOUNDED, &sent, &rig.litter), -EIO);
    CHECK_EQ(sent, 5);
    rig_done(&rig);
}

TEST(empty_file_is_closed_and_no_segment)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_OK(mp_output_file(&rig.output, memfd_create("empty", MFD_CLOEXEC), 0, 0));
    CHECK(mp_output_empty(&rig.output));
    rig_done(&rig);
}

TEST(peer_gone_is_an_error)
{
    struct rig rig;
    rig_init(&rig);
    add_ref(&rig, 100);
    add_file(&rig, 100, 0);
    shutdown(rig.theirs, SHUT_RDWR);
    CHECK_EQ(send_some(&rig, "head", 4, UNBOUNDED), -EPIPE);
    mp_output_done(&rig.output, &rig.litter);
    CHECK_EQ(litter_count(&rig.litter, NULL), 1);
    rig_done(&rig);
}

/* ---- the spool --------------------------------------------------------------------------- */

TEST(spill_moves_memory_to_the_file_in_place)
{
    struct rig rig;
    rig_init(&rig);
    add_copy(&rig, 10000);
    add_ref(&rig, 20000);
    add_file(&rig, 5000, 3);
    add_ref(&rig, 20000);
    uint64_t pending = rig.output.pending;
    CHECK_OK(mp_output_spill(&rig.output, &rig.spool, &rig.litter));
    CHECK_EQ(rig.output.memory, 0);
    CHECK_EQ(rig.output.pending, pending);
    CHECK_EQ(litter_count(&rig.litter, NULL), 2);
    add_copy(&rig, 3000);
    CHECK_EQ(rig.output.memory, 3000);
    pump(&rig, 4444);
    CHECK_EQ(rig.output.spool, -1);
    rig_done(&rig);
}

TEST(spill_between_partial_sends)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 60; i++) {
        add_ref(&rig, 9000);
        add_copy(&rig, 777);
        send_some(&rig, NULL, 0, 3000);
        receive(&rig, 2500);
        if (i % 3 == 0)
            CHECK_OK(mp_output_spill(&rig.output, &rig.spool, &rig.litter));
    }
    pump(&rig, 10000);
    CHECK_EQ(litter_count(&rig.litter, NULL), 60);
    rig_done(&rig);
}

static unsigned spool_segments(struct rig *rig)
{
    /* Each range costs one sendfile of the whole of it: with a budget of 1 byte, as many calls as
     * bytes; so count by sending range after range into a large socket. */
    unsigned ranges = 0;
    int big = 1 << 20;
    uint64_t sent;
    setsockopt(rig->ours, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    while (!mp_output_empty(&rig->output)) {
        struct mp_output before = rig->output;
        int r = mp_output_send(&rig->output, rig->ours, NULL, 0, 10000, &sent, &rig->litter);
        CHECK(r == 0 || r == -EBUSY);
        receive(rig, TOTAL_MAX);
        ranges += before.head != rig->output.head;
    }
    return ranges;
}

TEST(neighbouring_ranges_are_joined)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < 10; i++) {
        add_ref(&rig, 1000);
        CHECK_OK(mp_output_spill(&rig.output, &rig.spool, &rig.litter));
    }
    add_copy(&rig, 1000);
    CHECK_OK(mp_output_spill(&rig.output, &rig.spool, &rig.litter));
    CHECK_EQ(spool_segments(&rig), 1);
    CHECK_MEM(rig.got, rig.expected, rig.expected_size);
    CHECK_EQ(litter_count(&rig.litter, NULL), 10);
    rig_done(&rig);
}

TEST(spill_without_a_directory_changes_nothing)
{
    struct rig rig;
    rig_init(&rig);
    add_ref(&rig, 5000);
    rig.spool.dir = "/nonexistent/dir";
    CHECK_EQ(mp_output_spill(&rig.output, &rig.spool, &rig.litter), -ENOENT);
    CHECK_EQ(rig.output.memory, 5000);
    pump(&rig, 100);
    CHECK_EQ(litter_count(&rig.litter, NULL), 1);
    rig_done(&rig);
}

TEST(spill_to_a_full_disk_keeps_the_rest_in_memory)
{
    struct rig rig;
    struct rlimit limit = {.rlim_cur = 12000, .rlim_max = RLIM_INFINITY};
    rig_init(&rig);
    for (int i = 0; i < 5; i++)
        add_ref(&rig, 5000);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK_EQ(mp_output_spill(&rig.output, &rig.spool, &rig.litter), -EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK_EQ(rig.output.memory, 15000);
    pump(&rig, 2000);
    CHECK_EQ(litter_count(&rig.litter, NULL), 5);
    rig_done(&rig);
}

TEST(spill_beyond_the_bound_keeps_the_rest_in_memory)
{
    struct rig rig;
    rig_init(&rig);
    rig.spool.size_max = 12000;
    for (int i = 0; i < 5; i++)
        add_ref(&rig, 5000);
    CHECK_EQ(mp_output_spill(&rig.output, &rig.spool, &rig.litter), -EDQUOT);
    CHECK_EQ(rig.output.memory, 15000);
    CHECK_EQ(rig.spool.size, 10000);
    pump(&rig, 2000);
    CHECK_EQ(rig.spool.size, 0); /* the file is gone with its last byte */
    CHECK_EQ(litter_count(&rig.litter, NULL), 5);
    rig_done(&rig);
}

TEST(random_operations)
{
    struct rig rig;
    unsigned refs = 0;
    unsigned seed = 4711;
    rig_init(&rig);
    while (rig.expected_size < TOTAL_MAX - 40000) {
        switch (rand_r(&seed) % 7) {
        case 0:
        case 1:
            add_copy(&rig, (size_t)rand_r(&seed) % 9000);
            break;
        case 2:
            add_ref(&rig, 1 + (size_t)rand_r(&seed) % 30000);
            refs++;
            break;
        case 3:
            add_file(&rig, 1 + (size_t)rand_r(&seed) % 9000, (size_t)rand_r(&seed) % 5000);
            break;
        case 4:
            CHECK_OK(mp_output_spill(&rig.output, &rig.spool, &rig.litter));
            break;
        default:
            send_some(&rig, NULL, 0, (uint64_t)rand_r(&seed) % 20000);
            receive(&rig, (size_t)rand_r(&seed) % 20000);
        }
    }
    pump(&rig, 50000);
    CHECK_EQ(litter_count(&rig.litter, NULL), refs);
    rig_done(&rig);
}

FAIL_TEST(descriptor_of_a_dropped_queue_would_be_missed)
{
    struct mp_output output;
    mp_output_init(&output);
    CHECK_OK(mp_output_file(&output, memfd_create("left", MFD_CLOEXEC), 0, 1));
    free(output.head); /* without mp_output_done */
}
