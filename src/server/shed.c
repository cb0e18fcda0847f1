/* SPDX-License-Identifier: MIT */
/*
 * See shed.h. A request in the FIFO belongs to whoever takes it out, which is done under the pool's
 * lock: so it is either run or shed. Its connection is its own then, and the leader, who has shed
 * it, gives it back to itself.
 */
#include "server/shed.h"

#include "os/clock.h"
#include "server/admission.h"
#include "server/protocol.h"

enum { SHED_TURN = 64 }; /* in one turn, before sockets are looked at again */

#define REPORT_PAUSE (5 * MP_NSEC_PER_SEC)

/* Relaxed: the leader itself has published it, or a thread that has taken requests since; then
 * there is less to shed than it seems. */
static int64_t waiting_since(const struct mp_reactor *reactor)
{
    return atomic_load_explicit(&reactor->server->slot->waiting_since, memory_order_relaxed);
}

int64_t mp_shed_next(const struct mp_reactor *reactor)
{
    int64_t timeout = reactor->server->options->queue_timeout;
    int64_t since = timeout > 0 ? waiting_since(reactor) : 0;
    return since > 0 ? since + timeout : INT64_MAX;
}

uint64_t mp_shed_retry_after(const struct mp_server *server)
{
    return (uint64_t)(server->options->queue_timeout / MP_NSEC_PER_SEC) + 1;
}

/* Takes those whose time is over out of the FIFO; the first has waited longest. */
static unsigned collect(struct mp_reactor *reactor, struct mp_list *late, int64_t now)
{
    struct mp_pool *pool = &reactor->pool;
    int64_t limit = now - reactor->server->options->queue_timeout;
    unsigned count = 0;
    pthread_mutex_lock(&pool->lock);
    while (count < SHED_TURN && !mp_list_empty(&pool->fifo)) {
        struct mp_request *request = mp_list_entry(pool->fifo.next, struct mp_request, link);
        if (request->ready_at > limit)
            break;
        mp_list_remove(&request->link);
        mp_list_append(late, &request->link);
        pool->fifo_size--;
        count++;
    }
    mp_admission_publish(reactor, now);
    pthread_mutex_unlock(&pool->lock);
    return count;
}

static void report(struct mp_reactor *reactor, int64_t now)
{
    struct mp_server *server = reactor->server;
    const struct mp_sb_worker *slot = server->slot;
    if (reactor->shed_unreported == 0 || now < reactor->shed_report_at)
        return;
    mp_log(
        server->log, MP_LOG_WARNING,
        "worker %u: %u requests shed, which had waited for more than %.3g s; %u handlers run, %u "
        "requests wait",
        server->context->slot + 1, reactor->shed_unreported,
        (double)server->options->queue_timeout / (double)MP_NSEC_PER_SEC,
        atomic_load_explicit(&slot->handlers, memory_order_relaxed),
        atomic_load_explicit(&slot->fifo_depth, memory_order_relaxed));
    reactor->shed_unreported = 0;
    reactor->shed_report_at = now + REPORT_PAUSE;
}

void mp_shed_run(struct mp_thread *thread, int64_t now)
{
    struct mp_reactor *reactor = thread->reactor;
    struct mp_list late;
    struct mp_list *node;
    if (mp_likely(reactor->server->options->queue_timeout == 0))
        return;
    if (now >= mp_shed_next(reactor)) {
        mp_list_init(&late);
        unsigned count = collect(reactor, &late, now);
        atomic_fetch_add_explicit(&reactor->server->slot->shed, count, memory_order_relaxed);
        reactor->shed_unreported += count;
        while ((node = mp_list_pop(&late)))
            reactor->protocol->shed(thread, mp_list_entry(node, struct mp_request, link), now);
    }
    report(reactor, now);
}
