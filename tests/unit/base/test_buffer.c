/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The file under test, with an allocator that can be told to fail. */
static bool no_memory;
static unsigned allocations;

static void *test_realloc(void *old, size_t size)
{
    allocations++;
    return no_memory ? NULL : realloc(old, size);
}

#define realloc test_realloc
#include "base/buffer.c"
#undef realloc

#include "support/runner.h"

TEST(new_buffer_holds_nothing)
{
    struct mp_buffer buffer;

    mp_buffer_init(&buffer);
    CHECK(buffer.data == NULL);
    CHECK_EQ(buffer.len, 0);
    CHECK_OK(mp_buffer_append(&buffer, NULL, 0));
    mp_buffer_consume(&buffer, 0);
    CHECK_EQ(allocations, 0);
    mp_buffer_done(&buffer);
    mp_buffer_done(&buffer);
}

TEST(append_keeps_what_was_there)
{
    struct mp_buffer buffer;

    mp_buffer_init(&buffer);
    CHECK_OK(mp_buffer_append(&buffer, "mill", 4));
    CHECK_OK(mp_buffer_append(&buffer, "pond", 4));
    CHECK_EQ(buffer.len, 8);
    CHECK_MEM(buffer.data, "millpond", 8);
    mp_buffer_consume(&buffer, 4);
    CHECK_EQ(buffer.len, 4);
    CHECK_MEM(buffer.data, "pond", 4);
    mp_buffer_consume(&buffer, 4);
    CHECK_EQ(buffer.len, 0);
    mp_buffer_done(&buffer);
    CHECK(buffer.data == NULL);
    CHECK_EQ(buffer.cap, 0);
}

TEST(reserve_makes_room_without_changing_the_length)
{
    struct mp_buffer buffer;
    char *data;

    mp_buffer_init(&buffer);
    CHECK_OK(mp_buffer_reserve(&buffer, 1000));
    CHECK(buffer.cap >= 1000);
    CHECK_EQ(buffer.len, 0);
    data = buffer.data;
    CHECK_OK(mp_buffer_reserve(&buffer, 1000));
    CHECK(buffer.data == data);
    CHECK_EQ(allocations, 1);
    memset(buffer.data, 'x', 1000); /* AddressSanitizer's business */
    mp_buffer_done(&buffer);
}

TEST(growth_is_by_doubling)
{
    struct mp_buffer buffer;

    mp_buffer_init(&buffer);
    for (int i = 0; i < 1 << 20; i++)
        CHECK_OK(mp_buffer_append(&buffer, "x", 1));
    CHECK_EQ(buffer.len, 1 << 20);
    CHECK(allocations <= 20);
    mp_buffer_done(&buffer);
}

TEST(want_of_memory_changes_nothing)
{
    struct mp_buffer buffer;
    struct mp_buffer before;
    char big[1000] = "";

    mp_buffer_init(&buffer);
    CHECK_OK(mp_buffer_append(&buffer, "pond", 4));
    before = buffer;
    no_memory = true;
    CHECK_EQ(mp_buffer_append(&buffer, big, sizeof(big)), -ENOMEM);
    CHECK_EQ(mp_buffer_reserve(&buffer, 100000), -ENOMEM);
    CHECK_MEM(&buffer, &before, sizeof(buffer));
    CHECK_MEM(buffer.data, "pond", 4);
    no_memory = false;
    CHECK_OK(mp_buffer_append(&buffer, big, sizeof(big)));
    CHECK_EQ(buffer.len, 4 + sizeof(big));
    mp_buffer_done(&buffer);
}

TEST(sizes_that_overflow_are_refused)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 3, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX};
    struct mp_buffer buffer;

    mp_buffer_init(&buffer);
    CHECK_OK(mp_buffer_append(&buffer, "pond", 4));
    for (size_t i = 0; i < mp_array_size(sizes); i++)
        CHECK_EQ(mp_buffer_reserve(&buffer, sizes[i]), -ENOMEM);
    CHECK_EQ(allocations, 1);
    CHECK_MEM(buffer.data, "pond", 4);
    mp_buffer_done(&buffer);
}

FAIL_TEST(consuming_more_than_there_is_aborts)
{
    struct mp_buffer buffer;

    mp_buffer_init(&buffer);
    CHECK_OK(mp_buffer_append(&buffer, "pond", 4));
    mp_buffer_consume(&buffer, 5);
}

/* Random appends and removals beside a position in an endless known stream. */
TEST(random_use_keeps_the_stream)
{
    struct mp_buffer buffer;
    unsigned char piece[700];
    unsigned in = 0;
    unsigned out = 0;

    srand(11);
    mp_buffer_init(&buffer);
    for (int step = 0; step < 5000; step++) {
        size_t n = (size_t)rand() % sizeof(piece);

        if (rand() % 2) {
            for (size_t i = 0; i < n; i++)
                piece[i] = (unsigned char)(in++ * 31 >> 3);
            CHECK_OK(mp_buffer_append(&buffer, piece, n));
        } else {
            n = n < buffer.len ? n : buffer.len;
            for (size_t i = 0; i < n; i++)
                CHECK_EQ((unsigned char)buffer.data[i], (unsigned char)(out++ * 31 >> 3));
            mp_buffer_consume(&buffer, n);
        }
        CHECK_EQ(buffer.len, in - out);
        CHECK(buffer.len <= buffer.cap);
    }
    mp_buffer_done(&buffer);
}
