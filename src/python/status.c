/* SPDX-License-Identifier: MIT */
/*
 * Read while the workers go on, so that numbers which belong together may be of different moments;
 * what a thread does is one consistent copy (scoreboard.h).
 */
#include "python/status.h"

#include "os/clock.h"

static double seconds(int64_t ns)
{
    return (double)ns / (double)MP_NSEC_PER_SEC;
}

static PyObject *times(const struct mp_hist *hist)
{
    uint64_t count = atomic_load_explicit(&hist->count, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&hist->max, memory_order_relaxed);
    return Py_BuildValue("{s:d,s:d,s:d,s:d,s:K}", "p50",
                         seconds((int64_t)mp_hist_quantile(hist, 0.5)), "p90",
                         seconds((int64_t)mp_hist_quantile(hist, 0.9)), "p99",
                         seconds((int64_t)mp_hist_quantile(hist, 0.99)), "max",
                         seconds((int64_t)max), "count", (unsigned long long)count);
}

static const char *thread_state(enum mp_sb_thread_state state)
{
    switch (state) {
    case MP_SB_THREAD_NONE:
        return NULL;
    case MP_SB_THREAD_READY:
        return "ready";
    case MP_SB_THREAD_LEADING:
        return "leading";
    case MP_SB_THREAD_WORKING:
        return "working";
    case MP_SB_THREAD_STUCK:
        return "stuck";
    }
    return NULL; /* torn */
}

static const char *worker_state(uint32_t state)
{
    switch ((enum mp_sb_worker_state)state) {
    case MP_SB_WORKER_FREE:
        return NULL;
    case MP_SB_WORKER_STARTING:
        return "starting";
    case MP_SB_WORKER_READY:
        return "ready";
    case MP_SB_WORKER_DRAINING:
        return "draining";
    }
    return NULL;
}

/* Bytes of a client: whatever they are, they can be shown. */
static PyObject *text(const char *bytes)
{
    return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)strlen(bytes), "backslashreplace");
}

/* A thread that is ready serves nothing: what it served last is not shown. */
static PyObject *thread_status(unsigned number, const struct mp_sb_thread_view *view,
                               const char *state)
{
    bool serves = view->state == MP_SB_THREAD_WORKING || view->state == MP_SB_THREAD_STUCK;
    char client[MP_SB_CLIENT_TEXT];
    return Py_BuildValue(
        "{s:I,s:s,s:d,s:K,s:N,s:N,s:N}", "number", number + 1, "state", state, "since",
        seconds(view->since), "requests", (unsigned long long)view->requests, "method",
        text(serves ? view->method : ""), "path", text(serves ? view->path : ""), "peer",
        text(serves ? mp_sb_thread_client(view, client, sizeof(client)) : ""));
}

/* Appends item, and takes its reference. 0, or -1 with an exception. */
static int append(PyObject *list, PyObject *item)
{
    int rc = item ? PyList_Append(list, item) : -1;
    Py_XDECREF(item);
    return rc;
}

static PyObject *threads_status(struct mp_scoreboard *board, unsigned worker)
{
    PyObject *list = PyList_New(0);
    unsigned count = mp_scoreboard_threads(board);
    for (unsigned i = 0; list && i < count; i++) {
        struct mp_sb_thread_view view;
        mp_sb_thread_read(mp_scoreboard_thread(board, worker, i), &view);
        const char *state = thread_state(view.state);
        if (state && append(list, thread_status(i, &view, state)) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *worker_status(struct mp_scoreboard *board, unsigned number, const char *state)
{
    const struct mp_sb_worker *slot = mp_scoreboard_worker(board, number);
#define LOAD(member) atomic_load_explicit(&slot->member, memory_order_relaxed)
    return Py_BuildValue(
        "{s:I,s:i,s:I,s:s,s:d,s:d,s:I,s:I,s:d,s:K,s:K,s:K,s:I,s:K,s:K,s:I,s:N,s:N,s:N,s:N}",
        "number", number + 1, "pid", (int)LOAD(pid), "generation", LOAD(generation), "state", state,
        "started", seconds(LOAD(started)), "heartbeat", seconds(LOAD(heartbeat)), "connections",
        LOAD(connections), "waiting", LOAD(fifo_depth), "waiting_since",
        seconds(LOAD(waiting_since)), "shed", (unsigned long long)LOAD(shed), "health_checks",
        (unsigned long long)LOAD(health), "abandoned", (unsigned long long)LOAD(abandoned),
        "handlers", LOAD(handlers), "requests", (unsigned long long)LOAD(requests), "accepted",
        (unsigned long long)LOAD(accepted), "stuck", LOAD(stuck), "queue_wait",
        times(&slot->queue_wait), "handler_time", times(&slot->handler_time), "gil_wait",
        times(&slot->enter_wait), "threads", threads_status(board, number));
#undef LOAD
}

PyObject *mp_py_status(struct mp_scoreboard *board)
{
    PyObject *list = PyList_New(0);
    unsigned count = mp_scoreboard_workers(board);
    for (unsigned i = 0; list && i < count; i++) {
        struct mp_sb_worker *slot = mp_scoreboard_worker(board, i);
        const char *state = worker_state(atomic_load_explicit(&slot->state, memory_order_relaxed));
        if (state && append(list, worker_status(board, i, state)) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *buckets(const struct mp_hist *hist)
{
    PyObject *list = PyList_New(MP_HIST_BUCKETS);
    for (unsigned i = 0; list && i < MP_HIST_BUCKETS; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(
            atomic_load_explicit(&hist->buckets[i], memory_order_relaxed));
        if (count)
            PyList_SET_ITEM(list, (Py_ssize_t)i, count);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *worker_histograms(struct mp_scoreboard *board, unsigned number)
{
    const struct mp_sb_worker *slot = mp_scoreboard_worker(board, number);
    return Py_BuildValue("{s:I,s:i,s:N,s:N,s:N}", "number", number + 1, "pid",
                         (int)atomic_load_explicit(&slot->pid, memory_order_relaxed), "queue_wait",
                         buckets(&slot->queue_wait), "handler_time", buckets(&slot->handler_time),
                         "gil_wait", buckets(&slot->enter_wait));
}

PyObject *mp_py_histograms(struct mp_scoreboard *board)
{
    PyObject *list = PyList_New(0);
    unsigned count = mp_scoreboard_workers(board);
    for (unsigned i = 0; list && i < count; i++) {
        struct mp_sb_worker *slot = mp_scoreboard_worker(board, i);
        if (worker_state(atomic_load_explicit(&slot->state, memory_order_relaxed)) &&
            append(list, worker_histograms(board, i)) < 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *mp_py_histogram_limits(void)
{
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list && i + 1 < MP_HIST_BUCKETS; i++) {
        if (append(list, PyLong_FromUnsignedLongLong(mp_hist_lowest(i + 1) - 1)) < 0)
            Py_CLEAR(list);
    }
    if (list && append(list, PyLong_FromUnsignedLongLong(INT64_MAX)) < 0) /* has no bound */
        Py_CLEAR(list);
    return list;
}
