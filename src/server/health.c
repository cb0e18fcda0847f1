/* SPDX-License-Identifier: MIT */
/* The health check; see health.h. */
#include "server/health.h"

#include <string.h>

#define SILENT (2 * MP_NSEC_PER_SEC)

bool mp_health_is_check(const struct mp_server *server, const struct mp_request *request)
{
    const char *path = server->options->health_path;
    const struct mp_http_head *head = &request->head;
    if (mp_likely(!path))
        return false;
    if (head->method != MP_HTTP_GET && head->method != MP_HTTP_HEAD)
        return false;
    return strlen(path) == head->path.len &&
           memcmp(request->text + head->path.at, path, head->path.len) == 0;
}

/* Relaxed throughout: times and counts of a moment ago, next to a patience of a second. */
static bool has_lasted(const _Atomic int64_t *since, int64_t now)
{
    int64_t start = atomic_load_explicit(since, memory_order_relaxed);
    return start > 0 && now - start >= MP_HEALTH_PATIENCE;
}

bool mp_health_serves(const struct mp_sb_worker *slot, int64_t now)
{
    return atomic_load_explicit(&slot->state, memory_order_relaxed) == MP_SB_WORKER_READY &&
           now - atomic_load_explicit(&slot->heartbeat, memory_order_relaxed) < SILENT;
}

enum mp_health mp_health_of_pool(const struct mp_server *server, int64_t now)
{
    struct mp_scoreboard *board = server->context->board;
    unsigned count = mp_scoreboard_workers(board);
    enum mp_health health = MP_HEALTH_DRAINING;
    for (unsigned i = 0; i < count; i++) {
        const struct mp_sb_worker *slot = mp_scoreboard_worker(board, i);
        if (!mp_health_serves(slot, now))
            continue;
        if (!has_lasted(&slot->waiting_since, now) && !has_lasted(&slot->full_since, now) &&
            !has_lasted(&slot->held_since, now))
            return MP_HEALTH_OK;
        health = MP_HEALTH_SATURATED;
    }
    return health;
}
