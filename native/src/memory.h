// SPDX-License-Identifier: MIT
//
// Page-aligned memory under ArrayBuffers: mapping it, finding it, and giving it back at a moment when no JavaScript
// value and no operation in flight can still reach it. Which memory to ask for, and what to do with it, is decided in
// lib/memory.cts.

#ifndef KMHO_NATIVE_SRC_MEMORY_H_
#define KMHO_NATIVE_SRC_MEMORY_H_

#include <napi.h>

namespace kmho {

// Adds map, adopt, release, detach, reclaim, advise, protect, addressOf, find, isMapped, stats and pageSize.
void ExportMemory(Napi::Env env, Napi::Object exports);

}  // namespace kmho

#endif  // KMHO_NATIVE_SRC_MEMORY_H_
