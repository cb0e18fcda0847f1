/* SPDX-License-Identifier: MIT */
/* Includes the file under test over a close_range() that a sandbox forbids. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static int fails_with; /* errno of close_range(); 0: it works */

static int test_close_range(unsigned first, unsigned last, int flags)
{
    if (fails_with) {
        errno = fails_with;
        return -1;
    }
    return close_range(first, last, flags);
}

#define close_range test_close_range
#include "os/fd_close_others.c"
#undef close_range

#include "scratch.h"

enum {
    HIGHEST = 60,
};

struct wanted {
    const int *keep;
    size_t count;
};

/* In a child: opens 3..HIGHEST, closes the others, looks at each number. */
static void check_closing(void *argument)
{
    const struct wanted *wanted = argument;
    int source = open("/dev/null", O_RDONLY);

    for (int fd = 3; fd <= HIGHEST; fd++)
        CHECK(fd == source || dup2(source, fd) == fd);
    CHECK_OK(mp_fd_close_others(wanted->keep, wanted->count));
    for (int fd = 0; fd <= HIGHEST; fd++) {
        bool open = fcntl(fd, F_GETFD) != -1;

        CHECK_EQ(open, fd < 3 || is_kept(fd, wanted->keep, wanted->count));
    }
}

static void check_lists(void)
{
    static const int few[] = {3, 7, 8, 9, 40, HIGHEST};
    static const int inner[] = {20};
    static const int standard[] = {0, 1, 2, 2, 5, 5};
    static const int negative[] = {-1, 12};
    static const int beyond[] = {4, INT_MAX};
    const struct wanted lists[] = {
        {NULL, 0},
        {few, mp_array_size(few)},
        {inner, mp_array_size(inner)},
        {standard, mp_array_size(standard)},
        {negative, mp_array_size(negative)},
        {beyond, mp_array_size(beyond)},
    };

    for (size_t i = 0; i < mp_array_size(lists); i++)
        in_child(check_closing, (void *)&lists[i]);
}

TEST(all_but_the_kept_are_closed)
{
    check_lists();
}

TEST(all_but_the_kept_are_closed_without_close_range)
{
    fails_with = ENOSYS;
    check_lists();
    fails_with = EPERM;
    check_lists();
}

FAIL_TEST(unsorted_list_aborts)
{
    mp_fd_close_others((const int[]){5, 4}, 2);
}
