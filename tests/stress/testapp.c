/* SPDX-License-Identifier: MIT */
/* The test suite's application; see testapp.h. */
#include "testapp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "os/clock.h"
#include "os/fd.h"
#include "server/inspection.h"
#include "server/request.h"
#include "server/response.h"

static const char hello[] = "Hello, pond.\n";

/* In front of each block that is given away by reference. */
struct mark {
    uint64_t magic;
    char bytes[];
};

#define MARK_LIVE UINT64_C(0x4c495645424c4f43)
#define MARK_DEAD UINT64_C(0x44454144424c4f43)

/* What is asked for. */
struct order {
    char path[64];
    char id_text[24];
    bool has_id;
    uint64_t id;
};

static void enter(void *data, void *thread)
{
    struct testapp *testapp = data;
    (void)thread;
    if (testapp->locking)
        pthread_mutex_lock(&testapp->lock);
}

static void leave(void *data, void *thread)
{
    struct testapp *testapp = data;
    (void)thread;
    if (testapp->locking)
        pthread_mutex_unlock(&testapp->lock);
}

void testapp_enter(struct testapp *testapp)
{
    enter(testapp, NULL);
}

void testapp_leave(struct testapp *testapp)
{
    leave(testapp, NULL);
}

static int thread_init(void *data, unsigned index, void **ret_thread)
{
    struct testapp *testapp = data;
    if (index >= TESTAPP_THREADS)
        abort();
    testapp->places[index].testapp = testapp;
    *ret_thread = &testapp->places[index];
    atomic_fetch_add(&testapp->threads, 1);
    return 0;
}

static void thread_done(void *data, void *thread)
{
    struct testapp *testapp = data;
    (void)thread;
    atomic_fetch_sub(&testapp->threads, 1);
}

static void release(void *data, void *thread, void **refs, size_t count)
{
    struct testapp *testapp = data;
    (void)thread;
    for (size_t i = 0; i < count; i++) {
        struct mark *mark = refs[i];
        if (mark->magic != MARK_LIVE)
            atomic_fetch_add(&testapp->refs_wrong, 1);
        mark->magic = MARK_DEAD;
        free(mark);
    }
    atomic_fetch_add(&testapp->refs_released, count);
}

static void protect(const struct testapp *testapp, int on)
{
    if (testapp->protect)
        testapp->protect(on);
}

char *testapp_block(struct testapp *testapp, size_t n, void **ret_ref)
{
    protect(testapp, 1);
    struct mark *mark = malloc(sizeof(*mark) + n);
    protect(testapp, 0);
    if (!mark)
        abort();
    mark->magic = MARK_LIVE;
    *ret_ref = mark;
    atomic_fetch_add(&testapp->refs_made, 1);
    return mark->bytes;
}

char testapp_byte(uint64_t id, uint64_t offset)
{
    return (char)('a' + (id * 7 + offset + (offset >> 10)) % 26);
}

void testapp_fill(char *bytes, size_t n, uint64_t id, uint64_t offset)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = testapp_byte(id, offset + i);
}

size_t testapp_piece(unsigned index)
{
    return 1000 + (index % 3) * 4000;
}

void testapp_nap(struct testapp *testapp, int64_t ns)
{
    struct timespec time = {.tv_sec = ns / MP_NSEC_PER_SEC, .tv_nsec = ns % MP_NSEC_PER_SEC};
    leave(testapp, NULL);
    nanosleep(&time, NULL);
    enter(testapp, NULL);
}

static void compute(int64_t ns)
{
    int64_t end = mp_clock_thread_cpu() + ns;
    while (mp_clock_thread_cpu() < end)
        ;
}

static void begin(struct mp_request *request, const struct order *order)
{
    mp_response_begin(request, 200, NULL, 0);
    if (order->has_id)
        mp_response_field(request, "X-Id", 4, order->id_text, strlen(order->id_text));
}

static void greet(struct mp_request *request, const struct order *order)
{
    begin(request, order);
    mp_response_write(request, hello, sizeof(hello) - 1, NULL);
    mp_response_end(request);
}

static void echo(struct mp_request *request, const struct order *order)
{
    char block[4096];
    uint64_t offset = 0;
    ssize_t n;
    begin(request, order);
    int r = 0;
    while (r == 0 && (n = mp_request_body_read(request, offset, block, sizeof(block))) > 0) {
        r = mp_response_write(request, block, (size_t)n, NULL);
        offset += (uint64_t)n;
    }
    if (r < 0 || n < 0)
        mp_response_fail(request);
    else
        mp_response_end(request);
}

static void big(struct testapp *testapp, struct mp_request *request, const struct order *order,
                size_t n)
{
    void *ref;
    char *block = testapp_block(testapp, n, &ref);
    testapp_fill(block, n, order->id, 0);
    begin(request, order);
    mp_response_write(request, block, n, ref);
    mp_response_end(request);
}

static void stream(struct testapp *testapp, struct mp_request *request, const struct order *order,
                   unsigned pieces)
{
    uint64_t offset = 0;
    begin(request, order);
    for (unsigned i = 0; i < pieces; i++) {
        size_t n = testapp_piece(i);
        void *ref;
        char *block = testapp_block(testapp, n, &ref);
        testapp_fill(block, n, order->id, offset);
        offset += n;
        int r = mp_response_write(request, block, n, ref);
        testapp_leave(testapp); /* flush may wait */
        if (r == 0)
            r = mp_response_flush(request);
        testapp_enter(testapp);
        if (r < 0)
            break;
    }
    mp_response_end(request);
}

static int make_file(const struct order *order, size_t n)
{
    char block[4096];
    int fd = memfd_create("testapp", MFD_CLOEXEC);
    for (size_t at = 0; at < n; at += sizeof(block)) {
        size_t part = n - at < sizeof(block) ? n - at : sizeof(block);
        testapp_fill(block, part, order->id, at);
        if (mp_fd_pwrite_all(fd, block, part, at) < 0)
            abort();
    }
    return fd;
}

static void file(struct testapp *testapp, struct mp_request *request, const struct order *order,
                 size_t n)
{
    protect(testapp, 1);
    int fd = make_file(order, n);
    protect(testapp, 0);
    begin(request, order);
    mp_response_sendfile(request, fd, 0, n);
    mp_response_end(request);
}

/* True when an exception comes up. */
static bool is_interrupted(struct testapp_thread *place)
{
    if (!atomic_load(&place->raised) || !atomic_exchange(&place->raised, false))
        return false;
    atomic_fetch_add(&place->testapp->interrupted, 1);
    return true;
}

static void stay(struct testapp_thread *place, struct mp_request *request)
{
    struct testapp *testapp = place->testapp;
    atomic_store(&place->where, "stay");
    while (!atomic_load(&testapp->release_stuck))
        testapp_nap(testapp, MP_NSEC_PER_MSEC);
    mp_response_reply(request, 200, "text/plain", "late\n", 5);
}

static void hold(struct testapp_thread *place, struct mp_request *request)
{
    struct timespec time = {.tv_nsec = MP_NSEC_PER_MSEC};
    atomic_store(&place->where, "hold");
    while (!atomic_load(&place->testapp->release_stuck))
        nanosleep(&time, NULL);
    mp_response_reply(request, 200, "text/plain", "late\n", 5);
}

static void work(struct testapp_thread *place, struct mp_request *request, int64_t ns)
{
    int64_t nap = ns / 8 < 20 * MP_NSEC_PER_MSEC ? ns / 8 : 20 * MP_NSEC_PER_MSEC;
    atomic_store(&place->where, "work");
    for (int64_t end = mp_clock_now() + ns; mp_clock_now() < end && !is_interrupted(place);)
        testapp_nap(place->testapp, nap);
    mp_response_reply(request, 200, "text/plain", "done\n", 5);
}

/* ---- inspection -------------------------------------------------------------------------- */

static int inspector_init(void *data, void **ret_inspector)
{
    *ret_inspector = data;
    return 0;
}

static void inspector_done(void *data, void *inspector)
{
    (void)data;
    (void)inspector;
}

static void *capture(void *data, void *inspector, void *thread)
{
    struct testapp_thread *place = thread;
    (void)data;
    (void)inspector;
    const char *where = place ? atomic_load(&place->where) : NULL;
    return where ? strdup(where) : NULL;
}

static size_t describe(void *data, void *captured, char *text, size_t size)
{
    (void)data;
    int n = snprintf(text, size, "\n    File \"testapp.c\", line 1, in %s", (char *)captured);
    free(captured);
    return (size_t)n < size ? (size_t)n : size - 1;
}

static int raise_in(void *data, void *thread)
{
    struct testapp *testapp = data;
    atomic_fetch_add(&testapp->raises, 1);
    atomic_store(&((struct testapp_thread *)thread)->raised, true);
    return 0;
}

static void calm(void *data, void *thread)
{
    struct testapp *testapp = data;
    if (atomic_exchange(&((struct testapp_thread *)thread)->raised, false))
        atomic_fetch_add(&testapp->calmed, 1);
}

static int poke(void *data, pid_t tid)
{
    ((struct testapp *)data)->poked = tid;
    return 0;
}

static ssize_t poked(void *data, char *text, size_t size)
{
    return snprintf(text, size, "\n    by thread %d itself", (int)((struct testapp *)data)->poked);
}

static const struct mp_inspection inspection = {
    .init = inspector_init,
    .done = inspector_done,
    .enter = enter,
    .leave = leave,
    .capture = capture,
    .describe = describe,
    .raise = raise_in,
    .calm = calm,
    .poke = poke,
    .poked = poked,
};

/* ---- handlers ---------------------------------------------------------------------------- */

static void read_order(const struct mp_request *request, struct order *order)
{
    const struct mp_http_head *head = mp_request_head(request);
    const char *text = mp_request_text(request);
    size_t n = head->path.len < sizeof(order->path) ? head->path.len : sizeof(order->path) - 1;
    memset(order, 0, sizeof(*order));
    memcpy(order->path, text + head->path.at, n);
    if (head->query.len > 3 && head->query.len - 3 < sizeof(order->id_text) &&
        memcmp(text + head->query.at, "id=", 3) == 0) {
        memcpy(order->id_text, text + head->query.at + 3, head->query.len - 3);
        order->id = strtoull(order->id_text, NULL, 10);
        order->has_id = true;
    }
}

static void answer(struct testapp_thread *place, struct mp_request *request,
                   const struct order *order)
{
    struct testapp *testapp = place->testapp;
    const char *path = order->path;
    long long n = 0;
    if (strncmp(path, "/custom", 7) == 0 && testapp->custom)
        testapp->custom(testapp, request);
    else if (strcmp(path, "/echo") == 0)
        echo(request, order);
    else if (sscanf(path, "/big/%lld", &n) == 1)
        big(testapp, request, order, (size_t)n);
    else if (sscanf(path, "/stream/%lld", &n) == 1)
        stream(testapp, request, order, (unsigned)n);
    else if (sscanf(path, "/file/%lld", &n) == 1)
        file(testapp, request, order, (size_t)n);
    else if (strcmp(path, "/never") == 0)
        stay(place, request);
    else if (strcmp(path, "/hold") == 0)
        hold(place, request);
    else if (sscanf(path, "/work/%lld", &n) == 1)
        work(place, request, n * MP_NSEC_PER_USEC);
    else if (strcmp(path, "/fail") != 0)
        greet(request, order);
}

static void handle(void *data, void *thread, struct mp_request *request)
{
    struct testapp *testapp = data;
    struct order order;
    struct testapp_thread *place = thread;
    long long n = 0;
    if (atomic_exchange(&place->raised, false))
        atomic_fetch_add(&testapp->innocent, 1);
    atomic_store(&place->where, "handle");
    unsigned inside = atomic_fetch_add(&testapp->inside, 1) + 1;
    unsigned most = atomic_load(&testapp->most_inside);
    while (inside > most && !atomic_compare_exchange_weak(&testapp->most_inside, &most, inside))
        ;
    read_order(request, &order);
    if (sscanf(order.path, "/sleep/%lld", &n) == 1)
        testapp_nap(testapp, n * MP_NSEC_PER_USEC);
    else if (sscanf(order.path, "/cpu/%lld", &n) == 1)
        compute(n * MP_NSEC_PER_USEC);
    answer(place, request, &order);
    atomic_fetch_add(&testapp->handled, 1);
    atomic_fetch_sub(&testapp->inside, 1);
}

void testapp_init(struct testapp *testapp, bool locking)
{
    memset(testapp, 0, sizeof(*testapp));
    testapp->locking = locking;
    pthread_mutex_init(&testapp->lock, NULL);
    testapp->app = (struct mp_app){
        .name = "testapp",
        .data = testapp,
        .max_computing = locking ? 1 : 0,
        .thread_init = thread_init,
        .thread_done = thread_done,
        .enter = enter,
        .leave = leave,
        .handle = handle,
        .release = release,
        .inspection = &inspection,
    };
}

void testapp_done(struct testapp *testapp)
{
    pthread_mutex_destroy(&testapp->lock);
}
