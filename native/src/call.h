// SPDX-License-Identifier: MIT
//
// The system call as JavaScript sees it: arguments are checked for their types, put into the structures of
// <linux/kmho.h>, and what the kernel answered comes back as 0 or a negative errno. What an errno means, and what
// the user can do about it, is said in lib/errors.cts, not here.

#ifndef KMHO_NATIVE_SRC_CALL_H_
#define KMHO_NATIVE_SRC_CALL_H_

#include <napi.h>

namespace kmho {

// Adds handover, takeover, query, manage, chown, bare, encode and constants to `exports`.
void ExportCalls(Napi::Env env, Napi::Object exports);

}  // namespace kmho

#endif  // KMHO_NATIVE_SRC_CALL_H_
