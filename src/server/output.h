/* SPDX-License-Identifier: MIT */
/*
 * The output queue: bytes of a response that the socket has not taken yet, in order.
 *
 * A queue of segments: bytes of its own, bytes kept by reference, ranges of files. Owned by whoever
 * owns the connection (see conn.h); while a handler streams, both its thread and the leader may
 * send, under the connection's output lock. No function blocks, but appending to the spool is disk
 * I/O.
 *
 * References are not dropped here, since that needs the application's interpreter: a segment
 * that has done its duty moves to a list of litter, which some thread that is inside the
 * application anyway sweeps (pool.c).
 */
#ifndef MP_SERVER_OUTPUT_H
#define MP_SERVER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mp_segment;
struct mp_spool;

/* A chain of segments whose references wait to be dropped. */
struct mp_litter {
    struct mp_segment *head;
};

struct mp_output {
    struct mp_segment *head;
    struct mp_segment *tail;
    uint64_t pending;      /* bytes not sent yet */
    uint64_t sent;         /* bytes that the socket has taken so far */
    uint64_t spooled;      /* those of them that are in the spool */
    size_t memory;         /* those of them that are held in memory */
    int spool;             /* unlinked file for what memory should not hold, or -1 */
    uint64_t spool_end;    /* where its next byte goes */
    uint64_t spool_begin;  /* what is before it has been given back to the disk */
    uint64_t spool_held;   /* bytes of it that are accounted for */
    struct mp_spool *home; /* that the file is of */
};

void mp_output_init(struct mp_output *output);

/* Frees everything; references go to litter. */
void mp_output_done(struct mp_output *output, struct mp_litter *litter);

static inline bool mp_output_empty(const struct mp_output *output)
{
    return output->head == NULL;
}

/* Appends a copy of n bytes. 0 or -ENOMEM. */
int mp_output_copy(struct mp_output *output, const void *data, size_t n);

/* Appends n bytes that stay valid until ref is dropped. 0, or -ENOMEM: the ref stays the caller's.
 */
int mp_output_keep(struct mp_output *output, const void *data, size_t n, void *ref);

/* Appends a range of a file; owns fd from now on, on failure too. */
int mp_output_file(struct mp_output *output, int fd, uint64_t offset, uint64_t n);

/* Moves what is held in memory to the spool file, in place: the order stays. 0 or -errno (what was
 * moved until then is in the file, the rest still in memory). */
int mp_output_spill(struct mp_output *output, struct mp_spool *home, struct mp_litter *litter);

/*
 * Sends what the socket takes, preceded by the n bytes at first, which are not in the queue (NULL:
 * none); what the socket does not take of them is put before the queue. At most budget bytes of
 * files are sent in one call.
 * Returns 0 when everything has left, -EAGAIN when the socket is full, -EBUSY when the budget is
 * used up, or another -errno: the connection is lost. *ret_sent: bytes taken, always set.
 */
int mp_output_send(struct mp_output *output, int fd, const char *first, size_t n, uint64_t budget,
                   uint64_t *ret_sent, struct mp_litter *litter);

/* Takes up to count references out of the litter and frees their segments. Returns how many. */
size_t mp_litter_take(struct mp_litter *litter, void **refs, size_t count);

/* Moves all of from to into. */
void mp_litter_merge(struct mp_litter *into, struct mp_litter *from);

#endif
