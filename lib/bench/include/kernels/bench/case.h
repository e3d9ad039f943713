#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/statistics.h"
#include "kernels/bench/workload.h"

// One case: one function, one data type, some shapes to check and at most one to time. It is run by
// `run_case` in a worker process, and travels there and back as JSON.

namespace kernels::bench {

/// How a case ended. Only `right` has times: a wrong kernel has no time.
enum class Verdict : std::uint8_t {
  right,
  wrong,          ///< outside the tolerance, output left untouched, or written where it must not
  raised,         ///< the kernel refused the call, or its launch failed
  crashed,        ///< a signal, or an exit in the middle
  timed_out,      ///< killed at the time limit
  out_of_memory,  ///< the machine or the device has no room for the case
  failed,         ///< the case could not be set up: library, device, signature
};
std::string_view name_of(Verdict verdict);

struct CaseRequest {
  std::string library;
  std::string provider;
  runtime::DeviceKind device = runtime::DeviceKind::cpu;
  int device_index = 0;
  FunctionSpec function;
  DType dtype = DType::float32;
  std::vector<Sizes> checks;
  std::optional<Sizes> timed;  ///< is also checked, first
  std::uint64_t seed = 0;
  double budget_seconds = 1;  ///< for all samples together
};

/// Where the worker is; sent before each step, so that the parent can say during which one it died.
struct CaseStep {
  std::string text;
};

/// What was measured and how. Times in nanoseconds per call.
struct Timing {
  Summary kernel;
  std::vector<double> samples;
  std::uint64_t bytes = 0;  ///< compulsory traffic of one call
  double gb_per_s = 0;      ///< of that traffic, at the median; 1 GB = 10^9 bytes
  Summary limit;            ///< a plain copy that moves the same bytes, measured in turns with the kernel
  double limit_gb_per_s = 0;
  double share_of_limit = 0;  ///< gb_per_s / limit_gb_per_s
  std::string limit_method;
  std::string method;     ///< in words: cold or warm, calls per sample, clock
  std::string clocks;     ///< before and after, where the machine tells
  bool unsteady = false;  ///< clocks changed, or the spread is above 10 %
};

struct CaseResult {
  Verdict verdict = Verdict::failed;
  std::string reason;         ///< empty when right
  double max_error = 0;       ///< largest |got - reference|
  double worst_share = 0;     ///< largest error as a share of what the tolerance allows; right means <= 1
  std::uint64_t checked = 0;  ///< elements compared
  std::uint64_t seed = 0;
  std::string device;  ///< "NVIDIA H100 80GB HBM3, driver 580.159.04", or the processor's name
  std::optional<Timing> timing;
};

using StepSink = std::function<void(const CaseStep&)>;

/// Runs the case in this process: machine code of the library runs here. Never throws.
CaseResult run_case(const CaseRequest& request, const StepSink& on_step);

std::string encode(const CaseRequest& request);
std::string encode(const CaseResult& result);
/// Errors  corrupt.
Result<CaseRequest> decode_request(std::string_view json);
Result<CaseResult> decode_result(std::string_view json);

}  // namespace kernels::bench
