/* SPDX-License-Identifier: MIT */
/* Between the files of the test runner; test files include runner.h only. */
#ifndef MP_TEST_RUNNER_PRIVATE_H
#define MP_TEST_RUNNER_PRIVATE_H

#include <stddef.h>

/* Exit statuses of a test's process, away from those that tests and sanitizers use. */
enum {
    MP_TEST_EXIT_CHECK = 101, /* a check did not hold */
    MP_TEST_EXIT_LEAK = 102,  /* the body returned, but something was left behind */
};

/* Names of shared memory that the runner's own tests make: with the program's pid behind it. */
#define MP_TEST_SHM_PREFIX "millpond-runner-test-"

/* What a process holds, counted. */
struct mp_test_census {
    int fds;
    int threads;
    int shared_mappings;
    int shm_names;
};

/* Non-zero when a debugger traces this process. */
int mp_test_is_debugged(void);

/* Counts what the calling process holds now. */
void mp_test_census_take(struct mp_test_census *census);

/* Compares with an earlier count, allowing ended threads a moment to vanish, and looks for child
 * processes. Prints a line for each kind of leak to stderr. Returns the number of kinds. */
int mp_test_census_compare(const struct mp_test_census *before);

/* Kills and reaps every child of the calling process, adopted ones too. Returns their number. */
int mp_test_end_children(void);

#endif
