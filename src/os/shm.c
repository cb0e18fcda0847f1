/* SPDX-License-Identifier: MIT */
/*
 * Shared memory without a name in any file system: it goes away with the last process that has it.
 * The size is sealed, so that no process that holds the descriptor can shrink the file under the
 * others' feet (a read beyond the end would be SIGBUS). And it is sealed against writers to come:
 * the mapping made here, and what fork makes of it, are the only ones that can be written to.
 */
#include "os/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

#define SEALS_OF_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)

/* Kernels since 6.3 can be told to refuse memory that might be executed; older ones know no such
 * flag. */
static int create_memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd == -1 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd == -1 ? -errno : fd;
}

/* Sandboxes know less than kernels since 5.1 do. */
static int seal(int fd)
{
    if (fcntl(fd, F_ADD_SEALS, SEALS_OF_SIZE | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0)
        return 0;
    return fcntl(fd, F_ADD_SEALS, SEALS_OF_SIZE | F_SEAL_SEAL) == -1 ? -errno : 0;
}

int mp_shm_create(const char *name, size_t size, void **ret_memory, int *ret_fd)
{
    void *memory;
    int err;
    int fd;

    if (size == 0 || size > PTRDIFF_MAX)
        return -EINVAL;
    fd = create_memfd(name);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)size) == -1)
        goto fail;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        goto fail;
    err = seal(fd);
    if (err) {
        munmap(memory, size);
        mp_fd_close(&fd);
        return err;
    }
    *ret_memory = memory;
    *ret_fd = fd;
    return 0;
fail:
    err = -errno;
    mp_fd_close(&fd);
    return err;
}

bool mp_shm_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals != -1 && (seals & F_SEAL_FUTURE_WRITE) != 0;
}

int mp_shm_map(int fd, const void **ret_memory, size_t *ret_size)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);
    void *memory;

    if (seals == -1)
        return errno == EINVAL ? -EPROTO : -errno;
    if ((seals & SEALS_OF_SIZE) != SEALS_OF_SIZE)
        return -EPROTO;
    if (fstat(fd, &info) == -1)
        return -errno;
    if (info.st_size <= 0)
        return -EPROTO;
    memory = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    *ret_size = (size_t)info.st_size;
    return 0;
}

void mp_shm_unmap(const void *memory, size_t size)
{
    if (memory)
        munmap((void *)memory, size);
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
