// SPDX-License-Identifier: MIT
//
// The number of kmho(2), the only place in the addon that states it. A test compares it with the system-call tables
// that kernel/patches changes.

#ifndef KMHO_NATIVE_SRC_SYSCALL_NUMBER_H_
#define KMHO_NATIVE_SRC_SYSCALL_NUMBER_H_

#include <sys/syscall.h>

namespace kmho {

inline constexpr long kSyscallNumber = 473;

#ifdef __NR_kmho
static_assert(__NR_kmho == kSyscallNumber,
              "the C library's headers know kmho(2) by another number");
#endif

}  // namespace kmho

#endif  // KMHO_NATIVE_SRC_SYSCALL_NUMBER_H_
