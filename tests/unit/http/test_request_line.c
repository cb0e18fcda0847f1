/* SPDX-License-Identifier: MIT */
/* Methods, targets in their four forms, versions. */
#include <string.h>

#include "heads.h"
#include "support/runner.h"

TEST(methods_are_known_or_other)
{
    static const struct {
        const char *name;
        enum mp_http_method method;
    } methods[] = {
        {"GET", MP_HTTP_GET},
        {"HEAD", MP_HTTP_HEAD},
        {"POST", MP_HTTP_POST},
        {"PUT", MP_HTTP_PUT},
        {"DELETE", MP_HTTP_DELETE},
        {"TRACE", MP_HTTP_TRACE},
        {"PATCH", MP_HTTP_PATCH},
        {"PURGE", MP_HTTP_OTHER},
        {"G", MP_HTTP_OTHER},
        {"GETT", MP_HTTP_OTHER},
        {"PU", MP_HTTP_OTHER},
        {"HEAP", MP_HTTP_OTHER},
        {"DELETF", MP_HTTP_OTHER},
        {"OPTIONX", MP_HTTP_OTHER},
        {"M-SEARCH", MP_HTTP_OTHER},
        {"!#$%&'*+-.^_`|~0", MP_HTTP_OTHER},
        {"ABCDEFGHIJKLMNOPQRST", MP_HTTP_OTHER},
        {"OPTIONS", MP_HTTP_OPTIONS},
    };
    char text[100];

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        strcpy(text, methods[i].name);
        strcat(text, " / HTTP/1.1\r\nHost: a\r\n\r\n");
        const struct mp_http_head *head = test_good(text);
        CHECK_EQ(head->method, methods[i].method);
        test_check_span(head->method_name, methods[i].name);
    }
    TEST_BAD("ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    TEST_BAD(" / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET:/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

static void origin(const char *target, const char *path, const char *query)
{
    char text[300] = "GET ";

    strcat(text, target);
    strcat(text, " HTTP/1.1\r\nHost: h:1\r\n\r\n");
    const struct mp_http_head *head = test_good(text);
    CHECK_EQ(head->form, MP_HTTP_ORIGIN);
    test_check_span(head->target, target);
    test_check_span(head->path, path);
    test_check_span(head->query, query);
    test_check_span(head->host, "h:1");
}

TEST(origin_form)
{
    origin("/", "/", "");
    origin("/?", "/", "");
    origin("/a/b", "/a/b", "");
    origin("/a?b", "/a", "b");
    origin("/a?b?c", "/a", "b?c");
    origin("/?a=b&c=d/e", "/", "a=b&c=d/e");
    origin("//evil/x", "//evil/x", "");
    origin("/../%2e%2e/%00", "/../%2e%2e/%00", "");
    origin("/%zz", "/%zz", "");
    origin("/\xc3\xa9\xff?\x80", "/\xc3\xa9\xff", "\x80");
    origin("/{}|\\^`<>\"[]", "/{}|\\^`<>\"[]", "");
    origin("/http://x/", "/http://x/", "");
    origin("/a@b:c", "/a@b:c", "");
}

TEST(bad_bytes_in_the_target)
{
    char text[] = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";

    for (int place = 5; place <= 7; place += 2) {
        for (int byte = 0; byte < 256; byte++) {
            strcpy(text, "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
            text[place] = (char)byte;
            bool good = byte > ' ' && byte != 0x7f && byte != '#';
            const struct test_result *got = test_parse(text, sizeof(text) - 1, &test_limits);
            CHECK_EQ(got->outcome, good ? MP_HTTP_DONE : MP_HTTP_BAD);
            CHECK_EQ(got->head.status, good ? 0 : 400);
        }
    }
}

static void absolute(const char *target, const char *host, const char *path, const char *query)
{
    char text[300] = "GET ";

    strcat(text, target);
    strcat(text, " HTTP/1.1\r\nHost: ignored\r\n\r\n");
    const struct mp_http_head *head = test_good(text);
    CHECK_EQ(head->form, MP_HTTP_ABSOLUTE);
    CHECK(head->has_host);
    test_check_span(head->target, target);
    test_check_span(head->host, host);
    test_check_span(head->path, path);
    test_check_span(head->query, query);
}

TEST(absolute_form_replaces_host)
{
    absolute("http://a/", "a", "/", "");
    absolute("http://a", "a", "/", "");
    absolute("http://a?q", "a", "/", "q");
    absolute("HTTP://Example.COM:80/x?y", "Example.COM:80", "/x", "y");
    absolute("https://[::1]:8443//p", "[::1]:8443", "//p", "");
    absolute("https://a:/", "a:", "/", "");
    absolute("http://a/b?http://c/", "a", "/b", "http://c/");
    const struct mp_http_head *head = test_good("GET http://a/ HTTP/1.0\r\n\r\n");
    CHECK(head->has_host);
    CHECK(!head->https);
    test_check_span(head->host, "a");
}

TEST(options_of_an_absolute_target_without_a_path)
{
    const struct mp_http_head *head = test_good("OPTIONS http://a HTTP/1.1\r\nHost: b\r\n\r\n");
    CHECK_EQ(head->form, MP_HTTP_ABSOLUTE);
    test_check_span(head->path, "");
    test_check_span(head->host, "a");
    test_check_span(test_good("OPTIONS http://a/ HTTP/1.1\r\nHost: b\r\n\r\n")->path, "/");
    test_check_span(test_good("OPTIONS http://a?q HTTP/1.1\r\nHost: b\r\n\r\n")->path, "/");
}

TEST(targets_of_the_https_scheme_are_told_apart)
{
    CHECK(test_good("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n")->https);
    CHECK(test_good("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n")->https);
    CHECK(!test_good("GET http://https:1/ HTTP/1.1\r\nHost: a\r\n\r\n")->https);
    CHECK(!test_good("GET /https://a/ HTTP/1.1\r\nHost: a\r\n\r\n")->https);
    TEST_BAD("GET httpss://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET https:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET https:///p HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

TEST(absolute_form_still_needs_one_good_host_field)
{
    TEST_BAD("GET http://a/ HTTP/1.1\r\n\r\n", 400);
    TEST_BAD("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
}

TEST(targets_in_no_form)
{
    static const char *const targets[] = {
        "a",
        "*",
        "?",
        "?a",
        "a:80",
        "http:",
        "http:/",
        "http://",
        "http:///",
        "http:///path",
        "http://?q",
        "http://:80/",
        "http://user@host/",
        "http://user:pw@host/",
        "http://@host/",
        "http://host:port/",
        "http://host:65536/",
        "http://ho st/",
        "http://[::1/",
        "http://[::g]/",
        "http://a\\b/",
        "http://h\x80/",
        "ftp://a/",
        "httpx://a/",
        "https:/a",
        "http//a",
        "ws://a/",
        "://a/",
        "%2f",
        "\\",
        "http://a%zz/",
        "*a",
        "..",
        "./",
        "https://",
        "httpsx//a/b",
        "https:///",
    };
    char text[200];

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        strcpy(text, "GET ");
        strcat(text, targets[i]);
        strcat(text, " HTTP/1.1\r\nHost: a\r\n\r\n");
        test_bad(text, strlen(text), 400);
    }
}

TEST(authority_form_is_for_connect_alone)
{
    const struct mp_http_head *head =
        test_good("CONNECT www.example.com:443 HTTP/1.1\r\nHost: other\r\n\r\n");
    CHECK_EQ(head->form, MP_HTTP_AUTHORITY);
    test_check_span(head->host, "www.example.com:443");
    test_check_span(head->path, "");
    test_check_span(head->query, "");
    test_good("CONNECT [::1]:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    TEST_BAD("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT a:80? HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT u@a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("CONNECT http://a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

TEST(asterisk_form_is_for_options_alone)
{
    const struct mp_http_head *head = test_good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(head->form, MP_HTTP_ASTERISK);
    test_check_span(head->path, "*");
    test_good("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n");
    TEST_BAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("OPTIONS *? HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

static void version(const char *text, int status, int minor)
{
    char line[100] = "GET / ";

    strcat(line, text);
    strcat(line, "\r\nHost: a\r\n\r\n");
    if (status != 0)
        test_bad(line, strlen(line), status);
    else
        CHECK_EQ(test_good(line)->minor, minor);
}

TEST(versions)
{
    version("HTTP/1.0", 0, 0);
    version("HTTP/1.1", 0, 1);
    version("HTTP/1.2", 0, 1);
    version("HTTP/1.9", 0, 1);
    version("HTTP/0.9", 505, 0);
    version("HTTP/2.0", 505, 0);
    version("HTTP/3.1", 505, 0);
    version("HTTP/9.9", 505, 0);
    static const char *const malformed[] = {
        "",          "H",          "HTTP",       "HTTP/",       "HTTP/1",    "HTTP/1.",
        "HTTP/1.x",  "HTTP/x.1",   "HTTP/11",    "HTTP/1,1",    "HTTP/1.10", "HTTP/1.01",
        "HTTP/01.1", "HTTP/10.1",  "HTTP/2",     "HTTP/2.",     "http/1.1",  "HTTP 1.1",
        "HTTP/1.1 ", " HTTP/1.1",  "HTTP/1.1\t", "HTTP/1.1\r",  "HTTP/+1.1", "HTTP/1.-1",
        "HTTPS/1.1", "HTTP/1.1 x", "x HTTP/1.1", "HTTP/1.\xb9", "ICY/1.1",
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        version(malformed[i], 400, 0);
}

TEST(a_request_line_has_its_three_parts)
{
    TEST_BAD("GET\r\n\r\n", 400);
    TEST_BAD("GET \r\n\r\n", 400);
    TEST_BAD("GET /\r\n\r\n", 400); /* HTTP/0.9 */
    TEST_BAD("GET / \r\n\r\n", 400);
    TEST_BAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\rHost: a\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\rHost: a\r\n\r\n", 400);
    TEST_BAD("GET /\vHTTP/1.1\r\nHost: a\r\n\r\n", 400);
    TEST_BAD("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}
