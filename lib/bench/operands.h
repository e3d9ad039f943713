#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/workload.h"
#include "kernels/runtime/cuda.h"
#include "kernels/runtime/runner.h"

#include "huge_pages.h"

namespace kernels::bench {

/// Reproducible random numbers: SplitMix64 (Steele, Lea & Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  /// Bell-shaped around 0, standard deviation 1.15, never beyond 4: the range of activations in a model.
  double value();
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }

 private:
  std::uint64_t state_;
};

/// A device address in the form that tensors have.
void* device_pointer(std::uint64_t address);

/// Memory on the CPU or on a CUDA device behind one interface.
class Buffer {
 public:
  /// `cuda` null: on the CPU. Errors  unsupported: no memory left here; io.
  static Result<Buffer> make(const runtime::Cuda* cuda, std::uint64_t bytes);

  std::byte* address() const;
  std::uint64_t size() const { return bytes_; }
  Status write(std::span<const std::byte> from, std::uint64_t offset) const;
  Status read(std::span<std::byte> to) const;

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  const runtime::Cuda* cuda_ = nullptr;
  std::unique_ptr<std::byte, Free> host_;
  runtime::CudaMemory device_;
  std::uint64_t bytes_ = 0;
};

/// Bytes before and after each operand that no kernel may touch.
inline constexpr std::uint64_t kGuardBytes = 256;
inline constexpr std::byte kGuard{0xa5};
/// The bytes of outputs before the call: NaN in every floating-point type; of whole numbers a large negative
/// one, which no count, index or place is (-1, all ones, often means that there is none).
constexpr std::byte poison_of(DType type) {
  return type == DType::int32 || type == DType::int64 ? std::byte{0x81} : std::byte{0xff};
}

enum class Rows : std::uint8_t { dense, padded };

/// One argument of one call: its memory, what was in it before, and the value that is passed.
struct Operand {
  const ArgumentSpec* spec = nullptr;
  DType dtype = DType::float32;  ///< of this argument
  runtime::Layout layout;
  Image before;  ///< image of the whole buffer with its guards
  Buffer buffer;
  std::unique_ptr<runtime::Tensor> tensor;  ///< null for a number

  bool is_tensor() const { return !spec->value.has_value(); }
  runtime::Value value() const;
};

struct OperandOptions {
  DType dtype;  ///< of the case: of the arguments that do not say otherwise
  Rows rows;
  const runtime::Cuda* cuda;  ///< null: CPU
  int device_index;
};

/// Layouts and images for a call: random inputs, poisoned outputs, guards around and in the gaps.
/// Errors  corrupt (shape), from `shape_of`.
Result<std::vector<Operand>> make_images(const FunctionSpec& function, const Sizes& sizes, Random& random,
                                         const OperandOptions& options);

/// Gives each operand memory with its image in it, and a tensor over that.
Status place(std::vector<Operand>& operands, const OperandOptions& options);

/// Bytes that one set of operands takes, without placing it.
std::uint64_t set_bytes(const std::vector<Operand>& operands);

std::vector<runtime::Value> values_of(const std::vector<Operand>& operands);

/// Memory that a case may use here: half of what is free on the machine or on the device.
Result<std::uint64_t> usable_bytes(const runtime::Cuda* cuda);

}  // namespace kernels::bench
