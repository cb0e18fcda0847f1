/* SPDX-License-Identifier: MIT */
/* Anonymous memory shared with the processes forked later (memfd): nothing in the file system. */
#ifndef MP_OS_SHM_H
#define MP_OS_SHM_H

#include <stddef.h>

/* Maps size zeroed bytes. Returns 0 or -errno; *ret_fd is the sealed-size memfd (CLOEXEC). */
int mp_shm_create(const char *name, size_t size, void **ret_memory, int *ret_fd);
void mp_shm_unmap(void *memory, size_t size);

/* An empty file of that kind, which can grow; writes append to it. A descriptor or -errno. */
int mp_shm_file(const char *name);

#endif
