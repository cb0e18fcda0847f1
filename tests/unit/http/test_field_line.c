/* SPDX-License-Identifier: MIT */
/* Names, values, white space; what is dropped. */
#include <stdio.h>
#include <string.h>

#include "heads.h"
#include "support/runner.h"

#define START "GET / HTTP/1.1\r\nHost: a\r\n"

TEST(names_and_values_are_found)
{
    static const struct {
        const char *line, *name, *value;
    } lines[] = {
        {"A: b", "A", "b"},
        {"A:b", "A", "b"},
        {"A:", "A", ""},
        {"A: ", "A", ""},
        {"A: \t \t", "A", ""},
        {"A:\t b \t", "A", "b"},
        {"Accept: text/html, */*;q=0.8", "Accept", "text/html, */*;q=0.8"},
        {"A: b  \t c ", "A", "b  \t c"},
        {"A::", "A", ":"},
        {"A: b: c", "A", "b: c"},
        {"!#$%&'*+-.^`|~09azAZ: x", "!#$%&'*+-.^`|~09azAZ", "x"},
        {"A: \x80\xff\xa0", "A", "\x80\xff\xa0"},
        {"A: \"quoted, \\\" text\"", "A", "\"quoted, \\\" text\""},
        {"A:                                     b                               ", "A", "b"},
    };
    char text[300];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        strcpy(text, START);
        strcat(text, lines[i].line);
        strcat(text, "\r\nLast: 1\r\n\r\n");
        const struct mp_http_head *head = test_good(text);
        CHECK_EQ(head->field_count, 3);
        test_check_span(head->fields[1].name, lines[i].name);
        test_check_span(head->fields[1].value, lines[i].value);
        test_check_span(head->fields[2].name, "Last");
    }
}

TEST(known_names_are_numbered)
{
    const struct mp_http_head *head =
        test_good(START "user-AGENT: x\r\nContent-type: y\r\nX-Other: z\r\n\r\n");
    CHECK_EQ(head->fields[0].known, MP_HTTP_NAME_HOST);
    CHECK_EQ(head->fields[1].known, MP_HTTP_NAME_USER_AGENT);
    CHECK_EQ(head->fields[2].known, MP_HTTP_NAME_CONTENT_TYPE);
    CHECK_EQ(head->fields[3].known, MP_HTTP_NAME_OTHER);
}

/* Every byte in a name and in a value, at several alignments of the search by words. */
TEST(every_byte_in_a_value)
{
    char text[100];

    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 20; at++) {
            strcpy(text, START "Name: xxxxxxxxxxxxxxxxxxxx\r\n\r\n");
            size_t n = strlen(text);
            text[sizeof(START) - 1 + 6 + at] = (char)byte;
            bool good = (byte >= ' ' && byte != 0x7f) || byte == '\t';
            const struct test_result *got = test_parse(text, n, &test_limits);
            CHECK_EQ(got->outcome, good ? MP_HTTP_DONE : MP_HTTP_BAD);
            CHECK_EQ(got->head.status, good ? 0 : 400);
        }
    }
}

TEST(every_byte_in_a_name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    char text[100];

    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 3; at++) {
            strcpy(text, START "abc: x\r\n\r\n");
            size_t n = strlen(text);
            text[sizeof(START) - 1 + at] = (char)byte;
            bool good = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                        (byte >= 'A' && byte <= 'Z') ||
                        (byte > 0 && strchr(others, byte) != NULL) || (byte == ':' && at > 0);
            const struct test_result *got = test_parse(text, n, &test_limits);
            CHECK_EQ(got->outcome, good ? MP_HTTP_DONE : MP_HTTP_BAD);
            CHECK_EQ(got->head.status, good ? 0 : 400);
        }
    }
}

TEST(malformed_field_lines)
{
    static const char *const lines[] = {
        ": x",
        ":",
        "A : x",
        "A\t: x",
        " A: x",
        "\tA: x",
        "A",
        "A x",
        "A\r: x",
        "A: x\ry",
        "A: x\r",
        "A: x\n y",
        "A: x\r\n y: z",
        "A: x\r\n\ty",
        "A: x\r\n ",
        "\xc3\xa9: x",
        "A\xa0: x",
        "(A): x",
        "A;: x",
        "\"A\": x",
        "A: x\nB: y",
        "A: x\r\n\rB: y",
        "A,B: c",
        "A=B",
        "\v: x",
        "A: \f",
    };
    char text[200];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        strcpy(text, START);
        strcat(text, lines[i]);
        strcat(text, "\r\n\r\n");
        test_bad(text, strlen(text), 400);
    }
    TEST_BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
    TEST_BAD("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400);
    TEST_BAD(START "A\0: x\r\n\r\n", 400);
    TEST_BAD(START "A: x\0\r\n\r\n", 400);
}

TEST(names_that_pass_for_others_are_dropped)
{
    const struct mp_http_head *head =
        test_good(START "X_Real_IP: 1\r\nProxy: http://evil/\r\nPROXY:\r\n_: x\r\nA-B: c\r\n"
                        "Content_Length: 5\r\nTransfer_Encoding: chunked\r\nPro-xy: y\r\n\r\n");
    CHECK_EQ(head->dropped, 6);
    CHECK_EQ(head->field_count, 3);
    test_check_span(head->fields[1].name, "A-B");
    test_check_span(head->fields[2].name, "Pro-xy");
    CHECK(!head->has_length && !head->chunked);
    TEST_BAD(START "X_Y : 1\r\n\r\n", 400);
}

TEST(dropped_fields_count)
{
    struct mp_http_limits limits = test_limits;
    const char text[] = START "A_B: 1\r\nA_B: 2\r\n\r\n";

    limits.fields = 3;
    CHECK_EQ(test_parse(text, sizeof(text) - 1, &limits)->outcome, MP_HTTP_DONE);
    limits.fields = 2;
    CHECK_EQ(test_parse(text, sizeof(text) - 1, &limits)->head.status, 431);
}

/* The log tells faults apart that look alike. */
TEST(reasons_name_the_fault)
{
    static const struct {
        const char *line;
        const char *reason;
    } faults[] = {
        {"A: x\r\n y", "folded field line"},
        {"\tA: x", "folded field line"},
        {"A : x", "space in field name or before its colon"},
        {"A b: x", "space in field name or before its colon"},
        {"A(: x", "bad byte in field name"},
        {": x", "empty field name"},
        {"A: x\ny", "bare LF"},
        {"A: x\ry", "bare CR"},
        {"A: x\x01y", "control byte in field value"},
    };
    char text[100];

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.0\r\n%s\r\n\r\n", faults[i].line);
        const struct test_result *got = test_parse_text(text);
        CHECK_EQ(got->outcome, MP_HTTP_BAD);
        CHECK_STR(got->head.reason, faults[i].reason);
    }
}
