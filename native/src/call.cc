// SPDX-License-Identifier: MIT

#include "call.h"

#include <errno.h>
#include <linux/kmho.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "syscall_number.h"

namespace kmho {
namespace {

// The structures hold addresses as unsigned long, the arrays that JavaScript passes hold 64 bits: on a 32-bit machine
// every address would silently lose its upper half, and such a caller gets ENOSYS from the kernel anyway.
static_assert(sizeof(unsigned long) == sizeof(uint64_t),
              "kmho(2) exists for 64-bit programs only");

// Columns of a row in the arrays of ranges that lib/ passes.
constexpr size_t kHandoverColumns = 2;  // base, length
constexpr size_t kTakeoverColumns = 3;  // base, length, remap_addr

// A finished structure. `op_size` and `ranges` describe what `op` points to, for the recorder.
struct Request {
  unsigned int opcode;
  void* op;
  size_t op_size;
  const void* ranges;
  size_t ranges_size;
};

// What happens to a finished structure: it goes to the kernel, or Encode() records it. Returns 0 or a negative errno.
class Performer {
 public:
  virtual ~Performer() = default;
  virtual int Perform(const Request& request) const = 0;
};

class KernelCaller : public Performer {
 public:
  int Perform(const Request& request) const override {
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
    if (syscall(kSyscallNumber, request.opcode, request.op) == -1)
      return -errno;
    return 0;
#else
    // The number belongs to another call, or to none, on other architectures.
    (void)request;
    return -ENOSYS;
#endif
  }
};

Napi::Value Misuse(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

bool GetU64(const Napi::Value& value, uint64_t* out) {
  if (!value.IsBigInt()) return false;
  bool lossless = false;
  *out = value.As<Napi::BigInt>().Uint64Value(&lossless);
  return lossless;
}

bool GetU32(const Napi::Value& value, uint32_t* out) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0) || number > std::numeric_limits<uint32_t>::max())
    return false;
  *out = static_cast<uint32_t>(number);
  return static_cast<double>(*out) == number;
}

// Rows of `columns` 64-bit numbers; the array stays JavaScript's.
bool GetRows(const Napi::Value& value, size_t columns, uint64_t** rows,
             size_t* nr_rows) {
  if (!value.IsTypedArray()) return false;
  const Napi::TypedArray array = value.As<Napi::TypedArray>();
  if (array.TypedArrayType() != napi_biguint64_array) return false;
  if (array.ElementLength() % columns != 0) return false;
  *rows = value.As<Napi::BigUint64Array>().Data();
  *nr_rows = array.ElementLength() / columns;
  return true;
}

template <typename T>
std::unique_ptr<T[]> NewArray(size_t length) {
  return std::unique_ptr<T[]>(new (std::nothrow) T[length]());
}

// handover(key: bigint, rows: BigUint64Array): errno
Napi::Value Handover(const Napi::CallbackInfo& info, size_t first,
                     const Performer& performer) {
  const Napi::Env env = info.Env();
  uint64_t key;
  uint64_t* rows;
  size_t nr_rows;
  if (!GetU64(info[first], &key) ||
      !GetRows(info[first + 1], kHandoverColumns, &rows, &nr_rows))
    return Misuse(env, "handover(key: bigint, rows: BigUint64Array)");

  auto ranges = NewArray<kmho_range_handover>(nr_rows);
  if (!ranges) return Napi::Number::New(env, -ENOMEM);
  for (size_t i = 0; i < nr_rows; i++) {
    ranges[i].base = rows[i * kHandoverColumns];
    ranges[i].length = rows[i * kHandoverColumns + 1];
  }
  kmho_op_handover op = {};
  op.key = key;
  op.num_ranges = nr_rows;
  op.ranges = ranges.get();
  return Napi::Number::New(
      env, performer.Perform({KMHO_HANDOVER, &op, sizeof(op), ranges.get(),
                    nr_rows * sizeof(kmho_range_handover)}));
}

// takeover(keep: boolean, key: bigint, rows: BigUint64Array): errno. What the kernel chose for remap_addr is written
// back into `rows`.
Napi::Value Takeover(const Napi::CallbackInfo& info, size_t first,
                     const Performer& performer) {
  const Napi::Env env = info.Env();
  uint64_t key;
  uint64_t* rows;
  size_t nr_rows;
  if (!info[first].IsBoolean() || !GetU64(info[first + 1], &key) ||
      !GetRows(info[first + 2], kTakeoverColumns, &rows, &nr_rows))
    return Misuse(
        env, "takeover(keep: boolean, key: bigint, rows: BigUint64Array)");
  const bool keep = info[first].As<Napi::Boolean>().Value();

  auto ranges = NewArray<kmho_range_takeover>(nr_rows);
  if (!ranges) return Napi::Number::New(env, -ENOMEM);
  for (size_t i = 0; i < nr_rows; i++) {
    ranges[i].base = rows[i * kTakeoverColumns];
    ranges[i].len = rows[i * kTakeoverColumns + 1];
    ranges[i].remap_addr = rows[i * kTakeoverColumns + 2];
  }
  kmho_op_takeover op = {};
  op.key = key;
  op.num_ranges = nr_rows;
  op.ranges = ranges.get();
  const unsigned int opcode = keep ? KMHO_TAKEOVER_KEEP : KMHO_TAKEOVER;
  const int result = performer.Perform({opcode, &op, sizeof(op), ranges.get(),
                              nr_rows * sizeof(kmho_range_takeover)});
  for (size_t i = 0; i < nr_rows; i++)
    rows[i * kTakeoverColumns + 2] = ranges[i].remap_addr;
  return Napi::Number::New(env, result);
}

// manage(opcode: number, flags: number, key: bigint, uid: number): errno, for the opcodes that take a kmho_op_drop
Napi::Value Manage(const Napi::CallbackInfo& info, size_t first,
                   const Performer& performer) {
  const Napi::Env env = info.Env();
  uint32_t opcode;
  kmho_op_drop op = {};
  uint64_t key;
  if (!GetU32(info[first], &opcode) || !GetU32(info[first + 1], &op.flags) ||
      !GetU64(info[first + 2], &key) || !GetU32(info[first + 3], &op.uid))
    return Misuse(env,
                  "manage(opcode: number, flags: number, key: bigint, "
                  "uid: number)");
  op.size = sizeof(op);
  op.key = key;
  return Napi::Number::New(env,
                           performer.Perform({opcode, &op, sizeof(op), nullptr, 0}));
}

// chown(flags: number, key: bigint, uid: number, newUid: number): errno
Napi::Value Chown(const Napi::CallbackInfo& info, size_t first,
                  const Performer& performer) {
  const Napi::Env env = info.Env();
  kmho_op_chown op = {};
  uint64_t key;
  if (!GetU32(info[first], &op.flags) || !GetU64(info[first + 1], &key) ||
      !GetU32(info[first + 2], &op.uid) ||
      !GetU32(info[first + 3], &op.new_uid))
    return Misuse(env,
                  "chown(flags: number, key: bigint, uid: number, "
                  "newUid: number)");
  op.size = sizeof(op);
  op.key = key;
  return Napi::Number::New(
      env, performer.Perform({KMHO_CHOWN, &op, sizeof(op), nullptr, 0}));
}

Napi::Object RecordObject(Napi::Env env, const kmho_record_info& record) {
  Napi::Object object = Napi::Object::New(env);
  const auto u64 = [&](const char* name, uint64_t value) {
    object.Set(name, Napi::BigInt::New(env, value));
  };
  u64("key", record.key);
  object.Set("uid", Napi::Number::New(env, record.uid));
  object.Set("state", Napi::Number::New(env, record.state));
  u64("bytes", record.bytes);
  u64("present", record.present);
  u64("metadata", record.metadata);
  u64("nr_ranges", record.nr_ranges);
  u64("nr_extents", record.nr_extents);
  u64("migrated", record.migrated);
  u64("changed", record.changed);
  object.Set("pid", Napi::Number::New(env, record.pid));
  return object;
}

Napi::Object RangeObject(Napi::Env env, const kmho_range_info& range) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("base", Napi::BigInt::New(env, static_cast<uint64_t>(range.base)));
  object.Set("length",
             Napi::BigInt::New(env, static_cast<uint64_t>(range.length)));
  object.Set("prot", Napi::Number::New(env, range.prot));
  object.Set("kind", Napi::Number::New(env, range.kind));
  return object;
}

// query(flags: number, key: bigint, uid: number, roomForRecords: number, roomForRanges: number): errno, or an object
// with the fields of kmho_op_query
Napi::Value Query(const Napi::CallbackInfo& info, size_t first,
                  const Performer& performer) {
  const Napi::Env env = info.Env();
  kmho_op_query op = {};
  uint64_t key;
  uint32_t room_records;
  uint32_t room_ranges;
  if (!GetU32(info[first], &op.flags) || !GetU64(info[first + 1], &key) ||
      !GetU32(info[first + 2], &op.uid) ||
      !GetU32(info[first + 3], &room_records) ||
      !GetU32(info[first + 4], &room_ranges))
    return Misuse(env,
                  "query(flags: number, key: bigint, uid: number, "
                  "roomForRecords: number, roomForRanges: number)");
  auto records = NewArray<kmho_record_info>(room_records);
  auto ranges = NewArray<kmho_range_info>(room_ranges);
  if (!records || !ranges) return Napi::Number::New(env, -ENOMEM);
  op.size = sizeof(op);
  op.key = key;
  op.nr_records = room_records;
  op.records =
      room_records == 0 ? 0 : reinterpret_cast<uintptr_t>(records.get());
  op.nr_ranges = room_ranges;
  op.ranges = room_ranges == 0 ? 0 : reinterpret_cast<uintptr_t>(ranges.get());

  const int result = performer.Perform({KMHO_QUERY, &op, sizeof(op), nullptr, 0});
  if (result != 0) return Napi::Number::New(env, result);

  Napi::Object answer = Napi::Object::New(env);
  answer.Set("abi", Napi::Number::New(env, op.abi));
  answer.Set("features",
             Napi::BigInt::New(env, static_cast<uint64_t>(op.features)));
  answer.Set("max_ranges",
             Napi::BigInt::New(env, static_cast<uint64_t>(op.max_ranges)));
  answer.Set("nr_records",
             Napi::BigInt::New(env, static_cast<uint64_t>(op.nr_records)));
  answer.Set("nr_ranges",
             Napi::BigInt::New(env, static_cast<uint64_t>(op.nr_ranges)));
  // An array that was too small is filled as far as it goes.
  const uint32_t nr_records = op.nr_records < room_records
                                  ? static_cast<uint32_t>(op.nr_records)
                                  : room_records;
  Napi::Array record_objects = Napi::Array::New(env, nr_records);
  for (uint32_t i = 0; i < nr_records; i++) {
    const Napi::HandleScope scope(env);
    record_objects.Set(i, RecordObject(env, records[i]));
  }
  answer.Set("records", record_objects);
  const uint32_t nr_ranges = op.nr_ranges < room_ranges
                                 ? static_cast<uint32_t>(op.nr_ranges)
                                 : room_ranges;
  Napi::Array range_objects = Napi::Array::New(env, nr_ranges);
  for (uint32_t i = 0; i < nr_ranges; i++) {
    const Napi::HandleScope scope(env);
    range_objects.Set(i, RangeObject(env, ranges[i]));
  }
  answer.Set("ranges", range_objects);
  return answer;
}

// bare(opcode: number, null: boolean): errno, for opcodes whose structure is not known and for a null `op`
Napi::Value Bare(const Napi::CallbackInfo& info, size_t first,
                 const Performer& performer) {
  const Napi::Env env = info.Env();
  uint32_t opcode;
  if (!GetU32(info[first], &opcode) || !info[first + 1].IsBoolean())
    return Misuse(env, "bare(opcode: number, null: boolean)");
  // As large as any structure may reasonably become, so that a future opcode finds zeroes and not our stack.
  std::vector<char> zeroes(4096);
  const bool is_null = info[first + 1].As<Napi::Boolean>().Value();
  return Napi::Number::New(
      env, performer.Perform({opcode, is_null ? nullptr : zeroes.data(),
                    is_null ? 0 : zeroes.size(), nullptr, 0}));
}

using Operation = Napi::Value (*)(const Napi::CallbackInfo&, size_t,
                                  const Performer&);

template <Operation operation>
Napi::Value Run(const Napi::CallbackInfo& info) {
  return operation(info, 0, KernelCaller());
}

class Recorder : public Performer {
 public:
  Recorder(Napi::Env env, Napi::Object encoded)
      : env_(env), encoded_(encoded) {}

  int Perform(const Request& request) const override {
    Set("opcode", Napi::Number::New(env_, request.opcode));
    if (request.op == nullptr) return -EFAULT;
    if (request.ranges != nullptr)
      Set("ranges", Copy(request.ranges, request.ranges_size));
    Napi::Buffer<char> op = Copy(request.op, request.op_size);
    // An address differs from run to run.
    const auto zero = [&](size_t offset) {
      std::memset(op.Data() + offset, 0, sizeof(uint64_t));
    };
    if (request.opcode == KMHO_HANDOVER)
      zero(offsetof(kmho_op_handover, ranges));
    if (request.opcode == KMHO_TAKEOVER ||
        request.opcode == KMHO_TAKEOVER_KEEP)
      zero(offsetof(kmho_op_takeover, ranges));
    if (request.opcode == KMHO_QUERY) {
      zero(offsetof(kmho_op_query, records));
      zero(offsetof(kmho_op_query, ranges));
    }
    Set("op", op);
    return -ECANCELED;
  }

 private:
  void Set(const char* name, Napi::Value value) const {
    Napi::Object(env_, encoded_).Set(name, value);
  }
  Napi::Buffer<char> Copy(const void* bytes, size_t size) const {
    return Napi::Buffer<char>::Copy(env_, static_cast<const char*>(bytes),
                                    size);
  }

  const Napi::Env env_;
  const Napi::Object encoded_;
};

// encode(operation: string, ...its arguments): {opcode, op: Buffer, ranges?: Buffer}. The bytes that the kernel would
// get, with every pointer in them zeroed; nothing is called. Tests compare them with the layout of the ABI.
Napi::Value Encode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) return Misuse(env, "encode(operation: string, ...)");
  const std::string name = info[0].As<Napi::String>();
  Napi::Object encoded = Napi::Object::New(env);
  const Recorder recorder(env, encoded);
  Operation operation = nullptr;
  if (name == "handover") operation = Handover;
  if (name == "takeover") operation = Takeover;
  if (name == "manage") operation = Manage;
  if (name == "chown") operation = Chown;
  if (name == "query") operation = Query;
  if (name == "bare") operation = Bare;
  if (operation == nullptr) return Misuse(env, "encode: no such operation");
  operation(info, 1, recorder);
  if (env.IsExceptionPending()) return env.Undefined();
  return encoded;
}

Napi::Object Constants(Napi::Env env) {
  Napi::Object constants = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) {
    constants.Set(name, Napi::Number::New(env, value));
  };
  set("KMHO_HANDOVER", KMHO_HANDOVER);
  set("KMHO_TAKEOVER", KMHO_TAKEOVER);
  set("KMHO_QUERY", KMHO_QUERY);
  set("KMHO_DROP", KMHO_DROP);
  set("KMHO_FREEZE", KMHO_FREEZE);
  set("KMHO_TAKEOVER_KEEP", KMHO_TAKEOVER_KEEP);
  set("KMHO_CHOWN", KMHO_CHOWN);
  set("KMHO_UID_SELF", KMHO_UID_SELF);
  set("KMHO_STATE_LIVE", KMHO_STATE_LIVE);
  set("KMHO_STATE_HELD", KMHO_STATE_HELD);
  set("KMHO_STATE_INCOMING", KMHO_STATE_INCOMING);
  set("KMHO_KIND_ANON", KMHO_KIND_ANON);
  set("KMHO_KIND_SHMEM", KMHO_KIND_SHMEM);
  set("KMHO_KIND_HUGETLB", KMHO_KIND_HUGETLB);
  set("KMHO_QUERY_KEY", KMHO_QUERY_KEY);
  set("KMHO_QUERY_ALL", KMHO_QUERY_ALL);
  return constants;
}

}  // namespace

void ExportCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("handover", Napi::Function::New<Run<Handover>>(env, "handover"));
  exports.Set("takeover", Napi::Function::New<Run<Takeover>>(env, "takeover"));
  exports.Set("manage", Napi::Function::New<Run<Manage>>(env, "manage"));
  exports.Set("chown", Napi::Function::New<Run<Chown>>(env, "chown"));
  exports.Set("query", Napi::Function::New<Run<Query>>(env, "query"));
  exports.Set("bare", Napi::Function::New<Run<Bare>>(env, "bare"));
  exports.Set("encode", Napi::Function::New<Encode>(env, "encode"));
  exports.Set("constants", Constants(env));
  exports.Set("syscallNumber", Napi::Number::New(env, kSyscallNumber));
}

}  // namespace kmho
