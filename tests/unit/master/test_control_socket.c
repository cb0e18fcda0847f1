/* SPDX-License-Identifier: MIT */
/* A whole master, and clients of its control socket: good ones, and others. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_pond.h"
#include "master/control_protocol.h"
#include "master/control_socket.h"
#include "os/socket.h"
#include "runner.h"
#include "scoreboard/scoreboard.h"

/* A socket's path has 107 bytes at most. */
#define FIFTY "fifty-bytes-of-a-path-that-goes-on-without-an-end-"
#define LONG_PATH "/tmp/" FIFTY FIFTY FIFTY

enum {
    NOBODY = 65534,
    PATIENCE = 20000, /* ms */
};

struct bench {
    struct pond *pond;
    char folder[64];
    char path[128]; /* of the socket */
};

struct reply {
    struct mp_control_answer head;
    char text[MP_CONTROL_TEXT_SIZE];
    size_t length; /* of the text; it is terminated here */
    int fd;        /* that came with it; -1: none */
};

/* ---- a server ------------------------------------------------------------------------------ */

static void begin(struct bench *bench, const struct pond_options *more)
{
    struct pond_options options = *more;

    snprintf(bench->folder, sizeof(bench->folder), "/tmp/millpond-test-XXXXXX");
    CHECK(mkdtemp(bench->folder) != NULL);
    snprintf(bench->path, sizeof(bench->path), "%s/control.sock", bench->folder);
    options.control = bench->path;
    bench->pond = pond_new();
    pond_start(bench->pond, &options);
    pond_wait_ready(bench->pond);
}

static void finish(struct bench *bench)
{
    CHECK_EQ(pond_stop(bench->pond, SIGTERM), 0);
    CHECK_EQ(access(bench->path, F_OK), -1); /* the end removes it */
    CHECK_OK(rmdir(bench->folder));
    pond_free(bench->pond);
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    CHECK_OK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
    return fd;
}

/* ---- a client ------------------------------------------------------------------------------ */

/* The next packet. False: the server has closed the connection. */
static bool take(int client, struct reply *reply)
{
    struct pollfd entry = {.fd = client, .events = POLLIN};
    char bytes[sizeof(reply->head) + sizeof(reply->text)];
    ssize_t n;

    CHECK_EQ(poll(&entry, 1, PATIENCE), 1);
    memset(reply, 0, sizeof(*reply));
    n = mp_socket_recv_msg(client, bytes, sizeof(bytes), &reply->fd);
    if (n == 0)
        return false;
    CHECK(n >= (ssize_t)sizeof(reply->head));
    memcpy(&reply->head, bytes, sizeof(reply->head));
    reply->length = (size_t)n - sizeof(reply->head);
    CHECK(reply->length < sizeof(reply->text));
    memcpy(reply->text, bytes + sizeof(reply->head), reply->length);
    CHECK_EQ(reply->head.magic, MP_CONTROL_MAGIC);
    CHECK_EQ(reply->head.version, MP_CONTROL_VERSION);
    return true;
}

static void ask_with(int client, uint32_t verb, int32_t value, int fd, struct reply *reply)
{
    const struct mp_control_request request = {
        .magic = MP_CONTROL_MAGIC, .version = MP_CONTROL_VERSION, .verb = verb, .value = value};

    CHECK_OK(mp_socket_send_msg(client, &request, sizeof(request), fd));
    CHECK(take(client, reply));
    CHECK_EQ(reply->head.verb, verb);
}

static void ask(int client, uint32_t verb, int32_t value, struct reply *reply)
{
    ask_with(client, verb, value, -1, reply);
    if (verb != MP_CONTROL_HELLO)
        CHECK_EQ(reply->fd, -1);
}

/* The server answers still, and has no more descriptors open than without clients. */
static void check_well(struct bench *bench, int fds)
{
    struct pond *pond = bench->pond;
    struct reply reply;
    int client = connect_to(bench->path);

    ask(client, MP_CONTROL_HELLO, 0, &reply);
    CHECK_EQ(reply.head.status, 0);
    close(reply.fd);
    close(client);
    POND_WAIT(pond_count_fds(pond->master) == fds);
    CHECK_EQ(pond_log_count(pond, "ERROR"), 0);
}

static bool has_line(const struct reply *reply, const char *line)
{
    const char *found = strstr(reply->text, line);
    size_t n = strlen(line);

    return found && (found == reply->text || found[-1] == '\n') && found[n] == '\n';
}

TEST(a_client_is_told_what_the_server_is)
{
    struct bench bench;
    struct reply reply;
    char line[64];
    int client;

    begin(&bench, &(struct pond_options){.bind = "127.0.0.1:0", .workers = 2, .workers_max = 3});
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    CHECK_EQ(reply.head.status, 0);
    snprintf(line, sizeof(line), "pid %d", (int)bench.pond->master);
    CHECK(has_line(&reply, line));
    CHECK(has_line(&reply, "workers 2"));
    CHECK(has_line(&reply, "workers_min 2"));
    CHECK(has_line(&reply, "workers_limit 2"));
    CHECK(has_line(&reply, "workers_max 3"));
    CHECK(has_line(&reply, "threads 8"));
    CHECK(has_line(&reply, "stage running"));
    CHECK(has_line(&reply, "generation 1"));
    CHECK(has_line(&reply, "application fake:pond?and more")); /* on one line, whatever it is */
    CHECK(strstr(reply.text, "\nlisten 127.0.0.1:"));
    CHECK(has_line(&reply, "backlog 0"));
    CHECK(strstr(reply.text, "\nstarted_ns "));
    close(reply.fd);
    close(client);
    finish(&bench);
}

TEST(bounds_move_with_what_is_asked_for)
{
    struct bench bench;
    struct reply reply;
    int client;

    begin(&bench, &(struct pond_options){.workers = 1, .workers_limit = 2, .workers_max = 4});
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_WORKERS, 1, &reply);
    CHECK_EQ(reply.head.value, 2);
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    CHECK(has_line(&reply, "workers 2"));
    CHECK(has_line(&reply, "workers_min 2"));
    CHECK(has_line(&reply, "workers_limit 3"));
    close(reply.fd);
    close(client);
    finish(&bench);
}

TEST(a_client_sees_the_scoreboard_and_cannot_write_to_it)
{
    struct mp_scoreboard *board;
    struct bench bench;
    struct reply reply;
    void *memory;
    int client;

    begin(&bench, &(struct pond_options){.workers = 1});
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    CHECK(reply.fd >= 0);
    CHECK_OK(mp_scoreboard_open(reply.fd, &board, NULL));
    CHECK_EQ(mp_scoreboard_worker(board, 0)->pid, bench.pond->workers[0].pid);
    CHECK_EQ(mp_scoreboard_worker(board, 0)->state, MP_SB_WORKER_READY);
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reply.fd, 0);
    CHECK(memory == MAP_FAILED);
    CHECK_EQ(pwrite(reply.fd, "x", 1, 0), -1);
    CHECK_EQ(ftruncate(reply.fd, 0), -1);
    mp_scoreboard_free(board);
    close(reply.fd);
    close(client);
    finish(&bench);
}

TEST(workers_are_added_and_let_go_within_their_bounds)
{
    struct bench bench;
    struct pond *pond;
    struct reply reply;
    int client;

    begin(&bench, &(struct pond_options){.workers = 1, .workers_max = 2});
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_WORKERS, 1, &reply);
    CHECK_EQ(reply.head.status, 0);
    CHECK_EQ(reply.head.value, 2);
    pond_wait_life(bench.pond, 1, 0);
    ask(client, MP_CONTROL_WORKERS, 1, &reply);
    CHECK_EQ(reply.head.status, ERANGE);
    CHECK_STR(reply.text, "there are 2 workers, of 1 to 2");
    ask(client, MP_CONTROL_WORKERS, -1, &reply);
    CHECK_EQ(reply.head.value, 1);
    pond = bench.pond;
    POND_WAIT(atomic_load(&pond->workers[1].drain_value) == 1);
    ask(client, MP_CONTROL_WORKERS, -1, &reply);
    CHECK_EQ(reply.head.status, ERANGE);
    ask(client, MP_CONTROL_WORKERS, 7, &reply);
    CHECK_EQ(reply.head.status, EINVAL);
    ask(client, MP_CONTROL_WORKERS, INT32_MIN, &reply);
    CHECK_EQ(reply.head.status, EINVAL);
    close(client);
    finish(&bench);
}

TEST(a_worker_retires_when_its_replacement_is_ready)
{
    struct bench bench;
    struct pond *pond;
    struct reply reply;
    int client;

    begin(&bench, &(struct pond_options){.workers = 1});
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_RETIRE, 1, &reply);
    CHECK_EQ(reply.head.status, 0);
    CHECK_EQ(reply.head.value, bench.pond->workers[0].pid);
    pond = bench.pond;
    POND_WAIT(atomic_load(&pond->workers[0].drain_at));
    CHECK(atomic_load(&bench.pond->workers[1].ready_from));
    CHECK(atomic_load(&bench.pond->workers[1].ready_from) <=
          atomic_load(&bench.pond->workers[0].drain_at));
    CHECK_EQ(pond_log_count(bench.pond, "WARNING"), 0);
    pond_wait_life(bench.pond, 1, 0);
    ask(client, MP_CONTROL_RETIRE, 3, &reply);
    CHECK_EQ(reply.head.status, ESRCH);
    CHECK_STR(reply.text, "there is no worker 3");
    for (int i = 0; i < 3; i++) {
        static const int32_t numbers[] = {0, INT32_MIN, INT32_MAX};

        ask(client, MP_CONTROL_RETIRE, numbers[i], &reply);
        CHECK_EQ(reply.head.status, ESRCH);
    }
    close(client);
    finish(&bench);
}

TEST(a_worker_writes_its_dump_to_the_client)
{
    struct bench bench;
    struct reply reply;
    char text[64] = "";
    int client;
    int fds[2];

    begin(&bench, &(struct pond_options){.workers = 2});
    client = connect_to(bench.path);
    CHECK_OK(pipe2(fds, O_CLOEXEC));
    ask_with(client, MP_CONTROL_DUMP, 2, fds[1], &reply);
    CHECK_EQ(reply.head.status, 0);
    CHECK_EQ(reply.head.value, bench.pond->workers[1].pid);
    close(fds[1]);
    CHECK_EQ(read(fds[0], text, sizeof(text) - 1), 14);
    CHECK_STR(text, "dump of slot 1");
    CHECK_EQ(read(fds[0], text, sizeof(text)), 0); /* nobody else has it open any more */
    close(fds[0]);
    ask(client, MP_CONTROL_DUMP, 2, &reply);
    CHECK_EQ(reply.head.status, EBADF);
    close(client);
    finish(&bench);
}

/* ---- others -------------------------------------------------------------------------------- */

TEST(what_is_not_known_is_answered_politely)
{
    struct mp_control_request request = {.magic = MP_CONTROL_MAGIC, .version = 7, .verb = 1};
    struct bench bench;
    struct reply reply;
    int client;
    int fds;

    begin(&bench, &(struct pond_options){.workers = 1});
    fds = pond_count_fds(bench.pond->master);
    client = connect_to(bench.path);
    ask(client, 4711, 0, &reply);
    CHECK_EQ(reply.head.status, ENOSYS);
    CHECK(strstr(reply.text, "does not know what request 4711 is"));
    CHECK_OK(mp_socket_send_msg(client, &request, sizeof(request), -1));
    CHECK(take(client, &reply));
    CHECK_EQ(reply.head.status, EPROTONOSUPPORT);
    CHECK(strstr(reply.text, "speaks version 1 of the control protocol, not 7"));
    CHECK_EQ(reply.fd, -1);
    ask(client, MP_CONTROL_HELLO, 0, &reply); /* and it goes on */
    CHECK_EQ(reply.head.status, 0);
    close(reply.fd);
    close(client);
    check_well(&bench, fds);
    finish(&bench);
}

TEST(garbage_ends_the_connection)
{
    static const size_t sizes[] = {1, 4, 15, 16, 17, 2000, 60000};
    static char bytes[60000];
    struct bench bench;
    struct reply reply;
    int fds;

    begin(&bench, &(struct pond_options){.workers = 1});
    fds = pond_count_fds(bench.pond->master);
    memset(bytes, 'G', sizeof(bytes));
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        int client = connect_to(bench.path);

        CHECK_OK(mp_socket_send_msg(client, bytes, sizes[i], -1));
        CHECK(take(client, &reply));
        CHECK_EQ(reply.head.status, EBADMSG);
        CHECK(!take(client, &reply));
        close(client);
    }
    check_well(&bench, fds);
    finish(&bench);
}

/* With every verb, and with none; several at once too. */
TEST(descriptors_that_nobody_wants_are_closed)
{
    struct bench bench;
    struct reply reply;
    int client;
    int fds;

    begin(&bench, &(struct pond_options){.workers = 1});
    fds = pond_count_fds(bench.pond->master);
    client = connect_to(bench.path);
    for (uint32_t verb = 0; verb < 20; verb++) {
        if (verb == MP_CONTROL_WORKERS || verb == MP_CONTROL_RETIRE)
            continue;
        ask_with(client, verb, 4711, STDERR_FILENO, &reply);
        if (reply.fd >= 0)
            close(reply.fd);
    }
    CHECK_OK(mp_socket_send_msg(client, "x", 1, STDERR_FILENO));
    CHECK(take(client, &reply));
    close(client);
    check_well(&bench, fds);
    finish(&bench);
}

static void send_many_descriptors(int client)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(20 * sizeof(int))];
    } control;
    struct mp_control_request request = {
        .magic = MP_CONTROL_MAGIC, .version = MP_CONTROL_VERSION, .verb = MP_CONTROL_DUMP};
    struct iovec iov = {.iov_base = &request, .iov_len = sizeof(request)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *header;

    memset(&control, 0, sizeof(control));
    header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(20 * sizeof(int));
    for (int i = 0; i < 20; i++) {
        const int fd = STDERR_FILENO;

        memcpy(CMSG_DATA(header) + (size_t)i * sizeof(fd), &fd, sizeof(fd));
    }
    CHECK(sendmsg(client, &message, MSG_NOSIGNAL) > 0);
}

TEST(many_descriptors_at_once_are_closed)
{
    struct bench bench;
    struct reply reply;
    int client;
    int fds;

    begin(&bench, &(struct pond_options){.workers = 1});
    fds = pond_count_fds(bench.pond->master);
    client = connect_to(bench.path);
    send_many_descriptors(client);
    CHECK(take(client, &reply));
    CHECK_EQ(reply.head.status, ESRCH);
    close(client);
    check_well(&bench, fds);
    finish(&bench);
}

TEST(one_client_too_many_takes_the_place_of_the_most_silent)
{
    int clients[MP_CONTROL_CLIENTS + 1];
    struct bench bench;
    struct reply reply;
    int fds;

    begin(&bench, &(struct pond_options){.workers = 1});
    fds = pond_count_fds(bench.pond->master);
    for (int i = 0; i < MP_CONTROL_CLIENTS; i++) {
        clients[i] = connect_to(bench.path);
        ask(clients[i], 99, 0, &reply);
    }
    ask(clients[0], 99, 0, &reply); /* so it is clients[1] */
    clients[MP_CONTROL_CLIENTS] = connect_to(bench.path);
    ask(clients[MP_CONTROL_CLIENTS], 99, 0, &reply);
    CHECK(!take(clients[1], &reply));
    ask(clients[0], 99, 0, &reply);
    CHECK_EQ(pond_count_fds(bench.pond->master), fds + MP_CONTROL_CLIENTS);
    for (int i = 0; i <= MP_CONTROL_CLIENTS; i++)
        close(clients[i]);
    check_well(&bench, fds);
    finish(&bench);
}

/* It sends as long as the server takes, and reads nothing. */
TEST(a_client_that_never_reads_is_dropped)
{
    const struct mp_control_request request = {
        .magic = MP_CONTROL_MAGIC, .version = MP_CONTROL_VERSION, .verb = MP_CONTROL_HELLO};
    struct bench bench;
    int client;
    int fds;
    int rc = 0;

    begin(&bench, &(struct pond_options){.workers = 1});
    fds = pond_count_fds(bench.pond->master);
    client = connect_to(bench.path);
    for (int i = 0; i < 1000000 && rc == 0; i++)
        rc = mp_socket_send_msg(client, &request, sizeof(request), -1);
    CHECK(rc == -EPIPE || rc == -ECONNRESET);
    check_well(&bench, fds);
    close(client);
    finish(&bench);
}

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Packets of random bytes, some of them with a good head, some with a descriptor; nothing is read
 * from some of the connections. */
TEST(random_clients_do_no_harm)
{
    struct bench bench;
    uint32_t seed = 20261126;
    int fds;

    TEST_BUDGET(60);
    begin(&bench, &(struct pond_options){.workers = 2, .workers_max = 4});
    fds = pond_count_fds(bench.pond->master);
    for (int round = 0; round < 300; round++) {
        int client = connect_to(bench.path);

        for (uint32_t i = draw(&seed) % 20; i > 0; i--) {
            union {
                struct mp_control_request request;
                unsigned char bytes[64];
            } packet;
            size_t size = 1 + draw(&seed) % sizeof(packet);
            int fd = draw(&seed) % 4 ? -1 : STDERR_FILENO;

            for (size_t at = 0; at < sizeof(packet); at++)
                packet.bytes[at] = (unsigned char)draw(&seed);
            if (draw(&seed) % 2) {
                packet.request.magic = MP_CONTROL_MAGIC;
                packet.request.version = MP_CONTROL_VERSION;
                packet.request.verb = draw(&seed) % 2 ? MP_CONTROL_HELLO : draw(&seed) % 256 + 5;
                size = sizeof(packet.request);
            }
            if (mp_socket_send_msg(client, &packet, size, fd) != 0)
                break;
        }
        close(client);
    }
    check_well(&bench, fds);
    finish(&bench);
}

static void be_nobody(const char *path)
{
    char byte;
    int fd;

    CHECK_OK(setgid(NOBODY));
    CHECK_OK(setuid(NOBODY));
    fd = connect_to(path);
    CHECK_EQ(recv(fd, &byte, 1, 0), 0); /* turned away */
    close(fd);
}

/* Even where the file's mode and its folder would let it in. */
TEST(another_user_is_turned_away)
{
    struct bench bench;
    int status;
    pid_t pid;

    if (geteuid() != 0)
        return;
    begin(&bench, &(struct pond_options){.workers = 1});
    CHECK_OK(chmod(bench.folder, 0755));
    CHECK_OK(chmod(bench.path, 0666));
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        be_nobody(bench.path);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    pond_expect_log(bench.pond, "has turned away another user's process");
    finish(&bench);
}

/* ---- its place ------------------------------------------------------------------------------ */

TEST(the_socket_is_its_owners_alone)
{
    struct bench bench;
    struct stat info;

    umask(0);
    begin(&bench, &(struct pond_options){.workers = 1});
    CHECK_OK(lstat(bench.path, &info));
    CHECK(S_ISSOCK(info.st_mode));
    CHECK_EQ(info.st_mode & 07777, 0600);
    finish(&bench);
}

TEST(in_a_folder_it_is_named_after_the_master)
{
    struct pond_options options = {.workers = 1};
    char root[64] = "/tmp/millpond-test-XXXXXX";
    char folder[96];
    char path[128];
    struct pond *pond = pond_new();
    struct stat info;

    CHECK(mkdtemp(root) != NULL);
    umask(0);
    snprintf(folder, sizeof(folder), "%s/own/", root);
    options.control = folder;
    pond_start(pond, &options);
    pond_wait_ready(pond);
    snprintf(path, sizeof(path), "%s%d.sock", folder, (int)pond->master);
    close(connect_to(path));
    CHECK_OK(lstat(folder, &info));
    CHECK_EQ(info.st_mode & 07777, 0700);
    CHECK_EQ(pond_stop(pond, SIGTERM), 0);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_OK(rmdir(folder));
    CHECK_OK(rmdir(root));
    pond_free(pond);
}

/* Each time it serves all the same. */
TEST(a_socket_that_cannot_be_made_is_a_warning)
{
    static const char *const places[] = {
        "/no/such/folder/a.sock",
        "/proc/a.sock",
        "/tmp/", /* everybody's */
        LONG_PATH,
    };

    for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
        struct pond *pond = pond_new();

        pond_start(pond, &(struct pond_options){.workers = 1, .control = places[i]});
        pond_wait_ready(pond);
        pond_expect_log(pond, "WARNING");
        pond_expect_log(pond, "no control socket, so millpond status, top and dump cannot see");
        CHECK_EQ(pond_stop(pond, SIGTERM), 0);
        pond_free(pond);
    }
}

TEST(the_socket_of_a_dead_master_is_replaced)
{
    struct bench bench;
    struct reply reply;
    struct pond *second = pond_new();
    int client;

    begin(&bench, &(struct pond_options){.workers = 1});
    pond_signal(bench.pond, SIGKILL);
    CHECK_EQ(pond_wait_end(bench.pond, 10000), -SIGKILL);
    CHECK_OK(access(bench.path, F_OK));
    pond_start(second, &(struct pond_options){.workers = 1, .control = bench.path});
    pond_wait_ready(second);
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    close(reply.fd);
    close(client);
    CHECK_EQ(pond_stop(second, SIGTERM), 0);
    CHECK_EQ(access(bench.path, F_OK), -1);
    CHECK_OK(rmdir(bench.folder));
    CHECK(pond_reap_all() >= 0);
    pond_free(second);
    pond_free(bench.pond);
}

TEST(the_socket_of_a_living_master_is_left_alone)
{
    struct pond *second = pond_new();
    struct bench bench;
    struct reply reply;
    int client;

    begin(&bench, &(struct pond_options){.workers = 1});
    pond_start(second, &(struct pond_options){.workers = 1, .control = bench.path});
    pond_wait_ready(second);
    pond_expect_log(second, "another process listens there");
    CHECK_EQ(pond_stop(second, SIGTERM), 0);
    pond_free(second);
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    close(reply.fd);
    close(client);
    finish(&bench);
}

/* Neither zygote nor workers have anything of it. */
TEST(no_other_process_has_its_descriptors)
{
    struct bench bench;
    struct reply reply;
    int client;
    int before;

    begin(&bench, &(struct pond_options){.workers = 1, .workers_max = 2});
    before = atomic_load(&bench.pond->workers[0].sockets);
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_WORKERS, 1, &reply);
    pond_wait_life(bench.pond, 1, 0);
    CHECK_EQ(atomic_load(&bench.pond->workers[1].sockets), before);
    pond_signal(bench.pond, SIGTERM);
    CHECK_EQ(pond_wait_end(bench.pond, 10000), 0);
    CHECK(!take(client, &reply)); /* the last copy is closed */
    close(client);
    CHECK_OK(rmdir(bench.folder));
    pond_free(bench.pond);
}

TEST(a_file_that_is_removed_is_made_anew)
{
    struct bench bench;
    struct reply reply;
    int client;
    int old;

    begin(&bench, &(struct pond_options){.workers = 1});
    old = connect_to(bench.path);
    CHECK_OK(unlink(bench.path));
    pond_expect_log(bench.pond, "was removed: making it anew");
    while (access(bench.path, F_OK) == -1)
        pond_nap(2);
    client = connect_to(bench.path);
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    CHECK_EQ(reply.head.status, 0);
    close(reply.fd);
    close(client);
    ask(old, MP_CONTROL_HELLO, 0, &reply);
    CHECK_EQ(reply.head.status, 0);
    close(reply.fd);
    close(old);
    CHECK_EQ(pond_log_count(bench.pond, "was removed"), 1);
    finish(&bench);
}

/* Whoever has asked is told a number, and sees when it is over and how it has ended. */
TEST(a_reload_that_a_client_asks_for)
{
    struct bench bench;
    struct reply reply;
    int client;

    begin(&bench, &(struct pond_options){.workers = 2});
    client = connect_to(bench.path);
    for (int i = 1; i <= 2; i++) {
        atomic_store(&bench.pond->orders.load_status, i == 2 ? 3 : 0);
        ask(client, MP_CONTROL_RELOAD, 0, &reply);
        CHECK_EQ(reply.head.status, 0);
        CHECK_EQ(reply.head.value, i);
        pond_expect_log(bench.pond, i == 1 ? "reloaded in" : "the reload has failed");
    }
    ask(client, MP_CONTROL_HELLO, 0, &reply);
    CHECK(has_line(&reply, "reload idle"));
    CHECK(has_line(&reply, "reload_finished 2"));
    CHECK(has_line(&reply, "reload_failures 1"));
    CHECK(has_line(&reply, "reload_why the new code could not be loaded"));
    CHECK(has_line(&reply, "generation 2"));
    close(reply.fd);
    close(client);
    finish(&bench);
}
