// The C functions that tvm-ffi kernels import, provided by a library of our own named libtvm_ffi.so.
//
// It lets one process call kernels with neither Python nor the tvm-ffi package: errors and streams live in
// thread-local storage, objects are counted, types have keys. It is no object system: there is no function
// registry, no reflection and no module loader. A kernel that needs one of those imports a name that is not
// here, and the loader says which before it loads anything.
// Source of the meaning of each function: apache/tvm-ffi include/tvm/ffi/c_api.h and extra/c_env_api.h
// (0.1.x).

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "kernels/runtime/tvm_ffi_abi.h"

namespace {

using kernels::tvm_ffi::Any;
using kernels::tvm_ffi::ByteArray;
using kernels::tvm_ffi::DataType;
using kernels::tvm_ffi::ErrorCell;
using kernels::tvm_ffi::Object;
using kernels::tvm_ffi::Tensor;

constexpr std::uint64_t kStrongMask = 0xffffffffULL;
constexpr std::uint64_t kWeakOne = 1ULL << 32;

std::atomic_ref<std::uint64_t> counts_of(void* object) {
  return std::atomic_ref<std::uint64_t>(static_cast<Object*>(object)->counts);
}

/// An error or string of our own making: one allocation, texts behind the cell.
void free_block(void* self, int which) {
  if ((which & 2) != 0) std::free(self);
}

/// A block with an object head, `cell` bytes of content and `tail` bytes of text behind it; null without
/// memory.
void* new_block(std::int32_t type_index, std::size_t cell, std::size_t tail) {
  void* block = std::calloc(1, sizeof(Object) + cell + tail);
  if (block == nullptr) return nullptr;
  auto* head = static_cast<Object*>(block);
  head->counts = kernels::tvm_ffi::kOneStrongOneWeak;
  head->type_index = type_index;
  head->deleter = free_block;
  return block;
}

/// Backtraces are not collected: the kernel's message says what is wrong.
void ignore_backtrace(void*, const ByteArray*, std::int32_t) {}

ByteArray append(char*& cursor, ByteArray text) {
  if (text.size != 0) std::memcpy(cursor, text.data, text.size);
  const ByteArray copy{cursor, text.size};
  cursor += text.size + 1;
  return copy;
}

void* new_error(ByteArray kind, ByteArray message, ByteArray backtrace) {
  const std::size_t tail = kind.size + message.size + backtrace.size + 3;
  void* block = new_block(kernels::tvm_ffi::kError, sizeof(ErrorCell), tail);
  if (block == nullptr) return nullptr;
  auto* cell = reinterpret_cast<ErrorCell*>(static_cast<char*>(block) + sizeof(Object));
  char* cursor = reinterpret_cast<char*>(cell) + sizeof(ErrorCell);
  cell->kind = append(cursor, kind);
  cell->message = append(cursor, message);
  cell->backtrace = append(cursor, backtrace);
  cell->update_backtrace = ignore_backtrace;
  return block;
}

ByteArray text_of(const char* text) {
  return {text, text == nullptr ? 0 : std::strlen(text)};
}

void drop(void* object) {
  if (object == nullptr) return;
  auto counts = counts_of(object);
  const std::uint64_t before = counts.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kStrongMask) != 1) return;
  auto* head = static_cast<Object*>(object);
  // The strong references together hold one weak one; if it is the last, one call ends both.
  if (before >> 32 == 1) {
    if (head->deleter != nullptr) head->deleter(object, 3);
    return;
  }
  if (head->deleter != nullptr) head->deleter(object, 1);
  if (counts.fetch_sub(kWeakOne, std::memory_order_acq_rel) >> 32 == 1 && head->deleter != nullptr)
    head->deleter(object, 2);
}

/// Owns the raised error of one thread until it is fetched or the thread ends.
struct RaisedError {
  void* object = nullptr;
  ~RaisedError() { drop(object); }
};
thread_local RaisedError raised;

void set_raised(void* owned) {
  drop(raised.object);
  raised.object = owned;
}

// The stream table is small and per thread: a process has few devices.
struct StreamEntry {
  std::int32_t device_type;
  std::int32_t device_id;
  void* stream;
};
constexpr std::size_t kStreams = 64;
thread_local std::array<StreamEntry, kStreams> streams;
thread_local std::size_t stream_count = 0;

StreamEntry* find_stream(std::int32_t device_type, std::int32_t device_id) {
  for (std::size_t i = 0; i < stream_count; ++i) {
    StreamEntry& entry = streams[i];
    if (entry.device_type == device_type && entry.device_id == device_id) return &entry;
  }
  return nullptr;
}

// Objects built by C++ headers of 0.1.13 and later keep a pointer to their release function right before the
// body.
void delete_space(void* body) {
  std::free(static_cast<void**>(body)[-2]);
}

void* allocate(std::size_t size, std::size_t alignment, std::int32_t, void*) {
  const std::size_t align = alignment < 16 ? 16 : alignment;
  if (size > SIZE_MAX - 2 * align) return nullptr;
  auto* base = static_cast<char*>(std::malloc(size + 2 * align));
  if (base == nullptr) return nullptr;
  // The first aligned place with room for two pointers before it: where the block begins, and how it is
  // released.
  const std::size_t past = reinterpret_cast<std::uintptr_t>(base) % align;
  void* body = base + align + (align - past) % align;
  auto** words = static_cast<void**>(body);
  words[-2] = base;
  words[-1] = reinterpret_cast<void*>(&delete_space);
  return body;
}

struct CustomAllocator {
  void* (*allocate)(std::size_t size, std::size_t alignment, std::int32_t type_index, void* context);
  void* context;
};
CustomAllocator allocator{allocate, nullptr};

// The part of TVMFFITypeInfo that error texts and type checks read.
struct TypeInfo {
  std::int32_t type_index;
  std::int32_t type_depth;
  ByteArray type_key;
  const TypeInfo** type_ancestors;
  std::uint64_t type_key_hash;
  std::int32_t num_fields;
  std::int32_t num_methods;
  const void* fields;
  const void* methods;
  const void* metadata;
};

constexpr std::size_t kTypes = 256;
struct TypeName {
  std::int32_t index;
  const char* key;
};
constexpr TypeName kStaticTypes[] = {
    {0, "None"},
    {1, "int"},
    {2, "bool"},
    {3, "float"},
    {4, "void*"},
    {5, "DataType"},
    {6, "Device"},
    {7, "DLTensor*"},
    {8, "const char*"},
    {9, "TVMFFIByteArray*"},
    {10, "ObjectRValueRef"},
    {11, "ffi.SmallStr"},
    {12, "ffi.SmallBytes"},
    {64, "ffi.Object"},
    {65, "ffi.String"},
    {66, "ffi.Bytes"},
    {67, "ffi.Error"},
    {68, "ffi.Function"},
    {69, "ffi.Shape"},
    {70, "ffi.Tensor"},
    {71, "ffi.Array"},
    {72, "ffi.Map"},
    {73, "ffi.Module"},
    {74, "ffi.OpaquePyObject"},
    {75, "ffi.List"},
    {76, "ffi.Dict"},
};

/// Types by index. Ancestors of every object type are at least ffi.Object, so that a walk up ends there.
struct TypeTable {
  std::array<TypeInfo, kTypes> types{};
  const TypeInfo* root[1] = {&types[kernels::tvm_ffi::kFirstObject]};
  std::int32_t next = kernels::tvm_ffi::kFirstDynamic;
  std::mutex lock;

  TypeTable() {
    for (std::size_t i = 0; i < kTypes; ++i)
      fill(static_cast<std::int32_t>(i), text_of("object.Unknown"));
    for (const TypeName& type : kStaticTypes)
      fill(type.index, text_of(type.key));
  }
  void fill(std::int32_t index, ByteArray key) {
    TypeInfo& info = types[static_cast<std::size_t>(index)];
    info.type_index = index;
    info.type_depth = index > kernels::tvm_ffi::kFirstObject ? 1 : 0;
    info.type_key = key;
    info.type_ancestors = root;
  }
};
TypeTable& type_table() {
  static TypeTable table;
  return table;
}

bool same(ByteArray a, ByteArray b) {
  return a.size == b.size && std::memcmp(a.data, b.data, a.size) == 0;
}

struct DataTypeName {
  const char* name;
  DataType type;
};
constexpr DataTypeName kDataTypes[] = {
    {"float16", {2, 16, 1}}, {"float32", {2, 32, 1}}, {"float64", {2, 64, 1}}, {"bfloat16", {4, 16, 1}},
    {"int8", {0, 8, 1}},     {"int16", {0, 16, 1}},   {"int32", {0, 32, 1}},   {"int64", {0, 64, 1}},
    {"uint8", {1, 8, 1}},    {"uint16", {1, 16, 1}},  {"uint32", {1, 32, 1}},  {"uint64", {1, 64, 1}},
    {"bool", {6, 8, 1}},
};

// DLPack's managed tensor with a version, as an allocator returns it.
struct ManagedTensor {
  std::uint32_t major;
  std::uint32_t minor;
  void* context;
  void (*deleter)(ManagedTensor* self);
  std::uint64_t flags;
  Tensor tensor;
};
using ManagedAllocator = int (*)(Tensor* prototype, ManagedTensor** out, void* error_context,
                                 void (*set_error)(void* error_context, const char* kind,
                                                   const char* message));

thread_local ManagedAllocator thread_allocator = nullptr;
std::atomic<ManagedAllocator> global_allocator = nullptr;

struct TensorCell {
  Tensor tensor;
  ManagedTensor* managed;
};

void free_tensor(void* self, int which) {
  auto* cell = reinterpret_cast<TensorCell*>(static_cast<char*>(self) + sizeof(Object));
  if ((which & 1) != 0 && cell->managed != nullptr && cell->managed->deleter != nullptr)
    cell->managed->deleter(cell->managed);
  if ((which & 2) != 0) std::free(self);
}

std::mutex init_lock;

}  // namespace

#define PROVIDED extern "C" __attribute__((visibility("default")))

PROVIDED void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* message) {
  set_raised(new_error(text_of(kind), text_of(message), {"", 0}));
}

namespace {
void raise_from_allocator(void*, const char* kind, const char* message) {
  TVMFFIErrorSetRaisedFromCStr(kind, message);
}
}  // namespace

struct TVMFFIVersion {  // NOLINT(misc-use-internal-linkage): of the C interface
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t patch;
};

PROVIDED void TVMFFIGetVersion(TVMFFIVersion* out) {
  *out = {0, 1, 13};
}

PROVIDED int TVMFFIEnvSetStream(std::int32_t device_type, std::int32_t device_id, void* stream, void** old) {
  StreamEntry* entry = find_stream(device_type, device_id);
  if (old != nullptr) *old = entry == nullptr ? nullptr : entry->stream;
  if (entry == nullptr) {
    if (stream_count == kStreams) {
      TVMFFIErrorSetRaisedFromCStr("RuntimeError", "too many devices have a stream set in this thread");
      return -1;
    }
    entry = &streams[stream_count++];
  }
  *entry = {device_type, device_id, stream};
  return 0;
}

PROVIDED void* TVMFFIEnvGetStream(std::int32_t device_type, std::int32_t device_id) {
  const StreamEntry* entry = find_stream(device_type, device_id);
  return entry == nullptr ? nullptr : entry->stream;
}

PROVIDED int TVMFFIObjectIncRef(void* object) {
  counts_of(object).fetch_add(1, std::memory_order_relaxed);
  return 0;
}

PROVIDED int TVMFFIObjectDecRef(void* object) {
  drop(object);
  return 0;
}

namespace {
struct OpaqueCell {
  void* handle;
  void (*deleter)(void* handle);
};

void free_opaque(void* self, int which) {
  auto* cell = reinterpret_cast<OpaqueCell*>(static_cast<char*>(self) + sizeof(Object));
  if ((which & 1) != 0 && cell->deleter != nullptr) cell->deleter(cell->handle);
  if ((which & 2) != 0) std::free(self);
}
}  // namespace

PROVIDED int TVMFFIObjectCreateOpaque(void* handle, std::int32_t type_index, void (*deleter)(void*),
                                      void** out) {
  void* block = new_block(type_index, sizeof(OpaqueCell), 0);
  if (block == nullptr) return -1;
  static_cast<Object*>(block)->deleter = free_opaque;
  *reinterpret_cast<OpaqueCell*>(static_cast<char*>(block) + sizeof(Object)) = {handle, deleter};
  *out = block;
  return 0;
}

PROVIDED CustomAllocator* TVMFFIGetCustomAllocator() {
  return &allocator;
}

PROVIDED void TVMFFIErrorSetRaised(void* error) {
  TVMFFIObjectIncRef(error);
  set_raised(error);
}

PROVIDED void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, std::int32_t count) {
  std::size_t size = 0;
  for (std::int32_t i = 0; i < count; ++i)
    size += text_of(parts[i]).size;
  auto* joined = static_cast<char*>(std::malloc(size + 1));
  if (joined == nullptr) {
    TVMFFIErrorSetRaisedFromCStr(kind, "out of memory while joining the parts of a message");
    return;
  }
  char* cursor = joined;
  for (std::int32_t i = 0; i < count; ++i) {
    const ByteArray part = text_of(parts[i]);
    if (part.size != 0) std::memcpy(cursor, part.data, part.size);
    cursor += part.size;
  }
  set_raised(new_error(text_of(kind), {joined, size}, {"", 0}));
  std::free(joined);
}

PROVIDED void TVMFFIErrorMoveFromRaised(void** result) {
  *result = raised.object;
  raised.object = nullptr;
}

PROVIDED int TVMFFIErrorCreate(const ByteArray* kind, const ByteArray* message, const ByteArray* backtrace,
                               void** out) {
  *out = new_error(*kind, *message, *backtrace);
  return *out == nullptr ? -1 : 0;
}

PROVIDED const ByteArray* TVMFFIBacktrace(const char*, int, const char*, int) {
  static const ByteArray none{"", 0};
  return &none;
}

PROVIDED int TVMFFIStringFromByteArray(const ByteArray* input, Any* out) {
  *out = {};
  if (input->size < sizeof(out->as_bytes)) {
    out->type_index = kernels::tvm_ffi::kSmallString;
    out->small_length = static_cast<std::uint32_t>(input->size);
    if (input->size != 0) std::memcpy(out->as_bytes, input->data, input->size);
    return 0;
  }
  void* block = new_block(kernels::tvm_ffi::kString, sizeof(ByteArray), input->size + 1);
  if (block == nullptr) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", "out of memory while making a string");
    return -1;
  }
  auto* cell = reinterpret_cast<ByteArray*>(static_cast<char*>(block) + sizeof(Object));
  char* cursor = reinterpret_cast<char*>(cell) + sizeof(ByteArray);
  *cell = append(cursor, *input);
  out->type_index = kernels::tvm_ffi::kString;
  out->as_pointer = block;
  return 0;
}

PROVIDED const TypeInfo* TVMFFIGetTypeInfo(std::int32_t index) {
  TypeTable& table = type_table();
  const auto slot =
      index < 0 || static_cast<std::size_t>(index) >= kTypes ? kTypes - 1 : static_cast<std::size_t>(index);
  return &table.types[slot];
}

PROVIDED std::int32_t TVMFFITypeGetOrAllocIndex(const ByteArray* key, std::int32_t static_index, std::int32_t,
                                                std::int32_t child_slots, std::int32_t, std::int32_t) {
  if (static_index >= 0) return static_index;
  TypeTable& table = type_table();
  const std::lock_guard guard(table.lock);
  for (std::int32_t i = kernels::tvm_ffi::kFirstDynamic; i < table.next; ++i)
    if (same(table.types[static_cast<std::size_t>(i)].type_key, *key)) return i;
  // The last slot stands for "unknown"; a library that registers more types than fit gets that one.
  const std::int32_t index = table.next;
  if (static_cast<std::size_t>(index) >= kTypes - 1) return static_cast<std::int32_t>(kTypes) - 1;
  auto* copy = static_cast<char*>(std::malloc(key->size + 1));
  if (copy == nullptr) return static_cast<std::int32_t>(kTypes) - 1;
  table.fill(index, append(copy, *key));
  table.next = index + 1 + (child_slots > 0 && child_slots < 16 ? child_slots : 0);
  return index;
}

PROVIDED int TVMFFIDataTypeFromString(const ByteArray* text, DataType* out) {
  for (const DataTypeName& row : kDataTypes) {
    if (!same(text_of(row.name), *text)) continue;
    *out = row.type;
    return 0;
  }
  TVMFFIErrorSetRaisedFromCStr("ValueError", "unknown data type name");
  return -1;
}

PROVIDED int TVMFFIEnvSetDLPackManagedTensorAllocator(ManagedAllocator wanted, int global,
                                                      ManagedAllocator* old) {
  if (old != nullptr) *old = thread_allocator;
  thread_allocator = wanted;
  if (global != 0) global_allocator = wanted;
  return 0;
}

PROVIDED ManagedAllocator TVMFFIEnvGetDLPackManagedTensorAllocator() {
  return thread_allocator != nullptr ? thread_allocator : global_allocator.load();
}

PROVIDED int TVMFFIEnvTensorAlloc(Tensor* prototype, void** out) {
  const ManagedAllocator make = TVMFFIEnvGetDLPackManagedTensorAllocator();
  if (make == nullptr) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError",
                                 "the kernel asks for memory and the program has set no allocator");
    return -1;
  }
  ManagedTensor* managed = nullptr;
  if (make(prototype, &managed, nullptr, raise_from_allocator) != 0 || managed == nullptr) return -1;
  void* block = new_block(kernels::tvm_ffi::kTensor, sizeof(TensorCell), 0);
  if (block == nullptr) {
    if (managed->deleter != nullptr) managed->deleter(managed);
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", "out of memory while making a tensor");
    return -1;
  }
  static_cast<Object*>(block)->deleter = free_tensor;
  *reinterpret_cast<TensorCell*>(static_cast<char*>(block) + sizeof(Object)) = {managed->tensor, managed};
  *out = block;
  return 0;
}

PROVIDED int TVMFFIHandleInitOnce(void** address, int (*make)(void** result)) {
  const std::lock_guard guard(init_lock);
  std::atomic_ref<void*> handle(*address);
  if (handle.load(std::memory_order_acquire) != nullptr) return 0;
  void* made = nullptr;
  if (const int failed = make(&made); failed != 0) return failed;
  handle.store(made, std::memory_order_release);
  return 0;
}

PROVIDED int TVMFFIHandleDeinitOnce(void** address, int (*end)(void* handle)) {
  const std::lock_guard guard(init_lock);
  void* handle = std::atomic_ref<void*>(*address).exchange(nullptr);
  return handle == nullptr ? 0 : end(handle);
}
