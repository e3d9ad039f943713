#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/runtime/cuda.h"

// Plain stream kernels: the traffic of a function without its arithmetic. What they reach is the limit that
// the function is compared with.

namespace kernels::bench {

/// The traffic of one call in bytes. What is changed in place is read and written.
struct Traffic {
  std::uint64_t read = 0;
  std::uint64_t written = 0;
  std::uint64_t in_place = 0;  ///< part of both
  std::uint64_t bytes() const { return read + written; }
};

/// How many equal streams are read and written, so that the shares are those of the traffic as nearly as
/// small numbers can say. Pure.
struct StreamShape {
  unsigned reads = 1;            ///< 0 to 4
  unsigned writes = 1;           ///< 0 to 4
  bool in_place = false;         ///< the written streams are the first of those that are read
  unsigned written_vector = 16;  ///< bytes that a thread writes for each vector of 16 bytes: 16, 8 or 4
  bool operator==(const StreamShape&) const = default;
};
std::vector<StreamShape> shapes_for(const Traffic& traffic);

/// What operands and streams begin at in the memory of a device.
constexpr std::uint64_t aligned_size(std::uint64_t bytes) {
  constexpr std::uint64_t kAlignment = 256;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// A stream kernel as it is launched.
struct StreamPlan {
  StreamShape shape;
  unsigned vectors_per_thread = 1;
  unsigned threads = 512;
  std::uint64_t vectors = 0;  ///< of each stream
  std::string describe() const;
};

/// Bytes that a plan touches, from its first address on; a multiple of 256.
std::uint64_t footprint(const StreamPlan& plan);

/// All plans that are worth trying for the traffic: shapes, threads per block, vectors per thread. Pure.
std::vector<StreamPlan> plans_for(const Traffic& traffic);

/// PTX of one entry, `stream`, that takes (address, vectors).
std::string stream_ptx(const StreamPlan& plan);
/// PTX of one entry, `nothing`, that takes and does nothing.
std::string empty_ptx();

/// A plan that is compiled for a device. The Cuda must outlive it.
class Stream {
 public:
  /// Errors  as of `Cuda::compile`.
  static Result<Stream> make(const runtime::Cuda& cuda, const StreamPlan& plan);
  const StreamPlan& plan() const { return plan_; }
  /// Puts one pass over the memory at `address` on the stream.
  Status run_async(const runtime::Cuda& cuda, std::uint64_t address) const;

 private:
  StreamPlan plan_;
  runtime::CudaKernel kernel_;
};

}  // namespace kernels::bench
