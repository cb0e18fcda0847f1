/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "os/socket.h"
#include "scratch.h"

static void make_pair(int fds[2])
{
    CHECK_OK(mp_socket_pair(fds));
}

static void close_pair(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

TEST(pair_is_nonblocking_cloexec_and_keeps_messages_apart)
{
    char text[16];
    int fds[2];
    int got = 77;

    make_pair(fds);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), -EAGAIN);
    CHECK_EQ(got, 77);
    CHECK_OK(mp_socket_send_msg(fds[0], "mill", 4, -1));
    CHECK_OK(mp_socket_send_msg(fds[0], "pond!", 5, -1));
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 4);
    CHECK_EQ(got, -1);
    CHECK_MEM(text, "mill", 4);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), NULL), 5);
    CHECK_MEM(text, "pond!", 5);
    close_pair(fds);
}

TEST(end_is_zero_and_empty_messages_cannot_be_taken_for_it)
{
    char text[4];
    int fds[2];
    int got;

    make_pair(fds);
    CHECK_EQ(mp_socket_send_msg(fds[0], "", 0, -1), -EINVAL);
    CHECK_OK(mp_socket_send_msg(fds[0], "x", 1, -1));
    close(fds[0]);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 1);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 0);
    CHECK_EQ(mp_socket_send_msg(fds[1], "x", 1, -1), -EPIPE); /* and no SIGPIPE */
    close(fds[1]);
}

/* A worker that dies with our message unread: what it said before must still arrive. */
TEST(last_words_arrive_although_the_peer_left_messages_unread)
{
    char text[4];
    int fds[2];
    int got;

    make_pair(fds);
    CHECK_OK(mp_socket_send_msg(fds[0], "unread", 6, -1));
    CHECK_OK(mp_socket_send_msg(fds[1], "bye", 3, -1));
    close(fds[1]);
    CHECK_EQ(mp_socket_recv_msg(fds[0], text, sizeof(text), &got), 3);
    CHECK_MEM(text, "bye", 3);
    CHECK_EQ(mp_socket_recv_msg(fds[0], text, sizeof(text), &got), 0);
    close(fds[0]);
}

TEST(descriptor_travels_with_its_message)
{
    char text[8] = "";
    int fds[2];
    int file = memfd_create("test", 0);
    int got = -1;

    make_pair(fds);
    CHECK_EQ(write(file, "pond", 4), 4);
    CHECK_OK(mp_socket_send_msg(fds[0], "a", 1, file));
    CHECK_OK(mp_socket_send_msg(fds[0], "b", 1, -1));
    close(file);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 1);
    CHECK(got >= 3);
    CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(pread(got, text, sizeof(text), 0), 4);
    CHECK_STR(text, "pond");
    close(got);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 1);
    CHECK_EQ(got, -1);
    /* Nobody wants it: it must not be left open. The runner counts. */
    CHECK_OK(mp_socket_send_msg(fds[0], "c", 1, fds[0]));
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), NULL), 1);
    CHECK_EQ(mp_socket_send_msg(fds[0], "d", 1, 12345), -EBADF);
    close_pair(fds);
}

TEST(long_message_is_an_error_and_its_descriptor_is_closed)
{
    char text[4];
    int fds[2];
    int got = 77;

    make_pair(fds);
    CHECK_OK(mp_socket_send_msg(fds[0], "too long", 8, fds[0]));
    CHECK_OK(mp_socket_send_msg(fds[0], "next", 4, -1));
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), -EMSGSIZE);
    CHECK_EQ(got, 77);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 4);
    CHECK_MEM(text, "next", 4);
    close_pair(fds);
}

static void send_many_descriptors(int sock, int fd, size_t count)
{
    char bytes[CMSG_SPACE(8 * sizeof(int))] = "";
    struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = bytes};
    struct cmsghdr *header;

    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(fd), &fd, sizeof(fd));
    CHECK_EQ(sendmsg(sock, &message, 0), 1);
}

/* The padding of the control data has room for a second one, which the kernel uses. */
TEST(descriptors_beyond_the_first_are_closed)
{
    char text[4];
    int fds[2];

    make_pair(fds);
    for (size_t count = 2; count <= 8; count++) {
        int got = -1;

        send_many_descriptors(fds[0], fds[0], count);
        CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 1);
        CHECK(got >= 3);
        close(got);
    }
    close_pair(fds);
}

TEST(descriptor_without_a_free_number_is_an_error)
{
    struct rlimit limit;
    struct rlimit tight;
    char text[4];
    int fds[2];
    int got = 77;
    ssize_t n;

    make_pair(fds);
    CHECK_OK(mp_socket_send_msg(fds[0], "x", 1, fds[0]));
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    tight = limit;
    tight.rlim_cur = 3;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &tight));
    n = mp_socket_recv_msg(fds[1], text, sizeof(text), &got);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(n, -EMFILE);
    CHECK_EQ(got, 77);
    close_pair(fds);
}

TEST(full_queue_says_again_and_nothing_is_cut)
{
    char message[100];
    char text[200];
    int fds[2];
    int sent = 0;
    int err;

    make_pair(fds);
    memset(message, 'x', sizeof(message));
    while ((err = mp_socket_send_msg(fds[0], message, sizeof(message), -1)) == 0)
        sent++;
    CHECK_EQ(err, -EAGAIN);
    CHECK(sent > 0);
    for (int i = 0; i < sent; i++)
        CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), NULL), sizeof(message));
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), NULL), -EAGAIN);
    close_pair(fds);
}

static void send_a_pipe(void *argument)
{
    int fds[2];

    CHECK_OK(pipe(fds));
    CHECK_EQ(write(fds[1], "hello", 5), 5);
    CHECK_OK(mp_socket_send_msg(*(int *)argument, "pipe", 4, fds[0]));
}

TEST(descriptor_of_another_process_can_be_used)
{
    char text[8] = "";
    int fds[2];
    int got = -1;

    make_pair(fds);
    in_child(send_a_pipe, &fds[0]);
    CHECK_EQ(mp_socket_recv_msg(fds[1], text, sizeof(text), &got), 4);
    CHECK_EQ(read(got, text, sizeof(text)), 5);
    CHECK_STR(text, "hello");
    close(got);
    close_pair(fds);
}
