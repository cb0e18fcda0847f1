/* SPDX-License-Identifier: MIT */
/* Includes the file under test over a memfd_create() of an older kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned refused_flags; /* flags that the kernel does not know */
static int creations_fail_with;
static int failing_step; /* 1: ftruncate, 2: fcntl, 3: mmap */

static int test_memfd_create(const char *name, unsigned flags)
{
    if (creations_fail_with || flags & refused_flags) {
        errno = creations_fail_with ? creations_fail_with : EINVAL;
        return -1;
    }
    return memfd_create(name, flags);
}

static int fails(int step)
{
    errno = ENOMEM;
    return failing_step == step;
}

#define memfd_create test_memfd_create
#define ftruncate(fd, size) (fails(1) ? -1 : ftruncate(fd, size))
#define fcntl(fd, command, flags) (fails(2) ? -1 : fcntl(fd, command, flags))
#define mmap(at, size, access, flags, fd, offset)                                                  \
    (fails(3) ? MAP_FAILED : mmap(at, size, access, flags, fd, offset))
#include "os/shm.c"
#undef memfd_create
#undef ftruncate
#undef fcntl
#undef mmap

#include "scratch.h"

static void write_a_word(void *memory)
{
    ((char *)memory)[4999] = 'x';
}

static void check_memory(void)
{
    char *memory = NULL;
    struct stat info;
    int fd = -1;

    CHECK_OK(mp_shm_create("test", 5000, (void **)&memory, &fd));
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(memory[i], 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_OK(fstat(fd, &info));
    CHECK_EQ(info.st_size, 5000);
    CHECK_EQ(ftruncate(fd, 4000), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(ftruncate(fd, 6000), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1); /* the seals themselves are final */
    in_child(write_a_word, memory);
    CHECK_EQ(memory[4999], 'x');
    mp_shm_unmap(memory, 5000);
    mp_fd_close(&fd);
}

TEST(memory_is_zeroed_shared_and_of_fixed_size)
{
    check_memory();
}

TEST(older_kernels_do_without_the_noexec_flag)
{
    refused_flags = MFD_NOEXEC_SEAL;
    check_memory();
}

TEST(errors_are_results_and_touch_nothing)
{
    void *memory = &errno;
    int fd = 77;

    CHECK_EQ(mp_shm_create("test", 0, &memory, &fd), -EINVAL);
    CHECK_EQ(mp_shm_create("test", SIZE_MAX, &memory, &fd), -EINVAL);
    /* A file of this size may exist, but no address space for it. */
    CHECK(mp_shm_create("test", (size_t)1 << 60, &memory, &fd) < 0);
    creations_fail_with = EMFILE;
    CHECK_EQ(mp_shm_create("test", 5000, &memory, &fd), -EMFILE);
    creations_fail_with = 0;
    /* Each call that comes after the descriptor: it must not be left. The runner counts. */
    for (failing_step = 1; failing_step <= 3; failing_step++)
        CHECK_EQ(mp_shm_create("test", 5000, &memory, &fd), -ENOMEM);
    CHECK(memory == &errno);
    CHECK_EQ(fd, 77);
    mp_shm_unmap(NULL, 0);
}

TEST(a_file_in_memory_grows_and_is_emptied)
{
    char text[8];
    int fd = mp_shm_file("test");

    CHECK(fd >= 0);
    CHECK_OK(mp_fd_write_all(fd, "abc", 3));
    CHECK_OK(mp_fd_write_all(fd, "de", 2));
    CHECK_EQ(mp_fd_pread(fd, text, sizeof(text), 0), 5);
    CHECK_MEM(text, "abcde", 5);
    CHECK_OK(mp_fd_clear(fd));
    CHECK_OK(mp_fd_write_all(fd, "f", 1)); /* at the beginning */
    CHECK_EQ(mp_fd_pread(fd, text, sizeof(text), 0), 1);
    mp_fd_close(&fd);
    CHECK_EQ(mp_fd_clear(fd), -EBADF);
}
