/* SPDX-License-Identifier: MIT */
/*
 * The C test runner: what a test file includes and all it needs.
 *
 *     TEST(list_is_empty_at_first) { ... CHECK(...); ... }
 *
 * registers itself through a linker section, so there is no list of tests to keep. main() is in the
 * runner. Every test runs in a process of its own, in a process group of its own, under a time
 * limit, and must leave as many descriptors, threads and shared mappings as it found, no child
 * process, and nothing new named millpond* in /dev/shm. What it leaves is a failure, and is ended.
 *
 * The program: `test-x` runs all, `test-x NAME...` those, `test-x --list` lists. The last line is
 * "N passed, N failed"; the exit code is 0 when none failed. Under a debugger the time limit and
 * the leak checks are off, and a single named test runs in the program's own process.
 */
#ifndef MP_TEST_RUNNER_H
#define MP_TEST_RUNNER_H

#include <stddef.h>
#include <stdint.h>

#ifdef NDEBUG
#error "tests are built without NDEBUG: an assertion that is compiled out checks nothing"
#endif

struct mp_test {
    const char *name;
    const char *file;
    int line;
    int must_fail;
    void (*run)(void);
};

/* Pointers, not structures, go to the section: their size is the same for every compiler and
 * sanitizer, so that the section reads as an array. */
#define MP_TEST_REGISTER(test_name, fails)                                                         \
    static void test_##test_name(void);                                                            \
    static const struct mp_test mp_test_##test_name = {#test_name, __FILE__, __LINE__, fails,      \
                                                       test_##test_name};                          \
    static const struct mp_test *const mp_test_entry_##test_name                                   \
        __attribute__((used, section("mp_tests"))) = &mp_test_##test_name;                         \
    static void test_##test_name(void)

/* A test: passes when its body returns and nothing is left behind. */
#define TEST(name) MP_TEST_REGISTER(name, 0)

/* A test of a test: passes when it would have failed. */
#define FAIL_TEST(name) MP_TEST_REGISTER(name, 1)

/* Seconds that this test may take, counted from its start; any value replaces the default of 20.
 * Sanitizer builds and MP_TEST_TIME_FACTOR multiply it. */
#define TEST_BUDGET(seconds) mp_test_budget(seconds)

/* The checks end the calling process at once when they do not hold. In a process that a test has
 * forked itself, that is the forked one: the test must look at its exit status. */
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : mp_test_fail(__FILE__, __LINE__, "CHECK(%s)", #condition))
#define CHECK_EQ(a, b)                                                                             \
    mp_test_check_eq((intmax_t)(a), (intmax_t)(b), __FILE__, __LINE__, #a ", " #b)
#define CHECK_STR(a, b) mp_test_check_str(a, b, __FILE__, __LINE__, #a ", " #b)
#define CHECK_MEM(a, b, n) mp_test_check_mem(a, b, n, __FILE__, __LINE__, #a ", " #b ", " #n)
#define CHECK_OK(result) mp_test_check_ok((intmax_t)(result), __FILE__, __LINE__, #result)

/* Fails the test with a message of its own. */
#define TEST_FAIL(...) mp_test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Non-zero in a build with AddressSanitizer or ThreadSanitizer: for tests that size themselves. */
int mp_test_is_sanitized(void);

void mp_test_budget(unsigned seconds);
void mp_test_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
void mp_test_check_eq(intmax_t a, intmax_t b, const char *file, int line, const char *what);
void mp_test_check_str(const char *a, const char *b, const char *file, int line, const char *what);
void mp_test_check_mem(const void *a, const void *b, size_t n, const char *file, int line,
                       const char *what);
void mp_test_check_ok(intmax_t result, const char *file, int line, const char *what);

#endif
