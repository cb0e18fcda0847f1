/* SPDX-License-Identifier: MIT */
/*
 * A thread's slot: what it is doing, written by itself at each request, read by anyone. Texts are
 * copied through words on the stack, because the slot is made of atomic words and no pointers.
 *
 * The peer, in bytes: 0 kind (enum peer_kind), 2-3 port in network order, 8-23 address.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "scoreboard/scoreboard.h"
#include "scoreboard/sequence.h"

enum peer_kind {
    PEER_NONE = 0,
    PEER_UNIX = 1,
    PEER_V4 = 4,
    PEER_V6 = 6,
};

enum {
    PEER_PORT_AT = 2,
    PEER_ADDRESS_AT = 8,
    READ_TRIES = 100,
    READ_SPINS = 10, /* tries before the processor is given to a writer that may wait for it */
};

static void store_words(_Atomic uint64_t *to, const void *bytes, size_t size)
{
    const char *from = bytes;

    for (size_t i = 0; i < size / sizeof(*to); i++) {
        uint64_t word;

        memcpy(&word, from + i * sizeof(word), sizeof(word));
        atomic_store_explicit(&to[i], word, memory_order_relaxed);
    }
}

static void load_words(void *bytes, const _Atomic uint64_t *from, size_t size)
{
    char *to = bytes;

    for (size_t i = 0; i < size / sizeof(*from); i++) {
        uint64_t word = atomic_load_explicit(&from[i], memory_order_relaxed);

        memcpy(to + i * sizeof(word), &word, sizeof(word));
    }
}

/* Stores a text, cut to size. A shorter one ends with NUL; the words behind that are left as they
 * were, since no reader looks at them. */
static void store_text(_Atomic uint64_t *to, size_t size, const char *text, size_t len)
{
    char padded[MP_SB_PATH_SIZE];
    size_t used = len < size ? (len / sizeof(*to) + 1) * sizeof(*to) : size;

    memset(padded + used - sizeof(*to), 0, sizeof(*to));
    if (len > 0)
        memcpy(padded, text, len < size ? len : size);
    store_words(to, padded, used);
}

static void store_peer(_Atomic uint64_t *to, const void *address, size_t len, uint16_t port)
{
    unsigned char peer[MP_SB_PEER_SIZE] = {0};
    uint16_t network_port = htons(port);

    mp_assert(len == 0 || len == 4 || len == 16);
    peer[0] = len == 4 ? PEER_V4 : len == 16 ? PEER_V6 : PEER_UNIX;
    memcpy(peer + PEER_PORT_AT, &network_port, sizeof(network_port));
    if (len > 0)
        memcpy(peer + PEER_ADDRESS_AT, address, len);
    store_words(to, peer, sizeof(peer));
}

static void store_state(struct mp_sb_thread *slot, enum mp_sb_thread_state state, int64_t now)
{
    atomic_store_explicit(&slot->state, (uint32_t)state, memory_order_relaxed);
    atomic_store_explicit(&slot->since, now, memory_order_relaxed);
}

void mp_sb_thread_begin(struct mp_sb_thread *slot, int64_t now, const char *method,
                        size_t method_len, const char *path, size_t path_len, const void *address,
                        size_t address_len, uint16_t port)
{
    uint64_t requests = atomic_load_explicit(&slot->requests, memory_order_relaxed);
    uint32_t sequence = mp_sequence_write_begin(&slot->sequence);

    store_state(slot, MP_SB_THREAD_WORKING, now);
    atomic_store_explicit(&slot->requests, requests + 1, memory_order_relaxed);
    store_text(slot->method, sizeof(slot->method), method, method_len);
    store_text(slot->path, sizeof(slot->path), path, path_len);
    store_peer(slot->peer, address, address_len, port);
    mp_sequence_write_end(&slot->sequence, sequence);
}

void mp_sb_thread_set_state(struct mp_sb_thread *slot, enum mp_sb_thread_state state, int64_t now)
{
    uint32_t sequence = mp_sequence_write_begin(&slot->sequence);

    store_state(slot, state, now);
    mp_sequence_write_end(&slot->sequence, sequence);
}

static bool exchange_state(struct mp_sb_thread *slot, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&slot->state, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/*
 * Outside the sequence lock, which has one writer: the slot's thread. That thread may finish and
 * begin another request around our exchange, which would then have hit the wrong one: since tells,
 * and the exchange is taken back. Worst case: a reader sees STUCK at a request that has just begun,
 * for that moment.
 */
bool mp_sb_thread_mark_stuck(struct mp_sb_thread *slot, int64_t since)
{
    if (atomic_load_explicit(&slot->since, memory_order_acquire) != since)
        return false;
    if (!exchange_state(slot, MP_SB_THREAD_WORKING, MP_SB_THREAD_STUCK))
        return false;
    if (atomic_load_explicit(&slot->since, memory_order_acquire) == since)
        return true;
    exchange_state(slot, MP_SB_THREAD_STUCK, MP_SB_THREAD_WORKING);
    return false;
}

struct copy {
    uint32_t state;
    int64_t since;
    uint64_t requests;
    char method[MP_SB_METHOD_SIZE];
    char path[MP_SB_PATH_SIZE];
    unsigned char peer[MP_SB_PEER_SIZE];
};

/* One try. Returns false when a writer was there in the meantime; the copy is mixed then. */
static bool copy_slot(const struct mp_sb_thread *slot, struct copy *copy)
{
    uint32_t sequence = mp_sequence_read_begin(&slot->sequence);

    copy->state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    copy->since = atomic_load_explicit(&slot->since, memory_order_relaxed);
    copy->requests = atomic_load_explicit(&slot->requests, memory_order_relaxed);
    load_words(copy->method, slot->method, sizeof(copy->method));
    load_words(copy->path, slot->path, sizeof(copy->path));
    load_words(copy->peer, slot->peer, sizeof(copy->peer));
    return mp_sequence_read_end(&slot->sequence, sequence);
}

static void format_peer(const unsigned char *peer, char *text, size_t size)
{
    text[0] = '\0';
    if (peer[0] == PEER_UNIX)
        snprintf(text, size, "unix");
    else if (peer[0] == PEER_V4)
        inet_ntop(AF_INET, peer + PEER_ADDRESS_AT, text, (socklen_t)size);
    else if (peer[0] == PEER_V6)
        inet_ntop(AF_INET6, peer + PEER_ADDRESS_AT, text, (socklen_t)size);
}

void mp_sb_thread_read(const struct mp_sb_thread *slot, struct mp_sb_thread_view *ret_view)
{
    struct copy copy;
    uint16_t network_port;
    bool consistent = copy_slot(slot, &copy);

    for (int tries = 1; !consistent && tries < READ_TRIES; tries++) {
        if (tries >= READ_SPINS)
            sched_yield();
        consistent = copy_slot(slot, &copy);
    }
    memset(ret_view, 0, sizeof(*ret_view));
    /* What is in shared memory may be anything: a reader's switch shall not fall through. */
    ret_view->state =
        copy.state <= MP_SB_THREAD_STUCK ? (enum mp_sb_thread_state)copy.state : MP_SB_THREAD_NONE;
    ret_view->torn = !consistent;
    ret_view->since = copy.since;
    ret_view->requests = copy.requests;
    memcpy(ret_view->method, copy.method, sizeof(copy.method));
    memcpy(ret_view->path, copy.path, sizeof(copy.path));
    format_peer(copy.peer, ret_view->peer, sizeof(ret_view->peer));
    memcpy(&network_port, copy.peer + PEER_PORT_AT, sizeof(network_port));
    ret_view->port = ntohs(network_port);
}

const char *mp_sb_thread_client(const struct mp_sb_thread_view *view, char *text, size_t size)
{
    if (view->port == 0)
        snprintf(text, size, "%s", view->peer);
    else if (strchr(view->peer, ':'))
        snprintf(text, size, "[%s]:%u", view->peer, view->port);
    else
        snprintf(text, size, "%s:%u", view->peer, view->port);
    return text;
}
