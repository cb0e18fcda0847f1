/* SPDX-License-Identifier: MIT */
/* What the compiler can be told: branch hints, attributes, cache lines. */
#ifndef MP_BASE_COMPILER_H
#define MP_BASE_COMPILER_H

#include <stddef.h>

#define mp_likely(x) __builtin_expect(!!(x), 1)
#define mp_unlikely(x) __builtin_expect(!!(x), 0)

#define MP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MP_UNUSED __attribute__((unused))
#define MP_WARN_UNUSED __attribute__((warn_unused_result))

/* x86-64 and arm64 server cores: 64 bytes (arm64 parts with 128 only lose a little to sharing). */
#define MP_CACHE_LINE 64
#define MP_CACHE_ALIGNED _Alignas(MP_CACHE_LINE)

#define mp_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define mp_array_size(a) (sizeof(a) / sizeof((a)[0]))

#endif
