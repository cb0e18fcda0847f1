/* SPDX-License-Identifier: MIT */
/* Includes the file under test over a memfd_create() of an older kernel. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

static int refused_seals; /* that the kernel does not know */

static int lacks_seal(int command, int seals, ...)
{
    errno = EINVAL;
    return command == F_ADD_SEALS && seals & refused_seals;
}

static int fails(int step)
{
    errno = ENOMEM;
    return failing_step == step;
}

#define memfd_create test_memfd_create
#define ftruncate(fd, size) (fails(1) ? -1 : ftruncate(fd, size))
#define fcntl(fd, ...) (fails(2) || lacks_seal(__VA_ARGS__, 0) ? -1 : fcntl(fd, __VA_ARGS__))
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

/* ---- memory that somebody else has made ---------------------------------------------------- */

static void write_through(void *memory)
{
    ((volatile char *)memory)[0] = 'x';
}

static void dies_by_writing(const void *memory)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        write_through((void *)memory);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(status != 0);
}

TEST(who_is_given_the_descriptor_can_only_read)
{
    char path[64];
    const void *seen;
    char *memory;
    size_t size;
    int again;
    int fd;

    CHECK_OK(mp_shm_create("test", 5000, (void **)&memory, &fd));
    CHECK(mp_shm_is_sealed(fd));
    CHECK_OK(mp_shm_map(fd, &seen, &size));
    CHECK_EQ(size, 5000);
    memory[7] = 'y'; /* who has made it still writes */
    CHECK_EQ(((const char *)seen)[7], 'y');
    dies_by_writing(seen);
    CHECK_EQ(mprotect((void *)seen, size, PROT_READ | PROT_WRITE), -1);
    CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK_EQ(pwrite(fd, "z", 1, 0), -1);
    /* Nor by opening it anew. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDWR | O_CLOEXEC);
    CHECK(again >= 0);
    CHECK(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
    CHECK_EQ(pwrite(again, "z", 1, 0), -1);
    close(again);
    mp_shm_unmap(seen, size);
    mp_shm_unmap(memory, 5000);
    mp_fd_close(&fd);
}

TEST(a_sandbox_without_that_seal_is_known)
{
    refused_seals = F_SEAL_FUTURE_WRITE;
    check_memory();
    refused_seals = 0;
}

TEST(what_is_no_sealed_memory_is_not_mapped)
{
    const void *untouched = &errno;
    const void *memory = untouched;
    size_t size = 1;
    int fds[2];
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHECK(file >= 0 && loose >= 0 && empty >= 0);
    CHECK_OK(pipe2(fds, O_CLOEXEC));
    CHECK_OK(ftruncate(loose, 5000));
    CHECK_OK(fcntl(empty, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK_EQ(mp_shm_map(file, &memory, &size), -EPROTO);
    CHECK_EQ(mp_shm_map(fds[0], &memory, &size), -EPROTO);
    CHECK_EQ(mp_shm_map(loose, &memory, &size), -EPROTO);
    CHECK_EQ(mp_shm_map(empty, &memory, &size), -EPROTO);
    CHECK_EQ(mp_shm_map(-1, &memory, &size), -EBADF);
    CHECK(memory == untouched && size == 1);
    close(file);
    close(loose);
    close(empty);
    close(fds[0]);
    close(fds[1]);
}
