/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list. A head and its nodes are the same type; an unlinked node points
 * to itself, so that mp_list_remove() twice is harmless. Not thread-safe: the owner locks.
 */
#ifndef MP_BASE_LIST_H
#define MP_BASE_LIST_H

#include <stdbool.h>

#include "base/compiler.h"

struct mp_list {
    struct mp_list *next;
    struct mp_list *prev;
};

static inline void mp_list_init(struct mp_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool mp_list_empty(const struct mp_list *list)
{
    return list->next == list;
}

/* Inserts node after pos; with a head as pos: at the front. */
static inline void mp_list_insert(struct mp_list *pos, struct mp_list *node)
{
    node->prev = pos;
    node->next = pos->next;
    pos->next->prev = node;
    pos->next = node;
}

/* Appends node to the list of this head. */
static inline void mp_list_append(struct mp_list *head, struct mp_list *node)
{
    mp_list_insert(head->prev, node);
}

/* Unlinks node and leaves it initialised. */
static inline void mp_list_remove(struct mp_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    mp_list_init(node);
}

/* Unlinks and returns the first node, or NULL of an empty list. */
static inline struct mp_list *mp_list_pop(struct mp_list *head)
{
    struct mp_list *node = head->next;
    if (node == head)
        return NULL;
    /* The analyzer forgets that a removed node is in no list: it sees it here again, freed. */
    mp_list_remove(node); // NOLINT(clang-analyzer-unix.Malloc)
    return node;
}

/* Moves all nodes of from to the end of head; from is empty afterwards. */
static inline void mp_list_splice(struct mp_list *head, struct mp_list *from)
{
    if (mp_list_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    mp_list_init(from);
}

#define mp_list_entry(node, type, member) mp_container_of(node, type, member)

/* The loop body must not remove the node; the _safe form may. */
#define mp_list_foreach(node, head)                                                                \
    for (struct mp_list *node = (head)->next; node != (head); node = node->next)
#define mp_list_foreach_safe(node, head)                                                           \
    for (struct mp_list *node = (head)->next, *node##_next = node->next; node != (head);           \
         node = node##_next, node##_next = node->next)

#endif
