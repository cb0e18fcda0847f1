/* SPDX-License-Identifier: MIT */
/* The checks of runner.h: each says what was compared, both values, and ends the process. */
#include "runner.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runner_private.h"

void mp_test_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "      %s:%d: %s\n", file, line, text);
    fflush(stderr);
    if (mp_test_is_debugged())
        __builtin_trap();
    _exit(MP_TEST_EXIT_CHECK);
}

void mp_test_check_eq(intmax_t a, intmax_t b, const char *file, int line, const char *what)
{
    if (a != b)
        mp_test_fail(file, line, "CHECK_EQ(%s): %jd is not %jd", what, a, b);
}

void mp_test_check_ok(intmax_t result, const char *file, int line, const char *what)
{
    if (result == 0)
        return;
    if (result < 0 && result > -4096)
        mp_test_fail(file, line, "CHECK_OK(%s): %jd (%s)", what, result, strerror((int)-result));
    mp_test_fail(file, line, "CHECK_OK(%s): %jd", what, result);
}

void mp_test_check_str(const char *a, const char *b, const char *file, int line, const char *what)
{
    if (a && b && strcmp(a, b) == 0)
        return;
    if (!a && !b)
        return;
    mp_test_fail(file, line, "CHECK_STR(%s): \"%s\" is not \"%s\"", what, a ? a : "(null)",
                 b ? b : "(null)");
}

/* Writes up to 16 bytes around the place where the two differ. */
static void excerpt(char *to, size_t to_size, const unsigned char *from, size_t n, size_t at)
{
    size_t used = 0;

    to[0] = '\0';
    for (size_t i = at; i < n && i < at + 16 && used + 5 < to_size; i++) {
        int printable = isprint(from[i]) && from[i] != '\\';

        used += (size_t)snprintf(to + used, to_size - used, printable ? "%c" : "\\x%02x", from[i]);
    }
}

void mp_test_check_mem(const void *a, const void *b, size_t n, const char *file, int line,
                       const char *what)
{
    const unsigned char *left = a;
    const unsigned char *right = b;
    char left_text[80];
    char right_text[80];

    for (size_t i = 0; i < n; i++) {
        if (left[i] == right[i])
            continue;
        excerpt(left_text, sizeof(left_text), left, n, i);
        excerpt(right_text, sizeof(right_text), right, n, i);
        mp_test_fail(file, line, "CHECK_MEM(%s): differs at byte %zu: \"%s\" is not \"%s\"", what,
                     i, left_text, right_text);
    }
}
