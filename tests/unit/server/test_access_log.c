/* SPDX-License-Identifier: MIT */
/* The access log: one line a request whatever the client sends, whole lines, none lost in a rush.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "server/access_log.h"
#include "server/access_writer.h"
#include "server/internal.h"

static struct mp_request request;
static struct mp_conn conn;

static int new_log(int fd, struct mp_access_log **ret_log)
{
    struct mp_worker_options options;
    mp_worker_options_init(&options);
    options.access_log = fd;
    return mp_access_log_new(&options, 1, ret_log);
}

/* A request as the server holds it after parsing text. */
static void make(const char *text)
{
    struct mp_http_scan scan = {0};
    struct mp_http_limits limits = {.line = 8190, .fields = 100, .field_size = 8190, .head = 65536};
    size_t size = 0;
    memset(&request, 0, sizeof(request));
    memset(&conn, 0, sizeof(conn));
    conn.peer.len = sizeof(conn.peer.in4);
    conn.peer.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(0x7f000001)}};
    request.conn = &conn;
    request.text = (char *)text;
    request.size = strlen(text);
    request.ready_at = 1000;
    request.response.status = 200;
    request.response.written = 42;
    CHECK_EQ(mp_http_head_parse(&scan, text, strlen(text), &limits, &request.head, &size),
             MP_HTTP_DONE);
}

/* The line that a request makes. */
static const char *line_of(const char *text)
{
    static char line[8192];
    struct mp_access_log *log;
    int fd = memfd_create("log", MFD_CLOEXEC);
    make(text);
    CHECK_OK(new_log(fd, &log));
    mp_access_log_add(log, &request, 1000 + 1500 * MP_NSEC_PER_USEC);
    CHECK_EQ(mp_access_log_write(log), 0);
    ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
    CHECK(n > 0 && n <= 4096);
    line[n] = '\0';
    CHECK_EQ(line[n - 1], '\n');
    CHECK(strchr(line, '\n') == line + n - 1);
    mp_access_log_free(log);
    close(fd);
    return line;
}

TEST(combined_format)
{
    const char *line = line_of("GET /a?b=c HTTP/1.1\r\nHost: h\r\nReferer: http://r/\r\n"
                               "User-Agent: test/1\r\n\r\n");
    CHECK(strncmp(line, "127.0.0.1 - - [", 15) == 0);
    CHECK_STR(strstr(line, "] \"") + 3,
              "GET /a?b=c HTTP/1.1\" 200 42 \"http://r/\" \"test/1\" 0.001500\n");
}

TEST(absent_fields_and_unix_peer)
{
    CHECK_STR(strstr(line_of("GET / HTTP/1.0\r\n\r\n"), "] \"") + 3,
              "GET / HTTP/1.0\" 200 42 \"-\" \"-\" 0.001500\n");
}

TEST(what_the_client_sends_is_escaped)
{
    const char *line =
        line_of("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\"b\\c\td\xc3\xa9\x80\r\n\r\n");
    CHECK(strstr(line, "\"a\\\"b\\\\c\\x09d\\xc3\\xa9\\x80\""));
}

TEST(long_parts_are_cut_and_the_line_ends)
{
    char *text = malloc(30000);
    char *at = text + sprintf(text, "GET /");
    memset(at, 'p', 8000);
    at += 8000;
    at += sprintf(at, " HTTP/1.1\r\nHost: h\r\nUser-Agent: ");
    memset(at, '"', 8000);
    at += 8000;
    strcpy(at, "\r\n\r\n");
    line_of(text);
    free(text);
}

static const char plain[] = "GET /some/path HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\n\r\n";

TEST(pipe_gets_whole_lines_only)
{
    struct mp_access_log *log;
    int ends[2];
    char block[65536];
    unsigned added = 0;
    unsigned lines = 0;
    CHECK_OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    fcntl(ends[1], F_SETFL, 0); /* as an inherited standard output is */
    make(plain);
    CHECK_OK(new_log(ends[1], &log));
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 97; i++, added++)
            mp_access_log_add(log, &request, 2000);
        CHECK_EQ(mp_access_log_write(log), 0);
        ssize_t n = read(ends[0], block, 4096 * (size_t)(1 + round % 3));
        for (ssize_t i = 0; i < n; i++)
            lines += block[i] == '\n';
    }
    for (int i = 0; i < 200 && lines < added; i++) {
        mp_access_log_write(log);
        ssize_t n = read(ends[0], block, sizeof(block));
        CHECK(n > 0);
        CHECK_EQ(block[n - 1], '\n'); /* everything that was there ends with a line */
        for (ssize_t j = 0; j < n; j++)
            lines += block[j] == '\n';
    }
    CHECK_EQ(lines, added);
    mp_access_log_free(log);
    close(ends[0]);
    close(ends[1]);
}

TEST(full_buffer_loses_lines_and_counts_them)
{
    struct mp_access_log *log;
    int ends[2];
    unsigned added = 0;
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    make(plain);
    CHECK_OK(new_log(ends[1], &log));
    CHECK(!mp_access_log_is_urgent(log));
    while (added < 50000) {
        mp_access_log_add(log, &request, 2000);
        added++;
        if (added == 20000) {
            CHECK(mp_access_log_is_urgent(log));
            CHECK(mp_access_log_write(log) > 0);
        }
    }
    CHECK(mp_access_log_write(log) > 0);
    CHECK_EQ(mp_access_log_write(log), 0);
    mp_access_log_free(log);
    close(ends[0]);
    close(ends[1]);
}

/* The writer alone waits for a disk or a reader. */
TEST(the_writer_writes_what_it_is_poked_for)
{
    struct mp_access_writer *writer;
    struct mp_access_log *log;
    char text[4096];
    int ends[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    make(plain);
    CHECK_OK(new_log(ends[1], &log));
    CHECK_OK(mp_access_writer_new(log, &writer));
    CHECK(!mp_access_log_has_lines(log));
    for (int i = 0; i < 3; i++) {
        mp_access_log_add(log, &request, 2000);
        mp_access_writer_poke(writer);
        CHECK(read(ends[0], text, sizeof(text)) > 0);
        CHECK(!mp_access_log_has_lines(log));
    }
    mp_access_log_add(log, &request, 2000);
    CHECK(mp_access_log_has_lines(log));
    CHECK(mp_access_writer_stop(writer, -1)); /* the last lines are written */
    CHECK(read(ends[0], text, sizeof(text)) > 0);
    CHECK(mp_access_writer_stop(NULL, -1));
    mp_access_log_free(log);
    close(ends[0]);
    close(ends[1]);
}

/* What found no room is written as soon as there is some, though nobody pokes. */
TEST(the_writer_comes_back_to_a_pipe)
{
    struct mp_access_writer *writer;
    struct mp_access_log *log;
    char block[65536] = "";
    int ends[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    CHECK_EQ(write(ends[1], block, sizeof(block)), (ssize_t)sizeof(block));
    make(plain);
    CHECK_OK(new_log(ends[1], &log));
    mp_access_log_add(log, &request, 2000);
    CHECK_OK(mp_access_writer_new(log, &writer));
    mp_access_writer_poke(writer);
    usleep(20000);
    CHECK_EQ(read(ends[0], block, sizeof(block)), (ssize_t)sizeof(block));
    CHECK(read(ends[0], block, sizeof(block)) > 0);
    CHECK(mp_access_writer_stop(writer, 10 * MP_NSEC_PER_SEC));
    mp_access_log_free(log);
    close(ends[0]);
    close(ends[1]);
}

TEST(reader_that_is_gone_does_no_harm)
{
    struct mp_access_log *log;
    int ends[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    signal(SIGPIPE, SIG_IGN);
    make(plain);
    CHECK_OK(new_log(ends[1], &log));
    close(ends[0]);
    for (int i = 0; i < 10; i++) {
        mp_access_log_add(log, &request, 2000);
        mp_access_log_write(log);
    }
    mp_access_log_free(log);
    mp_access_log_free(NULL);
    close(ends[1]);
}

TEST(every_answer_is_logged)
{
    enum { COUNT = 3000 };
    struct harness h;
    struct client client;
    int fd = memfd_create("log", MFD_CLOEXEC);
    char *log = calloc(1, 1 << 20);
    unsigned lines = 0;
    harness_init(&h, true);
    h.options.access_log = fd;
    harness_start(&h);
    harness_open(&h, &client);
    for (int i = 0; i < COUNT; i++) {
        struct reply reply;
        client_get(&client, "/");
        CHECK(client_reply(&client, false, &reply));
        reply_done(&reply);
    }
    client_done(&client);
    harness_drain(&h);
    CHECK(pread(fd, log, (1 << 20) - 1, 0) > 0);
    for (char *at = strchr(log, '\n'); at; at = strchr(at + 1, '\n'))
        lines++;
    CHECK_EQ(lines, COUNT);
    CHECK_EQ(harness_logged(&h, "lost"), 0);
    free(log);
    close(fd);
    harness_done(&h);
}

/* ---- sockets, and what is lost ----------------------------------------------------------- */

static struct mp_log_loss loss;

/* A log that sends to a socket in that folder; *ret_fd: where it arrives. */
static int speaker; /* the descriptor of socket_log */

static struct mp_access_log *socket_log(enum mp_log_protocol protocol, const char *path,
                                        int *ret_fd)
{
    struct mp_worker_options options;
    struct mp_access_log *log;
    struct mp_log_sink *sink = &options.access_sink;
    mp_worker_options_init(&options);
    memset(&loss, 0, sizeof(loss));
    *sink =
        (struct mp_log_sink){.protocol = protocol, .facility = 1, .name = "pond", .loss = &loss};
    sink->addr.un.sun_family = AF_UNIX;
    snprintf(sink->addr.un.sun_path, sizeof(sink->addr.un.sun_path), "%s", path);
    sink->addr.len = sizeof(sink->addr.un);
    *ret_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_OK(bind(*ret_fd, &sink->addr.any, sink->addr.len));
    options.access_log = speaker = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_OK(mp_access_log_new(&options, 3, &log));
    return log;
}

static char *heard(int fd, char *text, size_t size)
{
    ssize_t n = recv(fd, text, size - 1, 0);
    CHECK(n > 0);
    text[n] = '\0';
    return text;
}

TEST(syslog_gets_each_line)
{
    char path[] = "/tmp/millpond-test-XXXXXX";
    char text[8192];
    int fd;
    CHECK(mkdtemp(path) != NULL);
    char name[64];
    snprintf(name, sizeof(name), "%s/s", path);
    struct mp_access_log *log = socket_log(MP_LOG_SYSLOG, name, &fd);
    make(plain);
    mp_access_log_add(log, &request, 2000);
    mp_access_log_refused(log, &conn, 400);
    CHECK_EQ(mp_access_log_write(log), 0);
    CHECK(strncmp(heard(fd, text, sizeof(text)), "<14>pond[", 9) == 0);
    CHECK(strstr(text, "]: 127.0.0.1 - - ["));
    CHECK(strstr(text, "\"GET /some/path HTTP/1.1\" 200 42 "));
    CHECK(!strchr(text, '\n'));
    CHECK(strstr(heard(fd, text, sizeof(text)), "\"-\" 400 0 "));
    mp_access_log_free(log);
    close(speaker);
    close(fd);
    unlink(name);
    rmdir(path);
}

TEST(journal_gets_fields)
{
    char path[] = "/tmp/millpond-test-XXXXXX";
    char text[8192];
    char name[64];
    int fd;
    struct mp_thread thread = {.index = 4};
    CHECK(mkdtemp(path) != NULL);
    snprintf(name, sizeof(name), "%s/s", path);
    struct mp_access_log *log = socket_log(MP_LOG_JOURNALD, name, &fd);
    make(plain);
    request.thread = &thread;
    request.started_at = 1000 + 3 * MP_NSEC_PER_USEC;
    mp_access_log_answered(log, &request, 504, 7, 1000 + 10 * MP_NSEC_PER_USEC);
    CHECK_EQ(mp_access_log_write(log), 0);
    CHECK(strncmp(heard(fd, text, sizeof(text)),
                  "PRIORITY=6\nSYSLOG_IDENTIFIER=pond\nMILLPOND_CLIENT=127.0.0.1\n"
                  "MILLPOND_STATUS=504\nMILLPOND_SIZE=7\nMILLPOND_WORKER=3\nMILLPOND_METHOD=GET\n"
                  "MILLPOND_TARGET=/some/path\nMILLPOND_DURATION_USEC=10\nMILLPOND_THREAD=5\n"
                  "MILLPOND_QUEUE_WAIT_USEC=3\nMILLPOND_HANDLER_TIME_USEC=7\n"
                  "MESSAGE=127.0.0.1 - - [",
                  273) == 0);
    CHECK_EQ(text[strlen(text) - 1], '\n');
    mp_access_log_free(log);
    close(speaker);
    close(fd);
    unlink(name);
    rmdir(path);
}

/* A queue of a few datagrams: none is lost as long as somebody reads. */
TEST(a_socket_that_is_full_is_tried_again)
{
    enum { COUNT = 2000 };
    char path[] = "/tmp/millpond-test-XXXXXX";
    char text[8192];
    char name[64];
    int fd;
    unsigned got = 0;
    CHECK(mkdtemp(path) != NULL);
    snprintf(name, sizeof(name), "%s/s", path);
    struct mp_access_log *log = socket_log(MP_LOG_SYSLOG, name, &fd);
    make(plain);
    CHECK_EQ(mp_access_log_next_look(log, 5), INT64_MAX);
    for (int i = 0; i < COUNT; i++)
        mp_access_log_add(log, &request, 2000);
    CHECK_EQ(mp_access_log_write(log), 0);
    CHECK(mp_access_log_next_look(log, 5) < 5 + MP_NSEC_PER_SEC);
    for (int i = 0; i < COUNT && got < COUNT; i++) {
        while (recv(fd, text, sizeof(text), 0) > 0)
            got++;
        CHECK_EQ(mp_access_log_write(log), 0);
    }
    CHECK_EQ(got, COUNT);
    CHECK_EQ(mp_access_log_next_look(log, 5), INT64_MAX);
    close(fd);
    mp_access_log_add(log, &request, 2000);
    mp_access_log_add(log, &request, 2000);
    CHECK_EQ(mp_access_log_write(log), 2); /* nobody is there */
    CHECK_EQ(atomic_load(&loss.error), ECONNREFUSED);
    mp_access_log_free(log);
    close(speaker);
    unlink(name);
    rmdir(path);
}

TEST(lines_that_a_full_disk_loses_are_counted)
{
    struct mp_worker_options options;
    struct mp_access_log *log;
    mp_worker_options_init(&options);
    memset(&loss, 0, sizeof(loss));
    options.access_sink.loss = &loss;
    options.access_log = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK_OK(mp_access_log_new(&options, 1, &log));
    make(plain);
    for (int i = 0; i < 100; i++)
        mp_access_log_add(log, &request, 2000);
    CHECK_EQ(mp_access_log_write(log), 100);
    CHECK_EQ(atomic_load(&loss.lines), 100);
    CHECK_EQ(atomic_load(&loss.error), ENOSPC);
    mp_access_log_add(log, &request, 2000);
    mp_access_log_free(log);
    CHECK_EQ(atomic_load(&loss.lines), 101);
    close(options.access_log);
}
