#pragma once

// The binary interface between a tvm-ffi kernel and the program that calls it, as far as `kernels` needs it.
//
// Only facts are stated here, in our own words and names: sizes, offsets and numbers that both sides must
// agree on. Source: apache/tvm-ffi, include/tvm/ffi/c_api.h and extra/c_env_api.h, unchanged in all 0.1.x
// releases, and the DLPack specification 1.x. The header is shared by the host (lib/runtime), by our provider
// of libtvm_ffi.so and by the kernels in kernels/, so it needs no more than C++17 and no other header of
// ours.
//
//  1. A kernel library exports `__tvm_ffi_<name>`: int(void* self, const Any* args, int32_t count, Any*
//  result).
//     It returns 0, or -1 after it has put an error in thread-local storage through TVMFFIErrorSetRaised*.
//  2. Names that go on with a further underscore are not functions: `__tvm_ffi__metadata_<name>`.
//  3. A tensor argument is a borrowed DLTensor (index 7) or a counted object that holds one (index 70).

#include <cstddef>
#include <cstdint>

namespace kernels::tvm_ffi {

/// What an Any holds. Values from 64 on are counted objects.
enum TypeIndex : std::int32_t {
  kNone = 0,
  kInt = 1,
  kBool = 2,
  kFloat = 3,
  kOpaquePointer = 4,
  kDataType = 5,
  kDevice = 6,
  kTensorPointer = 7,
  kRawString = 8,
  kSmallString = 11,
  kFirstObject = 64,
  kString = 65,
  kError = 67,
  kTensor = 70,
  kFirstDynamic = 128,
};

enum DeviceType : std::int32_t { kCpu = 1, kCuda = 2 };
enum DataTypeCode : std::uint8_t {
  kSignedInt = 0,
  kUnsignedInt = 1,
  kFloatingPoint = 2,
  kBfloat = 4,
  kFloat8E4M3Fn = 10,
};

struct Device {
  std::int32_t type;
  std::int32_t id;
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

/// A strided view. `strides` are in elements; null means row-major. The first element is `data +
/// byte_offset`.
struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
static_assert(sizeof(Tensor) == 48);

struct ByteArray {
  const char* data;
  std::size_t size;
};

/// The head of every counted object. The low half of the count is the strong, the high half the weak one.
struct Object {
  std::uint64_t counts;
  std::int32_t type_index;
  std::uint32_t padding;
  void (*deleter)(void* self, int which);  // 1 = strong count is zero, 2 = weak, 3 = both
};
static_assert(sizeof(Object) == 24);
inline constexpr std::uint64_t kOneStrongOneWeak = (1ULL << 32) | 1;

/// One value that crosses the boundary. Unused bytes are zero.
struct Any {
  std::int32_t type_index;
  std::uint32_t small_length;
  union {
    std::int64_t as_int;
    double as_float;
    void* as_pointer;
    const char* as_text;
    DataType as_dtype;
    Device as_device;
    char as_bytes[8];
  };
};
static_assert(sizeof(Any) == 16);

/// What follows the head of an error object in every 0.1.x; later releases append fields.
struct ErrorCell {
  ByteArray kind;
  ByteArray message;
  ByteArray backtrace;
  void (*update_backtrace)(void* self, const ByteArray* backtrace, std::int32_t mode);
  void* cause;
  void* extra_context;
};

using SafeCall = int (*)(void* self, const Any* args, std::int32_t count, Any* result);

inline constexpr char kFunctionPrefix[] = "__tvm_ffi_";

}  // namespace kernels::tvm_ffi
