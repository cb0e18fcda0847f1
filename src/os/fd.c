/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: reading, writing, and what happens to a descriptor itself. A call that a signal has
 * interrupted before it moved a byte is made again; errno becomes a negative result here and
 * nowhere above.
 */
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"

/* Makes the call again for as long as a signal interrupts it; the value is its result or -errno. */
#define RETRY(call)                                                                                \
    __extension__({                                                                                \
        __typeof__(call) retry_result;                                                             \
        do {                                                                                       \
            retry_result = (call);                                                                 \
        } while (retry_result == -1 && errno == EINTR);                                            \
        retry_result == -1 ? -errno : retry_result;                                                \
    })

enum {
    FIRST_FREE = 3, /* never one of the three standard descriptors */
    LOG_MODE = 0640,
};

void mp_fd_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

static int set_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);
    int wanted;

    if (flags == -1)
        return -errno;
    wanted = on ? flags | flag : flags & ~flag;
    if (wanted != flags && fcntl(fd, set, wanted) == -1)
        return -errno;
    return 0;
}

int mp_fd_set_nonblock(int fd, bool on)
{
    return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int mp_fd_set_cloexec(int fd, bool on)
{
    return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int mp_fd_dup(int fd)
{
    return RETRY(fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE));
}

ssize_t mp_fd_read(int fd, void *data, size_t n)
{
    return RETRY(read(fd, data, n));
}

ssize_t mp_fd_write(int fd, const void *data, size_t n)
{
    return RETRY(write(fd, data, n));
}

/* What kernels and filters say that do not know how not to wait: older ones of pipes, all of
 * terminals and files. */
static bool is_unknown(ssize_t err)
{
    return err == -EOPNOTSUPP || err == -EINVAL || err == -ENOSYS || err == -EPERM;
}

ssize_t mp_fd_write_now(int fd, const void *data, size_t n)
{
    const struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
    uint64_t size;
    ssize_t written = RETRY(pwritev2(fd, &part, 1, -1, RWF_NOWAIT));
    int ready;

    if (written == -EAGAIN && mp_fd_file_size(fd, &size) == 1) /* a file system that can say so */
        return mp_fd_write(fd, data, n);
    if (!is_unknown(written))
        return written;
    ready = mp_fd_writable(fd, 0);
    if (ready <= 0)
        return ready == 0 ? -EAGAIN : ready;
    return mp_fd_write(fd, data, n);
}

ssize_t mp_fd_writev(int fd, const struct iovec *iov, int count)
{
    return RETRY(writev(fd, iov, count));
}

ssize_t mp_fd_pread(int fd, void *data, size_t n, uint64_t offset)
{
    if (offset > INT64_MAX)
        return -EINVAL;
    return RETRY(pread(fd, data, n, (off_t)offset));
}

ssize_t mp_fd_pwrite(int fd, const void *data, size_t n, uint64_t offset)
{
    if (offset > INT64_MAX)
        return -EFBIG;
    return RETRY(pwrite(fd, data, n, (off_t)offset));
}

int mp_fd_write_all(int fd, const void *data, size_t n)
{
    const char *at = data;

    while (n > 0) {
        ssize_t moved = mp_fd_write(fd, at, n);

        if (moved < 0)
            return (int)moved;
        if (moved == 0)
            return -EIO; /* would be tried for ever */
        at += moved;
        n -= (size_t)moved;
    }
    return 0;
}

int mp_fd_pwrite_all(int fd, const void *data, size_t n, uint64_t offset)
{
    const char *at = data;

    while (n > 0) {
        ssize_t moved = mp_fd_pwrite(fd, at, n, offset);

        if (moved < 0)
            return (int)moved;
        if (moved == 0)
            return -EIO;
        at += moved;
        n -= (size_t)moved;
        offset += (uint64_t)moved;
    }
    return 0;
}

int mp_fd_clear(int fd)
{
    return ftruncate(fd, 0) == -1 ? -errno : 0;
}

int mp_fd_file_size(int fd, uint64_t *ret_size)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return 0;
    *ret_size = (uint64_t)status.st_size;
    return 1;
}

ssize_t mp_fd_sendfile(int out, int in, uint64_t offset, size_t n)
{
    off_t at = (off_t)offset;

    if (offset > INT64_MAX)
        return -EINVAL;
    return RETRY(sendfile(out, in, &at, n));
}

int mp_fd_open_append(const char *path)
{
    int fd = RETRY(
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, LOG_MODE));
    int err;

    if (fd < 0)
        return fd;
    err = mp_fd_set_nonblock(fd, false); /* for the opening only */
    if (err)
        mp_fd_close(&fd);
    return err ? err : fd;
}

int mp_fd_reopen_append(int fd, const char *path)
{
    int fresh = mp_fd_open_append(path);
    int err = 0;

    if (fresh < 0)
        return fresh;
    if (dup3(fresh, fd, O_CLOEXEC) == -1)
        err = -errno;
    mp_fd_close(&fresh);
    return err;
}

bool mp_fd_is_path(int fd, const char *path)
{
    struct stat open_file;
    struct stat named;

    return fstat(fd, &open_file) == 0 && stat(path, &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

ssize_t mp_fd_read_text(const char *path, char *text, size_t size)
{
    int fd = RETRY(open(path, O_RDONLY | O_CLOEXEC));
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return fd;
    while (len < size - 1) {
        n = mp_fd_read(fd, text + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    mp_fd_close(&fd);
    text[len] = '\0';
    return n < 0 ? n : (ssize_t)len;
}

int mp_fd_writable(int fd, int timeout_ms)
{
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    int64_t end = mp_clock_now() + timeout_ms * MP_NSEC_PER_MSEC;

    for (;;) {
        int64_t left;
        int n = poll(&entry, 1, timeout_ms);

        if (n > 0)
            return entry.revents & POLLNVAL ? -EBADF : 1;
        if (n == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
        if (timeout_ms < 0)
            continue;
        left = end - mp_clock_now();
        timeout_ms = left > 0 ? (int)((left + MP_NSEC_PER_MSEC - 1) / MP_NSEC_PER_MSEC) : 0;
    }
}

int mp_fd_punch(int fd, uint64_t offset, uint64_t n)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    if (offset > INT64_MAX || n > INT64_MAX)
        return -EINVAL;
    return RETRY(fallocate(fd, mode, (off_t)offset, (off_t)n));
}
