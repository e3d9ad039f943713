#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/results.h"
#include "kernels/bench/workload.h"

// One case: one function, one data type, some shapes to check and at most one to time. It is run by
// `run_case` in a worker process, and travels there and back as JSON.

namespace kernels::bench {

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

/// What a worker answers.
struct CaseAnswer {
  CaseResult result;
  DeviceRecord device;
};

using StepSink = std::function<void(const CaseStep&)>;

/// Runs the case in this process: machine code of the library runs here. Never throws.
CaseAnswer run_case(const CaseRequest& request, const StepSink& on_step);

std::string encode(const CaseRequest& request);
std::string encode(const CaseAnswer& answer);
/// Errors  corrupt.
Result<CaseRequest> decode_request(std::string_view json);
Result<CaseAnswer> decode_answer(std::string_view json);

}  // namespace kernels::bench
