/* SPDX-License-Identifier: MIT */
/*
 * Shared memory without a name in any file system: it goes away with the last process that has it.
 * The size is sealed, so that no process that holds the descriptor can shrink the file under the
 * others' feet (a read beyond the end would be SIGBUS).
 */
#include "os/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/fd.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

/* Kernels since 6.3 can be told to refuse memory that might be executed; older ones know no such
 * flag. */
static int create_memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd == -1 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd == -1 ? -errno : fd;
}

int mp_shm_create(const char *name, size_t size, void **ret_memory, int *ret_fd)
{
    void *memory;
    int err = 0;
    int fd;

    if (size == 0 || size > PTRDIFF_MAX)
        return -EINVAL;
    fd = create_memfd(name);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)size) == -1)
        goto fail;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
        goto fail;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        goto fail;
    *ret_memory = memory;
    *ret_fd = fd;
    return 0;
fail:
    err = -errno;
    mp_fd_close(&fd);
    return err;
}

void mp_shm_unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

int mp_shm_file(const char *name)
{
    int fd = create_memfd(name);

    if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == -1) {
        int err = -errno;

        mp_fd_close(&fd);
        return err;
    }
    return fd;
}
