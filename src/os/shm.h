/* SPDX-License-Identifier: MIT */
/*
 * Anonymous memory shared with the processes forked later (memfd): nothing in the file system.
 * Processes that are given the descriptor can map it to read, and nothing else.
 */
#ifndef MP_OS_SHM_H
#define MP_OS_SHM_H

#include <stdbool.h>
#include <stddef.h>

/* Maps size zeroed bytes. Returns 0 or -errno; *ret_fd is the sealed memfd (CLOEXEC). */
int mp_shm_create(const char *name, size_t size, void **ret_memory, int *ret_fd);

/* Whether nobody can write by this descriptor. Always so, except in sandboxes that do not know the
 * seal: there it must not be given away. */
bool mp_shm_is_sealed(int fd);

/* Maps what somebody else has made, for reading. 0, -EPROTO (no memory of this kind: its size could
 * change under the reader's feet), or -errno. fd stays the caller's. */
int mp_shm_map(int fd, const void **ret_memory, size_t *ret_size);

void mp_shm_unmap(const void *memory, size_t size);

/* An empty file of that kind, which can grow; writes append to it. A descriptor or -errno. */
int mp_shm_file(const char *name);

#endif
