/* SPDX-License-Identifier: MIT */
/*
 * main() of every test program: runs each registered test in a process of its own and judges it.
 *
 * The time limit is kept by the parent, through a pidfd, and not by alarm() in the test: the code
 * under test blocks signals and installs handlers of its own. TEST_BUDGET() reaches the parent
 * through one word of shared memory. Parent and test are both subreapers: what a test leaves
 * running is first seen by the test's own census, and whatever outlives the test's process is
 * adopted by the parent, which ends it before the next test starts.
 */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runner_private.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
    DEFAULT_BUDGET_S = 20,
    SANITIZER_FACTOR = 3,
    POLL_MS = 100,
};

/* Bounds of the section; the linker makes them, and each test program has at least one test. */
extern const struct mp_test *const __start_mp_tests[];
extern const struct mp_test *const __stop_mp_tests[];

/* The budget of the running test, in seconds: written by the test, read by the parent. */
static _Atomic unsigned *shared_budget;

struct verdict {
    int status;    /* of waitpid() */
    int timed_out; /* the parent killed it */
    int orphans;   /* processes that outlived the test's own */
    double seconds;
};

int mp_test_is_sanitized(void)
{
    return SANITIZED;
}

void mp_test_budget(unsigned seconds)
{
    atomic_store(shared_budget, seconds);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double budget_seconds(void)
{
    const char *factor = getenv("MP_TEST_TIME_FACTOR");
    double seconds = atomic_load(shared_budget);

    if (SANITIZED)
        seconds *= SANITIZER_FACTOR;
    if (factor && strtod(factor, NULL) > 0)
        seconds *= strtod(factor, NULL);
    return seconds;
}

static void *return_at_once(void *unused)
{
    return unused;
}

/* ThreadSanitizer starts a thread of its own with the program's first: have it before the census.
 */
static void settle_sanitizer(void)
{
    pthread_t thread;

    if (SANITIZED && pthread_create(&thread, NULL, return_at_once, NULL) == 0)
        pthread_join(thread, NULL);
}

/* The test's own process: never returns. exit() and not _exit(), for LeakSanitizer's report. */
static void run_in_child(const struct mp_test *test, int debugged)
{
    struct mp_test_census before;

    setpgid(0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    settle_sanitizer();
    mp_test_census_take(&before);
    test->run();
    fflush(NULL);
    if (!debugged && mp_test_census_compare(&before) > 0)
        _exit(MP_TEST_EXIT_LEAK);
    exit(0);
}

/* Waits for the test's process within its budget, then clears away whatever it left. */
static void wait_for(pid_t pid, int debugged, struct verdict *verdict)
{
    double start = now();
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd poll_pidfd = {.fd = pidfd, .events = POLLIN};

    verdict->timed_out = 0;
    while (poll(&poll_pidfd, 1, POLL_MS) <= 0) {
        if (!debugged && now() - start > budget_seconds()) {
            verdict->timed_out = 1;
            break;
        }
    }
    verdict->seconds = now() - start;
    if (verdict->timed_out)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &verdict->status, 0) < 0 && errno == EINTR)
        ;
    close(pidfd);
    kill(-pid, SIGKILL);
    verdict->orphans = mp_test_end_children();
}

/* Writes why the test failed; an empty text means that it passed. */
static void explain(const struct verdict *verdict, char *text, size_t size)
{
    int status = verdict->status;

    text[0] = '\0';
    if (verdict->timed_out)
        snprintf(text, size, "took longer than %.0f s", budget_seconds());
    else if (WIFSIGNALED(status))
        snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == MP_TEST_EXIT_CHECK)
        snprintf(text, size, "a check failed");
    else if (WEXITSTATUS(status) == MP_TEST_EXIT_LEAK)
        snprintf(text, size, "left something behind");
    else if (WEXITSTATUS(status) != 0)
        snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
    else if (verdict->orphans > 0)
        snprintf(text, size, "%d processes outlived it", verdict->orphans);
}

/* Returns 1 when the test passed. */
static int run_one(const struct mp_test *test, int debugged)
{
    struct verdict verdict;
    char why[128];
    int passed;
    pid_t pid;

    atomic_store(shared_budget, DEFAULT_BUDGET_S);
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        printf("FAIL  %s: fork: %s\n", test->name, strerror(errno));
        return 0;
    }
    if (pid == 0)
        run_in_child(test, debugged);
    setpgid(pid, pid);
    wait_for(pid, debugged, &verdict);
    explain(&verdict, why, sizeof(why));

    passed = (why[0] != '\0') == (test->must_fail != 0);
    if (passed && test->must_fail)
        printf("ok    %s (failed as it must: %s)\n", test->name, why);
    else if (passed)
        printf("ok    %s (%.0f ms)\n", test->name, verdict.seconds * 1000);
    else
        printf("FAIL  %s: %s (%s:%d)\n", test->name, test->must_fail ? "passed, must fail" : why,
               test->file, test->line);
    fflush(stdout);
    return passed;
}

static int is_named(const struct mp_test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], test->name) == 0)
            return 1;
    }
    return argc < 2;
}

static int by_place(const void *a, const void *b)
{
    const struct mp_test *left = *(const struct mp_test *const *)a;
    const struct mp_test *right = *(const struct mp_test *const *)b;
    int files = strcmp(left->file, right->file);

    return files != 0 ? files : left->line - right->line;
}

/* The tests in the order of their source: compilers are free to reverse the section. */
static const struct mp_test **sorted_tests(size_t *count)
{
    const struct mp_test **tests;

    *count = (size_t)(__stop_mp_tests - __start_mp_tests);
    tests = calloc(*count + 1, sizeof(struct mp_test *));
    if (!tests) {
        perror("calloc");
        exit(1);
    }
    for (size_t i = 0; i < *count; i++)
        tests[i] = __start_mp_tests[i];
    qsort(tests, *count, sizeof(struct mp_test *), by_place);
    return tests;
}

static int list_all(const struct mp_test **tests, size_t count)
{
    for (size_t i = 0; i < count; i++)
        puts(tests[i]->name);
    return 0;
}

static int run_all(const struct mp_test **tests, size_t count, int argc, char **argv)
{
    int debugged = mp_test_is_debugged();
    int passed = 0;
    int failed = 0;

    for (size_t i = 0; i < count; i++) {
        if (!is_named(tests[i], argc, argv))
            continue;
        if (debugged && argc == 2) {
            tests[i]->run();
            return 0;
        }
        if (run_one(tests[i], debugged))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    if (passed + failed == 0)
        fprintf(stderr, "no test of that name; --list shows them\n");
    return failed == 0 && passed > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    size_t count;
    const struct mp_test **tests = sorted_tests(&count);
    int result;

    shared_budget = mmap(NULL, sizeof(*shared_budget), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared_budget == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        result = list_all(tests, count);
    else
        result = run_all(tests, count, argc, argv);
    free(tests);
    return result;
}
