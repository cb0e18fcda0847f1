/* SPDX-License-Identifier: MIT */
#include "master/report.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "runner.h"

#define SECOND MP_NSEC_PER_SEC

static char text[MP_REPORT_SERVING_SIZE];

static const char *duration(int64_t ns)
{
    return mp_report_duration(ns, text, sizeof(text));
}

TEST(durations)
{
    CHECK_STR(duration(-5), "0 ms");
    CHECK_STR(duration(999999), "0 ms");
    CHECK_STR(duration(3 * MP_NSEC_PER_MSEC), "3 ms");
    CHECK_STR(duration(SECOND - 1), "999 ms");
    CHECK_STR(duration(SECOND), "1.0 s");
    CHECK_STR(duration(41250 * MP_NSEC_PER_MSEC), "41.2 s");
    CHECK_STR(duration(125 * SECOND), "2 min 5 s");
    CHECK_STR(duration(11040 * SECOND), "3 h 4 min");
}

TEST(bytes)
{
    CHECK_STR(mp_report_bytes(524288, text, sizeof(text)), "512 KiB");
    CHECK_STR(mp_report_bytes(UINT64_C(184) << 20, text, sizeof(text)), "184 MiB");
    CHECK_STR(mp_report_bytes(UINT64_C(1945) << 20, text, sizeof(text)), "1.9 GiB");
}

/* A wait status as the kernel writes it. */
static const char *death(int status, enum mp_killer killer, uint64_t peak)
{
    return mp_report_death(status, killer, peak, text, sizeof(text));
}

TEST(deaths)
{
    CHECK_STR(death(3 << 8, MP_KILLER_UNKNOWN, 0), "exited with status 3");
    CHECK_STR(death(SIGSEGV, MP_KILLER_UNKNOWN, 0), "killed by SIGSEGV");
    CHECK_STR(death(SIGSEGV | 0x80, MP_KILLER_UNKNOWN, 1 << 20),
              "killed by SIGSEGV, with a core dump (peak memory 1 MiB)");
    CHECK_STR(death(SIGKILL, MP_KILLER_UNKNOWN, 0),
              "killed by SIGKILL, most likely by the kernel for want of memory");
    CHECK_STR(death(SIGKILL, MP_KILLER_MASTER, 0), "killed by SIGKILL");
    CHECK_STR(death(SIGKILL, MP_KILLER_KERNEL, 1 << 20),
              "killed by SIGKILL by the kernel for want of memory (peak memory 1 MiB)");
    CHECK_STR(death(SIGKILL, MP_KILLER_SOMEBODY, 0),
              "killed by SIGKILL, which somebody has sent, and not the kernel for want of memory");
    CHECK_STR(death(SIGSEGV, MP_KILLER_SOMEBODY, 0), "killed by SIGSEGV");
    CHECK_STR(death(SIGRTMIN + 1, MP_KILLER_UNKNOWN, 0), "killed by signal 35");
}

TEST(a_death_is_cut_to_size)
{
    char small[12];

    mp_report_death(SIGKILL, MP_KILLER_UNKNOWN, 0, small, sizeof(small));
    CHECK_STR(small, "killed by S");
}

static struct mp_scoreboard *new_board(void)
{
    struct mp_scoreboard *board;

    CHECK_OK(mp_scoreboard_new(2, 40, &board));
    return board;
}

static void begin(struct mp_scoreboard *board, unsigned thread, int64_t since, const char *method,
                  const char *path)
{
    static const unsigned char address[] = {10, 0, 0, 9};

    mp_sb_thread_begin(mp_scoreboard_thread(board, 1, thread), since, method, strlen(method), path,
                       strlen(path), address, sizeof(address), 80);
}

TEST(an_idle_worker_serves_nothing)
{
    struct mp_scoreboard *board = new_board();

    CHECK_STR(mp_report_serving(board, 1, SECOND, text, sizeof(text)), "");
    mp_scoreboard_free(board);
}

TEST(what_it_served_longest_first)
{
    struct mp_scoreboard *board = new_board();

    begin(board, 4, 100 * SECOND - 3 * MP_NSEC_PER_MSEC, "GET", "/");
    begin(board, 1, 58800 * MP_NSEC_PER_MSEC, "POST", "/import");
    begin(board, 11, 99 * SECOND, "OPTIONS", "/a");
    mp_sb_thread_set_state(mp_scoreboard_thread(board, 1, 11), MP_SB_THREAD_READY, 0);
    begin(board, 6, 70 * SECOND, "GET", "/stuck");
    CHECK(mp_sb_thread_mark_stuck(mp_scoreboard_thread(board, 1, 6), 70 * SECOND));
    CHECK_STR(mp_report_serving(board, 1, 100 * SECOND, text, sizeof(text)),
              " It was serving:"
              "\n          thread 2  POST /import  from 10.0.0.9  for 41.2 s"
              "\n          thread 7  GET  /stuck   from 10.0.0.9  for 30.0 s, stuck"
              "\n          thread 5  GET  /        from 10.0.0.9  for 3 ms");
    CHECK_STR(mp_report_serving(board, 0, 100 * SECOND, text, sizeof(text)), "");
    mp_scoreboard_free(board);
}

TEST(at_most_sixteen_lines_the_oldest)
{
    struct mp_scoreboard *board = new_board();
    const char *at = text;
    int lines = 0;

    for (unsigned i = 0; i < 40; i++)
        begin(board, i, (i * 7 % 40) * SECOND, "GET", "/x");
    mp_report_serving(board, 1, 100 * SECOND, text, sizeof(text));
    for (; (at = strstr(at, "thread ")); at++)
        lines++;
    CHECK_EQ(lines, 16);
    CHECK(strstr(text, "for 100.0 s"));
    CHECK(strstr(text, "for 85.0 s"));
    CHECK(!strstr(text, "for 84.0 s"));
    CHECK(strstr(text, "\n          and 24 more"));
    mp_scoreboard_free(board);
}

TEST(long_paths_fit)
{
    struct mp_scoreboard *board = new_board();
    char path[200];

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    for (unsigned i = 0; i < 40; i++)
        begin(board, i, (int64_t)i, "PROPPATCHPROPPATCH", path);
    mp_report_serving(board, 1, 0, text, sizeof(text));
    CHECK(strlen(text) < sizeof(text));
    CHECK(strstr(text, "thread 1 "));
    mp_scoreboard_free(board);
}

/* The scoreboard is the worker's to write: what is in it makes no lines of its own in a log. */
TEST(no_line_breaks_from_the_scoreboard)
{
    struct mp_scoreboard *board = new_board();

    begin(board, 0, 0, "GET", "/a\n          thread 9  GET /forged");
    mp_report_serving(board, 1, 0, text, sizeof(text));
    CHECK(!strstr(text, "\n          thread 9"));
    CHECK(strstr(text, "/a?"));
    mp_scoreboard_free(board);
}
