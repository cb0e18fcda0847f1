/* SPDX-License-Identifier: MIT */
/*
 * Assertions that stay in release builds. They guard invariants whose violation would corrupt
 * another client's data; they cost a predicted branch. A failure prints the place and aborts.
 */
#ifndef MP_BASE_ASSERT_H
#define MP_BASE_ASSERT_H

#include "base/compiler.h"

_Noreturn void mp_assert_fail(const char *expr, const char *file, int line, const char *func);

#define mp_assert(expr)                                                                            \
    (mp_likely(expr) ? (void)0 : mp_assert_fail(#expr, __FILE__, __LINE__, __func__))

#endif
