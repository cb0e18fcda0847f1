/* SPDX-License-Identifier: MIT */
/* Logs as datagrams; lines that are lost, and what is left of them in a file. */
#include "os/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/log.h"
#include "scratch.h"

static struct mp_log_loss loss;

/* A log that sends to a socket of the test's; *ret_fd: where it arrives. */
static void open_socket(struct mp_log *log, enum mp_log_protocol protocol, struct scratch *scratch,
                        int *ret_fd)
{
    struct sockaddr_un *un = &log->sink.addr.un;

    memset(&loss, 0, sizeof(loss));
    memset(log, 0, sizeof(*log));
    log->sink =
        (struct mp_log_sink){.protocol = protocol, .facility = 3, .name = "pond", .loss = &loss};
    un->sun_family = AF_UNIX;
    scratch_make(scratch);
    snprintf(un->sun_path, sizeof(un->sun_path), "%.100s", scratch_path(scratch, "log"));
    log->sink.addr.len = sizeof(*un);
    *ret_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_OK(bind(*ret_fd, &log->sink.addr.any, log->sink.addr.len));
    log->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    log->level = MP_LOG_INFO;
}

static void close_socket(const struct mp_log *log, struct scratch *scratch, int fd)
{
    close(fd);
    close(log->fd);
    scratch_remove(scratch);
}

static const char *heard(int fd, char *text, size_t size)
{
    ssize_t n = recv(fd, text, size - 1, 0);

    CHECK(n > 0);
    text[n] = '\0';
    return text;
}

TEST(syslog_on_this_machine)
{
    struct scratch scratch;
    struct mp_log log;
    char text[1024];
    char expected[128];
    int fd;

    open_socket(&log, MP_LOG_SYSLOG, &scratch, &fd);
    CHECK_EQ(mp_log(&log, MP_LOG_WARNING, "one\n    two"), 0);
    snprintf(expected, sizeof(expected), "<28>pond[%d]: one\\n    two", (int)getpid());
    CHECK_STR(heard(fd, text, sizeof(text)), expected);
    log.form = MP_LOG_JSON;
    CHECK_EQ(mp_log(&log, MP_LOG_CRITICAL, "x"), 0);
    CHECK(strncmp(heard(fd, text, sizeof(text)), "<26>pond[", 9) == 0);
    CHECK(strstr(text, "]: {\"time\":\""));
    close_socket(&log, &scratch, fd);
}

TEST(syslog_on_another_machine)
{
    struct mp_log log = {.level = MP_LOG_INFO};
    char text[1024];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    log.sink = (struct mp_log_sink){.protocol = MP_LOG_SYSLOG, .facility = 1, .name = "pond"};
    log.sink.addr.in4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    log.sink.addr.len = sizeof(log.sink.addr.in4);
    CHECK_OK(bind(fd, &log.sink.addr.any, log.sink.addr.len));
    CHECK_OK(mp_socket_local(fd, &log.sink.addr));
    log.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), 0);
    CHECK(strncmp(heard(fd, text, sizeof(text)), "<14>1 20", 8) == 0);
    CHECK(strstr(text, "Z ") != NULL && strstr(text, " pond ") != NULL);
    CHECK_STR(text + strlen(text) - 9, " - - text");
    close(fd);
    close(log.fd);
}

TEST(journal)
{
    static const char head[] = "PRIORITY=6\nSYSLOG_IDENTIFIER=pond\nMESSAGE\n";
    struct scratch scratch;
    struct mp_log log;
    char text[1024];
    int fd;

    open_socket(&log, MP_LOG_JOURNALD, &scratch, &fd);
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "one\n    two"), 0);
    heard(fd, text, sizeof(text));
    CHECK_MEM(text, head, sizeof(head) - 1);
    CHECK_MEM(text + sizeof(head) - 1, "\x0b\0\0\0\0\0\0\0one\n    two\n", 20);
    close_socket(&log, &scratch, fd);
}

/* A daemon that does not read, one that is gone, and one that has come back. */
TEST(datagrams_that_are_lost_are_counted)
{
    struct scratch scratch;
    struct mp_log log;
    char text[1024];
    uint64_t sent = 0;
    int fd;

    open_socket(&log, MP_LOG_SYSLOG, &scratch, &fd);
    while (sent < 100000 && mp_log(&log, MP_LOG_INFO, "text") == 0)
        sent++;
    CHECK(sent < 100000);
    CHECK_EQ(atomic_load(&loss.lines), 1);
    CHECK_EQ(atomic_load(&loss.error), EAGAIN);
    heard(fd, text, sizeof(text));
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), 0);
    CHECK_EQ(atomic_load(&loss.error), 0);
    close(fd);
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), -ECONNREFUSED);
    unlink(log.sink.addr.un.sun_path);
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), -ENOENT);
    CHECK_EQ(atomic_load(&loss.lines), 3);
    CHECK_EQ(atomic_load(&loss.error), ENOENT);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_OK(bind(fd, &log.sink.addr.any, log.sink.addr.len));
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), 0);
    CHECK(strstr(heard(fd, text, sizeof(text)), "text"));
    CHECK_EQ(atomic_load(&loss.error), 0);
    close_socket(&log, &scratch, fd);
}

/* The first line waits a moment; those after it, until one goes through, do not. */
TEST(a_reader_that_stops_is_waited_for_once)
{
    struct mp_log log = {.level = MP_LOG_INFO, .sink = {.loss = &loss}};
    char block[65536] = "";
    int64_t start;
    int fds[2];

    memset(&loss, 0, sizeof(loss));
    CHECK_OK(pipe2(fds, O_CLOEXEC)); /* which blocks */
    CHECK_EQ(write(fds[1], block, sizeof(block)), (ssize_t)sizeof(block));
    log.fd = fds[1];
    start = mp_clock_now();
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), -EAGAIN);
    CHECK(mp_clock_now() - start >= 90 * MP_NSEC_PER_MSEC);
    start = mp_clock_now();
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), -EAGAIN);
    mp_log_lines(&log, "a\nb\n", 4);
    CHECK(mp_clock_now() - start < 5 * MP_NSEC_PER_SEC); /* and not 100 */
    CHECK_EQ(atomic_load(&loss.lines), 1003);
    CHECK_EQ(read(fds[0], block, sizeof(block)), (ssize_t)sizeof(block));
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), 0);
    CHECK_EQ(atomic_load(&loss.error), 0);
    close(fds[0]);
    close(fds[1]);
}

/* More than a pipe takes at once goes in whole lines; what was lost is what was not written. */
TEST(many_lines_at_once)
{
    static char text[100 * 1000];
    struct mp_log log = {.level = MP_LOG_INFO, .sink = {.loss = &loss}};
    ssize_t n;
    int fds[2];

    memset(&loss, 0, sizeof(loss));
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 100 == 99 ? '\n' : 'a';
    CHECK_OK(pipe2(fds, O_CLOEXEC));
    log.fd = fds[1];
    mp_log_lines(&log, text, sizeof(text));
    n = read(fds[0], text, sizeof(text));
    CHECK(n > 0 && n % 100 == 0);
    CHECK_EQ((uint64_t)n / 100 + atomic_load(&loss.lines), 1000);
    CHECK_EQ(atomic_load(&loss.torn), 0);
    close(fds[0]);
    close(fds[1]);
}

TEST(full_disk)
{
    struct mp_log log = {.level = MP_LOG_INFO, .sink = {.loss = &loss}};

    memset(&loss, 0, sizeof(loss));
    log.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK_EQ(mp_log(&log, MP_LOG_INFO, "text"), -ENOSPC);
    mp_log_lines(&log, "a\nb\n", 4);
    CHECK_EQ(atomic_load(&loss.lines), 3);
    CHECK_EQ(atomic_load(&loss.error), ENOSPC);
    CHECK_EQ(atomic_load(&loss.torn), 0);
    close(log.fd);
}

/* The limit on files' sizes stands for a disk that is full in the middle of a line. */
TEST(a_line_that_was_cut_off_is_ended_before_the_next)
{
    struct rlimit old;
    struct rlimit limit;
    struct scratch scratch;
    char text[64] = "";
    struct mp_log_sink sink = {.loss = &loss};

    memset(&loss, 0, sizeof(loss));
    scratch_make(&scratch);
    int fd = mp_fd_open_append(scratch_path(&scratch, "file"));
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &old));
    limit = old;
    limit.rlim_cur = 9;
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK_EQ(mp_log_sink_write(&sink, fd, "whole\n", 6, 1), 0);
    CHECK_EQ(mp_log_sink_write(&sink, fd, "broken\n", 7, 1), -EFBIG);
    CHECK_EQ(mp_log_sink_write(&sink, fd, "lost\n", 5, 1), -EFBIG);
    CHECK_EQ(atomic_load(&loss.lines), 2);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &old));
    CHECK_EQ(mp_log_sink_write(&sink, fd, "next\n", 5, 1), 0);
    CHECK(mp_fd_read_text(scratch.path, text, sizeof(text)) > 0);
    CHECK_STR(text, "whole\nbro\nnext\n");
    close(fd);
    scratch_remove(&scratch);
}
