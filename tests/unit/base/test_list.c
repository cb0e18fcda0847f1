/* SPDX-License-Identifier: MIT */
#include "base/list.h"

#include <stdint.h>
#include <stdlib.h>

#include "support/runner.h"

struct item {
    int number;
    struct mp_list link;
};

static int number_of(const struct mp_list *node)
{
    return mp_list_entry(node, const struct item, link)->number;
}

/* Checks both directions of the list against the numbers expected. */
static void check_order(const struct mp_list *head, const int *numbers, int count)
{
    const struct mp_list *node = head;

    for (int i = 0; i < count; i++) {
        CHECK(node->next->prev == node);
        node = node->next;
        CHECK(node != head);
        CHECK_EQ(number_of(node), numbers[i]);
    }
    CHECK(node->next == head);
    CHECK(head->prev == node);
    CHECK_EQ(mp_list_empty(head), count == 0);
}

TEST(new_list_is_empty)
{
    struct mp_list head;

    mp_list_init(&head);
    check_order(&head, NULL, 0);
    CHECK(mp_list_pop(&head) == NULL);
}

TEST(append_keeps_order_and_insert_goes_to_the_front)
{
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct mp_list head;

    mp_list_init(&head);
    mp_list_append(&head, &items[1].link);
    mp_list_append(&head, &items[2].link);
    mp_list_insert(&head, &items[0].link);
    check_order(&head, (int[]){0, 1, 2}, 3);
}

TEST(remove_twice_is_harmless)
{
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct mp_list head;

    mp_list_init(&head);
    for (int i = 0; i < 3; i++)
        mp_list_append(&head, &items[i].link);
    mp_list_remove(&items[1].link);
    mp_list_remove(&items[1].link);
    CHECK(mp_list_empty(&items[1].link));
    check_order(&head, (int[]){0, 2}, 2);
}

TEST(pop_takes_the_first_and_leaves_it_unlinked)
{
    struct item items[2] = {{.number = 0}, {.number = 1}};
    struct mp_list head;

    mp_list_init(&head);
    mp_list_append(&head, &items[0].link);
    mp_list_append(&head, &items[1].link);
    CHECK(mp_list_pop(&head) == &items[0].link);
    CHECK(mp_list_empty(&items[0].link));
    check_order(&head, (int[]){1}, 1);
}

TEST(splice_moves_everything_in_order)
{
    struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    struct mp_list head;
    struct mp_list from;

    mp_list_init(&head);
    mp_list_init(&from);
    mp_list_splice(&head, &from);
    check_order(&head, NULL, 0);
    mp_list_append(&head, &items[0].link);
    mp_list_splice(&head, &from);
    check_order(&head, (int[]){0}, 1);
    for (int i = 1; i < 4; i++)
        mp_list_append(&from, &items[i].link);
    mp_list_splice(&head, &from);
    check_order(&head, (int[]){0, 1, 2, 3}, 4);
    check_order(&from, NULL, 0);
    mp_list_splice(&from, &head);
    check_order(&from, (int[]){0, 1, 2, 3}, 4);
    check_order(&head, NULL, 0);
}

TEST(foreach_safe_allows_removal)
{
    struct item items[5];
    struct mp_list head;

    mp_list_init(&head);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        mp_list_append(&head, &items[i].link);
    }
    mp_list_foreach_safe (node, &head) {
        if (number_of(node) % 2 == 0)
            mp_list_remove(node);
    }
    check_order(&head, (int[]){1, 3}, 2);
}

TEST(foreach_visits_all_and_none_of_an_empty_list)
{
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 4}};
    struct mp_list head;
    int sum = 0;

    mp_list_init(&head);
    mp_list_foreach (node, &head)
        sum += number_of(node);
    CHECK_EQ(sum, 0);
    for (int i = 0; i < 3; i++)
        mp_list_append(&head, &items[i].link);
    mp_list_foreach (node, &head)
        sum += number_of(node);
    CHECK_EQ(sum, 7);
}

/* Random operations beside an array that does the same the slow way. */
TEST(random_operations_match_an_array)
{
    enum { COUNT = 40, STEPS = 20000 };
    struct item items[COUNT];
    int model[COUNT];
    int length = 0;
    struct mp_list head;

    srand(7);
    mp_list_init(&head);
    for (int i = 0; i < COUNT; i++) {
        items[i].number = i;
        mp_list_init(&items[i].link);
    }
    for (int step = 0; step < STEPS; step++) {
        int pick = rand() % COUNT;
        int at = 0;

        while (at < length && model[at] != pick)
            at++;
        if (at < length) {
            mp_list_remove(&items[pick].link);
            for (length--; at < length; at++)
                model[at] = model[at + 1];
        } else if (rand() % 2) {
            mp_list_append(&head, &items[pick].link);
            model[length++] = pick;
        } else {
            mp_list_insert(&head, &items[pick].link);
            for (int i = length++; i > 0; i--)
                model[i] = model[i - 1];
            model[0] = pick;
        }
        if (step % 16 == 0)
            check_order(&head, model, length);
    }
    check_order(&head, model, length);
}
