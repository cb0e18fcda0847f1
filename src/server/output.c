/* SPDX-License-Identifier: MIT */
/* The output queue; see output.h. */
#include "server/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "os/fd.h"
#include "os/socket.h"
#include "server/spool.h"

enum segment_kind {
    SEGMENT_OWN,  /* bytes behind the struct */
    SEGMENT_REF,  /* bytes of the application */
    SEGMENT_FILE, /* a range of a file that the segment owns */
    SEGMENT_SPOOL /* a range of the queue's spool file */
};

struct mp_segment {
    struct mp_segment *next;
    enum segment_kind kind;
    int fd;           /* FILE */
    uint64_t left;    /* bytes to send */
    uint64_t offset;  /* FILE, SPOOL: of the next byte */
    const char *data; /* OWN, REF: the next byte */
    void *ref;        /* REF */
    size_t room;      /* OWN: bytes that may still be appended behind the data */
    char bytes[];
};

enum {
    SEND_VECTORS = 32,
    PUNCH_SIZE = 16 << 20,
    SPOOL_BLOCK = 32 << 10,                          /* copied at a time */
    OWN_MIN = 4096 - (int)sizeof(struct mp_segment), /* small appends share a segment */
};

static struct mp_segment *segment_new(enum segment_kind kind, size_t extra)
{
    struct mp_segment *segment = malloc(sizeof(*segment) + extra);
    if (!segment)
        return NULL;
    memset(segment, 0, sizeof(*segment));
    segment->kind = kind;
    segment->fd = -1;
    return segment;
}

/* Frees a segment; one with a reference becomes litter. */
static void segment_drop(struct mp_segment *segment, struct mp_litter *litter)
{
    if (segment->kind == SEGMENT_FILE)
        mp_fd_close(&segment->fd);
    if (segment->kind == SEGMENT_REF && segment->ref) {
        segment->next = litter->head;
        litter->head = segment;
        return;
    }
    free(segment);
}

static bool in_memory(const struct mp_segment *segment)
{
    return segment->kind == SEGMENT_OWN || segment->kind == SEGMENT_REF;
}

static void append(struct mp_output *output, struct mp_segment *segment)
{
    if (output->tail)
        output->tail->next = segment;
    else
        output->head = segment;
    output->tail = segment;
    output->pending += segment->left;
    if (in_memory(segment))
        output->memory += segment->left;
}

void mp_output_init(struct mp_output *output)
{
    *output = (struct mp_output){.spool = -1};
}

void mp_output_done(struct mp_output *output, struct mp_litter *litter)
{
    while (output->head) {
        struct mp_segment *segment = output->head;
        output->head = segment->next;
        segment_drop(segment, litter);
    }
    mp_spool_close(output->home, &output->spool, output->spool_held);
    mp_output_init(output);
}

int mp_output_copy(struct mp_output *output, const void *data, size_t n)
{
    struct mp_segment *tail = output->tail;
    if (n == 0)
        return 0;
    if (tail && tail->kind == SEGMENT_OWN && tail->room >= n) {
        memcpy((char *)tail->data + tail->left, data, n);
        tail->left += n;
        tail->room -= n;
        output->pending += n;
        output->memory += n;
        return 0;
    }
    size_t size = n < (size_t)OWN_MIN ? (size_t)OWN_MIN : n;
    struct mp_segment *segment = segment_new(SEGMENT_OWN, size);
    if (!segment)
        return -ENOMEM;
    memcpy(segment->bytes, data, n);
    segment->data = segment->bytes;
    segment->left = n;
    segment->room = size - n;
    append(output, segment);
    return 0;
}

int mp_output_keep(struct mp_output *output, const void *data, size_t n, void *ref)
{
    struct mp_segment *segment = segment_new(SEGMENT_REF, 0);
    if (!segment)
        return -ENOMEM;
    segment->data = data;
    segment->left = n;
    segment->ref = ref;
    append(output, segment);
    return 0;
}

int mp_output_file(struct mp_output *output, int fd, uint64_t offset, uint64_t n)
{
    struct mp_segment *segment = n > 0 ? segment_new(SEGMENT_FILE, 0) : NULL;
    if (!segment) {
        mp_fd_close(&fd);
        return n > 0 ? -ENOMEM : 0;
    }
    segment->fd = fd;
    segment->offset = offset;
    segment->left = n;
    append(output, segment);
    return 0;
}

static int spool_open(struct mp_output *output, struct mp_spool *home)
{
    if (output->spool >= 0)
        return 0;
    int fd = mp_spool_open(home);
    if (fd < 0)
        return fd;
    output->spool = fd;
    output->home = home;
    output->spool_end = 0;
    output->spool_begin = 0;
    output->spool_held = 0;
    return 0;
}

/* Writes one segment to the spool; it becomes a range of the file in its place. */
static int spill_one(struct mp_output *output, struct mp_segment **place, struct mp_litter *litter)
{
    struct mp_segment *old = *place;
    struct mp_segment *fresh = segment_new(SEGMENT_SPOOL, 0);
    if (!fresh)
        return -ENOMEM;
    int r = mp_spool_write(output->home, output->spool, old->data, (size_t)old->left,
                           output->spool_end);
    if (r < 0) {
        free(fresh);
        return r;
    }
    fresh->offset = output->spool_end;
    fresh->left = old->left;
    fresh->next = old->next;
    output->spool_end += old->left;
    output->spool_held += old->left;
    output->spooled += old->left;
    output->memory -= (size_t)old->left;
    *place = fresh;
    if (output->tail == old)
        output->tail = fresh;
    segment_drop(old, litter);
    return 0;
}

/* Joins segment with next, if both are ranges of the spool and one continues the other. */
static bool join_ranges(struct mp_output *output, struct mp_segment *segment)
{
    struct mp_segment *next = segment->next;
    if (!next || segment->kind != SEGMENT_SPOOL || next->kind != SEGMENT_SPOOL ||
        next->offset != segment->offset + segment->left)
        return false;
    segment->left += next->left;
    segment->next = next->next;
    if (output->tail == next)
        output->tail = segment;
    free(next);
    return true;
}

int mp_output_spill(struct mp_output *output, struct mp_spool *home, struct mp_litter *litter)
{
    int r = spool_open(output, home);
    for (struct mp_segment **place = &output->head; r == 0 && *place; place = &(*place)->next) {
        if (in_memory(*place))
            r = spill_one(output, place, litter);
    }
    for (struct mp_segment *segment = output->head; segment; segment = segment->next) {
        while (join_ranges(output, segment))
            ;
    }
    return r;
}

/* Gives the disk back what has left: the file of an endless response must not be endless. */
static void punch_spool(struct mp_output *output)
{
    const struct mp_segment *segment = output->head;
    if (!segment || segment->kind != SEGMENT_SPOOL ||
        segment->offset - output->spool_begin < PUNCH_SIZE)
        return;
    uint64_t n = segment->offset - output->spool_begin;
    /* Not every file system can; then the disk is given back at the end. */
    if (mp_fd_punch(output->spool, output->spool_begin, n) == 0) {
        mp_spool_release(output->home, n);
        output->spool_held -= n;
    }
    output->spool_begin = segment->offset;
}

/* Takes n sent bytes off the front. */
static void consume(struct mp_output *output, uint64_t n, struct mp_litter *litter)
{
    output->pending -= n;
    while (n > 0) {
        struct mp_segment *segment = output->head;
        mp_assert(segment); /* no more was sent than there was */
        uint64_t part = n < segment->left ? n : segment->left;
        segment->left -= part;
        segment->offset += part;
        n -= part;
        if (in_memory(segment)) {
            segment->data += part;
            output->memory -= part;
        } else if (segment->kind == SEGMENT_SPOOL) {
            output->spooled -= part;
        }
        if (segment->left > 0)
            break;
        output->head = segment->next;
        if (!output->head)
            output->tail = NULL;
        segment_drop(segment, litter);
    }
    punch_spool(output);
    /* An emptied spool begins anew, so that a fast and a slow phase do not add up on the disk. */
    if (!output->head && output->spool >= 0)
        mp_spool_close(output->home, &output->spool, output->spool_held);
}

/*
 * Of the spool a copy is sent, not the pages themselves: what the kernel has taken by sendfile(2)
 * it refers to until the client has read it, and a hole that is punched meanwhile, for what "has
 * left", puts zeros into it.
 */
static ssize_t send_spool(const struct mp_output *output, int fd, size_t n)
{
    char block[SPOOL_BLOCK];
    if (n > sizeof(block))
        n = sizeof(block);
    ssize_t r = mp_fd_pread(output->spool, block, n, output->head->offset);
    if (r <= 0)
        return r == 0 ? -EIO : r;
    return mp_socket_send(fd, block, (size_t)r, false);
}

static ssize_t send_file(const struct mp_output *output, int fd, uint64_t budget)
{
    const struct mp_segment *segment = output->head;
    size_t n = segment->left < budget ? (size_t)segment->left : (size_t)budget;
    if (segment->kind == SEGMENT_SPOOL)
        return send_spool(output, fd, n);
    ssize_t r = mp_fd_sendfile(fd, segment->fd, segment->offset, n);
    return r == 0 ? -EIO : r; /* the file has become shorter than was promised */
}

/* Gathers first and the segments in memory at the front into vectors. */
static int gather(const struct mp_output *output, const char *first, size_t n,
                  struct iovec *vectors, size_t *ret_total, bool *ret_more)
{
    int count = 0;
    *ret_total = n;
    if (n > 0)
        vectors[count++] = (struct iovec){.iov_base = (char *)first, .iov_len = n};
    const struct mp_segment *segment = output->head;
    for (; segment && in_memory(segment) && count < SEND_VECTORS; segment = segment->next) {
        vectors[count++] =
            (struct iovec){.iov_base = (char *)segment->data, .iov_len = (size_t)segment->left};
        *ret_total += (size_t)segment->left;
    }
    *ret_more = segment != NULL;
    return count;
}

/* Puts what the socket did not take of the bytes before the queue at its front. */
static int put_before(struct mp_output *output, const char *data, size_t n)
{
    struct mp_segment *segment = segment_new(SEGMENT_OWN, n);
    if (!segment)
        return -ENOMEM;
    memcpy(segment->bytes, data, n);
    segment->data = segment->bytes;
    segment->left = n;
    segment->next = output->head;
    output->head = segment;
    if (!output->tail)
        output->tail = segment;
    output->pending += n;
    output->memory += n;
    return 0;
}

int mp_output_send(struct mp_output *output, int fd, const char *first, size_t n, uint64_t budget,
                   uint64_t *ret_sent, struct mp_litter *litter)
{
    struct iovec vectors[SEND_VECTORS];
    *ret_sent = 0;
    for (;;) {
        bool more = false;
        size_t total = 0;
        ssize_t r;
        int count = gather(output, first, n, vectors, &total, &more);
        if (count == 1)
            r = mp_socket_send(fd, vectors[0].iov_base, total, more);
        else if (count > 1)
            r = mp_socket_sendv(fd, vectors, count, more);
        else if (!output->head)
            return 0;
        else if (budget == 0)
            return -EBUSY;
        else
            r = send_file(output, fd, budget);
        if (r < 0) {
            if (r == -EAGAIN && n > 0 && put_before(output, first, n) < 0)
                return -ENOMEM;
            return (int)r;
        }
        *ret_sent += (uint64_t)r;
        output->sent += (uint64_t)r;
        if (count == 0) {
            budget -= (uint64_t)r;
            consume(output, (uint64_t)r, litter);
            continue;
        }
        size_t of_first = (size_t)r < n ? (size_t)r : n;
        first += of_first;
        n -= of_first;
        consume(output, (uint64_t)r - of_first, litter);
        if ((size_t)r == total && !more)
            return 0;
    }
}

size_t mp_litter_take(struct mp_litter *litter, void **refs, size_t count)
{
    size_t taken = 0;
    while (litter->head && taken < count) {
        struct mp_segment *segment = litter->head;
        litter->head = segment->next;
        refs[taken++] = segment->ref;
        free(segment);
    }
    return taken;
}

void mp_litter_merge(struct mp_litter *into, struct mp_litter *from)
{
    if (!from->head)
        return;
    struct mp_segment *last = from->head;
    while (last->next)
        last = last->next;
    last->next = into->head;
    into->head = from->head;
    from->head = NULL;
}
