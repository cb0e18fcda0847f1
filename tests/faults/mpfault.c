/* SPDX-License-Identifier: MIT */
/*
 * Calls that fail on purpose; see mpfault.h.
 *
 * Only what can happen is made to happen. A stream socket never says EAGAIN, nor gives less than it
 * has, without a later event; a wake-up of an eventfd is never refused: a server may rely on both.
 *
 * Nothing here allocates, locks or logs. Until the real functions are known, which dlsym(3) finds
 * out and may allocate for, memory comes from a small block that is never given back.
 */
/* Both names of functions with offsets are to be defined, each as itself. */
#undef _FILE_OFFSET_BITS

#include "mpfault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

/* ---- whether to fail --------------------------------------------------------------------- */

enum { ERRORS_MAX = 6, ERROR_SHORT = -1 /* not an error: less than was asked for */ };

static const int errors[MPFAULT_FUNCTIONS][ERRORS_MAX] = {
    [MPFAULT_MALLOC] = {ENOMEM},
    [MPFAULT_ACCEPT] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR},
    [MPFAULT_RECV] = {ECONNRESET, EINTR, ENOMEM, ETIMEDOUT},
    [MPFAULT_SEND] = {EPIPE, ECONNRESET, EINTR, ENOMEM, ERROR_SHORT, ERROR_SHORT},
    [MPFAULT_SENDFILE] = {EIO, EINTR, ENOMEM, ECONNRESET, ERROR_SHORT, ERROR_SHORT},
    [MPFAULT_EPOLL_CTL] = {ENOMEM, ENOSPC},
    [MPFAULT_FORK] = {EAGAIN, ENOMEM},
    [MPFAULT_MMAP] = {ENOMEM},
    [MPFAULT_OPEN] = {EMFILE, ENFILE, ENOSPC, EACCES, EINTR, EIO},
    [MPFAULT_PWRITE] = {ENOSPC, EIO, EDQUOT, EINTR, ERROR_SHORT, ERROR_SHORT},
    [MPFAULT_PREAD] = {EIO, EINTR, ERROR_SHORT, ERROR_SHORT},
    [MPFAULT_FALLOCATE] = {EOPNOTSUPP, ENOSPC, EIO},
    [MPFAULT_WRITE] = {ENOSPC, EIO, EINTR, ERROR_SHORT},
    [MPFAULT_THREAD] = {EAGAIN},
};

static struct mpfault own = {.magic = MPFAULT_MAGIC};
static struct mpfault *shared = &own;
static _Thread_local int exempt;
/* Where the calls come from that may fail, if the environment says so (MPFAULT_OBJECT). */
static const char *object;
static _Atomic uintptr_t object_begin;
static _Atomic uintptr_t object_end;

struct mpfault *mpfault_get(void)
{
    return shared;
}

void mpfault_exempt(int on)
{
    exempt = on;
}

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("MPFAULT");
    object = getenv("MPFAULT_OBJECT");
    if (!path)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    long r =
        syscall(SYS_mmap, NULL, sizeof(struct mpfault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (r > 0 || r < -4095) {
        struct mpfault *mapped = (struct mpfault *)r;
        if (mapped->magic == MPFAULT_MAGIC)
            shared = mapped;
    }
    syscall(SYS_close, fd);
}

static int look_at_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    if (!info->dlpi_name || !strstr(info->dlpi_name, object))
        return 0;
    uintptr_t end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && header->p_vaddr + header->p_memsz > end)
            end = header->p_vaddr + header->p_memsz;
    }
    atomic_store_explicit(&object_end, info->dlpi_addr + end, memory_order_relaxed);
    atomic_store_explicit(&object_begin, info->dlpi_addr, memory_order_release);
    return 1;
}

/* Whether the call comes from the object under test. A sanitizer's interceptor in between hides
 * that: for functions that have one, the caller is not looked at. */
static bool concerned(enum mpfault_function function, const void *caller)
{
    if (!object || !caller || function == MPFAULT_RECV || function == MPFAULT_SEND ||
        function == MPFAULT_ACCEPT || function == MPFAULT_EPOLL_CTL)
        return true;
    uintptr_t begin = atomic_load_explicit(&object_begin, memory_order_acquire);
    if (begin == 0) {
        dl_iterate_phdr(look_at_object, NULL);
        begin = atomic_load_explicit(&object_begin, memory_order_acquire);
    }
    uintptr_t at = (uintptr_t)caller;
    return begin != 0 && at >= begin &&
           at < atomic_load_explicit(&object_end, memory_order_relaxed);
}

/* SplitMix64 of a counter. */
static uint64_t draw(void)
{
    uint64_t n = atomic_fetch_add_explicit(&shared->draws, 1, memory_order_relaxed);
    uint64_t x = shared->seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static int choose_error(enum mpfault_function function)
{
    int forced = atomic_load_explicit(&shared->of[function].error, memory_order_relaxed);
    unsigned count = 0;
    while (count < ERRORS_MAX && errors[function][count] != 0)
        count++;
    return forced != 0 ? forced : errors[function][draw() % count];
}

/* 0: the call goes through. Else the errno to fail with, or ERROR_SHORT. */
static int fault(enum mpfault_function function, const void *caller)
{
    struct mpfault_of *of = &shared->of[function];
    if (exempt || atomic_load_explicit(&shared->on, memory_order_relaxed) == 0 ||
        !concerned(function, caller))
        return 0;
    atomic_fetch_add_explicit(&of->calls, 1, memory_order_relaxed);
    uint32_t nth = atomic_load_explicit(&of->nth, memory_order_relaxed);
    bool now = false;
    while (nth > 0 && !atomic_compare_exchange_weak(&of->nth, &nth, nth - 1))
        ;
    if (nth == 1)
        now = true;
    uint32_t rate = atomic_load_explicit(&of->rate, memory_order_relaxed);
    if (!now && (rate == 0 || draw() % MPFAULT_ONE >= rate))
        return 0;
    atomic_fetch_add_explicit(&of->injected, 1, memory_order_relaxed);
    return choose_error(function);
}

/* Counts it back: the call was none that may fail. */
static int spare(enum mpfault_function function)
{
    atomic_fetch_sub_explicit(&shared->of[function].injected, 1, memory_order_relaxed);
    return 0;
}

static int fault_of_stream(enum mpfault_function function, int fd, const void *caller)
{
    int error = fault(function, caller);
    int type = 0;
    socklen_t size = sizeof(type);
    if (error != 0 && (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
                       type != SOCK_STREAM))
        return spare(function);
    return error;
}

static int fault_of_file(enum mpfault_function function, int fd, const void *caller)
{
    int error = fault(function, caller);
    struct stat facts;
    if (error != 0 && (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)))
        return spare(function);
    return error;
}

static size_t shorter(size_t n)
{
    return n > 1 ? 1 + draw() % (n - 1) : n;
}

/* ---- the real functions ------------------------------------------------------------------ */

#define REAL(name)                                                                                 \
    __extension__({                                                                                \
        static __typeof__(&name) real_##name;                                                      \
        if (!real_##name)                                                                          \
            real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                              \
        real_##name;                                                                               \
    })

/* ---- memory ------------------------------------------------------------------------------ */

/*
 * Two ways in. Preloaded, the library's malloc stands before the C library's. AddressSanitizer
 * wants to be the first to have it: so code that is linked with --wrap=malloc and so on calls
 * __wrap_malloc instead, which is here as well, and then whatever malloc there is.
 */
static bool memory_fails(const void *caller)
{
    if (fault(MPFAULT_MALLOC, caller) == 0)
        return false;
    errno = ENOMEM;
    return true;
}

#ifdef MPFAULT_INSIDE /* of the program that is linked so: the linker gives them these names */
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
#define BEHIND(name) __real_##name
#else
#define BEHIND(name) name
#endif

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

EXPORT void *__wrap_malloc(size_t n)
{
    return memory_fails(NULL) ? NULL : BEHIND(malloc)(n);
}

EXPORT void *__wrap_calloc(size_t count, size_t n)
{
    return memory_fails(NULL) ? NULL : BEHIND(calloc)(count, n);
}

EXPORT void *__wrap_realloc(void *p, size_t n)
{
    return memory_fails(NULL) ? NULL : BEHIND(realloc)(p, n);
}

EXPORT void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return memory_fails(NULL) ? NULL : BEHIND(aligned_alloc)(alignment, n);
}

#ifdef MPFAULT_PRELOADED

static _Alignas(16) char early[1 << 16];
static _Atomic size_t early_used;
static _Thread_local int resolving;

static void *early_take(size_t n)
{
    size_t at = atomic_fetch_add(&early_used, (n + 15) & ~(size_t)15);
    return at + n <= sizeof(early) ? early + at : NULL;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void (*real_free)(void *);

/* False: in the middle of finding them out. */
static bool resolved(void)
{
    if (real_free)
        return true;
    if (resolving)
        return false;
    resolving = 1;
    real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    real_aligned_alloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
    real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    resolving = 0;
    return true;
}

EXPORT void *malloc(size_t n)
{
    if (!resolved())
        return early_take(n);
    return memory_fails(CALLER) ? NULL : real_malloc(n);
}

EXPORT void *calloc(size_t count, size_t n)
{
    if (!resolved())
        return early_take(count * n); /* it is zero */
    return memory_fails(CALLER) ? NULL : real_calloc(count, n);
}

EXPORT void *realloc(void *p, size_t n)
{
    if (!resolved() || is_early(p)) {
        char *fresh = malloc(n);
        size_t most = p ? (size_t)(early + sizeof(early) - (char *)p) : 0;
        if (fresh && p)
            memcpy(fresh, p, n < most ? n : most);
        return fresh;
    }
    return memory_fails(CALLER) ? NULL : real_realloc(p, n);
}

EXPORT void *aligned_alloc(size_t alignment, size_t n)
{
    if (!resolved())
        return early_take(n);
    return memory_fails(CALLER) ? NULL : real_aligned_alloc(alignment, n);
}

EXPORT void free(void *p)
{
    if (is_early(p))
        return;
    if (resolved())
        real_free(p);
}

#endif

EXPORT void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    int error = fault(MPFAULT_MMAP, CALLER);
    if (error != 0) {
        errno = error;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

/* ---- sockets ----------------------------------------------------------------------------- */

#define FAIL_WITH(error)                                                                           \
    do {                                                                                           \
        errno = (error);                                                                           \
        return -1;                                                                                 \
    } while (0)

EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *size, int flags)
{
    int error = fault(MPFAULT_ACCEPT, CALLER);
    if (error != 0)
        FAIL_WITH(error);
    return REAL(accept4)(fd, addr, size, flags);
}

EXPORT ssize_t recv(int fd, void *data, size_t n, int flags)
{
    int error = fault_of_stream(MPFAULT_RECV, fd, CALLER);
    if (error != 0)
        FAIL_WITH(error);
    return REAL(recv)(fd, data, n, flags);
}

EXPORT ssize_t send(int fd, const void *data, size_t n, int flags)
{
    int error = fault_of_stream(MPFAULT_SEND, fd, CALLER);
    if (error == ERROR_SHORT)
        n = shorter(n);
    else if (error != 0)
        FAIL_WITH(error);
    return REAL(send)(fd, data, n, flags);
}

static long do_syscall(long number, const long *arguments)
{
    return REAL(syscall)(number, arguments[0], arguments[1], arguments[2], arguments[3],
                         arguments[4], arguments[5]);
}

/* What src/os asks of the kernel directly, where no sanitizer looks on: recv and send. */
EXPORT long syscall(long number, ...)
{
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long); /* more than were passed are there, and not used */
    va_end(list);
    int error = 0;
    if (number == SYS_recvfrom)
        error = fault_of_stream(MPFAULT_RECV, (int)arguments[0], CALLER);
    else if (number == SYS_sendto)
        error = fault_of_stream(MPFAULT_SEND, (int)arguments[0], CALLER);
    if (error == ERROR_SHORT)
        arguments[2] = (long)shorter((size_t)arguments[2]);
    else if (error != 0)
        FAIL_WITH(error);
    return do_syscall(number, arguments);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    int error = fault_of_stream(MPFAULT_SEND, fd, CALLER);
    struct msghdr less = *message;
    if (error == ERROR_SHORT && message->msg_iovlen > 1)
        less.msg_iovlen = 1;
    else if (error > 0)
        FAIL_WITH(error);
    return REAL(sendmsg)(fd, &less, flags);
}

static ssize_t do_sendfile(int out, int in, off_t *offset, size_t n, const void *caller)
{
    int error = fault(MPFAULT_SENDFILE, caller);
    if (error == ERROR_SHORT)
        n = shorter(n);
    else if (error != 0)
        FAIL_WITH(error);
    return syscall(SYS_sendfile, out, in, offset, n);
}

EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
    return do_sendfile(out, in, offset, n, CALLER);
}

EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t n)
{
    return do_sendfile(out, in, offset, n, CALLER);
}

EXPORT int epoll_ctl(int poller, int op, int fd, struct epoll_event *event)
{
    /* Taking a descriptor out takes no memory. */
    int error = op == EPOLL_CTL_ADD ? fault(MPFAULT_EPOLL_CTL, CALLER) : 0;
    if (error != 0)
        FAIL_WITH(error);
    return REAL(epoll_ctl)(poller, op, fd, event);
}

/* ---- processes and threads --------------------------------------------------------------- */

EXPORT pid_t fork(void)
{
    int error = fault(MPFAULT_FORK, CALLER);
    if (error != 0)
        FAIL_WITH(error);
    return REAL(fork)();
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg)
{
    int error = fault(MPFAULT_THREAD, CALLER);
    return error != 0 ? error : REAL(pthread_create)(thread, attr, start, arg);
}

/* ---- files ------------------------------------------------------------------------------- */

static int do_open(const char *path, int flags, mode_t mode, const void *caller)
{
    int error = fault(MPFAULT_OPEN, caller);
    if (error != 0)
        FAIL_WITH(error);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return do_open(path, flags, mode, CALLER);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return do_open(path, flags | O_LARGEFILE, mode, CALLER);
}

static ssize_t do_pwrite(int fd, const void *data, size_t n, off_t offset, const void *caller)
{
    int error = fault(MPFAULT_PWRITE, caller);
    if (error == ERROR_SHORT)
        n = shorter(n);
    else if (error != 0)
        FAIL_WITH(error);
    return syscall(SYS_pwrite64, fd, data, n, offset);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    return do_pwrite(fd, data, n, offset, CALLER);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
{
    return do_pwrite(fd, data, n, offset, CALLER);
}

static ssize_t do_pread(int fd, void *data, size_t n, off_t offset, const void *caller)
{
    int error = fault(MPFAULT_PREAD, caller);
    if (error == ERROR_SHORT)
        n = shorter(n);
    else if (error != 0)
        FAIL_WITH(error);
    return syscall(SYS_pread64, fd, data, n, offset);
}

EXPORT ssize_t pread(int fd, void *data, size_t n, off_t offset)
{
    return do_pread(fd, data, n, offset, CALLER);
}

EXPORT ssize_t pread64(int fd, void *data, size_t n, off64_t offset)
{
    return do_pread(fd, data, n, offset, CALLER);
}

static int do_fallocate(int fd, int mode, off_t offset, off_t n, const void *caller)
{
    int error = fault(MPFAULT_FALLOCATE, caller);
    if (error != 0)
        FAIL_WITH(error);
    return (int)syscall(SYS_fallocate, fd, mode, offset, n);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t n)
{
    return do_fallocate(fd, mode, offset, n, CALLER);
}

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t n)
{
    return do_fallocate(fd, mode, offset, n, CALLER);
}

EXPORT ssize_t write(int fd, const void *data, size_t n)
{
    int error = fault_of_file(MPFAULT_WRITE, fd, CALLER);
    if (error == ERROR_SHORT)
        n = shorter(n);
    else if (error != 0)
        FAIL_WITH(error);
    return REAL(write)(fd, data, n);
}

EXPORT ssize_t writev(int fd, const struct iovec *vectors, int count)
{
    int error = fault_of_file(MPFAULT_WRITE, fd, CALLER);
    if (error == ERROR_SHORT)
        count = 1;
    else if (error != 0)
        FAIL_WITH(error);
    return REAL(writev)(fd, vectors, count);
}
