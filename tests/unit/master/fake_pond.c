/* SPDX-License-Identifier: MIT */
#include "fake_pond.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/sigaction.h"
#include "os/socket.h"
#include "runner.h"

enum {
    STEP_MS = 3,
    EXIT_LEAK = 90, /* the master has left descriptors open */
};

/* ---- small things ------------------------------------------------------------------------- */

int64_t pond_now(void)
{
    return mp_clock_now();
}

int64_t pond_deadline(void)
{
    return pond_now() + (mp_test_is_sanitized() ? 25 : 10) * MP_NSEC_PER_SEC;
}

void pond_nap(int ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

bool pond_is_alive(pid_t pid)
{
    char path[64];
    char stat[256];
    char state = 'X';
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fgets(stat, sizeof(stat), file) && strrchr(stat, ')'))
        state = strrchr(stat, ')')[2];
    fclose(file);
    return state != 'Z' && state != 'X';
}

int pond_count_fds(pid_t pid)
{
    char path[64];
    struct dirent *entry;
    int count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    if (!directory)
        return -1;
    while ((entry = readdir(directory)))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return pid == getpid() ? count - 1 : count;
}

static int count_sockets(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        struct stat info;

        count += fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
    }
    return count;
}

static uint64_t status_mask(const char *key)
{
    char line[256];
    uint64_t mask = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            mask = strtoull(line + strlen(key) + 1, NULL, 16);
    }
    if (file)
        fclose(file);
    return mask;
}

/* A sanitizer has handlers for these, which would turn the signal into an exit. */
static void die_of(int signo)
{
    struct rlimit none = {0, 0};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;

    setrlimit(RLIMIT_CORE, &none);
    sigaction(signo, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), signo);
    pause();
}

/* ---- the worker --------------------------------------------------------------------------- */

struct life {
    struct pond *pond;
    struct pond_worker *self;
    const struct mp_worker_context *context;
    int control;
    int64_t leave_at; /* 0: stays */
    int status;
};

static void send_verb(struct life *life, uint32_t verb, uint32_t value)
{
    struct mp_worker_message message = {.verb = verb, .value = value, .pid = getpid()};

    /* Fails when the master was killed: its end is noticed where it is listened to. */
    (void)mp_socket_send_msg(life->control, &message, sizeof(message), -1);
}

static void look_busy(struct life *life, unsigned thread, const char *method, const char *path,
                      int64_t since)
{
    static const unsigned char address[] = {10, 0, 0, 9};

    mp_sb_thread_begin(mp_scoreboard_thread(life->context->board, life->context->slot, thread),
                       pond_now() - since, method, strlen(method), path, strlen(path), address,
                       sizeof(address), 4711);
}

static void show_load(struct life *life, unsigned count)
{
    struct mp_sb_worker *slot = mp_scoreboard_worker(life->context->board, life->context->slot);

    atomic_store(&slot->fifo_depth, count);
    atomic_store(&slot->handlers, count);
    atomic_store(&slot->computing, count);
    atomic_store(&slot->waiting_since, count > 0 ? pond_now() : 0);
}

static void leave_orphan(int ms)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid > 0)
        return;
    close(STDIN_FILENO);
    pond_nap(ms);
    _exit(0);
}

static int fork_and_term(void)
{
    int status = -1;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        pond_nap(5000);
        _exit(0);
    }
    kill(pid, SIGTERM);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

static void obey(struct life *life)
{
    struct pond_worker *self = life->self;
    int argument = atomic_load(&self->argument);

    switch (atomic_exchange(&self->command, POND_NOTHING)) {
    case POND_NOTHING:
        return;
    case POND_EXIT:
        _exit(argument);
    case POND_RAISE:
        die_of(argument);
        break;
    case POND_READY:
        atomic_store(&self->ready_from, pond_now());
        send_verb(life, MP_WORKER_READY, 0);
        atomic_store(&self->ready_at, pond_now());
        break;
    case POND_RETIRE:
        send_verb(life, MP_WORKER_RETIRE, argument ? (uint32_t)argument : MP_RETIRE_STUCK);
        break;
    case POND_STOP:
        send_verb(life, MP_WORKER_STOP, 0);
        break;
    case POND_CLOSE:
        close(life->control);
        life->control = -1;
        break;
    case POND_SERVE:
        look_busy(life, 1, "POST", "/import", 41 * MP_NSEC_PER_SEC);
        look_busy(life, 4, "GET", "/", 3 * MP_NSEC_PER_MSEC);
        break;
    case POND_LOOK:
        show_load(life, (unsigned)argument);
        break;
    case POND_LEAVE_ORPHAN:
        leave_orphan(argument);
        break;
    case POND_FORK_AND_TERM:
        atomic_store(&self->result, fork_and_term());
        break;
    }
    atomic_fetch_add(&self->done, 1);
}

static void leave_after(struct life *life, int status, int ms)
{
    if (atomic_load(&life->pond->orders.stubborn) || life->leave_at)
        return;
    life->status = status;
    life->leave_at = pond_now() + ms * MP_NSEC_PER_MSEC;
}

static void hear(struct life *life)
{
    struct mp_worker_message message;
    int fd = -1;
    ssize_t n = mp_socket_recv_msg(life->control, &message, sizeof(message), &fd);

    if (n == sizeof(message) && message.verb == MP_WORKER_DUMP && fd >= 0) {
        dprintf(fd, "dump of slot %u", life->context->slot);
        close(fd);
    } else if (n == 0) {
        _exit(MP_WORKER_EXIT_QUIT); /* the master is gone */
    } else if (n == sizeof(message) && message.verb == MP_WORKER_DRAIN) {
        atomic_store(&life->self->drain_at, pond_now());
        atomic_store(&life->self->drain_value, (int)message.value + 1);
        leave_after(life, 0, atomic_load(&life->pond->orders.drain_ms));
    } else if (n == sizeof(message) && message.verb == MP_WORKER_QUIT) {
        atomic_store(&life->self->quit, 1);
        life->leave_at = 0;
        leave_after(life, MP_WORKER_EXIT_QUIT, 0);
    }
}

static void hear_signal(struct life *life)
{
    int signo = mp_sigaction_relay_read(life->context->signals);

    if (signo == SIGTERM) {
        atomic_fetch_add(&life->self->terms, 1);
        leave_after(life, 0, 0);
    } else if (signo == SIGQUIT) {
        leave_after(life, MP_WORKER_EXIT_QUIT, 0);
    }
}

static void beat(const struct life *life)
{
    if (!atomic_load(&life->pond->orders.silent))
        atomic_store(&mp_scoreboard_worker(life->context->board, life->context->slot)->heartbeat,
                     pond_now());
}

static void record(struct life *life)
{
    struct pond_worker *self = life->self;

    atomic_store(&self->fds, pond_count_fds(getpid()));
    atomic_store(&self->sockets, count_sockets());
    atomic_store(&self->blocked, status_mask("SigBlk:"));
    atomic_store(&self->ignored, status_mask("SigIgn:"));
    atomic_store(&self->caught, status_mask("SigCgt:"));
    atomic_store(&self->threads, (int)life->context->options->threads);
    atomic_store(&self->generation, (int)life->context->generation);
    atomic_store(&self->drain_at, 0);
    atomic_store(&self->drain_value, 0);
    atomic_store(&self->quit, 0);
    atomic_store(&self->ready_from, 0);
    atomic_store(&self->ready_at, 0);
    atomic_store(&self->pid, getpid());
    atomic_fetch_add(&self->starts, 1);
}

static int serve(void *data, const struct mp_worker_context *context)
{
    struct pond *pond = data;
    struct life life = {.pond = pond,
                        .self = &pond->workers[context->slot],
                        .context = context,
                        .control = context->control};

    record(&life);
    if (atomic_load(&pond->orders.exit_early))
        return atomic_load(&pond->orders.exit_early) - 1;
    beat(&life);
    if (atomic_load(&pond->orders.close_early))
        mp_fd_close(&life.control);
    if (!atomic_load(&pond->orders.never_ready)) {
        atomic_store(&life.self->ready_from, pond_now());
        send_verb(&life, MP_WORKER_READY, 0);
    }
    if (atomic_load(&pond->orders.exit_ready))
        return atomic_load(&pond->orders.exit_ready) - 1;
    if (atomic_load(&life.self->ready_from))
        atomic_store(&life.self->ready_at, pond_now());
    while (!life.leave_at || pond_now() < life.leave_at) {
        struct pollfd fds[2] = {{.fd = life.control, .events = POLLIN},
                                {.fd = context->signals, .events = POLLIN}};

        poll(fds, 2, STEP_MS);
        if (fds[0].revents)
            hear(&life);
        if (fds[1].revents)
            hear_signal(&life);
        beat(&life);
        obey(&life);
    }
    return life.status;
}

/* ---- the other callbacks ------------------------------------------------------------------ */

static void on_int(int signo)
{
    (void)signo;
}

/* The limit on descriptors becomes what is open and spare more. */
static void limit_fds(int spare)
{
    int next = dup(STDIN_FILENO);
    struct rlimit limit = {.rlim_cur = (rlim_t)(next + spare), .rlim_max = (rlim_t)(next + spare)};

    close(next);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

static int configure(void *data, bool fresh)
{
    struct pond *pond = data;
    struct mp_master_options options = pond->options;
    int workers = atomic_load(&pond->orders.new_workers);
    int threads = atomic_load(&pond->orders.new_threads);

    atomic_fetch_add(&pond->configures, 1);
    if (!fresh)
        return 0;
    atomic_fetch_add(&pond->fresh, 1);
    if (workers)
        options.workers = options.workers_limit = (unsigned)workers;
    if (threads)
        options.worker.threads = (unsigned)threads;
    mp_master_set_options(pond->self, &options);
    return atomic_load(&pond->orders.configure_status);
}

static void on_event(void *data, const struct mp_master_event *event)
{
    struct pond *pond = data;

    if (event->kind == MP_MASTER_EVENT_READY) {
        atomic_fetch_add(&pond->ready_events, 1);
        return;
    }
    atomic_store(&pond->end_status, event->status);
    atomic_fetch_add(&pond->end_events, 1);
}

static int load(void *data)
{
    struct pond *pond = data;

    atomic_store(&pond->zygote, getpid());
    atomic_fetch_add(&pond->loads, 1);
    if (atomic_load(&pond->orders.handlers)) {
        struct sigaction action = {.sa_handler = on_int};

        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGALRM, &action, NULL);
    }
    if (atomic_load(&pond->orders.hog_fds))
        limit_fds(0);
    if (atomic_load(&pond->orders.load_ms))
        pond_nap(atomic_load(&pond->orders.load_ms));
    if (atomic_load(&pond->orders.load_signal))
        die_of(atomic_load(&pond->orders.load_signal));
    return atomic_load(&pond->orders.load_status);
}

static void freeze(void *data)
{
    struct pond *pond = data;

    atomic_store(&pond->zygote, getpid());
    atomic_fetch_add(&pond->freezes, 1);
}

static void on_ready(void *data, const struct mp_master_ready *ready)
{
    struct pond *pond = data;

    atomic_store(&pond->ready_workers, (int)ready->workers);
    atomic_store(&pond->ready_threads, (int)ready->threads);
    atomic_fetch_add(&pond->ready_calls, 1);
}

static void on_stopping(void *data, int signo)
{
    struct pond *pond = data;

    atomic_store(&pond->stopping_signal, signo);
}

static void before_fork(void *data)
{
    struct pond *pond = data;

    atomic_fetch_add(&pond->balance, 1);
}

static void after_fork_parent(void *data)
{
    struct pond *pond = data;

    atomic_fetch_sub(&pond->balance, 1);
}

static void on_exit_process(void *data, int status, bool graceful)
{
    struct pond *pond = data;

    (void)graceful;
    if (getpid() == atomic_load(&pond->zygote))
        pond_nap(atomic_load(&pond->orders.exit_ms));
    atomic_fetch_add(&pond->exits, 1);
    _exit(status);
}

static pid_t counted_fork(void *data)
{
    struct pond *pond = data;
    struct pond_orders *orders = &pond->orders;
    pid_t pid;

    atomic_fetch_add(&pond->forks, 1);
    if (atomic_load(&orders->fork_failures) > 0) {
        if (atomic_load(&orders->fork_pass) > 0) {
            atomic_fetch_sub(&orders->fork_pass, 1);
        } else {
            atomic_fetch_sub(&orders->fork_failures, 1);
            return -atomic_load(&orders->fork_error);
        }
    }
    pid = fork();
    return pid == -1 ? -errno : pid;
}

/* ---- the master's process ----------------------------------------------------------------- */

static void set_options(struct mp_master_options *to, const struct pond_options *from,
                        const struct pond *pond)
{
    mp_master_options_init(to);
    to->workers = from->workers ? from->workers : 2;
    to->workers_max = from->workers_max ? from->workers_max : 4;
    to->workers_limit = from->workers_limit;
    to->preload = !from->no_preload;
    to->graceful_timeout = (from->graceful_ms ? from->graceful_ms : 5000) * MP_NSEC_PER_MSEC;
    to->load_timeout = from->load_ms * MP_NSEC_PER_MSEC;
    to->heartbeat_timeout = from->heart_ms * MP_NSEC_PER_MSEC;
    to->log = (struct mp_log){.fd = pond->log_fd, .level = MP_LOG_DEBUG};
    to->worker.threads = 8;
    to->control_socket = from->control;
    to->notify_socket = from->notify;
    to->notify_watchdog = from->watchdog_ms * MP_NSEC_PER_MSEC;
    to->title = "fake:pond\nand more";
}

static int run_master(struct pond *pond, const struct pond_options *from, int link)
{
    const struct mp_master_ops ops = {.data = pond,
                                      .before_fork = before_fork,
                                      .after_fork_parent = after_fork_parent,
                                      .configure = configure,
                                      .on_event = on_event,
                                      .load = load,
                                      .freeze = freeze,
                                      .serve = serve,
                                      .exit = on_exit_process,
                                      .on_ready = on_ready,
                                      .on_stopping = on_stopping,
                                      .fork = counted_fork};
    int before = pond_count_fds(getpid());
    struct mp_master_options options;
    struct mp_master *master;
    const char *why;
    int status;

    set_options(&options, from, pond);
    CHECK_OK(mp_master_new(&options, &ops, &master));
    pond->self = master;
    pond->options = options;
    if (from->embed) {
        before--; /* the link is the master's from now on */
        CHECK_OK(mp_master_embed(master, link, getppid()));
    }
    if (from->bind)
        CHECK_OK(mp_master_bind(master, from->bind, 16, &why));
    if (from->spare_fds)
        limit_fds(from->spare_fds);
    status = from->await_go && !mp_master_await_go(master) ? POND_UNWANTED : mp_master_run(master);
    mp_master_free(master);
    return pond_count_fds(getpid()) == before ? status : EXIT_LEAK;
}

/* ---- the test's side ---------------------------------------------------------------------- */

struct pond *pond_new(void)
{
    struct pond *pond =
        mmap(NULL, sizeof(*pond), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(pond != MAP_FAILED);
    pond->orders.fork_error = EAGAIN;
    pond->log_fd = memfd_create("pond-log", MFD_CLOEXEC);
    CHECK(pond->log_fd >= 0);
    return pond;
}

void pond_free(struct pond *pond)
{
    close(pond->log_fd);
    munmap(pond, sizeof(*pond));
}

void pond_start(struct pond *pond, const struct pond_options *options)
{
    int pair[2] = {-1, -1};
    pid_t pid;

    if (options->embed)
        CHECK_OK(mp_socket_pair(pair));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setpgid(0, 0);
        mp_fd_close(&pair[0]);
        exit(run_master(pond, options, pair[1]));
    }
    setpgid(pid, pid);
    mp_fd_close(&pair[1]);
    pond->link = pair[0];
    pond->master = pid;
}

void pond_tell(struct pond *pond, enum mp_link_verb verb, uint32_t value)
{
    struct mp_link_message message = {.verb = (uint32_t)verb, .value = value};

    CHECK_OK(mp_socket_send_msg(pond->link, &message, sizeof(message), -1));
}

uint32_t pond_hear(struct pond *pond, enum mp_link_verb verb)
{
    struct pollfd entry = {.fd = pond->link, .events = POLLIN};
    struct mp_link_message message;

    CHECK_EQ(poll(&entry, 1, (int)((pond_deadline() - pond_now()) / MP_NSEC_PER_MSEC)), 1);
    CHECK_EQ(mp_socket_recv_msg(pond->link, &message, sizeof(message), NULL), sizeof(message));
    CHECK_EQ(message.verb, verb);
    return message.value;
}

void pond_wait_ready(struct pond *pond)
{
    POND_WAIT(atomic_load(&pond->ready_calls) > 0);
    for (int i = 0; i < atomic_load(&pond->ready_workers); i++)
        POND_WAIT(atomic_load(&pond->workers[i].ready_at));
}

int pond_wait_end(struct pond *pond, int ms)
{
    int64_t end = pond_now() + ms * (mp_test_is_sanitized() ? 3 : 1) * MP_NSEC_PER_MSEC;
    int status;

    for (;;) {
        pid_t pid = waitpid(pond->master, &status, WNOHANG);

        CHECK(pid >= 0);
        if (pid > 0)
            return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
        if (pond_now() > end)
            TEST_FAIL("the master does not end; the log:\n%s", pond_log(pond));
        pond_nap(2);
    }
}

void pond_signal(struct pond *pond, int signo)
{
    CHECK_OK(kill(pond->master, signo));
}

int pond_stop(struct pond *pond, int signo)
{
    pond_signal(pond, signo);
    return pond_wait_end(pond, 10000);
}

void pond_command(struct pond *pond, unsigned slot, enum pond_command command, int argument)
{
    atomic_store(&pond->workers[slot].argument, argument);
    atomic_store(&pond->workers[slot].command, (int)command);
}

const char *pond_log(struct pond *pond)
{
    ssize_t n = pread(pond->log_fd, pond->log, sizeof(pond->log) - 1, 0);

    pond->log[n > 0 ? n : 0] = '\0';
    return pond->log;
}

int pond_log_count(struct pond *pond, const char *text)
{
    const char *at = pond_log(pond);
    int count = 0;

    for (; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

void pond_expect_log(struct pond *pond, const char *text)
{
    int64_t end = pond_deadline();

    while (!strstr(pond_log(pond), text)) {
        if (pond_now() > end)
            TEST_FAIL("\"%s\" is not in the log:\n%s", text, pond_log(pond));
        pond_nap(2);
    }
}

pid_t pond_wait_life(struct pond *pond, unsigned slot, int starts)
{
    struct pond_worker *worker = &pond->workers[slot];

    POND_WAIT(atomic_load(&worker->starts) > starts && atomic_load(&worker->ready_at));
    return atomic_load(&worker->pid);
}

int pond_reap_all(void)
{
    int64_t end = pond_deadline();
    int count = 0;

    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid == -1 && errno == ECHILD)
            return count;
        if (pid > 0)
            count++;
        else if (pond_now() > end)
            TEST_FAIL("processes are left");
        else
            pond_nap(2);
    }
}

struct pond *pond_begin(struct pond_options options)
{
    struct pond *pond = pond_new();

    pond_start(pond, &options);
    pond_wait_ready(pond);
    return pond;
}

void pond_end(struct pond *pond)
{
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    pond_free(pond);
}
