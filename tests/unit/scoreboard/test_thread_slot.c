/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scoreboard/scoreboard.h"
#include "scoreboard/sequence.h"
#include "support/runner.h"

static const unsigned char address_v4[4] = {10, 0, 0, 9};
static const unsigned char address_v6[16] = {[15] = 1};

static void begin(struct mp_sb_thread *slot, int64_t now, const char *method, const char *path)
{
    mp_sb_thread_begin(slot, now, method, strlen(method), path, strlen(path), address_v4,
                       sizeof(address_v4), 50000);
}

TEST(untouched_slot_reads_as_no_thread)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;

    memset(&view, 0xff, sizeof(view));
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_NONE);
    CHECK(!view.torn);
    CHECK_EQ(view.since, 0);
    CHECK_EQ(view.requests, 0);
    CHECK_STR(view.method, "");
    CHECK_STR(view.path, "");
    CHECK_STR(view.peer, "");
}

TEST(request_is_shown_and_counted)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;

    begin(&slot, 1234, "GET", "/report?year=2026");
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_WORKING);
    CHECK_EQ(view.since, 1234);
    CHECK_EQ(view.requests, 1);
    CHECK_STR(view.method, "GET");
    CHECK_STR(view.path, "/report?year=2026");
    CHECK_STR(view.peer, "10.0.0.9");
    /* What was longer before leaves nothing behind. */
    begin(&slot, 2345, "PUT", "/");
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.requests, 2);
    CHECK_STR(view.path, "/");
}

TEST(state_changes_keep_the_request)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;

    begin(&slot, 10, "GET", "/x");
    mp_sb_thread_set_state(&slot, MP_SB_THREAD_LEADING, 20);
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_LEADING);
    CHECK_EQ(view.since, 20);
    CHECK_EQ(view.requests, 1);
    CHECK_STR(view.path, "/x");
}

TEST(long_texts_are_cut_at_every_length)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;
    char text[300];

    memset(text, 'a', sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n++) {
        size_t method_len = n < MP_SB_METHOD_SIZE ? n : MP_SB_METHOD_SIZE;
        size_t path_len = n < MP_SB_PATH_SIZE ? n : MP_SB_PATH_SIZE;

        mp_sb_thread_begin(&slot, 1, text, n, text, n, NULL, 0, 0);
        mp_sb_thread_read(&slot, &view);
        CHECK_EQ(strlen(view.method), method_len);
        CHECK_EQ(strlen(view.path), path_len);
        CHECK_MEM(view.path, text, path_len);
        CHECK_STR(view.peer, "unix");
    }
}

TEST(peers_of_all_families)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;
    unsigned char longest[16];

    mp_sb_thread_begin(&slot, 1, "GET", 3, "/", 1, address_v6, 16, 80);
    mp_sb_thread_read(&slot, &view);
    CHECK_STR(view.peer, "::1");
    memset(longest, 0xfe, sizeof(longest));
    mp_sb_thread_begin(&slot, 1, "GET", 3, "/", 1, longest, 16, 80);
    mp_sb_thread_read(&slot, &view);
    CHECK_STR(view.peer, "fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe");
}

TEST(client_is_the_peer_with_its_port)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;
    char text[MP_SB_CLIENT_TEXT];

    mp_sb_thread_read(&slot, &view);
    CHECK_STR(mp_sb_thread_client(&view, text, sizeof(text)), "");
    mp_sb_thread_begin(&slot, 1, "TCP", 3, "", 0, address_v4, 4, 4711);
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.port, 4711);
    CHECK_STR(mp_sb_thread_client(&view, text, sizeof(text)), "10.0.0.9:4711");
    mp_sb_thread_begin(&slot, 1, "TCP", 3, "", 0, address_v6, 16, 65535);
    mp_sb_thread_read(&slot, &view);
    CHECK_STR(mp_sb_thread_client(&view, text, sizeof(text)), "[::1]:65535");
    mp_sb_thread_begin(&slot, 1, "UNIX", 4, "", 0, NULL, 0, 0);
    mp_sb_thread_read(&slot, &view);
    CHECK_STR(mp_sb_thread_client(&view, text, sizeof(text)), "unix");
}

FAIL_TEST(address_of_another_length_aborts)
{
    const struct rlimit no_core = {0, 0};
    struct mp_sb_thread slot = {0};

    setrlimit(RLIMIT_CORE, &no_core);
    mp_sb_thread_begin(&slot, 1, "GET", 3, "/", 1, address_v6, 7, 80);
}

TEST(state_that_no_writer_makes_reads_as_none)
{
    struct mp_sb_thread slot = {.state = 4000000000u};
    struct mp_sb_thread_view view;

    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_NONE);
}

TEST(stuck_is_marked_only_at_the_request_that_was_meant)
{
    struct mp_sb_thread slot = {0};
    struct mp_sb_thread_view view;

    begin(&slot, 100, "GET", "/slow");
    CHECK(!mp_sb_thread_mark_stuck(&slot, 99));
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_WORKING);
    CHECK(mp_sb_thread_mark_stuck(&slot, 100));
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_STUCK);
    CHECK_EQ(view.since, 100);
    CHECK_STR(view.path, "/slow");
    CHECK(!mp_sb_thread_mark_stuck(&slot, 100)); /* it is already */
    mp_sb_thread_set_state(&slot, MP_SB_THREAD_READY, 200);
    CHECK(!mp_sb_thread_mark_stuck(&slot, 200)); /* it is not in a handler */
    mp_sb_thread_read(&slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_READY);
}

/* A request whose words can all be computed from its number, so that a mixed copy shows. */
static void begin_numbered(struct mp_sb_thread *slot, uint64_t number)
{
    char method[MP_SB_METHOD_SIZE];
    char path[MP_SB_PATH_SIZE];
    unsigned char address[16];
    char letter = (char)('a' + number % 26);

    memset(method, letter, sizeof(method));
    memset(path, letter, sizeof(path));
    memset(address, letter, sizeof(address));
    mp_sb_thread_begin(slot, (int64_t)number, method, sizeof(method), path, sizeof(path), address,
                       sizeof(address), 1);
}

static void check_numbered(const struct mp_sb_thread_view *view)
{
    uint64_t number = (uint64_t)view->since;
    char letter = (char)('a' + number % 26);

    CHECK_EQ(view->requests, number);
    for (int i = 0; i < MP_SB_METHOD_SIZE; i++)
        CHECK_EQ(view->method[i], letter);
    for (int i = 0; i < MP_SB_PATH_SIZE; i++)
        CHECK_EQ(view->path[i], letter);
    CHECK_EQ(strtoul(view->peer, NULL, 16), (unsigned)letter * 257u);
}

struct shared {
    struct mp_sb_thread slot;
    _Atomic int stop;
    uint64_t rounds;
};

static void *write_requests(void *argument)
{
    struct shared *shared = argument;

    for (uint64_t number = 1; number <= shared->rounds; number++) {
        begin_numbered(&shared->slot, number);
        if (number % 64 == 0)
            sched_yield(); /* requests take time, too: a reader needs a gap */
    }
    atomic_store(&shared->stop, 1);
    return NULL;
}

TEST(copies_are_consistent_beside_a_writer)
{
    struct shared shared = {.rounds = mp_test_is_sanitized() ? 50000 : 1000000};
    struct mp_sb_thread_view view;
    pthread_t thread;
    uint64_t last = 0;
    unsigned good = 0;

    TEST_BUDGET(40);
    begin_numbered(&shared.slot, 0);
    atomic_store(&shared.slot.requests, 0);
    CHECK_OK(pthread_create(&thread, NULL, write_requests, &shared));
    do {
        mp_sb_thread_read(&shared.slot, &view);
        if (view.torn)
            continue;
        good++;
        check_numbered(&view);
        CHECK(view.requests >= last);
        last = view.requests;
    } while (!atomic_load(&shared.stop));
    CHECK_OK(pthread_join(thread, NULL));
    mp_sb_thread_read(&shared.slot, &view);
    CHECK(!view.torn);
    CHECK_EQ(view.requests, shared.rounds);
    CHECK(good > 0);
}

static void *mark_stuck_all_the_time(void *argument)
{
    struct shared *shared = argument;
    uintptr_t marked = 0;

    while (!atomic_load(&shared->stop)) {
        struct mp_sb_thread_view view;

        mp_sb_thread_read(&shared->slot, &view);
        CHECK(view.torn || view.state != MP_SB_THREAD_NONE);
        if (view.state == MP_SB_THREAD_WORKING)
            marked += mp_sb_thread_mark_stuck(&shared->slot, view.since);
    }
    return (void *)marked;
}

/* The control thread's marks disturb neither the sequence nor the thread's own states. */
TEST(marking_races_with_the_thread)
{
    struct shared shared = {.rounds = mp_test_is_sanitized() ? 20000 : 300000};
    struct mp_sb_thread_view view;
    pthread_t thread;
    void *marked;

    TEST_BUDGET(40);
    mp_sb_thread_set_state(&shared.slot, MP_SB_THREAD_READY, 0);
    CHECK_OK(pthread_create(&thread, NULL, mark_stuck_all_the_time, &shared));
    for (uint64_t number = 1; number <= shared.rounds; number++) {
        begin_numbered(&shared.slot, number);
        mp_sb_thread_read(&shared.slot, &view);
        CHECK(!view.torn);
        check_numbered(&view);
        mp_sb_thread_set_state(&shared.slot, MP_SB_THREAD_READY, (int64_t)number);
    }
    atomic_store(&shared.stop, 1);
    CHECK_OK(pthread_join(thread, &marked));
    mp_sb_thread_read(&shared.slot, &view);
    CHECK_EQ(view.state, MP_SB_THREAD_READY);
    CHECK_EQ(atomic_load(&shared.slot.sequence) % 2, 0);
}

/* A process that writes until it is killed, at any moment; now and then in the middle of a write.
 */
static struct shared *kill_a_writer(unsigned microseconds)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    CHECK(shared != MAP_FAILED);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (uint64_t number = 1;; number++) {
            begin_numbered(&shared->slot, number);
            for (volatile int pause = 0; pause < 100; pause++)
                ;
        }
    }
    while (atomic_load(&shared->slot.requests) == 0)
        usleep(100);
    usleep(microseconds);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    return shared;
}

TEST(slot_of_a_killed_writer_is_readable_and_torn_if_it_was_inside)
{
    TEST_BUDGET(40);
    for (unsigned i = 0; i < 40; i++) {
        struct shared *shared = kill_a_writer(i * 37);
        struct mp_sb_thread_view view;

        mp_sb_thread_read(&shared->slot, &view);
        CHECK_EQ(view.torn, atomic_load(&shared->slot.sequence) % 2);
        if (!view.torn)
            check_numbered(&view);
        /* The slot's next owner begins without a reset: the slot is whole again. */
        begin(&shared->slot, 5, "GET", "/next");
        mp_sb_thread_read(&shared->slot, &view);
        CHECK(!view.torn);
        CHECK_STR(view.path, "/next");
        CHECK_OK(munmap(shared, sizeof(*shared)));
    }
}

/* The same without luck: the writer stops itself between the two halves. */
TEST(writer_killed_inside_is_torn_and_what_it_wrote_is_shown)
{
    struct mp_sb_thread *slot =
        mmap(NULL, sizeof(*slot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct mp_sb_thread_view view;
    int status;
    pid_t pid;

    CHECK(slot != MAP_FAILED);
    begin(slot, 77, "GET", "/last");
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        mp_sequence_write_begin(&slot->sequence);
        kill(getpid(), SIGKILL);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    mp_sb_thread_read(slot, &view);
    CHECK(view.torn);
    CHECK_EQ(view.state, MP_SB_THREAD_WORKING);
    CHECK_EQ(view.since, 77);
    CHECK_STR(view.path, "/last");
    CHECK_OK(munmap(slot, sizeof(*slot)));
}
