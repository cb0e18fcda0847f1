/* SPDX-License-Identifier: MIT */
/*
 * What the fault library and those who steer it share: a struct in memory, or in a mapped file.
 *
 * The library stands between a program and the C library, and has calls fail as the kernel may have
 * them fail: every n-th, or at random. See README.md.
 */
#ifndef MPFAULT_H
#define MPFAULT_H

#include <stdatomic.h>
#include <stdint.h>

/* In the order of the table in mpfault.c, and of tests/support/faults.py. */
enum mpfault_function {
    MPFAULT_MALLOC, /* malloc, calloc, realloc, aligned_alloc */
    MPFAULT_ACCEPT,
    MPFAULT_RECV, /* recv, recvfrom, recvmsg; stream sockets only, as with send */
    MPFAULT_SEND, /* send, sendmsg */
    MPFAULT_SENDFILE,
    MPFAULT_EPOLL_CTL,
    MPFAULT_FORK,
    MPFAULT_MMAP,
    MPFAULT_OPEN, /* open, mkostemp */
    MPFAULT_PWRITE,
    MPFAULT_PREAD,
    MPFAULT_FALLOCATE,
    MPFAULT_WRITE, /* write, writev; regular files only: nobody's wake-up may be lost */
    MPFAULT_THREAD,
    MPFAULT_FUNCTIONS,
};

#define MPFAULT_MAGIC UINT32_C(0x6d706674)
/* Of so many calls, `rate` fail. */
#define MPFAULT_ONE (UINT32_C(1) << 20)

struct mpfault_of {
    _Atomic uint32_t rate;
    _Atomic uint32_t nth;  /* the so manieth call from now on fails, once; 0: none does */
    _Atomic int32_t error; /* with this errno; 0: with any of those that fit */
    uint32_t unused;
    _Atomic uint64_t calls; /* while it is on */
    _Atomic uint64_t injected;
};

struct mpfault {
    uint32_t magic;
    _Atomic uint32_t on;
    uint64_t seed;
    _Atomic uint64_t draws;
    struct mpfault_of of[MPFAULT_FUNCTIONS];
};

/* The one in force: that of the file which the environment names (MPFAULT), or the library's own.
 */
struct mpfault *mpfault_get(void);

/* The calling thread's calls never fail, or may again. */
void mpfault_exempt(int exempt);

#endif
