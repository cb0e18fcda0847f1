/* SPDX-License-Identifier: MIT */
/* Includes the file under test to reach its sizes. */
#include "os/log.c"

#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "scratch.h"

struct sink {
    struct mp_log log;
    int fd; /* where it can be read */
};

static void open_sink(struct sink *sink)
{
    sink->fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(sink->fd >= 0);
    CHECK_OK(fcntl(sink->fd, F_SETFL, O_APPEND));
    sink->log = (struct mp_log){.fd = sink->fd, .level = MP_LOG_INFO};
}

/* All that was logged since the last call, terminated. */
static size_t take(struct sink *sink, char *text, size_t size)
{
    ssize_t n = pread(sink->fd, text, size - 1, 0);

    CHECK(n >= 0);
    text[n] = '\0';
    CHECK_OK(ftruncate(sink->fd, 0));
    return (size_t)n;
}

/* The text of the only line, behind its head. */
static const char *take_text(struct sink *sink, char *line, size_t size)
{
    const char *behind;

    CHECK(take(sink, line, size) > 0);
    behind = strstr(line, "] ");
    CHECK(behind != NULL);
    return behind + 2;
}

#define CHECK_LOGGED(sink, expected)                                                               \
    do {                                                                                           \
        char line_text[2 * LINE_SIZE];                                                             \
        CHECK_STR(take_text(sink, line_text, sizeof(line_text)), expected);                        \
    } while (0)

TEST(line_has_time_level_and_process)
{
    struct sink sink;
    char line[256];
    char pattern[128];
    regex_t regex;

    open_sink(&sink);
    mp_log(&sink.log, MP_LOG_WARNING, "worker %d is %s", 2, "late");
    take(&sink, line, sizeof(line));
    snprintf(pattern, sizeof(pattern),
             "^20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{3} "
             "WARNING \\[%d\\] worker 2 is late\n$",
             (int)getpid());
    CHECK_OK(regcomp(&regex, pattern, REG_EXTENDED));
    CHECK_OK(regexec(&regex, line, 0, NULL, 0));
    regfree(&regex);
    close(sink.fd);
}

TEST(time_is_now_in_utc)
{
    struct sink sink;
    struct tm parts = {0};
    char line[256];
    int64_t before = mp_clock_wall() / MP_NSEC_PER_SEC;

    setenv("TZ", "Pacific/Chatham", 1);
    tzset();
    open_sink(&sink);
    mp_log(&sink.log, MP_LOG_INFO, "x");
    take(&sink, line, sizeof(line));
    CHECK(strptime(line, "%Y-%m-%d %H:%M:%S", &parts) != NULL);
    CHECK(timegm(&parts) >= before);
    CHECK(timegm(&parts) <= before + 10);
    close(sink.fd);
}

TEST(lines_below_the_level_are_dropped)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
    struct sink sink;
    char line[256];

    open_sink(&sink);
    for (int limit = MP_LOG_DEBUG; limit <= MP_LOG_CRITICAL; limit++) {
        sink.log.level = (enum mp_log_level)limit;
        for (int level = MP_LOG_DEBUG; level <= MP_LOG_CRITICAL; level++) {
            mp_log(&sink.log, (enum mp_log_level)level, "x");
            CHECK_EQ(take(&sink, line, sizeof(line)) > 0, level >= limit);
            CHECK(level < limit || strstr(line, names[level]) != NULL);
        }
    }
    close(sink.fd);
}

struct escape {
    const char *text;
    const char *logged;
};

TEST(what_could_end_a_line_or_steer_a_terminal_is_escaped)
{
    static const struct escape table[] = {
        {"plain ~ text", "plain ~ text\n"},
        {"a\nb", "a\\nb\n"},
        {"a\r\nb", "a\\r\\nb\n"},
        {"a\tb", "a\\tb\n"},
        {"\x1b[31mred", "\\x1b[31mred\n"},
        {"\x01\x1f\x7f\b\a\v\f", "\\x01\\x1f\\x7f\\x08\\x07\\x0b\\x0c\n"},
        {"\\", "\\\n"},
        {"", "\n"},
        /* Continuation lines, and what is nearly one. */
        {"Traceback\n    File \"x\"\n    \n    end", "Traceback\n    File \"x\"\n    \n    end\n"},
        {"a\n   b", "a\\n   b\n"},
        {"a\n\n    b", "a\\n\n    b\n"},
        {"a\n    ", "a\n    \n"},
        /* The caller's own newline. */
        {"done\n", "done\n"},
        {"done\n\n\n", "done\n"},
        /* UTF-8 stays, what only looks like it does not. */
        {"Grüße, 世界 😀", "Grüße, 世界 😀\n"},
        {"\xc2\xa0\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
         "\xc2\xa0\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\n"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m\n"},
        {"\x9b", "\\x9b\n"},
        {"\xff\xfe", "\\xff\\xfe\n"},
        {"\xc0\x8a", "\\xc0\\x8a\n"},
        {"\xc1\xbf", "\\xc1\\xbf\n"},
        {"\xe0\x80\x8a", "\\xe0\\x80\\x8a\n"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80\n"},
        {"\xf0\x80\x80\x8a", "\\xf0\\x80\\x80\\x8a\n"},
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80\n"},
        {"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80\n"},
        {"\xe4\xb8", "\\xe4\\xb8\n"},
        {"\xe4\xb8\n", "\\xe4\\xb8\n"},
        {"\xf0\x9f\x98", "\\xf0\\x9f\\x98\n"},
        {"\xe4x\x96", "\\xe4x\\x96\n"},
    };
    struct sink sink;

    open_sink(&sink);
    for (size_t i = 0; i < mp_array_size(table); i++) {
        mp_log(&sink.log, MP_LOG_INFO, "%s", table[i].text);
        CHECK_LOGGED(&sink, table[i].logged);
    }
    close(sink.fd);
}

/* Every byte value by itself: the line is one line. */
TEST(no_byte_makes_a_second_line)
{
    struct sink sink;
    char line[256];

    open_sink(&sink);
    for (int byte = 1; byte < 256; byte++) {
        size_t n;

        mp_log(&sink.log, MP_LOG_INFO, "a%cb", byte);
        n = take(&sink, line, sizeof(line));
        for (size_t i = 0; i < n; i++)
            CHECK(i == n - 1 ? line[i] == '\n' : (line[i] >= ' ' && line[i] != 0x7f));
    }
    close(sink.fd);
}

/* Around the length where a line gets cut, with characters of one byte and of more. */
TEST(long_lines_are_cut_at_a_character_and_marked)
{
    static const char *const letters[] = {"x", "ü", "世", "😀", "\n", "\x01", "\n    "};
    char text[6000];
    char line[2 * LINE_SIZE];
    struct sink sink;

    open_sink(&sink);
    for (size_t i = 0; i < mp_array_size(letters); i++) {
        size_t len = strlen(letters[i]);

        for (size_t pad = 0; pad < 8; pad++) {
            size_t n;
            size_t at = pad;

            memset(text, '.', pad);
            for (; at + len < sizeof(text) - 1; at += len)
                memcpy(text + at, letters[i], len);
            memcpy(text + at, "!", 2);
            mp_log(&sink.log, MP_LOG_INFO, "%s", text);
            n = take(&sink, line, sizeof(line));
            CHECK(n <= LINE_SIZE);
            CHECK(n > LINE_SIZE - 8);
            CHECK_STR(line + n - strlen("...(cut)\n"), "...(cut)\n");
            CHECK(strstr(line, "\\xe") == NULL && strstr(line, "\\xf") == NULL);
            CHECK(strstr(line, "\\xc") == NULL && strstr(line, "\\x8") == NULL);
        }
    }
    close(sink.fd);
}

TEST(longest_line_that_fits_is_not_cut)
{
    char text[LINE_SIZE];
    char line[2 * LINE_SIZE];
    struct sink sink;
    size_t head;

    open_sink(&sink);
    mp_log(&sink.log, MP_LOG_INFO, "%s", "");
    head = take(&sink, line, sizeof(line)) - 1;
    for (size_t n = LINE_SIZE - head - 30; n < LINE_SIZE - head; n++) {
        bool fits = n <= LINE_SIZE - head - sizeof(cut_mark);

        memset(text, 'x', n);
        text[n] = '\0';
        mp_log(&sink.log, MP_LOG_INFO, "%s", text);
        CHECK_EQ(take(&sink, line, sizeof(line)), fits ? head + n + 1 : LINE_SIZE);
        CHECK_EQ(strstr(line, "(cut)") == NULL, fits);
    }
    close(sink.fd);
}

TEST(errno_is_kept_and_failures_are_silent)
{
    struct mp_log log = {.fd = -1, .level = MP_LOG_DEBUG};
    char block[4096] = "";
    int fds[2];

    errno = ENOTTY;
    mp_log(&log, MP_LOG_ERROR, "nowhere");
    log.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(log.fd >= 0);
    errno = ENOTTY;
    mp_log(&log, MP_LOG_ERROR, "disk full");
    CHECK_EQ(errno, ENOTTY);
    close(log.fd);
    errno = ENOTTY;
    mp_log(&log, MP_LOG_ERROR, "closed");
    CHECK_EQ(errno, ENOTTY);
    /* A pipe that nobody reads and that does not block: the line is lost, the caller is not. */
    CHECK_OK(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    while (write(fds[1], block, sizeof(block)) > 0)
        ;
    log.fd = fds[1];
    mp_log(&log, MP_LOG_ERROR, "full pipe");
    close(fds[0]);
    close(fds[1]);
}

enum {
    WRITERS = 4,
    LINES = 400,
};

/* Lines of a writer: its letter, repeated, of many lengths up to the longest. */
static void log_many(const struct mp_log *log, int writer)
{
    char text[LINE_SIZE];

    for (int i = 0; i < LINES; i++) {
        size_t n = 1 + (size_t)(i * 997 + writer * 131) % 3900;

        memset(text, 'a' + writer, n);
        text[n] = '\0';
        mp_log(log, MP_LOG_INFO, "%d %s", (int)n, text);
    }
}

/* Counts whole lines; a line that holds anything but its own letter has been mixed. */
static int lines_in(FILE *file)
{
    char *line = NULL;
    size_t size = 0;
    int count = 0;

    while (getline(&line, &size, file) > 0) {
        char *end;
        char *text = strstr(line, "] ");
        size_t n;

        CHECK(text != NULL);
        n = strtoul(text + 2, &end, 10);
        CHECK_EQ(*end, ' ');
        CHECK_EQ(strlen(end + 1), n + 1);
        CHECK_EQ(strspn(end + 1, (char[]){end[1], '\0'}), n);
        count++;
    }
    free(line);
    return count;
}

/* Several processes into one pipe (a log collector) at once. */
TEST(lines_of_processes_do_not_mix_in_a_pipe)
{
    struct mp_log log = {.level = MP_LOG_INFO};
    int fds[2];
    FILE *reader;
    int status;

    CHECK_OK(pipe2(fds, O_CLOEXEC));
    log.fd = fds[1];
    fflush(NULL);
    for (int i = 0; i < WRITERS; i++) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
            log_many(&log, i);
            _exit(0);
        }
    }
    close(fds[1]);
    reader = fdopen(fds[0], "r");
    CHECK(reader != NULL);
    CHECK_EQ(lines_in(reader), WRITERS * LINES);
    fclose(reader);
    for (int i = 0; i < WRITERS; i++) {
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
}

struct writer {
    const struct mp_log *log;
    int number;
    pthread_t thread;
};

static void *run_writer(void *argument)
{
    const struct writer *writer = argument;

    log_many(writer->log, writer->number);
    return NULL;
}

TEST(lines_of_threads_do_not_mix_in_a_file)
{
    struct writer writers[WRITERS];
    struct scratch scratch;
    struct mp_log log = {.level = MP_LOG_INFO};
    FILE *reader;

    scratch_make(&scratch);
    log.fd = mp_fd_open_append(scratch_path(&scratch, "log"));
    CHECK(log.fd >= 0);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.log = &log, .number = i};
        CHECK_OK(pthread_create(&writers[i].thread, NULL, run_writer, &writers[i]));
    }
    for (int i = 0; i < WRITERS; i++)
        CHECK_OK(pthread_join(writers[i].thread, NULL));
    close(log.fd);
    reader = fopen(scratch.path, "re");
    CHECK(reader != NULL);
    CHECK_EQ(lines_in(reader), WRITERS * LINES);
    fclose(reader);
    scratch_remove(&scratch);
}

#ifndef __has_feature
#define __has_feature(feature) 0 /* gcc tells by macros of its own */
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&       \
    !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

/* In place of the C library's own, for the C library too. */
static _Atomic unsigned allocations;

extern void *__libc_malloc(size_t size);
__attribute__((visibility("default"))) void *malloc(size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

TEST(nothing_is_allocated)
{
    struct sink sink;
    void *volatile proof;
    unsigned before;
    char text[6000];

    open_sink(&sink);
    before = allocations;
    proof = malloc(1);
    CHECK_EQ(allocations, before + 1); /* the counter counts */
    free(proof);
    memset(text, 0xe4, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    mp_log(&sink.log, MP_LOG_INFO, "%s %d %p %.1f", text, 5, (void *)&sink, 2.5);
    CHECK_EQ(allocations, before + 1);
    close(sink.fd);
}

#endif

/* ---- JSON -------------------------------------------------------------------------------- */

TEST(json_is_an_object_in_a_line)
{
    struct sink sink;
    char line[1024];
    char pattern[256];
    regex_t regex;

    open_sink(&sink);
    sink.log.form = MP_LOG_JSON;
    mp_log(&sink.log, MP_LOG_ERROR, "a \"b\" \\ \x1b \xff\n    next");
    take(&sink, line, sizeof(line));
    snprintf(pattern, sizeof(pattern),
             "^\\{\"time\":\"20[0-9-]{8}T[0-9:]{8}\\.[0-9]{3}Z\",\"level\":\"ERROR\",\"pid\":%d,"
             "\"message\":\"",
             (int)getpid());
    CHECK_OK(regcomp(&regex, pattern, REG_EXTENDED));
    CHECK_OK(regexec(&regex, line, 0, NULL, 0));
    regfree(&regex);
    CHECK_STR(strstr(line, "\"message\":") + 10,
              "\"a \\\"b\\\" \\\\ \\u001b \\\\xff\\n    next\"}\n");
    close(sink.fd);
}

/* What is measured is what is written, and what takes MP_LOG_ROOM is whole. */
TEST(sizes_are_known_before)
{
    static const enum mp_log_form forms[] = {MP_LOG_TEXT, MP_LOG_JSON};

    for (size_t i = 0; i < 2; i++) {
        struct sink sink;
        char text[MP_LOG_ROOM];
        char line[2 * LINE_SIZE];
        size_t n = 0;
        size_t got;
        size_t size;

        open_sink(&sink);
        sink.log.form = forms[i];
        while (n < sizeof(text) && mp_log_size(&sink.log, text, n) < MP_LOG_ROOM - 16) {
            text[n] = (char)(n % 256);
            n++;
        }
        memcpy(text, "\n    ", 5);
        CHECK_OK(mp_log_bytes(&sink.log, MP_LOG_DEBUG, text, n)); /* below the level */
        CHECK_EQ(take(&sink, line, sizeof(line)), 0);
        CHECK_OK(mp_log_bytes(&sink.log, MP_LOG_ERROR, text, n));
        got = take(&sink, line, sizeof(line));
        size = mp_log_size(&sink.log, text, n);
        CHECK_EQ(strlen(line), got); /* a NUL is not there as it was, and ends nothing */
        CHECK(!strstr(line, "...(cut)"));
        CHECK(size > MP_LOG_ROOM - 64 && size <= MP_LOG_ROOM);
        CHECK(got > size && got < size + 128);
        close(sink.fd);
    }
}

TEST(json_that_is_cut_is_whole)
{
    struct sink sink;
    char text[LINE_SIZE];
    char line[2 * LINE_SIZE];

    open_sink(&sink);
    sink.log.form = MP_LOG_JSON;
    memset(text, '"', sizeof(text));
    for (size_t n = 1990; n < 2010; n++) {
        mp_log(&sink.log, MP_LOG_ERROR, "%.*s", (int)n, text);
        size_t len = take(&sink, line, sizeof(line));
        CHECK(len <= LINE_SIZE);
        CHECK_STR(line + len - 3, "\"}\n");
    }
    mp_log(&sink.log, MP_LOG_ERROR, "%.*s", LINE_SIZE - 1, text);
    take(&sink, line, sizeof(line));
    CHECK(strstr(line, "\\\"...(cut)\"}\n") != NULL);
    close(sink.fd);
}

TEST(lines_of_the_application)
{
    struct sink sink;
    char line[1024];

    open_sink(&sink);
    mp_log_lines(&sink.log, "as \x1b they\nare\n", 14);
    take(&sink, line, sizeof(line));
    CHECK_STR(line, "as \x1b they\nare\n");
    sink.log.form = MP_LOG_JSON;
    sink.log.level = MP_LOG_CRITICAL;
    mp_log_lines(&sink.log, "one\n\ntwo", 8);
    take(&sink, line, sizeof(line));
    CHECK(strstr(line, "\"message\":\"one\"}\n{\"time\"") != NULL);
    CHECK(strstr(line, "\"message\":\"two\"}\n") != NULL);
    close(sink.fd);
}
