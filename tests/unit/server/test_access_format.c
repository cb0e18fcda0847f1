/* SPDX-License-Identifier: MIT */
/* Formats of the access log: what each atom says, what is refused at the start, and that a line is
 * a line whatever a client sends. */
#include "server/access_format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "server/internal.h"

static struct mp_request request;
static struct mp_conn conn;
static struct mp_thread thread;

static const char usual[] = "GET /a/b?c=d HTTP/1.1\r\nHost: example.org\r\nReferer: http://r/\r\n"
                            "User-Agent: test/1\r\nX-Id: 7\r\nContent-Type: text/plain\r\n"
                            "Authorization: Basic d2hvOmFyZSB5b3U=\r\n\r\n";
static const char response_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Empty: \r\nETag: \"1\"\r\n\r\nX-Not: here";

/* A request as the server holds it after parsing n bytes of text. */
static void make(const char *text, size_t n)
{
    struct mp_http_scan scan = {0};
    struct mp_http_limits limits = {
        .line = 1 << 16, .fields = 100, .field_size = 1 << 16, .head = 1 << 20};
    size_t size = 0;
    memset(&request, 0, sizeof(request));
    memset(&conn, 0, sizeof(conn));
    memset(&thread, 0, sizeof(thread));
    conn.peer.len = sizeof(conn.peer.in4);
    conn.peer.in4 = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(4711), .sin_addr = {htonl(0x0a000009)}};
    thread.index = 2;
    request.conn = &conn;
    request.thread = &thread;
    request.text = (char *)text;
    request.size = n;
    request.ready_at = 1000;
    request.started_at = 1000 + 250 * MP_NSEC_PER_MSEC;
    CHECK_EQ(mp_http_head_parse(&scan, text, n, &limits, &request.head, &size), MP_HTTP_DONE);
}

static struct mp_access_format *compiled(const char *text)
{
    struct mp_access_format *format = NULL;
    char why[MP_ACCESS_WHY] = "";
    if (mp_access_format_new(text, &format, why) < 0)
        TEST_FAIL("%s: %s", text, why);
    return format;
}

/* The line without its newline. */
static const char *line_with(const char *text, const struct mp_access_record *record)
{
    static struct mp_access_line line;
    struct mp_access_format *format = compiled(text);
    mp_access_format_make(format, record, &line);
    mp_access_format_free(format);
    CHECK(line.size >= 1 && line.size <= MP_ACCESS_LINE);
    CHECK_EQ(line.text[line.size - 1], '\n');
    CHECK(memchr(line.text, '\n', line.size) == line.text + line.size - 1);
    line.text[line.size - 1] = '\0';
    CHECK_EQ(strlen(line.text), line.size - 1);
    return line.text;
}

static const char *line_of(const char *format)
{
    struct mp_access_record record = {.request = &request,
                                      .conn = &conn,
                                      .head = response_head,
                                      .status = 200,
                                      .size = 42,
                                      .now = 1000 + 1250 * MP_NSEC_PER_MSEC,
                                      .worker = 3};
    return line_with(format, &record);
}

/* Of a request that could not be read. */
static const char *refused_line(const char *format)
{
    struct mp_access_record record = {.conn = &conn, .status = 400, .worker = 3};
    return line_with(format, &record);
}

TEST(every_atom)
{
    static const char *const pairs[][2] = {
        {"%(h)s", "10.0.0.9"},
        {"%(l)s", "-"},
        {"%(u)s", "who"},
        {"%(r)s", "GET /a/b?c=d HTTP/1.1"},
        {"%(m)s", "GET"},
        {"%(U)s", "/a/b"},
        {"%(q)s", "c=d"},
        {"%(H)s", "HTTP/1.1"},
        {"%(s)s", "200"},
        {"%(B)s", "42"},
        {"%(b)s", "42"},
        {"%(f)s", "http://r/"},
        {"%(a)s", "test/1"},
        {"%(T)s", "1"},
        {"%(M)s", "1250"},
        {"%(D)s", "1250000"},
        {"%(L)s", "1.250000"},
        {"%(host)s", "example.org"},
        {"%(target)s", "/a/b?c=d"},
        {"%(port)s", "4711"},
        {"%(queue_wait)s", "0.250000"},
        {"%(handler_time)s", "1.000000"},
        {"%(worker)s", "3"},
        {"%(thread)s", "3"},
        {"%({X-Id}i)s", "7"},
        {"%({x-absent}i)s", "-"},
        {"%({etag}o)s", "\\\"1\\\""},
        {"%({Content-Type}o)s", "text/html"},
        {"%({x-empty}o)s", "-"},
        {"%({x-not}o)s", "-"},
        {"%({HTTP_USER_AGENT}e)s", "test/1"},
        {"%({CONTENT_TYPE}e)s", "text/plain"},
        {"%({REQUEST_METHOD}e)s", "GET"},
        {"%({QUERY_STRING}e)s", "c=d"},
        {"%({PATH_INFO}e)s", "/a/b"},
        {"%({remote_addr}e)s %({request_method}e)s", "10.0.0.9 GET"},
        {"%({http_user_agent}e)s %({Path_Info}e)s", "test/1 /a/b"},
        {"100%% of %(m)s.", "100% of GET."},
        {"%h %l %u \"%r\" %>s %b", "10.0.0.9 - who \"GET /a/b?c=d HTTP/1.1\" 200 42"},
        {"%U%q %{ms}T %D %{X-Id}i %{ETag}o %v", "/a/b?c=d 1250 1250000 7 \\\"1\\\" example.org"},
        {"no atoms", "no atoms"},
    };
    make(usual, strlen(usual));
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        CHECK_STR(line_of(pairs[i][0]), pairs[i][1]);
}

TEST(path_info_is_decoded)
{
    static const char *const pairs[][2] = {
        {"GET /a%20b%2Fc%22?%41 HTTP/1.1\r\nHost: x\r\n\r\n", "/a b/c\\\""},
        {"GET /%c3%a9%0a HTTP/1.1\r\nHost: x\r\n\r\n", "/\\xc3\\xa9\\x0a"},
        {"GET http://x/y%7e HTTP/1.1\r\nHost: x\r\n\r\n", "/y~"},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "-"},
    };
    char text[8192];
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        make(pairs[i][0], strlen(pairs[i][0]));
        CHECK_STR(line_of("%({PATH_INFO}e)s"), pairs[i][1]);
    }
    int n = snprintf(text, sizeof(text), "GET /%04000d%%41 HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    make(text, (size_t)n);
    const char *line = line_of("%({PATH_INFO}e)s");
    CHECK_EQ(strlen(line), 1600 + strlen("...(cut)"));
    CHECK_STR(line + 1598, "00...(cut)");
}

/* 260 letters without a colon: more than are shown. */
TEST(a_users_name_that_is_too_long)
{
    char text[1024];
    char name[349] = {0};
    for (size_t i = 0; i + 4 < sizeof(name); i += 4)
        memcpy(name + i, "eHh4", 4); /* xxx */
    int n = snprintf(text, sizeof(text),
                     "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n\r\n", name);
    make(text, (size_t)n);
    const char *line = line_of("%(u)s");
    CHECK_EQ(strlen(line), 256 + strlen("...(cut)"));
    CHECK_STR(line + 254, "xx...(cut)");
}

TEST(pid_and_time)
{
    char pid[16];
    int day;
    int year;
    char month[4];
    make(usual, strlen(usual));
    snprintf(pid, sizeof(pid), "<%d>", (int)getpid());
    CHECK_STR(line_of("<%(p)s>"), pid);
    CHECK_EQ(sscanf(line_of("%(t)s"), "[%2d/%3[A-Z a-z]/%4d:", &day, month, &year), 3);
    CHECK(day >= 1 && day <= 31 && year >= 2024);
}

TEST(a_request_that_was_not_understood)
{
    make(usual, strlen(usual));
    CHECK_STR(refused_line("%(h)s \"%(r)s\" %(m)s %(U)s %(q)s %(H)s %(s)s %(B)s %(b)s"),
              "10.0.0.9 \"-\" - - - - 400 0 -");
    CHECK_STR(refused_line("%(f)s %(a)s %(u)s %(L)s %(T)s %({x}i)s %({x}o)s"),
              "- - - 0.000000 0 - -");
    CHECK_STR(refused_line("%(queue_wait)s %(handler_time)s %(worker)s %(thread)s"), "- - 3 -");
}

/* The event core has answered it: there is no thread, and no head of a response. */
TEST(a_request_without_a_handler)
{
    make(usual, strlen(usual));
    request.thread = NULL;
    CHECK_STR(line_of("%(queue_wait)s %(handler_time)s %(thread)s %(L)s"), "- - - 1.250000");
    CHECK(strstr(line_of("json"), "\"queue_wait\":null,\"handler_time\":null"));
    CHECK(strstr(line_of("json"), "\"thread\":null,"));
}

TEST(combined)
{
    make(usual, strlen(usual));
    CHECK_STR(strstr(line_of("combined"), "] \""),
              "] \"GET /a/b?c=d HTTP/1.1\" 200 42 \"http://r/\" \"test/1\" 1.250000");
    CHECK(strncmp(line_of("combined"), "10.0.0.9 - - [", 14) == 0);
}

TEST(json)
{
    make(usual, strlen(usual));
    const char *line = line_of("json");
    const char *client = strstr(line, ",\"client\"");
    char end[64];
    CHECK(strncmp(line, "{\"time\":\"20", 11) == 0);
    CHECK(client != NULL);
    snprintf(end, sizeof(end), "\"worker\":3,\"thread\":3,\"pid\":%d}", (int)getpid());
    CHECK(strstr(client, end) != NULL);
    CHECK_EQ(
        strncmp(client,
                ",\"client\":\"10.0.0.9\",\"method\":\"GET\",\"target\":\"/a/b?c=d\","
                "\"protocol\":\"HTTP/1.1\",\"host\":\"example.org\",\"status\":200,\"size\":42,"
                "\"referer\":\"http://r/\",\"user_agent\":\"test/1\",\"duration\":1.250000,"
                "\"queue_wait\":0.250000,\"handler_time\":1.000000,",
                strlen(client) - strlen(end)),
        0);
    CHECK(strstr(refused_line("json"), "\"method\":null,\"target\":null,\"protocol\":null"));
}

/* As sent by a client that wants two lines, a quote's end, or a reader that fails. */
TEST(what_clients_send)
{
    static const char text[] =
        "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\"b\\c\td\xc3\xa9\xff\r\n\r\n";
    make(text, sizeof(text) - 1);
    CHECK_STR(line_of("%(a)s"), "a\\\"b\\\\c\\x09d\\xc3\\xa9\\xff");
    CHECK(strstr(line_of("json"), "\"user_agent\":\"a\\\"b\\\\c\\td\xc3\xa9\\\\xff\""));
}

/* Fields and a target of nothing but what gets longest when it is escaped. */
static char *make_long(char what)
{
    char *text = malloc(60000);
    char *at = text + sprintf(text, "GET /");
    memset(at, 'p', 9000);
    at += 9000;
    at += sprintf(at, " HTTP/1.1\r\nHost: ");
    memset(at, 'h', 9000);
    at += 9000;
    at += sprintf(at, "\r\nUser-Agent: ");
    memset(at, what, 9000);
    at += 9000;
    at += sprintf(at, "\r\nReferer: ");
    memset(at, what, 9000);
    at += 9000;
    at += sprintf(at, "\r\n\r\n");
    make(text, (size_t)(at - text));
    return text;
}

TEST(long_values_are_cut_and_say_so)
{
    static const char kinds[] = {'a', '"', '\xff'};
    for (size_t i = 0; i < sizeof(kinds); i++) {
        char *text = make_long(kinds[i]);
        const char *line = line_of("combined");
        CHECK_STR(line + strlen(line) - 9, " 1.250000");
        CHECK(strstr(line, "p...(cut) HTTP/1.1\" 200 "));
        CHECK(strstr(line, "...(cut)\" 1.250000"));
        line = line_of("json");
        CHECK_EQ(line[strlen(line) - 1], '}');
        CHECK(strstr(line, "...(cut)\",\"duration\":1.250000,"));
        free(text);
    }
}

TEST(a_format_that_makes_long_lines)
{
    char format[1000];
    char *text = make_long('a');
    for (size_t i = 0; i < 90; i++)
        memcpy(format + 10 * i, "%(target)s", 11);
    const char *line = line_of(format);
    CHECK_STR(line + strlen(line) - 8, "...(cut)");
    free(text);
}

TEST(what_is_refused_at_the_start)
{
    static const char *const pairs[][2] = {
        {"%(x)s", "unknown atom %(x)s"},
        {"ok %(queue)s", "unknown atom %(queue)s"},
        {"%Z", "unknown atom %Z"},
        {"%(h", "an atom must end in )s: %(h"},
        {"%(h)d", "an atom must end in )s: %(h)d"},
        {"%", "an atom has no end: %"},
        {"%{x", "an atom has no end: %{x"},
        {"%{x}", "an atom has no end: %{x}"},
        {"%({x}q)s", "unknown atom {x}q; with braces there are"},
        {"%({DJANGO}e)s", "{DJANGO}e cannot be had: lines are written by the event core"},
        {"%({a b}i)s", "a b is no name of a field"},
        {"", "it is empty"},
        {"a\nb", "it has a control character (0x0a)"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct mp_access_format *format = NULL;
        char why[MP_ACCESS_WHY] = "";
        CHECK_EQ(mp_access_format_new(pairs[i][0], &format, why), -EINVAL);
        if (strncmp(why, pairs[i][1], strlen(pairs[i][1])) != 0)
            TEST_FAIL("%s: %s", pairs[i][0], why);
        CHECK(format == NULL);
    }
    mp_access_format_free(NULL);
}
