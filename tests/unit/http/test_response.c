/* SPDX-License-Identifier: MIT */
/* The writer: whole lines or nothing, and never another line than was asked for. */
#include "http/response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "heads.h"
#include "support/runner.h"

static char buf[512];

static struct mp_http_out fresh(size_t cap)
{
    memset(buf, '#', sizeof(buf));
    return (struct mp_http_out){.buf = buf, .cap = cap};
}

static void check_out(const struct mp_http_out *out, const char *want)
{
    CHECK_EQ(out->len, strlen(want));
    CHECK_MEM(out->buf, want, out->len);
    CHECK_EQ(buf[out->len], '#');
}

TEST(a_whole_head)
{
    struct mp_http_out out = fresh(sizeof(buf));
    char date[MP_HTTP_DATE_SIZE];

    mp_http_date_format(date, 784111777);
    CHECK_OK(mp_http_out_status(&out, 200, "OK", 2));
    CHECK_OK(mp_http_out_date(&out, date));
    CHECK_OK(mp_http_out_field(&out, "Server", 6, "millpond", 8));
    CHECK_OK(mp_http_out_number(&out, "Content-Length", 14, 13));
    CHECK_OK(MP_HTTP_OUT_LINES(&out, "Connection: close\r\n"));
    CHECK_OK(mp_http_out_field(&out, "X-Empty", 7, "", 0));
    CHECK_OK(mp_http_out_end(&out));
    check_out(&out, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: millpond\r\n"
                    "Content-Length: 13\r\nConnection: close\r\nX-Empty: \r\n\r\n");
}

static void status_line(int status, const char *reason, const char *want)
{
    struct mp_http_out out = fresh(sizeof(buf));

    CHECK_OK(mp_http_out_status(&out, status, reason, reason != NULL ? strlen(reason) : 0));
    check_out(&out, want);
}

TEST(status_lines)
{
    status_line(200, NULL, "HTTP/1.1 200 OK\r\n");
    status_line(200, "OK", "HTTP/1.1 200 OK\r\n");
    status_line(200, "Ok", "HTTP/1.1 200 Ok\r\n");
    status_line(200, "", "HTTP/1.1 200 \r\n");
    status_line(200, "Fine\tby me", "HTTP/1.1 200 Fine\tby me\r\n");
    status_line(404, NULL, "HTTP/1.1 404 Not Found\r\n");
    status_line(404, "OK", "HTTP/1.1 404 OK\r\n");
    status_line(100, NULL, "HTTP/1.1 100 Continue\r\n");
    status_line(999, NULL, "HTTP/1.1 999 Unknown\r\n");
    status_line(500, "\xc3\xa9", "HTTP/1.1 500 \xc3\xa9\r\n");
}

TEST(statuses_out_of_range)
{
    static const int bad[] = {0, 99, 1000, -1, -200, 20, 65736, 2147483647, -2147483647 - 1};
    struct mp_http_out out = fresh(sizeof(buf));

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(mp_http_out_status(&out, bad[i], NULL, 0), -EINVAL);
        CHECK_EQ(mp_http_out_status(&out, bad[i], "OK", 2), -EINVAL);
    }
    check_out(&out, "");
}

/* Every byte in every place that comes from an application. */
TEST(no_byte_splits_a_response)
{
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 17; at++) {
            char text[17];
            struct mp_http_out out = fresh(sizeof(buf));
            bool control = (byte < 32 && byte != '\t') || byte == 127;

            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            const char *p = test_guarded(text, sizeof(text));
            CHECK_EQ(mp_http_value_valid(p, sizeof(text)), !control);
            CHECK_EQ(mp_http_reason_valid(p, sizeof(text)), !control);
            CHECK_EQ(mp_http_out_field(&out, "A", 1, p, sizeof(text)), control ? -EINVAL : 0);
            CHECK_EQ(out.len, control ? 0 : 22);
            out = fresh(sizeof(buf));
            CHECK_EQ(mp_http_out_status(&out, 200, p, sizeof(text)), control ? -EINVAL : 0);
            CHECK_EQ(out.len, control ? 0 : 32);

            bool name = mp_http_name_valid(p, sizeof(text));
            bool token = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                         (byte >= 'A' && byte <= 'Z') ||
                         (byte > 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
            CHECK_EQ(name, token);
            out = fresh(sizeof(buf));
            CHECK_EQ(mp_http_out_field(&out, p, sizeof(text), "v", 1), token ? 0 : -EINVAL);
            CHECK_EQ(mp_http_out_number(&out, p, sizeof(text), 1), token ? 0 : -EINVAL);
            CHECK_EQ(out.len > 0, token);
        }
    }
}

TEST(splitting_as_it_is_tried)
{
    static const char *const values[] = {
        "a\r\nSet-Cookie: b",
        "a\nSet-Cookie: b",
        "a\rSet-Cookie: b",
        "a\r\n\r\n<html>",
        "\r\n",
        "\n",
        "a\r\n b",
        "a\x7f",
        "a\x1b[0m",
        "a\v",
        "a\f",
    };
    struct mp_http_out out = fresh(sizeof(buf));

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        size_t n = strlen(values[i]);
        CHECK_EQ(mp_http_out_field(&out, "Location", 8, values[i], n), -EINVAL);
        CHECK_EQ(mp_http_out_field(&out, values[i], n, "x", 1), -EINVAL);
        CHECK_EQ(mp_http_out_status(&out, 302, values[i], n), -EINVAL);
    }
    CHECK_EQ(mp_http_out_field(&out, "A", 1, "b\0c", 3), -EINVAL);
    CHECK_EQ(mp_http_out_field(&out, "A\0", 2, "b", 1), -EINVAL);
    CHECK_EQ(mp_http_out_field(&out, "", 0, "b", 1), -EINVAL);
    CHECK_EQ(mp_http_out_field(&out, "A B", 3, "b", 1), -EINVAL);
    CHECK_EQ(mp_http_out_field(&out, "A:", 2, "b", 1), -EINVAL);
    check_out(&out, "");
}

/* Writes the same line into every capacity: exactly from its own size on it is there. */
TEST(whole_lines_or_nothing)
{
    char date[MP_HTTP_DATE_SIZE];

    mp_http_date_format(date, 0);
    for (size_t cap = 0; cap < 64; cap++) {
        struct mp_http_out out = fresh(cap);
        CHECK_EQ(mp_http_out_status(&out, 404, NULL, 0), cap < 24 ? -ENOSPC : 0);
        CHECK_EQ(out.len, cap < 24 ? 0 : 24);
        out = fresh(cap);
        CHECK_EQ(mp_http_out_status(&out, 200, NULL, 0), cap < 17 ? -ENOSPC : 0);
        CHECK_EQ(out.len, cap < 17 ? 0 : 17);
        out = fresh(cap);
        CHECK_EQ(mp_http_out_field(&out, "Name", 4, "value", 5), cap < 13 ? -ENOSPC : 0);
        CHECK_EQ(out.len, cap < 13 ? 0 : 13);
        out = fresh(cap);
        CHECK_EQ(mp_http_out_number(&out, "N", 1, 12345), cap < 10 ? -ENOSPC : 0);
        CHECK_EQ(out.len, cap < 10 ? 0 : 10);
        out = fresh(cap);
        CHECK_EQ(mp_http_out_date(&out, date), cap < 37 ? -ENOSPC : 0);
        CHECK_EQ(out.len, cap < 37 ? 0 : 37);
        out = fresh(cap);
        CHECK_EQ(mp_http_out_end(&out), cap < 2 ? -ENOSPC : 0);
        CHECK_EQ(buf[cap], '#');
        for (size_t i = out.len; i < sizeof(buf); i++)
            CHECK_EQ(buf[i], '#');
    }
}

TEST(a_full_buffer_stays_as_it_is)
{
    struct mp_http_out out = fresh(20);

    CHECK_OK(mp_http_out_status(&out, 200, NULL, 0));
    CHECK_EQ(mp_http_out_field(&out, "A", 1, "b", 1), -ENOSPC);
    CHECK_EQ(mp_http_out_field(&out, "A", 1, buf, 400), -EINVAL); /* has a CR in it */
    CHECK_OK(mp_http_out_end(&out));
    CHECK_EQ(mp_http_out_end(&out), -ENOSPC);
    check_out(&out, "HTTP/1.1 200 OK\r\n\r\n");
}

TEST(numbers)
{
    static const uint64_t numbers[] = {0,           1,          9,          10,         99,
                                       100,         2147483647, 2147483648, 4294967295, 4294967296,
                                       10000000000, INT64_MAX,  UINT64_MAX};
    char want[100];

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct mp_http_out out = fresh(sizeof(buf));
        CHECK_OK(mp_http_out_number(&out, "Content-Length", 14, numbers[i]));
        snprintf(want, sizeof(want), "Content-Length: %" PRIu64 "\r\n", numbers[i]);
        check_out(&out, want);
    }
}

TEST(chunk_heads)
{
    char want[32];

    for (int shift = 0; shift < 64; shift++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t size = (UINT64_C(1) << shift) + (uint64_t)(int64_t)delta;
            snprintf(want, sizeof(want), "%" PRIx64 "\r\n", size);
            memset(buf, '#', sizeof(buf));
            CHECK_EQ(mp_http_chunk_head(buf, size), strlen(want));
            CHECK_MEM(buf, want, strlen(want));
            CHECK_EQ(buf[strlen(want)], '#');
        }
    }
    CHECK_EQ(mp_http_chunk_head(buf, UINT64_MAX), MP_HTTP_CHUNK_HEAD_MAX);
    CHECK_STR(MP_HTTP_CHUNK_LAST, "0" MP_HTTP_CHUNK_END MP_HTTP_CHUNK_END);
}

TEST(hop_by_hop)
{
    static const char *const hop[] = {
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Trailers",
        "Transfer-Encoding",
        "Upgrade",
        "connection",
        "TRANSFER-ENCODING",
        "te",
        "tRaIlErS",
        "proxy-AUTHENTICATE",
    };
    static const char *const end_to_end[] = {
        "Content-Length",
        "Content-Type",
        "Date",
        "Server",
        "Set-Cookie",
        "T",
        "TEE",
        "Connections",
        "Transfer_Encoding",
        "Upgrades",
        "",
        "Proxy",
        "X-Upgrade",
        "Proxy-Authenticat\x05",
        "Proxy-Authenticatx",
        "Trailerx",
        "Connection-Connection-Connection-Connection",
        "Keep Alive",
        "Keep\rAlive",
    };

    for (size_t i = 0; i < sizeof(hop) / sizeof(hop[0]); i++)
        CHECK(mp_http_is_hop_by_hop(hop[i], strlen(hop[i])));
    for (size_t i = 0; i < sizeof(end_to_end) / sizeof(end_to_end[0]); i++)
        CHECK(!mp_http_is_hop_by_hop(end_to_end[i], strlen(end_to_end[i])));
}
