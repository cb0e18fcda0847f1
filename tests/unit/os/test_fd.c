/* SPDX-License-Identifier: MIT */
/* Includes the file under test over system calls that can be interrupted, cut short and failed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static int interruptions; /* so many calls fail with EINTR first */
static size_t at_most;    /* bytes that a call moves; 0: as many as it likes */
static int fail_with;     /* errno of every call; 0: none */
static int returns_zero;  /* the write that moves nothing */

static ssize_t fault(size_t *n)
{
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (fail_with) {
        errno = fail_with;
        return -1;
    }
    if (at_most && *n > at_most)
        *n = at_most;
    return 0;
}

static ssize_t test_read(int fd, void *data, size_t n)
{
    return fault(&n) ? -1 : read(fd, data, n);
}

static ssize_t test_write(int fd, const void *data, size_t n)
{
    if (fault(&n))
        return -1;
    return returns_zero ? 0 : write(fd, data, n);
}

static ssize_t test_pread(int fd, void *data, size_t n, off_t at)
{
    return fault(&n) ? -1 : pread(fd, data, n, at);
}

static ssize_t test_pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (fault(&n))
        return -1;
    return returns_zero ? 0 : pwrite(fd, data, n, at);
}

static ssize_t test_writev(int fd, const struct iovec *iov, int count)
{
    size_t n = 0;

    return fault(&n) ? -1 : writev(fd, iov, count);
}

static ssize_t test_sendfile(int out, int in, off_t *at, size_t n)
{
    return fault(&n) ? -1 : sendfile(out, in, at, n);
}

static int test_fallocate(int fd, int mode, off_t at, off_t n)
{
    size_t bytes = 0;

    return fault(&bytes) ? -1 : fallocate(fd, mode, at, n);
}

#define fallocate test_fallocate
#define read test_read
#define write test_write
#define pread test_pread
#define pwrite test_pwrite
#define writev test_writev
#define sendfile test_sendfile
#include "os/fd.c"
#undef fallocate
#undef read
#undef write
#undef pread
#undef pwrite
#undef writev
#undef sendfile

#include "scratch.h"

static int make_memfd(const char *text)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

TEST(close_forgets_the_number_and_keeps_errno)
{
    int fd = make_memfd("");
    int number = fd;

    errno = ENOTTY;
    mp_fd_close(&fd);
    CHECK_EQ(fd, -1);
    CHECK_EQ(fcntl(number, F_GETFD), -1);
    errno = ENOTTY;
    mp_fd_close(&fd);
    CHECK_EQ(errno, ENOTTY);
    fd = 12345; /* not open: the error is nobody's business */
    mp_fd_close(&fd);
    CHECK_EQ(fd, -1);
    CHECK_EQ(errno, ENOTTY);
}

TEST(flags_are_set_and_cleared_without_touching_others)
{
    int fds[2];

    CHECK_OK(pipe(fds));
    CHECK_OK(fcntl(fds[1], F_SETFL, O_APPEND));
    CHECK_OK(mp_fd_set_nonblock(fds[1], true));
    CHECK_OK(mp_fd_set_nonblock(fds[1], true));
    CHECK_EQ(fcntl(fds[1], F_GETFL), O_WRONLY | O_APPEND | O_NONBLOCK);
    CHECK_OK(mp_fd_set_nonblock(fds[1], false));
    CHECK_EQ(fcntl(fds[1], F_GETFL), O_WRONLY | O_APPEND);
    CHECK_OK(mp_fd_set_cloexec(fds[0], true));
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_OK(mp_fd_set_cloexec(fds[0], false));
    CHECK_EQ(fcntl(fds[0], F_GETFD), 0);
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(mp_fd_set_nonblock(fds[0], true), -EBADF);
    CHECK_EQ(mp_fd_set_cloexec(-1, true), -EBADF);
}

TEST(duplicate_is_cloexec_and_no_standard_descriptor)
{
    int fd = make_memfd("pond");
    int zero = dup(0);
    int copy;

    CHECK(zero >= 0);
    close(0);
    copy = mp_fd_dup(fd);
    CHECK(copy >= 3);
    CHECK_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(dup2(zero, 0), 0);
    CHECK_EQ(lseek(copy, 0, SEEK_END), 4);
    close(copy);
    close(zero);
    close(fd);
    CHECK_EQ(mp_fd_dup(fd), -EBADF);
}

TEST(interrupted_calls_are_made_again)
{
    char text[8] = "";
    struct iovec iov = {.iov_base = (char[]){"vec"}, .iov_len = 3};
    int fd = make_memfd("");
    int out = make_memfd("");

    interruptions = 3;
    CHECK_EQ(mp_fd_write(fd, "pond", 4), 4);
    interruptions = 3;
    CHECK_EQ(mp_fd_writev(fd, &iov, 1), 3);
    interruptions = 3;
    CHECK_EQ(mp_fd_pwrite(fd, "P", 1, 0), 1);
    interruptions = 3;
    CHECK_EQ(mp_fd_pread(fd, text, 7, 0), 7);
    CHECK_STR(text, "Pondvec");
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    interruptions = 3;
    CHECK_EQ(mp_fd_read(fd, text, 4), 4);
    interruptions = 3;
    CHECK_EQ(mp_fd_sendfile(out, fd, 0, 7), 7);
    CHECK_EQ(interruptions, 0);
    close(fd);
    close(out);
}

TEST(errors_are_negative_results)
{
    char text[4];
    struct iovec iov = {.iov_base = text, .iov_len = 4};
    int fd = make_memfd("");

    fail_with = ENOSPC;
    CHECK_EQ(mp_fd_write(fd, "x", 1), -ENOSPC);
    CHECK_EQ(mp_fd_writev(fd, &iov, 1), -ENOSPC);
    CHECK_EQ(mp_fd_pwrite(fd, "x", 1, 0), -ENOSPC);
    CHECK_EQ(mp_fd_write_all(fd, "x", 1), -ENOSPC);
    CHECK_EQ(mp_fd_pwrite_all(fd, "x", 1, 0), -ENOSPC);
    fail_with = EIO;
    CHECK_EQ(mp_fd_read(fd, text, 1), -EIO);
    CHECK_EQ(mp_fd_pread(fd, text, 1, 0), -EIO);
    CHECK_EQ(mp_fd_sendfile(fd, fd, 0, 1), -EIO);
    CHECK_EQ(mp_fd_read_text("/proc/self/stat", text, sizeof(text)), -EIO);
    fail_with = 0;
    CHECK_EQ(mp_fd_pread(fd, text, 1, UINT64_MAX), -EINVAL);
    CHECK_EQ(mp_fd_pwrite(fd, text, 1, UINT64_MAX), -EFBIG);
    CHECK_EQ(mp_fd_sendfile(fd, fd, UINT64_MAX, 1), -EINVAL);
    close(fd);
    CHECK_EQ(mp_fd_read(fd, text, 1), -EBADF);
}

TEST(write_all_goes_on_after_short_writes_and_interruptions)
{
    char text[200];
    char back[200];
    int fd = make_memfd("");

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    for (at_most = 1; at_most < 70; at_most += 17) {
        CHECK_OK(ftruncate(fd, 0));
        CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
        interruptions = 2;
        CHECK_OK(mp_fd_write_all(fd, text, sizeof(text)));
        CHECK_EQ(pread(fd, back, sizeof(back), 0), sizeof(back));
        CHECK_MEM(back, text, sizeof(text));
        interruptions = 2;
        CHECK_OK(mp_fd_pwrite_all(fd, text, sizeof(text), 1000));
        CHECK_EQ(pread(fd, back, sizeof(back), 1000), sizeof(back));
        CHECK_MEM(back, text, sizeof(text));
    }
    CHECK_OK(mp_fd_write_all(fd, NULL, 0));
    close(fd);
}

TEST(write_that_moves_nothing_is_not_tried_for_ever)
{
    int fd = make_memfd("");

    returns_zero = 1;
    CHECK_EQ(mp_fd_write_all(fd, "x", 1), -EIO);
    CHECK_EQ(mp_fd_pwrite_all(fd, "x", 1, 0), -EIO);
    close(fd);
}

TEST(real_disk_full_is_a_result)
{
    const char *text = "x";
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(mp_fd_write_all(fd, text, 1), -ENOSPC);
    close(fd);
}

static void ignore_signal(int signo)
{
    (void)signo;
}

static void interrupt_often(void)
{
    struct itimerval often = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
    struct sigaction action = {.sa_handler = ignore_signal};

    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
}

static void *write_soon(void *argument)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    usleep(40000);
    CHECK_EQ(write(*(int *)argument, "x", 1), 1);
    return NULL;
}

TEST(real_signals_do_not_end_a_read)
{
    pthread_t thread;
    char byte = 0;
    int fds[2];

    CHECK_OK(pipe(fds));
    interrupt_often();
    CHECK_OK(pthread_create(&thread, NULL, write_soon, &fds[1]));
    CHECK_EQ(mp_fd_read(fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_OK(pthread_join(thread, NULL));
    close(fds[0]);
    close(fds[1]);
}

TEST(nonblocking_read_says_again_and_end_of_file_is_zero)
{
    char byte;
    int fds[2];

    CHECK_OK(pipe2(fds, O_NONBLOCK));
    CHECK_EQ(mp_fd_read(fds[0], &byte, 1), -EAGAIN);
    close(fds[1]);
    CHECK_EQ(mp_fd_read(fds[0], &byte, 1), 0);
    close(fds[0]);
}

TEST(sendfile_takes_its_own_offset_and_leaves_the_files)
{
    char text[16] = "";
    int in = make_memfd("the mill pond");
    int fds[2];

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_EQ(lseek(in, 2, SEEK_SET), 2);
    CHECK_EQ(mp_fd_sendfile(fds[0], in, 4, 4), 4);
    CHECK_EQ(mp_fd_sendfile(fds[0], in, 9, 1000), 4);
    CHECK_EQ(mp_fd_sendfile(fds[0], in, 13, 1000), 0);
    CHECK_EQ(mp_fd_sendfile(fds[0], in, 1000, 1000), 0);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 2);
    CHECK_EQ(read(fds[1], text, sizeof(text)), 8);
    CHECK_STR(text, "millpond");
    close(in);
    close(fds[0]);
    close(fds[1]);
}

TEST(sendfile_into_a_full_socket_is_short_then_again)
{
    int in = memfd_create("big", MFD_CLOEXEC);
    int fds[2];
    uint64_t at = 0;
    ssize_t n;

    CHECK_OK(ftruncate(in, 64 << 20));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    while ((n = mp_fd_sendfile(fds[0], in, at, (64u << 20) - at)) > 0)
        at += (uint64_t)n;
    CHECK_EQ(n, -EAGAIN);
    CHECK(at > 0);
    CHECK(at < 64 << 20);
    close(in);
    close(fds[0]);
    close(fds[1]);
}

TEST(only_regular_files_have_a_size)
{
    uint64_t size = 7;
    int ends[2];
    int fd = mp_fd_tmpfile("/tmp");

    CHECK_OK(mp_fd_write_all(fd, "12345", 5));
    CHECK_EQ(mp_fd_file_size(fd, &size), 1);
    CHECK_EQ(size, 5);
    mp_fd_close(&fd);
    CHECK_EQ(mp_fd_file_size(-1, &size), -EBADF);
    CHECK_OK(pipe(ends));
    CHECK_EQ(mp_fd_file_size(ends[0], &size), 0);
    CHECK_EQ(size, 5);
    mp_fd_close(&ends[0]);
    mp_fd_close(&ends[1]);
}

TEST(log_is_opened_for_appending)
{
    struct scratch scratch;
    struct stat info;
    char text[8] = "";
    int fd;

    scratch_make(&scratch);
    umask(0);
    fd = mp_fd_open_append(scratch_path(&scratch, "log"));
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_OK(fstat(fd, &info));
    CHECK_EQ(info.st_mode & 07777, 0640);
    CHECK_EQ(write(fd, "ab", 2), 2);
    close(fd);
    fd = mp_fd_open_append(scratch.path);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(write(fd, "cd", 2), 2);
    close(fd);
    CHECK_EQ(mp_fd_read_text(scratch.path, text, sizeof(text)), 4);
    CHECK_STR(text, "abcd");
    CHECK_EQ(mp_fd_open_append(scratch.dir), -EISDIR);
    CHECK_EQ(mp_fd_open_append("/nonexistent/log"), -ENOENT);
    scratch_remove(&scratch);
}

TEST(text_is_read_to_its_size_and_terminated)
{
    struct scratch scratch;
    char text[5];

    scratch_make(&scratch);
    scratch_write(&scratch, "file", "abcdefgh");
    at_most = 1;
    CHECK_EQ(mp_fd_read_text(scratch.path, text, sizeof(text)), 4);
    CHECK_STR(text, "abcd");
    CHECK_EQ(mp_fd_read_text(scratch.path, text, 1), 0);
    CHECK_STR(text, "");
    CHECK_EQ(mp_fd_read_text("/nonexistent", text, sizeof(text)), -ENOENT);
    CHECK_EQ(mp_fd_read_text(scratch.dir, text, sizeof(text)), -EISDIR);
    scratch_remove(&scratch);
}

TEST(punched_range_is_given_back_and_reads_as_zeros)
{
    enum { SIZE = 1 << 20 };
    struct stat before;
    struct stat after;
    char *block = malloc(SIZE);
    int fd = make_memfd("");

    CHECK(block != NULL);
    memset(block, 'x', SIZE);
    CHECK_OK(mp_fd_write_all(fd, block, SIZE));
    CHECK_OK(fstat(fd, &before));
    interruptions = 3;
    CHECK_OK(mp_fd_punch(fd, 4096, SIZE / 2));
    CHECK_EQ(interruptions, 0);
    CHECK_OK(fstat(fd, &after));
    CHECK_EQ(after.st_size, SIZE);
    CHECK(after.st_blocks * 512 <= before.st_blocks * 512 - SIZE / 2);
    CHECK_EQ(mp_fd_pread(fd, block, SIZE, 0), SIZE);
    for (int i = 0; i < SIZE; i++)
        CHECK_EQ(block[i], i < 4096 || i >= 4096 + SIZE / 2 ? 'x' : '\0');
    CHECK_EQ(mp_fd_punch(fd, UINT64_MAX, 1), -EINVAL);
    CHECK_EQ(mp_fd_punch(fd, 0, UINT64_MAX), -EINVAL);
    CHECK_EQ(mp_fd_punch(fd, 0, 0), -EINVAL);
    close(fd);
    CHECK_EQ(mp_fd_punch(fd, 0, 1), -EBADF);
    free(block);
}

/* Of descriptors that block, as inherited ones do. */
TEST(write_now_waits_for_no_reader)
{
    static const char block[4096];
    char text[8192];
    int64_t start = mp_clock_now();
    int fds[2];
    int fd;

    signal(SIGPIPE, SIG_IGN);
    CHECK_OK(pipe2(fds, O_CLOEXEC));
    while (mp_fd_write_now(fds[1], block, sizeof(block)) == (ssize_t)sizeof(block))
        ;
    CHECK_EQ(mp_fd_write_now(fds[1], block, 100), -EAGAIN);
    CHECK_EQ(read(fds[0], text, 4096), 4096);
    CHECK_EQ(mp_fd_write_now(fds[1], block, sizeof(block)), 4096);
    close(fds[0]);
    CHECK_EQ(mp_fd_write_now(fds[1], block, 1), -EPIPE);
    close(fds[1]);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    while (mp_fd_write_now(fds[1], block, sizeof(block)) > 0)
        ;
    CHECK_EQ(mp_fd_write_now(fds[1], block, 1), -EAGAIN);
    close(fds[0]);
    close(fds[1]);
    CHECK(mp_clock_now() - start < 5 * MP_NSEC_PER_SEC);
    /* What knows of no waiting. */
    fd = mp_fd_tmpfile("/tmp");
    CHECK_EQ(mp_fd_write_now(fd, block, sizeof(block)), 4096);
    close(fd);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK_EQ(mp_fd_write_now(fd, block, 1), -ENOSPC);
    close(fd);
    CHECK_EQ(mp_fd_write_now(fd, block, 1), -EBADF);
}

TEST(writable_tells_room_from_none)
{
    char block[4096] = "";
    int64_t start;
    int fds[2];

    CHECK_OK(pipe2(fds, O_NONBLOCK));
    CHECK_EQ(mp_fd_writable(fds[1], 0), 1);
    while (write(fds[1], block, sizeof(block)) > 0)
        ;
    CHECK_EQ(mp_fd_writable(fds[1], 0), 0);
    /* Signals do not shorten the wait, nor make it begin again for ever. */
    interrupt_often();
    start = mp_clock_now();
    CHECK_EQ(mp_fd_writable(fds[1], 50), 0);
    CHECK(mp_clock_now() - start >= 50 * MP_NSEC_PER_MSEC);
    CHECK(mp_clock_now() - start < 5 * MP_NSEC_PER_SEC);
    close(fds[0]);
    CHECK_EQ(mp_fd_writable(fds[1], -1), 1); /* would fail, but not block */
    close(fds[1]);
    CHECK_EQ(mp_fd_writable(fds[1], 0), -EBADF);
}
