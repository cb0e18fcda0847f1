/* SPDX-License-Identifier: MIT */
#include "base/assert.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/runner.h"

/* Calls mp_assert_fail in a child of its own; keeps what it writes to descriptor 2. */
static int fail_in_child(const char *expr, const char *file, char *text, size_t size)
{
    const struct rlimit no_core = {0, 0};
    int fds[2];
    int status;
    ssize_t n;
    pid_t pid;

    CHECK_OK(pipe(fds));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        mp_assert_fail(expr, file, 42, "some_function");
    }
    close(fds[1]);
    n = read(fds[0], text, size - 1);
    CHECK(n >= 0);
    text[n] = '\0';
    close(fds[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

TEST(failure_names_the_place_and_aborts)
{
    char text[1024];
    int status = fail_in_child("count > 0", "src/x.c", text, sizeof(text));

    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK_STR(text, "src/x.c:42: some_function: assertion failed: count > 0\n");
}

TEST(long_expression_is_cut_and_the_line_still_ends)
{
    char expr[4096];
    char text[1024];
    size_t n;

    memset(expr, 'x', sizeof(expr) - 1);
    expr[sizeof(expr) - 1] = '\0';
    CHECK(WIFSIGNALED(fail_in_child(expr, "f.c", text, sizeof(text))));
    n = strlen(text);
    CHECK_EQ(n, 512);
    CHECK_EQ(text[n - 1], '\n');
    CHECK(strncmp(text, "f.c:42: ", 8) == 0);
}

TEST(true_expression_does_nothing_and_is_evaluated_once)
{
    int evaluated = 0;

    mp_assert(++evaluated == 1);
    CHECK_EQ(evaluated, 1);
}

FAIL_TEST(false_expression_ends_the_process)
{
    const struct rlimit no_core = {0, 0};
    volatile int zero = 0;

    setrlimit(RLIMIT_CORE, &no_core);
    mp_assert(zero != 0);
}
