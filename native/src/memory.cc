// SPDX-License-Identifier: MIT

#include "memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14, as in <asm-generic/mman-common.h>
#endif

namespace kmho {
namespace {

// Memory that an ArrayBuffer stands on. It is unmapped when `pins` reaches 0: one pin belongs to the ArrayBuffer's
// backing store, and Release() adds one for the JavaScript object, see there.
struct Mapping {
  char* outer;  // with the guard page
  size_t outer_length;
  char* data;
  size_t length;
  int pins = 1;
  bool released = false;  // detached; `data` is fresh zero pages
  bool gone = false;      // never became an ArrayBuffer's, nothing is mapped
};

// All mappings of the process, of whichever thread: addresses are the process's.
class Registry {
 public:
  // Never destroyed: worker threads may still be ending when static destructors run.
  static Registry& Get() {
    static Registry* const registry = new Registry;
    return *registry;
  }

  Mapping* Add(char* outer, size_t outer_length, char* data, size_t length) {
    auto mapping = std::make_unique<Mapping>();
    mapping->outer = outer;
    mapping->outer_length = outer_length;
    mapping->data = data;
    mapping->length = length;
    Mapping* const pointer = mapping.get();
    const std::lock_guard<std::mutex> lock(mutex_);
    live_[reinterpret_cast<uintptr_t>(data)] = std::move(mapping);
    return pointer;
  }

  // The mapping that holds `address`, as a copy, for other threads may take it away at any time.
  bool Find(uintptr_t address, Mapping* found) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto next = live_.upper_bound(address);
    if (next == live_.begin()) return false;
    const Mapping& mapping = *std::prev(next)->second;
    if (mapping.released ||
        address - reinterpret_cast<uintptr_t>(mapping.data) >= mapping.length)
      return false;
    *found = mapping;
    return true;
  }

  // For Release(): the mapping whose data is exactly this, with one pin more.
  Mapping* FindToRelease(char* data, size_t length) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(reinterpret_cast<uintptr_t>(data));
    if (found == live_.end()) return nullptr;
    Mapping* const mapping = found->second.get();
    if (mapping->length != length || mapping->released) return nullptr;
    mapping->pins++;
    return mapping;
  }

  void MarkReleased(Mapping* mapping) {
    const std::lock_guard<std::mutex> lock(mutex_);
    mapping->released = true;
  }

  void Unpin(Mapping* mapping) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (mapping->gone) {
      delete mapping;
      return;
    }
    if (--mapping->pins > 0) return;
    const auto found = live_.find(reinterpret_cast<uintptr_t>(mapping->data));
    std::unique_ptr<Mapping> owned = std::move(found->second);
    live_.erase(found);
    // EPERM: the memory is handed over, and its contents belong to the record. It stays mapped, with nobody to reach
    // it, until the record is dropped or the process ends.
    if (munmap(owned->outer, owned->outer_length) != 0)
      orphans_.push_back(std::move(owned));
  }

  // The ArrayBuffer could not be made: nothing stays mapped.
  void Abandon(Mapping* mapping) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(reinterpret_cast<uintptr_t>(mapping->data));
    munmap(mapping->outer, mapping->outer_length);
    // Node may have called the finalizer already, to run later, or not: what it would be given must stay valid.
    found->second.release()->gone = true;
    live_.erase(found);
  }

  void Forget(Mapping* mapping) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(reinterpret_cast<uintptr_t>(mapping->data));
    found->second.release()->gone = true;
    live_.erase(found);
  }

  // Unmaps what had to be kept when its ArrayBuffer was collected and is no longer handed over.
  size_t Reclaim() {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t nr_reclaimed = 0;
    for (auto orphan = orphans_.begin(); orphan != orphans_.end();) {
      if (munmap((*orphan)->outer, (*orphan)->outer_length) == 0) {
        orphan = orphans_.erase(orphan);
        nr_reclaimed++;
      } else {
        ++orphan;
      }
    }
    return nr_reclaimed;
  }

  void Count(size_t* nr_live, size_t* nr_orphans, size_t* bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    *nr_live = live_.size();
    *nr_orphans = orphans_.size();
    *bytes = 0;
    for (const auto& entry : live_) *bytes += entry.second->length;
    for (const auto& orphan : orphans_) *bytes += orphan->length;
  }

 private:
  Registry() = default;

  std::mutex mutex_;
  std::map<uintptr_t, std::unique_ptr<Mapping>> live_;
  std::list<std::unique_ptr<Mapping>> orphans_;
};

size_t PageSize() {
  static const size_t page_size = sysconf(_SC_PAGESIZE);
  return page_size;
}

Napi::Value Misuse(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value Errno(Napi::Env env, int error) {
  return Napi::Number::New(env, -error);
}

bool GetLength(const Napi::Value& value, size_t* out) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  // 2^53 - 1, Number.MAX_SAFE_INTEGER
  if (!(number >= 0) || number > 9007199254740991.0) return false;
  *out = static_cast<size_t>(number);
  return static_cast<double>(*out) == number;
}

bool GetAddress(const Napi::Value& value, uintptr_t* out) {
  if (!value.IsBigInt()) return false;
  bool lossless = false;
  *out = value.As<Napi::BigInt>().Uint64Value(&lossless);
  return lossless;
}

void FinalizePin(napi_env, void*, void* hint) {
  Registry::Get().Unpin(static_cast<Mapping*>(hint));
}

// Makes `mapping` an ArrayBuffer's. Where the runtime keeps all of its ArrayBuffers in a cage of its own (Electron,
// V8 built with pointer compression) that is impossible: undefined, and nothing stays mapped unless `adopted`.
Napi::Value WrapMapping(Napi::Env env, Mapping* mapping, bool adopted) {
  napi_value array_buffer;
  const napi_status status =
      napi_create_external_arraybuffer(env, mapping->data, mapping->length,
                                       FinalizePin, mapping, &array_buffer);
  if (status == napi_ok) return Napi::Value(env, array_buffer);
  if (adopted)
    Registry::Get().Forget(mapping);
  else
    Registry::Get().Abandon(mapping);
  return env.Undefined();
}

// map(length: number, align: number, offset: number): ArrayBuffer, errno, or undefined where external memory is not
// allowed. Fresh private anonymous memory at an address that is `offset` past a multiple of `align` (a power of two,
// a page at least). An inaccessible page lies behind it, so that two of them are never one contiguous range.
Napi::Value Map(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  size_t length;
  size_t align;
  size_t offset;
  const size_t page = PageSize();
  if (!GetLength(info[0], &length) || !GetLength(info[1], &align) ||
      !GetLength(info[2], &offset) || length == 0 || length % page != 0 ||
      align < page || (align & (align - 1)) != 0 || offset >= align ||
      offset % page != 0)
    return Misuse(env, "map(length: number, align: number, offset: number)");
  Registry::Get().Reclaim();

  const size_t inner = length + page;
  const size_t total = inner + (align - page);
  void* const mapped =
      mmap(nullptr, total, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return Errno(env, errno);
  char* const start = static_cast<char*>(mapped);
  const size_t skip =
      (offset - reinterpret_cast<uintptr_t>(start)) & (align - 1);
  char* const data = start + skip;
  if (skip != 0) munmap(start, skip);
  if (total - skip != inner) munmap(data + inner, total - skip - inner);
  if (mprotect(data, length, PROT_READ | PROT_WRITE) != 0) {
    const int error = errno;
    munmap(data, inner);
    return Errno(env, error);
  }
  return WrapMapping(env, Registry::Get().Add(data, inner, data, length),
                     /*adopted=*/false);
}

// adopt(address: bigint, length: number): ArrayBuffer, or undefined. Memory that is mapped already, and from now on
// is the ArrayBuffer's.
Napi::Value Adopt(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uintptr_t address;
  size_t length;
  if (!GetAddress(info[0], &address) || !GetLength(info[1], &length) ||
      length == 0 || length % PageSize() != 0 || address % PageSize() != 0)
    return Misuse(env, "adopt(address: bigint, length: number)");
  char* const data = reinterpret_cast<char*>(address);
  return WrapMapping(env, Registry::Get().Add(data, length, data, length),
                     /*adopted=*/true);
}

// release(buffer: ArrayBuffer): errno. ENOENT: it is none of ours, or was released before. The caller detaches it next.
//
// The memory goes back at once, the addresses do not. An operation in flight on another thread (zlib, an fs.write)
// holds a bare pointer and, to protect it, the JavaScript object; the backing store it does not hold. So fresh zero
// pages take the place of the contents, and they are unmapped when the object itself has been collected: until then
// nothing else can come to lie where such an operation may still read or write.
Napi::Value Release(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  void* data;
  size_t length;
  if (!info[0].IsArrayBuffer() ||
      napi_get_arraybuffer_info(env, info[0], &data, &length) != napi_ok)
    return Misuse(env, "release(buffer: ArrayBuffer)");
  Mapping* const mapping =
      Registry::Get().FindToRelease(static_cast<char*>(data), length);
  if (mapping == nullptr) return Errno(env, ENOENT);
  // One call, which the kernel refuses as a whole when a page of it is handed over.
  if (mmap(data, length, PROT_READ | PROT_WRITE,
           MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
           0) == MAP_FAILED) {
    const int error = errno;
    Registry::Get().Unpin(mapping);
    return Errno(env, error);
  }
  Registry::Get().MarkReleased(mapping);
  if (napi_add_finalizer(env, info[0], nullptr, FinalizePin, mapping,
                         nullptr) != napi_ok)
    return Errno(env, ENOMEM);  // the pin stays: kept mapped for ever
  return Errno(env, 0);
}

// detach(buffer: ArrayBuffer): errno, EINVAL when it cannot be. Only for versions of Node without
// ArrayBuffer.prototype.transfer: later ones abort here when somebody called markAsUntransferable() on it.
Napi::Value Detach(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsArrayBuffer())
    return Misuse(env, "detach(buffer: ArrayBuffer)");
  const bool done = napi_detach_arraybuffer(env, info[0]) == napi_ok;
  return Errno(env, done ? 0 : EINVAL);
}

// reclaim(): number of mappings that were kept for a record's sake and could be given back now
Napi::Value Reclaim(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           static_cast<double>(Registry::Get().Reclaim()));
}

int PopulateByHand(char* data, size_t length) {
  for (size_t at = 0; at < length; at += PageSize()) {
    volatile char* const byte = data + at;
    *byte = *byte;
  }
  return 0;
}

// advise(address: bigint, length: number, hugepages: boolean, populate: boolean): errno
Napi::Value Advise(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uintptr_t address;
  size_t length;
  if (!GetAddress(info[0], &address) || !GetLength(info[1], &length) ||
      !info[2].IsBoolean() || !info[3].IsBoolean())
    return Misuse(env,
                  "advise(address: bigint, length: number, "
                  "hugepages: boolean, populate: boolean)");
  char* const data = reinterpret_cast<char*>(address);
  if (info[2].As<Napi::Boolean>().Value()) {
    // EINVAL: a kernel without transparent huge pages; it is advice.
    if (madvise(data, length, MADV_HUGEPAGE) != 0 && errno != EINVAL)
      return Errno(env, errno);
  }
  if (info[3].As<Napi::Boolean>().Value()) {
    if (madvise(data, length, MADV_POPULATE_WRITE) != 0) {
      if (errno != EINVAL) return Errno(env, errno);
      PopulateByHand(data, length);  // before Linux 5.14
    }
  }
  return Errno(env, 0);
}

// protect(address: bigint, length: number, prot: number): errno
Napi::Value Protect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uintptr_t address;
  size_t length;
  if (!GetAddress(info[0], &address) || !GetLength(info[1], &length) ||
      !info[2].IsNumber())
    return Misuse(env,
                  "protect(address: bigint, length: number, prot: number)");
  const int prot = info[2].As<Napi::Number>().Int32Value();
  if (mprotect(reinterpret_cast<void*>(address), length, prot) != 0)
    return Errno(env, errno);
  return Errno(env, 0);
}

// addressOf(view: ArrayBuffer | ArrayBufferView): bigint, 0n when it has no memory (detached, or empty)
Napi::Value AddressOf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  void* data = nullptr;
  if (info[0].IsArrayBuffer()) {
    napi_get_arraybuffer_info(env, info[0], &data, nullptr);
  } else if (info[0].IsTypedArray()) {
    napi_get_typedarray_info(env, info[0], nullptr, nullptr, &data, nullptr,
                             nullptr);
  } else if (info[0].IsDataView()) {
    napi_get_dataview_info(env, info[0], nullptr, &data, nullptr, nullptr);
  } else {
    return Misuse(env, "addressOf(view: ArrayBuffer | ArrayBufferView)");
  }
  return Napi::BigInt::New(
      env, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(data)));
}

// find(address: bigint): {base: bigint, length: number} of the mapping that holds it, or undefined
Napi::Value Find(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uintptr_t address;
  if (!GetAddress(info[0], &address))
    return Misuse(env, "find(address: bigint)");
  Mapping mapping;
  if (!Registry::Get().Find(address, &mapping)) return env.Undefined();
  Napi::Object found = Napi::Object::New(env);
  found.Set("base",
            Napi::BigInt::New(env, static_cast<uint64_t>(
                                       reinterpret_cast<uintptr_t>(
                                           mapping.data))));
  found.Set("length",
            Napi::Number::New(env, static_cast<double>(mapping.length)));
  return found;
}

// isMapped(address: bigint, length: number): whether every page of it is mapped
Napi::Value IsMapped(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uintptr_t address;
  size_t length;
  if (!GetAddress(info[0], &address) || !GetLength(info[1], &length))
    return Misuse(env, "isMapped(address: bigint, length: number)");
  // With MS_ASYNC, msync(2) does nothing but this check.
  const bool mapped =
      msync(reinterpret_cast<void*>(address), length, MS_ASYNC) == 0;
  return Napi::Boolean::New(env, mapped);
}

// stats(): {mappings, orphans, bytes} of the whole process
Napi::Value Stats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  size_t nr_live;
  size_t nr_orphans;
  size_t bytes;
  Registry::Get().Count(&nr_live, &nr_orphans, &bytes);
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("mappings", Napi::Number::New(env, static_cast<double>(nr_live)));
  stats.Set("orphans", Napi::Number::New(env, static_cast<double>(nr_orphans)));
  stats.Set("bytes", Napi::Number::New(env, static_cast<double>(bytes)));
  return stats;
}

}  // namespace

void ExportMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("map", Napi::Function::New<Map>(env, "map"));
  exports.Set("adopt", Napi::Function::New<Adopt>(env, "adopt"));
  exports.Set("release", Napi::Function::New<Release>(env, "release"));
  exports.Set("detach", Napi::Function::New<Detach>(env, "detach"));
  exports.Set("reclaim", Napi::Function::New<Reclaim>(env, "reclaim"));
  exports.Set("advise", Napi::Function::New<Advise>(env, "advise"));
  exports.Set("protect", Napi::Function::New<Protect>(env, "protect"));
  exports.Set("addressOf", Napi::Function::New<AddressOf>(env, "addressOf"));
  exports.Set("find", Napi::Function::New<Find>(env, "find"));
  exports.Set("isMapped", Napi::Function::New<IsMapped>(env, "isMapped"));
  exports.Set("stats", Napi::Function::New<Stats>(env, "stats"));
  exports.Set("pageSize",
              Napi::Number::New(env, static_cast<double>(PageSize())));
}

}  // namespace kmho
