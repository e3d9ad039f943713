#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/base/error.h"

// What is called of libtorch, found by name at run time: its C interface (aoti_torch_…, torch_…; see
// PyTorch's torch/csrc/inductor/aoti_torch/c/shim.h and torch/csrc/stable/c/shim.h), and for schemas, which
// that does not have, four functions of c10::Dispatcher by their mangled names.

namespace kernels::runtime {

/// The value of an argument or a result: a handle, an integer, the bits of a double.
using StableValue = std::uint64_t;
using TensorHandle = void*;

/// c10::OperatorHandle: a pointer to the definition and one into the dispatcher's list. It has a destructor,
/// so it is returned through memory. PyTorch 2.0 to 2.15.
struct OperatorHandle {
  void* definition = nullptr;  ///< begins with the c10::impl::OperatorEntry
  void* node = nullptr;
  OperatorHandle() = default;
  OperatorHandle(const OperatorHandle&) = default;
  OperatorHandle& operator=(const OperatorHandle&) = default;
  ~OperatorHandle() {}  // NOLINT(modernize-use-equals-default): has to exist for the calling convention
};

struct OperatorName {
  std::string name;      ///< "ns::op"
  std::string overload;  ///< mostly empty
};

struct TorchShim {
  std::uint64_t (*abi_version)() = nullptr;  ///< 0x020b… is 2.11
  std::int32_t (*dtype_float32)() = nullptr;
  std::int32_t (*dtype_float16)() = nullptr;
  std::int32_t (*dtype_bfloat16)() = nullptr;
  std::int32_t (*dtype_float64)() = nullptr;
  std::int32_t (*dtype_float8)() = nullptr;  ///< float8_e4m3fn
  std::int32_t (*dtype_int32)() = nullptr;
  std::int32_t (*dtype_int64)() = nullptr;
  std::int32_t (*device_cpu)() = nullptr;
  std::int32_t (*device_cuda)() = nullptr;
  std::int32_t (*layout_strided)() = nullptr;
  std::int32_t (*from_blob)(void* data, std::int64_t dimensions, const std::int64_t* sizes,
                            const std::int64_t* strides, std::int64_t offset, std::int32_t dtype,
                            std::int32_t device_type, std::int32_t device_index, TensorHandle* out,
                            std::int32_t layout, const std::uint8_t* metadata,
                            std::int64_t metadata_size) = nullptr;
  std::int32_t (*new_handle)(TensorHandle from, TensorHandle* out) = nullptr;
  std::int32_t (*delete_tensor)(TensorHandle tensor) = nullptr;
  std::int32_t (*call)(const char* name, const char* overload, StableValue* stack) = nullptr;
  std::int32_t (*call_versioned)(const char* name, const char* overload, StableValue* stack,
                                 std::uint64_t version) = nullptr;  ///< 2.10 and later
  const char* (*last_error)() = nullptr;                            ///< 2.13 and later
  std::int32_t (*make_stream_guard)(void* stream, std::int32_t device, void** out) = nullptr;  ///< with CUDA

  void* (*dispatcher)() = nullptr;
  std::vector<OperatorName> (*operator_names)(void* dispatcher) = nullptr;
  OperatorHandle (*find_schema)(void* dispatcher, const char* name, const char* overload) = nullptr;
  std::string (*dump_state)(const void* entry) = nullptr;  ///< a text with a line "schema: …"
};

/// Loads libtorch from a folder, visible to all that is loaded later, with its CUDA part if that is asked for
/// and there. Errors  not_found; unsupported, with the name of what it lacks or the loader's words.
Result<TorchShim> load_torch(const std::filesystem::path& folder, bool with_cuda);

}  // namespace kernels::runtime
