/* SPDX-License-Identifier: MIT */
/*
 * Closed-loop load: every connection has one request under way, and sends the next one as soon as
 * it has the answer (or a pause later). One thread, GET only; a connection that the server says it
 * closes is made again at once, and the time that takes is part of the next request's.
 *
 *   load --port P --seconds S [--warmup S] [--protocol http|line]
 *        --group PATH:CONNECTIONS[:PAUSE_US] [--group ...]
 *
 * With --protocol line, the request is the path and a newline, and so is the answer: an echo.
 *
 * What wrk does not tell, and the reason for this program: how many requests each connection got,
 * which connections got none, and how long a request that was never answered has been waiting. A
 * server that starves half of its clients looks fine in a histogram of answered requests; here a
 * connection without an answer is counted with the age of its request. Groups run at the same time,
 * each with its own numbers. The result is one JSON object on the standard output.
 *
 * Time: `requests`, the histogram and the counts per connection are of the window after the
 * warm-up; `total` is of the whole run, to be divided into CPU time that was taken around the run.
 */
#include "histogram.h"
#include "net.h"
#include "response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_GROUPS = 8, MAX_EVENTS = 512, READ_SIZE = 1 << 18, REQUEST_MAX = 512 };

static const uint64_t retry_pause = 10000000; /* ns before a failed connection is made again */
static const uint64_t second = 1000000000;

enum conn_state { CONN_CONNECTING, CONN_WAITING, CONN_PAUSED, CONN_DOWN };

struct conn {
    enum conn_state state;
    int fd;
    struct group *group;
    struct conn *next; /* in a delay queue */
    uint64_t due;      /* ns, when it leaves the queue */
    uint64_t sent;     /* ns, when the request under way began: sent, or the connection asked for */
    uint64_t answered; /* in the window */
    struct response response;
};

/* A queue whose members all wait for the same time, hence first in, first due. */
struct delay_queue {
    uint64_t delay; /* ns */
    struct conn *first;
    struct conn **end;
};

struct group {
    char path[128];
    int size; /* connections */
    struct conn *conns;
    char request[REQUEST_MAX];
    size_t request_size;
    struct delay_queue paused;
    uint64_t total;
    uint64_t requests; /* 2xx, in the window */
    uint64_t bytes;
    uint64_t bad_status;
    uint64_t failed_connect;
    uint64_t failed_read; /* reset, or closed before the answer's end */
    uint64_t failed_framing;
    uint64_t reopened; /* connections that the server closed after an answer */
    struct histogram latency;
};

struct load {
    int port;
    int epoll;
    int groups;
    double seconds;
    double warmup;
    bool is_line; /* --protocol line */
    uint64_t window_start;
    uint64_t window_end;
    uint64_t now;
    struct delay_queue down;
    struct group group[MAX_GROUPS];
    char buffer[READ_SIZE];
};

static void delay_init(struct delay_queue *queue, uint64_t delay)
{
    queue->delay = delay;
    queue->first = NULL;
    queue->end = &queue->first;
}

static void delay_push(struct delay_queue *queue, struct conn *conn, uint64_t now)
{
    conn->due = now + queue->delay;
    conn->next = NULL;
    *queue->end = conn;
    queue->end = &conn->next;
}

static struct conn *delay_pop(struct delay_queue *queue, uint64_t now)
{
    struct conn *conn = queue->first;

    if (!conn || conn->due > now)
        return NULL;
    queue->first = conn->next;
    if (!queue->first)
        queue->end = &queue->first;
    return conn;
}

static void conn_down(struct load *load, struct conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->state = CONN_DOWN;
    delay_push(&load->down, conn, load->now);
}

/* The caller has set conn->sent. */
static void conn_send(struct load *load, struct conn *conn)
{
    struct group *group = conn->group;
    ssize_t sent = send(conn->fd, group->request, group->request_size, MSG_NOSIGNAL);

    response_init(&conn->response);
    conn->state = CONN_WAITING;
    if (sent == (ssize_t)group->request_size)
        return;
    group->failed_read++;
    conn_down(load, conn);
}

static void conn_open(struct load *load, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};

    conn->state = CONN_CONNECTING;
    conn->sent = load->now;
    conn->fd = net_connect(load->port, 0);
    if (conn->fd >= 0 && epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event) == 0)
        return;
    conn->group->failed_connect++;
    conn_down(load, conn);
}

static void on_connected(struct load *load, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

    if (net_connect_result(conn->fd) < 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_MOD, conn->fd, &event) < 0) {
        conn->group->failed_connect++;
        conn_down(load, conn);
        return;
    }
    conn_send(load, conn);
}

static void record(struct load *load, struct conn *conn)
{
    struct group *group = conn->group;
    int is_good = conn->response.status >= 200 && conn->response.status < 300;

    group->total++;
    if (!is_good)
        group->bad_status++;
    if (load->now < load->window_start || load->now >= load->window_end || !is_good)
        return;
    group->requests++;
    conn->answered++;
    histogram_add(&group->latency, load->now - conn->sent);
}

static void on_answer(struct load *load, struct conn *conn)
{
    struct group *group = conn->group;

    record(load, conn);
    if (conn->response.closes) {
        group->reopened++;
        close(conn->fd);
        conn_open(load, conn);
    } else if (group->paused.delay) {
        conn->state = CONN_PAUSED;
        delay_push(&group->paused, conn, load->now);
    } else {
        conn->sent = load->now;
        conn_send(load, conn);
    }
}

static enum response_outcome feed(struct load *load, struct conn *conn, size_t size)
{
    const struct group *group = conn->group;

    if (conn->state != CONN_WAITING)
        return RESPONSE_BAD;
    if (load->is_line)
        return response_feed_echo(&conn->response, load->buffer, size, group->request,
                                  group->request_size);
    return response_feed(&conn->response, load->buffer, size);
}

/* The server may close a paused connection: that is no failed request. */
static void on_closed(struct load *load, struct conn *conn)
{
    if (conn->state == CONN_PAUSED) {
        conn->group->reopened++;
        close(conn->fd);
        conn->fd = -1; /* it is in the pause queue; on_due opens it again */
        return;
    }
    conn->group->failed_read++;
    conn_down(load, conn);
}

static void on_readable(struct load *load, struct conn *conn)
{
    ssize_t size = recv(conn->fd, load->buffer, sizeof load->buffer, 0);

    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        on_closed(load, conn);
        return;
    }
    conn->group->bytes += (uint64_t)size;
    switch (feed(load, conn, (size_t)size)) {
    case RESPONSE_MORE:
        return;
    case RESPONSE_DONE:
        on_answer(load, conn);
        return;
    case RESPONSE_BAD:
        conn->group->failed_framing++;
        if (conn->state == CONN_PAUSED) {
            close(conn->fd);
            conn->fd = -1;
        } else {
            conn_down(load, conn);
        }
        return;
    }
}

static void on_event(struct load *load, struct conn *conn)
{
    load->now = net_now();
    if (conn->fd < 0)
        return;
    if (conn->state == CONN_CONNECTING)
        on_connected(load, conn);
    else
        on_readable(load, conn);
}

/* Sends what is due, and returns when the next thing is. */
static uint64_t run_due(struct load *load)
{
    uint64_t next = load->window_end;
    struct conn *conn;

    while ((conn = delay_pop(&load->down, load->now)))
        conn_open(load, conn);
    if (load->down.first && load->down.first->due < next)
        next = load->down.first->due;
    for (int i = 0; i < load->groups; i++) {
        struct delay_queue *paused = &load->group[i].paused;

        while ((conn = delay_pop(paused, load->now))) {
            conn->sent = load->now;
            if (conn->fd < 0)
                conn_open(load, conn);
            else
                conn_send(load, conn);
        }
        if (paused->first && paused->first->due < next)
            next = paused->first->due;
    }
    return next;
}

static void run(struct load *load)
{
    struct epoll_event events[MAX_EVENTS];

    load->now = net_now();
    load->window_start = load->now + (uint64_t)(load->warmup * 1e9);
    load->window_end = load->window_start + (uint64_t)(load->seconds * 1e9);
    for (int i = 0; i < load->groups; i++)
        for (int j = 0; j < load->group[i].size; j++)
            conn_open(load, &load->group[i].conns[j]);
    while (load->now < load->window_end) {
        int count = net_wait(load->epoll, events, MAX_EVENTS, run_due(load));

        for (int i = 0; i < count; i++)
            on_event(load, events[i].data.ptr);
        load->now = net_now();
    }
}

/* The connections without an answer count with the age that their request has reached. */
static uint64_t count_starved(struct load *load, struct group *group)
{
    uint64_t starved = 0;

    for (int i = 0; i < group->size; i++) {
        struct conn *conn = &group->conns[i];

        if (conn->answered)
            continue;
        starved++;
        histogram_add(&group->latency, load->now - conn->sent);
    }
    return starved;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static void print_per_connection(const struct group *group)
{
    uint64_t *counts = calloc((size_t)group->size, sizeof *counts);

    if (!counts)
        exit(1);
    for (int i = 0; i < group->size; i++)
        counts[i] = group->conns[i].answered;
    qsort(counts, (size_t)group->size, sizeof *counts, by_value);
    printf("\"per_connection\": [");
    for (int i = 0; i < group->size; i++)
        printf("%s%" PRIu64, i ? ", " : "", counts[i]);
    printf("]");
    free(counts);
}

static void print_group(struct load *load, struct group *group)
{
    uint64_t starved = count_starved(load, group);
    const struct histogram *latency = &group->latency;

    printf("{\"path\": \"%s\", \"connections\": %d, \"seconds\": %.3f, ", group->path, group->size,
           load->seconds);
    printf("\"total\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", ",
           group->total, group->requests, group->bytes);
    printf("\"bad_status\": %" PRIu64 ", \"failed_connect\": %" PRIu64 ", ", group->bad_status,
           group->failed_connect);
    printf("\"failed_read\": %" PRIu64 ", \"failed_framing\": %" PRIu64 ", ", group->failed_read,
           group->failed_framing);
    printf("\"reopened\": %" PRIu64 ", \"starved\": %" PRIu64 ", ", group->reopened, starved);
    printf("\"latency_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, ",
           (double)histogram_percentile(latency, 50) / 1e3,
           (double)histogram_percentile(latency, 90) / 1e3,
           (double)histogram_percentile(latency, 99) / 1e3,
           (double)histogram_percentile(latency, 99.9) / 1e3);
    printf("\"max\": %.1f, \"mean\": %.1f}, ", (double)latency->max / 1e3,
           histogram_mean(latency) / 1e3);
    print_per_connection(group);
    printf("}");
}

static void usage(void)
{
    fprintf(stderr, "usage: load --port P --seconds S [--warmup S] [--protocol http|line] "
                    "--group PATH:CONNECTIONS[:PAUSE_US] ...\n");
    exit(2);
}

static void group_init(struct load *load, const char *text)
{
    struct group *group = &load->group[load->groups];
    unsigned pause_us = 0;

    if (load->groups == MAX_GROUPS)
        usage();
    if (sscanf(text, "%127[^:]:%d:%u", group->path, &group->size, &pause_us) < 2 ||
        group->path[0] != '/' || group->size < 1)
        usage();
    group->conns = calloc((size_t)group->size, sizeof *group->conns);
    if (!group->conns)
        exit(1);
    for (int i = 0; i < group->size; i++)
        group->conns[i] = (struct conn){.fd = -1, .group = group};
    histogram_init(&group->latency);
    delay_init(&group->paused, (uint64_t)pause_us * 1000);
    load->groups++;
}

static void parse(struct load *load, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--port") == 0)
            load->port = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--seconds") == 0)
            load->seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--warmup") == 0)
            load->warmup = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--protocol") == 0)
            load->is_line = strcmp(argv[i + 1], "line") == 0;
        else if (strcmp(argv[i], "--group") == 0)
            group_init(load, argv[i + 1]);
        else
            usage();
    }
    if (argc % 2 == 0 || !load->port || load->seconds <= 0 || !load->groups)
        usage();
    for (int i = 0; i < load->groups; i++) {
        struct group *group = &load->group[i];

        group->request_size =
            (size_t)(load->is_line ? snprintf(group->request, REQUEST_MAX, "%s\n", group->path)
                                   : snprintf(group->request, REQUEST_MAX,
                                              "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                                              group->path, load->port));
    }
}

int main(int argc, char **argv)
{
    static struct load load;

    parse(&load, argc, argv);
    delay_init(&load.down, retry_pause);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.epoll < 0) {
        perror("epoll_create1");
        return 1;
    }
    run(&load);
    printf("{\"seconds\": %.3f, \"groups\": [",
           (double)(load.window_end - load.window_start) / (double)second);
    for (int i = 0; i < load.groups; i++) {
        printf("%s", i ? ", " : "");
        print_group(&load, &load.group[i]);
    }
    printf("]}\n");
    for (int i = 0; i < load.groups; i++)
        free(load.group[i].conns);
    return 0;
}
