/* SPDX-License-Identifier: MIT */
/* The harness itself: it serves, and it fails where it must. */
#include <stdlib.h>

#include "harness.h"
#include "server/response.h"

TEST(serves_and_ends)
{
    struct harness h;
    harness_init(&h, true);
    harness_start(&h);
    harness_get(&h, "/", 200);
    harness_get(&h, "/big/100000?id=3", 200);
    harness_drain(&h);
    CHECK_EQ(h.testapp.handled, 2);
    harness_done(&h);
}

static void lose_ref(struct testapp *testapp, struct mp_request *request)
{
    atomic_fetch_add(&testapp->refs_made, 1);
    mp_response_reply(request, 200, NULL, "x", 1);
}

FAIL_TEST(lost_reference_is_noticed)
{
    struct harness h;
    harness_init(&h, true);
    h.testapp.custom = lose_ref;
    harness_start(&h);
    harness_get(&h, "/custom", 200);
    harness_drain(&h);
    harness_done(&h);
}

FAIL_TEST(wrong_status_is_noticed)
{
    struct harness h;
    harness_init(&h, true);
    harness_start(&h);
    harness_get(&h, "/fail", 200);
    harness_drain(&h);
    harness_done(&h);
}

FAIL_TEST(connection_that_stays_open_is_noticed)
{
    struct harness h;
    struct client client;
    harness_init(&h, true);
    harness_start(&h);
    harness_open(&h, &client);
    harness_drain(&h);
    harness_done(&h);
}
