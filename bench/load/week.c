/* SPDX-License-Identifier: MIT */
/*
 * A day of load, and its books. So many connections are busy as the schedule says: each sends a
 * request, has the answer, pauses, and sends the next; those that are not busy stay open. The
 * schedule goes round until enough was sent. One thread, GET only.
 *
 *   week --port P --requests N --limit SECONDS --pause MS
 *        --step SECONDS:BUSY [--step ...] --path PATH:WEIGHT [--path ...]
 *
 * Every request is accounted for, with the step and the path that it was sent in: answered (by
 * status), broken (its connection ended while it was under way), or, at the end, unanswered. A
 * request has a number, which the application sends back in X-Number: an answer that is another
 * request's is told from its own.
 *
 * A server may close a connection that rests, and the next request may have been sent already (RFC
 * 9112 section 9.5). That is no broken request but a raced one, if not a byte of an answer came and
 * the connection had rested for `race` at least: it is sent again, on a new connection, as any
 * client would. After a shorter rest it counts as broken.
 *
 * Of each broken or raced request the result has the time and our port, by which it can be told
 * whose connection it was. The result is one JSON object on the standard output.
 */
#include "net.h"
#include "response.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_STEPS = 64,
    MAX_KINDS = 16,
    MAX_EVENTS = 512,
    MAX_CONNECTIONS = 4096,
    MAX_BREAKS = 65536, /* more are counted, but not listed */
    READ_SIZE = 1 << 16,
    REQUEST_MAX = 512,
};

static const uint64_t never = UINT64_MAX;
static const uint64_t second = 1000000000;
static const uint64_t tick = 1000000;            /* ns between two looks at what is due */
static const uint64_t retry_pause = 10000000;    /* ns before a failed connection is made again */
static const uint64_t race = 100000000;          /* ns of rest after which the server may close */
static const uint64_t last_answer = 20000000000; /* ns that the last answers may take */

/* What became of the requests of one path in one step. */
struct tally {
    uint64_t sent;
    uint64_t ok;           /* 200 */
    uint64_t shed;         /* 503 */
    uint64_t timed_out;    /* 504 */
    uint64_t other_status; /* any other */
    uint64_t broken;
    uint64_t raced; /* each is sent again; not counted in `sent` again */
    uint64_t unanswered;
};

struct kind {
    char path[64];
    unsigned weight;
};

struct step {
    uint64_t length; /* ns */
    int busy;        /* connections */
    struct tally tally[MAX_KINDS];
};

enum conn_state {
    CONN_RESTING, /* no request; connected when fd >= 0 */
    CONN_CONNECTING,
    CONN_WAITING,
};

struct conn {
    enum conn_state state;
    int index;
    int fd;
    unsigned short port; /* ours */
    bool resend;         /* its request was raced, and is to be sent again */
    bool has_bytes;      /* of an answer */
    uint64_t number;     /* of the request under way, or of the last one */
    uint64_t since;      /* ns, no later than the connection's rest began */
    uint64_t rested;     /* ns, before the request under way was sent */
    struct kind *kind;
    struct tally *tally;
    struct response response;
};

struct breakage {
    uint64_t when; /* ns, CLOCK_MONOTONIC */
    uint64_t rested;
    unsigned short port;
    bool has_bytes;
    bool is_race;
};

struct week {
    int port;
    int epoll;
    int steps;
    int kinds;
    int connections;
    int busy;
    bool is_over;
    unsigned weights;
    uint64_t requests; /* to be sent at least */
    uint64_t limit;    /* ns, after which no other day begins */
    uint64_t pause;
    uint64_t random;
    uint64_t now;
    uint64_t looked; /* ns, when the sockets were last known to be read to their ends */
    uint64_t sent;
    uint64_t under_way;      /* sent and not settled, or to be sent again */
    uint64_t wrong;          /* answers of other requests, or of none */
    uint64_t bad_framing;    /* what is no answer */
    uint64_t failed_connect; /* refused, or reset before it was made */
    uint64_t announced;      /* connections that ended with Connection: close */
    uint64_t closed;         /* connections that ended while they rested */
    uint64_t breaks;
    struct breakage breakage[MAX_BREAKS];
    struct kind kind[MAX_KINDS];
    struct step step[MAX_STEPS];
    struct step *current;
    uint64_t due[MAX_CONNECTIONS]; /* ns, of those at rest */
    struct conn conn[MAX_CONNECTIONS];
    char buffer[READ_SIZE];
};

/* xorshift64: the same sequence in each run. */
static uint64_t next_random(struct week *week)
{
    week->random ^= week->random << 13;
    week->random ^= week->random >> 7;
    week->random ^= week->random << 17;
    return week->random;
}

static int choose_kind(struct week *week)
{
    unsigned at = (unsigned)(next_random(week) % week->weights);
    int kind = 0;

    while (at >= week->kind[kind].weight)
        at -= week->kind[kind++].weight;
    return kind;
}

static void rest(struct week *week, struct conn *conn, uint64_t pause)
{
    conn->state = CONN_RESTING;
    week->due[conn->index] = week->now + pause;
}

static void disconnect(struct conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}

/* ---- the books ----------------------------------------------------------------------------- */

/* The connection ended while its request was under way. */
static void request_broke(struct week *week, struct conn *conn)
{
    bool is_race = !conn->has_bytes && conn->rested >= race;

    if (week->breaks < MAX_BREAKS)
        week->breakage[week->breaks] = (struct breakage){
            .when = week->now,
            .rested = conn->rested,
            .port = conn->port,
            .has_bytes = conn->has_bytes,
            .is_race = is_race,
        };
    week->breaks++;
    if (is_race) {
        conn->tally->raced++;
        conn->resend = true; /* stays under way */
    } else {
        conn->tally->broken++;
        week->under_way--;
    }
    disconnect(conn);
    rest(week, conn, is_race ? 0 : week->pause);
}

static bool is_own_answer(const struct conn *conn)
{
    char expected[48];

    snprintf(expected, sizeof expected, "X-Number: %" PRIu64 "\r\n", conn->number);
    return strstr(conn->response.head, expected) != NULL;
}

static void request_answered(struct week *week, struct conn *conn)
{
    struct tally *tally = conn->tally;

    week->under_way--;
    switch (conn->response.status) {
    case 200:
        tally->ok++;
        week->wrong += !is_own_answer(conn);
        break;
    case 503:
        tally->shed++;
        break;
    case 504:
        tally->timed_out++;
        break;
    default:
        tally->other_status++;
    }
    conn->since = week->looked;
    if (conn->response.closes) {
        week->announced++;
        disconnect(conn);
    }
    rest(week, conn, week->pause);
}

/* ---- connections --------------------------------------------------------------------------- */

/* A new request, or that which was raced. */
static void choose_request(struct week *week, struct conn *conn)
{
    if (!conn->resend) {
        int kind = choose_kind(week);

        conn->kind = &week->kind[kind];
        conn->tally = &week->current->tally[kind];
        conn->number = ++week->sent;
        conn->tally->sent++;
        week->under_way++;
    }
    conn->resend = false;
}

static void send_request(struct week *week, struct conn *conn)
{
    char request[REQUEST_MAX];
    int size;

    choose_request(week, conn);
    size = snprintf(request, sizeof request,
                    "GET %s?%" PRIu64 " HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", conn->kind->path,
                    conn->number, week->port);
    response_init(&conn->response);
    conn->has_bytes = false;
    conn->rested = week->now - conn->since;
    conn->state = CONN_WAITING;
    if (send(conn->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        request_broke(week, conn);
}

static void connect_failed(struct week *week, struct conn *conn)
{
    week->failed_connect++;
    disconnect(conn);
    rest(week, conn, retry_pause);
}

static void open_connection(struct week *week, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};

    conn->state = CONN_CONNECTING;
    conn->since = week->now;
    conn->fd = net_connect(week->port, 0);
    if (conn->fd < 0 || epoll_ctl(week->epoll, EPOLL_CTL_ADD, conn->fd, &event) < 0)
        connect_failed(week, conn);
}

static bool has_more(const struct week *week, const struct conn *conn)
{
    return conn->resend || (conn->index < week->busy && !week->is_over);
}

static void on_connected(struct week *week, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;

    if (net_connect_result(conn->fd) < 0 ||
        getsockname(conn->fd, (struct sockaddr *)&own, &size) < 0 ||
        epoll_ctl(week->epoll, EPOLL_CTL_MOD, conn->fd, &event) < 0) {
        connect_failed(week, conn);
        return;
    }
    conn->port = ntohs(own.sin_port);
    if (has_more(week, conn))
        send_request(week, conn);
    else
        rest(week, conn, 0);
}

static void on_end(struct week *week, struct conn *conn)
{
    if (conn->state == CONN_WAITING) {
        request_broke(week, conn);
        return;
    }
    week->closed++;
    disconnect(conn);
}

static void on_readable(struct week *week, struct conn *conn)
{
    ssize_t size = recv(conn->fd, week->buffer, sizeof week->buffer, 0);

    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        on_end(week, conn);
        return;
    }
    if (conn->state == CONN_RESTING) {
        week->wrong++;
        disconnect(conn);
        return;
    }
    conn->has_bytes = true;
    switch (response_feed(&conn->response, week->buffer, (size_t)size)) {
    case RESPONSE_MORE:
        return;
    case RESPONSE_DONE:
        request_answered(week, conn);
        return;
    case RESPONSE_BAD:
        week->bad_framing++;
        request_broke(week, conn);
        return;
    }
}

static void on_event(struct week *week, struct conn *conn)
{
    if (conn->fd < 0)
        return;
    if (conn->state == CONN_CONNECTING)
        on_connected(week, conn);
    else
        on_readable(week, conn);
}

/* ---- the day ------------------------------------------------------------------------------- */

static void run_due(struct week *week)
{
    for (int i = 0; i < week->connections; i++) {
        struct conn *conn = &week->conn[i];

        if (week->due[i] > week->now)
            continue;
        week->due[i] = never;
        if (!has_more(week, conn))
            continue;
        if (conn->fd >= 0)
            send_request(week, conn);
        else
            open_connection(week, conn);
    }
}

static void begin_step(struct week *week, struct step *step)
{
    week->current = step;
    week->busy = step->busy;
    for (int i = 0; i < week->busy; i++)
        if (week->conn[i].state == CONN_RESTING && week->due[i] == never)
            week->due[i] = week->now;
}

/* Until `end`; without one, until nothing is under way. */
static void run_until(struct week *week, uint64_t end)
{
    struct epoll_event events[MAX_EVENTS];
    uint64_t look = week->now;

    while (week->now < end && (!week->is_over || week->under_way)) {
        int count;

        if (week->now >= look) {
            run_due(week);
            look = week->now + tick;
        }
        count = net_wait(week->epoll, events, MAX_EVENTS, look < end ? look : end);
        week->now = net_now();
        for (int i = 0; i < count; i++)
            on_event(week, events[i].data.ptr);
        week->looked = week->now;
    }
}

static void run(struct week *week)
{
    uint64_t end = week->now = week->looked = net_now();
    uint64_t latest = end + week->limit;

    do {
        for (int i = 0; i < week->steps; i++) {
            begin_step(week, &week->step[i]);
            end += week->step[i].length;
            run_until(week, end);
        }
    } while (week->sent < week->requests && week->now < latest);
    week->is_over = true;
    run_until(week, week->now + last_answer);
    for (int i = 0; i < week->connections; i++)
        if (week->conn[i].state == CONN_WAITING || week->conn[i].resend)
            week->conn[i].tally->unanswered++;
}

/* ---- the command line and the result ------------------------------------------------------- */

static void print_tally(const struct tally *tally)
{
    printf("{\"sent\": %" PRIu64 ", \"ok\": %" PRIu64 ", \"shed\": %" PRIu64 ", ", tally->sent,
           tally->ok, tally->shed);
    printf("\"timed_out\": %" PRIu64 ", \"other_status\": %" PRIu64 ", ", tally->timed_out,
           tally->other_status);
    printf("\"broken\": %" PRIu64 ", \"raced\": %" PRIu64 ", \"unanswered\": %" PRIu64 "}",
           tally->broken, tally->raced, tally->unanswered);
}

static void print_breaks(const struct week *week)
{
    uint64_t listed = week->breaks < MAX_BREAKS ? week->breaks : MAX_BREAKS;

    printf("\"breaks\": [");
    for (uint64_t i = 0; i < listed; i++) {
        const struct breakage *one = &week->breakage[i];

        printf("%s{\"when\": %.6f, \"port\": %hu, \"rested\": %.6f, \"has_bytes\": %s, "
               "\"is_race\": %s}",
               i ? ", " : "", (double)one->when / 1e9, one->port, (double)one->rested / 1e9,
               one->has_bytes ? "true" : "false", one->is_race ? "true" : "false");
    }
    printf("], \"breaks_not_listed\": %" PRIu64, week->breaks - listed);
}

static void print(const struct week *week, double seconds)
{
    printf("{\"seconds\": %.3f, \"wrong\": %" PRIu64 ", \"bad_framing\": %" PRIu64 ", ", seconds,
           week->wrong, week->bad_framing);
    printf("\"failed_connect\": %" PRIu64 ", \"announced\": %" PRIu64 ", \"closed\": %" PRIu64 ", ",
           week->failed_connect, week->announced, week->closed);
    printf("\"tallies\": [");
    for (int i = 0; i < week->steps; i++) {
        printf("%s[", i ? ", " : "");
        for (int j = 0; j < week->kinds; j++) {
            printf("%s", j ? ", " : "");
            print_tally(&week->step[i].tally[j]);
        }
        printf("]");
    }
    printf("], ");
    print_breaks(week);
    printf("}\n");
}

static void usage(void)
{
    fprintf(stderr, "usage: week --port P --requests N --limit SECONDS --pause MS "
                    "--step SECONDS:BUSY ... --path PATH:WEIGHT ...\n");
    exit(2);
}

static void step_init(struct week *week, const char *text)
{
    struct step *step = &week->step[week->steps];
    double seconds = 0;

    if (week->steps == MAX_STEPS || sscanf(text, "%lf:%d", &seconds, &step->busy) != 2 ||
        seconds <= 0 || step->busy < 0 || step->busy > MAX_CONNECTIONS)
        usage();
    step->length = (uint64_t)(seconds * (double)second);
    if (step->busy > week->connections)
        week->connections = step->busy;
    week->steps++;
}

static void kind_init(struct week *week, const char *text)
{
    struct kind *kind = &week->kind[week->kinds];

    if (week->kinds == MAX_KINDS || sscanf(text, "%63[^:]:%u", kind->path, &kind->weight) != 2 ||
        kind->path[0] != '/')
        usage();
    week->weights += kind->weight;
    week->kinds++;
}

static void parse(struct week *week, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--port") == 0)
            week->port = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--requests") == 0)
            week->requests = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--limit") == 0)
            week->limit = (uint64_t)(atof(argv[i + 1]) * (double)second);
        else if (strcmp(argv[i], "--pause") == 0)
            week->pause = (uint64_t)(atof(argv[i + 1]) * 1e6);
        else if (strcmp(argv[i], "--step") == 0)
            step_init(week, argv[i + 1]);
        else if (strcmp(argv[i], "--path") == 0)
            kind_init(week, argv[i + 1]);
        else
            usage();
    }
    if (argc % 2 == 0 || !week->port || !week->steps || !week->weights)
        usage();
}

int main(int argc, char **argv)
{
    static struct week week = {.random = 88172645463325252u};
    uint64_t start;

    parse(&week, argc, argv);
    for (int i = 0; i < week.connections; i++) {
        week.conn[i] = (struct conn){.index = i, .fd = -1};
        week.due[i] = never;
    }
    week.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (week.epoll < 0) {
        perror("epoll_create1");
        return 1;
    }
    start = net_now();
    run(&week);
    print(&week, (double)(net_now() - start) / (double)second);
    return 0;
}
