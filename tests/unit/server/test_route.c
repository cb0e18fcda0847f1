/* SPDX-License-Identifier: MIT */
/* What is learned about routes: fast, waiting and computing ones, accidents, strangers. */
#include <stdio.h>
#include <string.h>

#include "runner.h"
#include "server/route.h"

#define US INT64_C(1000)
#define MS INT64_C(1000000)

static struct mp_routes routes;

static uint64_t route(const char *path)
{
    return mp_route_hash("GET", 3, path, strlen(path));
}

/* As the pool does it: the CPU is measured only where that is worth it. */
static void run(uint64_t hash, int64_t wall, int64_t computing)
{
    bool measure = mp_routes_wants_cpu(&routes, hash);
    struct mp_route_sample sample = {.wall = wall, .computing = measure ? computing : -1};
    mp_routes_learn(&routes, hash, &sample);
}

static void run_often(uint64_t hash, int64_t wall, int64_t computing)
{
    for (int i = 0; i < 20; i++)
        run(hash, wall, computing);
}

TEST(hashes_tell_method_and_path_apart)
{
    const char *paths[] = {"/", "/a", "/b", "/ab", "/aaaaaaa", "/aaaaaaaa", "/aaaaaaaab", ""};
    for (size_t i = 0; i < 8; i++) {
        CHECK(route(paths[i]) != 0);
        CHECK(mp_route_hash("POST", 4, paths[i], strlen(paths[i])) != route(paths[i]));
        for (size_t j = 0; j < i; j++)
            CHECK(route(paths[i]) != route(paths[j]));
    }
    CHECK(mp_route_hash("GE", 2, "T/", 2) != mp_route_hash("GET", 3, "/", 1));
    CHECK(mp_route_hash("", 0, "", 0) != 0);
}

TEST(nothing_is_known_at_first)
{
    mp_routes_init(&routes);
    CHECK(!mp_routes_blocks(&routes, route("/")));
    CHECK(!mp_routes_is_fast(&routes, route("/")));
    CHECK(!mp_routes_wants_cpu(&routes, route("/")));
}

TEST(fast_route)
{
    mp_routes_init(&routes);
    run_often(route("/"), 20 * US, 19 * US);
    CHECK(mp_routes_is_fast(&routes, route("/")));
    CHECK(!mp_routes_blocks(&routes, route("/")));
    CHECK(!mp_routes_wants_cpu(&routes, route("/")));
}

TEST(waiting_route_is_known_after_few_runs)
{
    mp_routes_init(&routes);
    run(route("/db"), 10 * MS, MS / 10);
    CHECK(mp_routes_wants_cpu(&routes, route("/db")));
    CHECK(!mp_routes_is_fast(&routes, route("/db")));
    for (int i = 0; i < 2; i++)
        run(route("/db"), 10 * MS, MS / 10);
    CHECK(mp_routes_blocks(&routes, route("/db")));
}

TEST(computing_route_never_waits)
{
    mp_routes_init(&routes);
    for (int i = 0; i < 100; i++) {
        run(route("/cpu"), 5 * MS, 5 * MS - 50 * US);
        CHECK(!mp_routes_blocks(&routes, route("/cpu")));
    }
    CHECK(!mp_routes_is_fast(&routes, route("/cpu")));
}

TEST(one_preempted_run_changes_nothing)
{
    mp_routes_init(&routes);
    run_often(route("/"), 30 * US, 30 * US);
    run(route("/"), 50 * MS, 30 * US); /* not measured: it was fast until now */
    CHECK(!mp_routes_blocks(&routes, route("/")));
    run(route("/"), 30 * US, 30 * US);
    CHECK(!mp_routes_blocks(&routes, route("/")));

    mp_routes_init(&routes);
    run_often(route("/cpu"), 2 * MS, 2 * MS);
    run(route("/cpu"), 80 * MS, 2 * MS);
    CHECK(!mp_routes_blocks(&routes, route("/cpu")));
    run(route("/cpu"), 2 * MS, 2 * MS);
    CHECK(!mp_routes_blocks(&routes, route("/cpu")));
}

TEST(a_long_route_is_measured_now_and_then)
{
    unsigned measured = 0;
    mp_routes_init(&routes);
    run(route("/cpu"), 2 * MS, 2 * MS);
    for (int i = 0; i < 816; i++) {
        measured += mp_routes_wants_cpu(&routes, route("/cpu"));
    }
    CHECK(measured >= 50 && measured <= 120);
}

TEST(route_that_changes_is_learned_anew)
{
    mp_routes_init(&routes);
    run_often(route("/"), 10 * MS, US);
    CHECK(mp_routes_blocks(&routes, route("/")));
    for (int i = 0; i < 60; i++)
        run(route("/"), 15 * US, 15 * US);
    CHECK(!mp_routes_blocks(&routes, route("/")));
    CHECK(mp_routes_is_fast(&routes, route("/")));
    run_often(route("/"), 10 * MS, US);
    CHECK(mp_routes_blocks(&routes, route("/")));
}

TEST(strangers_are_judged_by_the_application)
{
    char path[32];
    mp_routes_init(&routes);
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof(path), "/user/%d", i);
        run(route(path), 10 * MS, MS / 5);
    }
    unsigned wanted = 0;
    for (int i = 0; i < 16; i++)
        wanted += mp_routes_wants_cpu(&routes, route("/user/9999"));
    CHECK(wanted >= 1);
    CHECK(mp_routes_blocks(&routes, route("/user/9999")));
    CHECK(!mp_routes_is_fast(&routes, route("/user/9999")));
}

TEST(routes_beside_each_other_do_not_mix)
{
    mp_routes_init(&routes);
    for (int i = 0; i < 50; i++) {
        run(route("/db"), 10 * MS, US);
        run(route("/"), 20 * US, 20 * US);
        run(route("/cpu"), 3 * MS, 3 * MS);
    }
    CHECK(mp_routes_blocks(&routes, route("/db")));
    CHECK(mp_routes_is_fast(&routes, route("/")));
    CHECK(!mp_routes_blocks(&routes, route("/cpu")));
}

TEST(more_routes_than_slots)
{
    char path[32];
    mp_routes_init(&routes);
    for (int i = 0; i < 20000; i++) {
        snprintf(path, sizeof(path), "/item/%d", i);
        run(route(path), 20 * US, 20 * US);
    }
    run(route("/last"), 20 * US, 20 * US);
    CHECK(mp_routes_is_fast(&routes, route("/last")));
}

TEST(extreme_times_do_not_wrap)
{
    mp_routes_init(&routes);
    run_often(route("/slow"), INT64_C(3600) * 1000 * MS, MS);
    CHECK(mp_routes_blocks(&routes, route("/slow")));
    run_often(route("/odd"), -5, -5);
    CHECK(!mp_routes_blocks(&routes, route("/odd")));
    run_often(route("/more"), 10 * MS, 1000 * MS);
    CHECK(!mp_routes_blocks(&routes, route("/more")));
}

TEST(one_that_waits_is_suspected_until_one_has_ended)
{
    mp_routes_init(&routes);
    run_often(route("/quick"), 20 * US, 19 * US);
    mp_routes_suspect(&routes, route("/slow"));
    CHECK(mp_routes_blocks(&routes, route("/slow")));
    CHECK(!mp_routes_blocks(&routes, route("/quick")));
    CHECK(!mp_routes_blocks(&routes, route("/stranger")));
    run(route("/slow"), 100 * MS, 0);
    CHECK(mp_routes_blocks(&routes, route("/slow")));
}

TEST(the_first_that_ends_refutes_it)
{
    mp_routes_init(&routes);
    mp_routes_suspect(&routes, route("/computes"));
    CHECK(mp_routes_blocks(&routes, route("/computes")));
    CHECK(mp_routes_blocks(&routes, route("/stranger"))); /* all that is known */
    run(route("/computes"), 20 * MS, 18 * MS);
    CHECK(!mp_routes_blocks(&routes, route("/computes")));
    mp_routes_suspect(&routes, route("/computes")); /* too late */
    CHECK(!mp_routes_blocks(&routes, route("/computes")));
}
