/* SPDX-License-Identifier: MIT */
/* Whom a worker believes what, on real connections: the peer is 127.0.0.1. What comes of it in an
 * environ is in tests/integration. */
#include <errno.h>
#include <string.h>

#include "harness.h"
#include "http/forwarded.h"
#include "http/proxy_protocol.h"
#include "server/trust.h"

#define LINE "PROXY TCP4 203.0.113.9 198.51.100.7 50000 443\r\n"
#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define UNCLEAR "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: x\r\n\r\n"

static void answered(const struct harness *h, const char *text, int status)
{
    struct client client;
    struct reply reply;
    harness_open(h, &client);
    if (status == 200) {
        client_exchange(&client, text, 200, &reply);
        reply_done(&reply);
    } else {
        client_puts(&client, text);
        client_refused(&client, status);
    }
    client_done(&client);
}

static void end(struct harness *h)
{
    harness_drain(h);
    harness_done(h);
}

TEST(lists_that_are_none)
{
    struct mp_worker_options options;
    struct mp_trust *trust = NULL;
    mp_worker_options_init(&options);
    CHECK_STR(options.forwarded_allow, "127.0.0.1,::1");
    CHECK_STR(options.proxy_allow, "127.0.0.1,::1");
    CHECK_EQ(options.forwarded, MP_HTTP_FORWARDED_FOR | MP_HTTP_FORWARDED_PROTO);
    CHECK_EQ(options.proxy_versions, 0);
    options.forwarded_allow = "nginx";
    CHECK_EQ(mp_trust_new(&options, &trust), -EINVAL);
    options.forwarded_allow = "*";
    options.proxy_allow = "10.0.0.1/8";
    CHECK_EQ(mp_trust_new(&options, &trust), -EINVAL);
    CHECK(!trust);
    options.proxy_allow = "";
    CHECK_OK(mp_trust_new(&options, &trust));
    mp_trust_free(trust);
    mp_trust_free(NULL);
}

TEST(what_is_unclear_is_refused_of_who_is_trusted)
{
    struct harness h;
    harness_init(&h, true);
    harness_start(&h);
    answered(&h, UNCLEAR, 400);
    answered(&h, UNCLEAR, 400);
    answered(&h, GET, 200);
    CHECK_EQ(harness_logged(&h, "through the proxy 127.0.0.1: X-Forwarded-Proto is neither"), 2);
    CHECK_EQ(harness_slot(&h)->bad_requests, 2);
    end(&h);
}

TEST(what_others_say_is_removed)
{
    struct harness h;
    harness_init(&h, true);
    h.options.forwarded_allow = "10.0.0.0/8";
    harness_start(&h);
    answered(&h, UNCLEAR, 200);
    CHECK_EQ(harness_logged(&h, "removed 1 forwarded fields"), 1);
    CHECK_EQ(harness_logged(&h, "(10.0.0.0/8)"), 1);
    end(&h);
}

TEST(addresses_of_ipv6)
{
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_listen(&h, "[::1]:0");
    h.options.proxy_versions = MP_HTTP_PROXY_V1;
    h.options.proxy_allow = "::1";
    h.options.forwarded_allow = "2001:db8::/32";
    h.options.forwarded |= MP_HTTP_FORWARDED_HOST;
    harness_start(&h);
    client_init(&client, harness_connect(&h, 1));
    client_exchange(&client,
                    "PROXY TCP6 2001:db8::1 ::1 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n"
                    "X-Forwarded-For: 2001:db9::1\r\nX-Forwarded-Host: a\r\n\r\n",
                    200, &reply);
    reply_done(&reply);
    client_puts(&client, UNCLEAR);
    client_refused(&client, 400);
    client_done(&client);
    CHECK_EQ(harness_logged(&h, "through the proxy 2001:db8::1"), 1);
    harness_open(&h, &client);
    CHECK(client_at_end(&client, 10000)); /* 127.0.0.1 may not connect */
    client_done(&client);
    end(&h);
}

TEST(or_nothing_is_looked_at)
{
    struct harness h;
    harness_init(&h, true);
    h.options.forwarded = MP_FORWARDED_OFF;
    harness_start(&h);
    answered(&h, UNCLEAR, 200);
    CHECK_EQ(harness_logged(&h, "forwarded"), 0);
    end(&h);
}

TEST(a_header_is_required_and_comes_first)
{
    struct harness h;
    harness_init(&h, true);
    h.options.proxy_versions = MP_HTTP_PROXY_V1 | MP_HTTP_PROXY_V2;
    harness_start(&h);
    answered(&h, LINE GET, 200);
    answered(&h, LINE LINE GET, 400);
    answered(&h, GET, 400);
    answered(&h, "\r\n" LINE GET, 400);
    answered(&h, LINE UNCLEAR, 200); /* of a stranger: removed */
    answered(&h, "PROXY UNKNOWN\r\n" UNCLEAR, 200);
    CHECK_EQ(harness_logged(&h, "removed 1 forwarded fields (X-Forwarded-For and the like) from a "
                                "request of 203.0.113.9"),
             1);
    end(&h);
}

TEST(the_announced_client_is_who_is_trusted)
{
    struct harness h;
    harness_init(&h, true);
    h.options.proxy_versions = MP_HTTP_PROXY_V1;
    h.options.forwarded_allow = "203.0.113.9";
    harness_start(&h);
    answered(&h, LINE UNCLEAR, 400);
    answered(&h, "PROXY UNKNOWN\r\n" UNCLEAR, 200);
    end(&h);
}

TEST(only_proxies_may_connect)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    h.options.proxy_versions = MP_HTTP_PROXY_V1;
    h.options.proxy_allow = "10.0.0.1";
    harness_start(&h);
    for (int i = 0; i < 3; i++) {
        harness_open(&h, &client);
        CHECK(client_at_end(&client, 10000));
        client_done(&client);
    }
    CHECK_EQ(harness_logged(&h, "closed a connection from 127.0.0.1"), 3);
    CHECK_EQ(harness_slot(&h)->accepted, 0);
    end(&h);
}

/* The head is parsed again when a part of the body comes: fields of strangers must not come back,
 * and those of proxies not be lost. An https target is let through by such a field alone. */
TEST(while_a_body_drips)
{
    static const char request[] = "POST https://h/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                                  "X-Forwarded-Proto: https\r\n\r\n";
    struct harness h;
    struct client client;
    struct reply reply;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    client_puts(&client, request);
    for (const char *p = "abc"; *p; p++) {
        CHECK(client_silent(&client, 20));
        client_send(&client, p, 1);
    }
    CHECK(client_reply(&client, false, &reply));
    CHECK_EQ(reply.status, 200);
    CHECK_MEM(reply.body, "abc", 3);
    reply_done(&reply);
    client_done(&client);
    end(&h);
}
