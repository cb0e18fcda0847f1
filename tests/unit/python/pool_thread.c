/* SPDX-License-Identifier: MIT */
#include "pool_thread.h"

#include "fake_server.h"
#include "os/clock.h"

static void handle(struct pool_thread *self, void *thread)
{
    const struct mp_app *app = &self->gateway->app;
    int64_t begin = mp_clock_thread_cpu();
    app->enter(app->data, thread);
    for (unsigned long i = 0; i < self->repeat; i++) {
        struct mp_request *request = self->request;
        if (self->repeat > 1) {
            request->status = 0;
            request->ended = request->committed = false;
            request->written = request->reason.len = request->fields.len = request->out.len = 0;
        }
        app->handle(app->data, thread, request);
        if (app->release)
            app->release(app->data, thread, request->refs, request->ref_count);
        request->ref_count = 0;
    }
    app->leave(app->data, thread);
    self->nanoseconds = mp_clock_thread_cpu() - begin;
}

static void *run(void *data)
{
    struct pool_thread *self = data;
    const struct mp_app *app = &self->gateway->app;
    void *thread = NULL;
    int rc = app->thread_init(app->data, 3, &thread);

    pthread_mutex_lock(&self->lock);
    self->init_result = rc;
    self->work = WORK_NONE;
    pthread_cond_broadcast(&self->changed);
    while (rc == 0) {
        while (self->work == WORK_NONE)
            pthread_cond_wait(&self->changed, &self->lock);
        if (self->work == WORK_STOP)
            break;
        pthread_mutex_unlock(&self->lock);
        handle(self, thread);
        pthread_mutex_lock(&self->lock);
        self->work = WORK_NONE;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    if (rc == 0)
        app->thread_done(app->data, thread);
    return NULL;
}

/* Gives work to the thread and waits for its end, with the interpreter left. */
static void give(struct pool_thread *self, enum work work)
{
    mp_py_gateway_leave(self->gateway);
    pthread_mutex_lock(&self->lock);
    self->work = work;
    pthread_cond_broadcast(&self->changed);
    while (work != WORK_STOP && self->work != WORK_NONE)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
    if (work == WORK_STOP)
        pthread_join(self->thread, NULL);
    mp_py_gateway_enter(self->gateway);
}

int pool_thread_start(struct pool_thread *self, struct mp_py_gateway *gateway)
{
    self->gateway = gateway;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    self->work = WORK_HANDLE; /* until the thread is there */
    mp_py_gateway_leave(gateway);
    self->started = pthread_create(&self->thread, NULL, run, self) == 0;
    pthread_mutex_lock(&self->lock);
    while (self->started && self->work != WORK_NONE)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
    mp_py_gateway_enter(gateway);
    if (self->started && self->init_result == 0)
        return 0;
    if (self->started)
        pthread_join(self->thread, NULL);
    self->started = false;
    PyErr_SetString(PyExc_RuntimeError, "the thread cannot be started");
    return -1;
}

void pool_thread_handle(struct pool_thread *self, struct mp_request *request, unsigned long repeat)
{
    self->request = request;
    self->repeat = repeat;
    give(self, WORK_HANDLE);
}

void pool_thread_stop(struct pool_thread *self)
{
    if (self->started)
        give(self, WORK_STOP);
    self->started = false;
}
