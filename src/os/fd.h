/* SPDX-License-Identifier: MIT */
/* Descriptors: one wrapper per system call, EINTR retried, errors as negative errno, CLOEXEC
 * always. */
#ifndef MP_OS_FD_H
#define MP_OS_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/compiler.h"

/* Closes *fd unless negative and sets it to -1; keeps errno. EINTR counts as closed (Linux). */
void mp_fd_close(int *fd);

int mp_fd_set_nonblock(int fd, bool on);
int mp_fd_set_cloexec(int fd, bool on);

/* Duplicate with CLOEXEC, lowest free number >= 3. Returns the new descriptor or -errno. */
int mp_fd_dup(int fd);

/* Bytes moved, 0 at end of file, or -errno (-EAGAIN when a non-blocking one has nothing). */
ssize_t mp_fd_read(int fd, void *data, size_t n);
ssize_t mp_fd_write(int fd, const void *data, size_t n);
ssize_t mp_fd_writev(int fd, const struct iovec *iov, int count);

/* Writes to a descriptor that may block and is shared, so that it cannot be made another kind, and
 * does not wait for a reader: -EAGAIN when a pipe, a socket or a terminal has no room now. Files
 * are waited for. Up to PIPE_BUF bytes go into a pipe whole, or not at all. */
ssize_t mp_fd_write_now(int fd, const void *data, size_t n);
ssize_t mp_fd_pread(int fd, void *data, size_t n, uint64_t offset);
ssize_t mp_fd_pwrite(int fd, const void *data, size_t n, uint64_t offset);

/* Writes everything or fails: 0 or -errno; for blocking descriptors. */
int mp_fd_write_all(int fd, const void *data, size_t n);
int mp_fd_pwrite_all(int fd, const void *data, size_t n, uint64_t offset);

/* Makes a file empty. 0 or -errno. */
int mp_fd_clear(int fd);

/* 1 with the size of a regular file, 0 for anything else, or -errno. */
int mp_fd_file_size(int fd, uint64_t *ret_size);

/* sendfile(2) from offset (the file's own position is neither used nor moved); 0: the file ends
 * there. */
ssize_t mp_fd_sendfile(int out, int in, uint64_t offset, size_t n);

/* An unnamed file in dir (O_TMPFILE, or created mode 0600 and unlinked at once where the file
 * system has no O_TMPFILE). Returns a descriptor open for reading and writing, or -errno. */
int mp_fd_tmpfile(const char *dir);

/* Reads the beginning of a file, size - 1 bytes at most, and terminates it: for /proc and the like.
 * Bytes read, or -errno (text is not valid then). */
ssize_t mp_fd_read_text(const char *path, char *text, size_t size);

/* Opens a log for appending (O_APPEND|O_CREAT, mode 0640), blocking; does not wait for the reader
 * of a FIFO (-ENXIO: there is none). Returns a descriptor or -errno. */
int mp_fd_open_append(const char *path);

/* Opens a log anew under the same descriptor: whoever writes to that writes to the new file. 0 or
 * -errno, and it is as before. */
int mp_fd_reopen_append(int fd, const char *path);

/* Whether the path names the file that is open. */
bool mp_fd_is_path(int fd, const char *path);

/* 1 when writing would not block (POLLOUT), 0 when it would, or -errno. */
int mp_fd_writable(int fd, int timeout_ms);

/* Gives the blocks of a range back to the disk; it reads as zeros then. 0 or -errno (-EOPNOTSUPP:
 * not on this file system). */
int mp_fd_punch(int fd, uint64_t offset, uint64_t n);

/* Closes every descriptor >= 3 not in keep (sorted ascending, count entries; entries below 3 and
 * repeated ones are harmless). 0 or -errno. */
int mp_fd_close_others(const int *keep, size_t count);

#endif
