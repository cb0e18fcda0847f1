/* SPDX-License-Identifier: MIT */
/* A request's body: in place, in memory, in a file, and the step between the two. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runner.h"
#include "server/body.h"

static struct mp_spool spool = {.dir = "/tmp"};
static const struct mp_body_limits limits = {.memory = 10000, .spool = &spool};

static char at(uint64_t offset)
{
    return (char)(offset * 131 + (offset >> 9));
}

static void append(struct mp_body *body, size_t n)
{
    char *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = at(body->length + i);
    CHECK_OK(mp_body_append(body, bytes, n, &limits));
    free(bytes);
}

/* Everything that was appended is there, read in pieces of any size. */
static void verify(const struct mp_body *body, uint64_t length)
{
    const size_t steps[] = {1, 7, 4096, 1 << 20};
    char *bytes = malloc(1 << 20);
    CHECK_EQ(body->length, length);
    for (size_t s = length > 50000 ? 2 : 0; s < 4; s++) {
        uint64_t offset = 0;
        ssize_t n;
        while ((n = mp_body_read(body, offset, bytes, steps[s])) > 0) {
            for (ssize_t i = 0; i < n; i++)
                CHECK_EQ(bytes[i], at(offset + (uint64_t)i));
            offset += (uint64_t)n;
        }
        CHECK_EQ(n, 0);
        CHECK_EQ(offset, length);
    }
    CHECK_EQ(mp_body_read(body, length + 5, bytes, 10), 0);
    free(bytes);
}

TEST(empty)
{
    struct mp_body body;
    char byte;
    mp_body_init(&body);
    CHECK_EQ(mp_body_read(&body, 0, &byte, 1), 0);
    CHECK_OK(mp_body_append(&body, NULL, 0, &limits));
    CHECK_EQ(body.length, 0);
    mp_body_done(&body);
    mp_body_done(&body);
}

TEST(in_place_is_not_freed)
{
    static const char text[] = "in place";
    struct mp_body body;
    char copy[20];
    mp_body_init(&body);
    mp_body_in_place(&body, text, 8);
    CHECK_EQ(mp_body_read(&body, 3, copy, 20), 5);
    CHECK_MEM(copy, "place", 5);
    mp_body_done(&body);
}

TEST(appended_below_at_and_above_the_limit)
{
    const size_t totals[] = {1, 9999, 10000, 10001, 30000, 200000};
    const size_t steps[] = {1, 999, 10000, 70000};
    for (size_t t = 0; t < 6; t++) {
        for (size_t s = totals[t] > 30000 ? 1 : 0; s < 4; s++) {
            struct mp_body body;
            mp_body_init(&body);
            while (body.length < totals[t]) {
                size_t left = totals[t] - (size_t)body.length;
                append(&body, left < steps[s] ? left : steps[s]);
            }
            CHECK_EQ(body.fd >= 0, totals[t] > limits.memory);
            CHECK_EQ(body.memory != NULL, totals[t] <= limits.memory);
            verify(&body, totals[t]);
            mp_body_done(&body);
            CHECK_EQ(body.fd, -1);
        }
    }
}

TEST(expected_length_makes_room_to_receive_into)
{
    struct mp_body body;
    size_t room = 99;
    mp_body_init(&body);
    CHECK(mp_body_room(&body, &room) == NULL);
    CHECK_EQ(room, 0);
    CHECK_OK(mp_body_prepare(&body, 5000, &limits));
    append(&body, 100);
    while (body.length < 5000) {
        char *into = mp_body_room(&body, &room);
        CHECK(into);
        CHECK_EQ(room, 5000 - body.length);
        size_t n = room < 700 ? room : 700;
        for (size_t i = 0; i < n; i++)
            into[i] = at(body.length + i);
        mp_body_received(&body, n);
    }
    CHECK(mp_body_room(&body, &room) == NULL);
    verify(&body, 5000);
    mp_body_done(&body);
}

TEST(large_expected_length_costs_nothing_until_it_comes)
{
    struct mp_body body;
    size_t room;
    mp_body_init(&body);
    CHECK_OK(mp_body_prepare(&body, 10001, &limits));
    CHECK_EQ(body.fd, -1);
    CHECK_EQ(body.capacity, 0);
    CHECK(mp_body_room(&body, &room) == NULL);
    append(&body, 10000);
    CHECK_EQ(body.fd, -1);
    append(&body, 1);
    CHECK(body.fd >= 0);
    CHECK_EQ(spool.files, 1);
    CHECK_EQ(spool.size, 10001);
    verify(&body, 10001);
    mp_body_done(&body);
    CHECK_EQ(spool.files, 0);
    CHECK_EQ(spool.size, 0);
}

TEST(trimmed_memory_grows_again)
{
    struct mp_body body;
    size_t room;
    mp_body_init(&body);
    mp_body_trim(&body);
    CHECK_OK(mp_body_prepare(&body, 5000, &limits));
    mp_body_trim(&body);
    CHECK_EQ(body.capacity, 0);
    CHECK(mp_body_room(&body, &room) == NULL);
    append(&body, 100);
    mp_body_trim(&body);
    CHECK_EQ(body.capacity, 100);
    mp_body_trim(&body);
    append(&body, 4900);
    verify(&body, 5000);
    append(&body, 5001);
    mp_body_trim(&body);
    verify(&body, 10001);
    mp_body_done(&body);
}

TEST(no_directory)
{
    struct mp_spool nowhere_spool = {.dir = "/nonexistent/dir"};
    const struct mp_body_limits nowhere = {.memory = 10, .spool = &nowhere_spool};
    struct mp_body body;
    mp_body_init(&body);
    CHECK_OK(mp_body_prepare(&body, 11, &nowhere));
    CHECK_OK(mp_body_append(&body, "0123456789", 10, &nowhere));
    CHECK_EQ(mp_body_append(&body, "x", 1, &nowhere), -ENOENT);
    CHECK_EQ(body.length, 10);
    mp_body_done(&body);
}

TEST(full_disk)
{
    struct mp_body body;
    struct rlimit small = {.rlim_cur = 20000, .rlim_max = RLIM_INFINITY};
    char block[15000] = "";
    mp_body_init(&body);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_OK(mp_body_append(&body, block, sizeof(block), &limits));
    CHECK_EQ(mp_body_append(&body, block, sizeof(block), &limits), -EFBIG);
    CHECK_EQ(body.length, 15000);
    mp_body_done(&body);
}
