// SPDX-License-Identifier: MIT
//
// Puts the module together. It keeps nothing per environment: what it must remember belongs to the process (memory.cc),
// so it can be loaded by any number of worker threads and contexts at once.

#include <napi.h>

#include "call.h"
#include "memory.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  kmho::ExportCalls(env, exports);
  kmho::ExportMemory(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(kmho, Init)
