#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/results.h"
#include "kernels/bench/workload.h"

// One case: one function, one data type, some shapes to check and at most one to time. It is set up and
// sampled by a `Case` in a worker process, and travels there and back as JSON.

namespace kernels::bench {

struct CaseRequest {
  std::string library;
  std::string provider;     ///< libtvm_ffi.so
  std::string torch_lib;    ///< the folder of libtorch; empty: there is none
  std::string python_stub;  ///< libkernels_python.so
  runtime::DeviceKind device = runtime::DeviceKind::cpu;
  int device_index = 0;
  FunctionSpec function;
  DType dtype = DType::float32;
  std::vector<Sizes> checks;
  std::optional<Sizes> timed;  ///< is also checked, first
  std::uint64_t seed = 0;
  /// Where a CPU variant of one thread is timed. None: where it happens to run.
  std::optional<unsigned> processor = {};
};

/// Where the worker is; sent before each step, so that the parent can say during which one it died.
struct CaseStep {
  std::string text;
};
using StepSink = std::function<void(const CaseStep&)>;

/// What became of setting a case up.
struct CaseAnswer {
  CaseResult result;    ///< without a timing
  DeviceRecord device;  ///< without a kind: it was not opened
  /// What will be sampled and how, with series that are all empty. None: there is nothing to sample.
  std::optional<Timing> plan = {};
  std::optional<DType> dtype = {};  ///< of a script's output, if it is one of ours
  /// That the one thread of a CPU variant stays on.
  std::optional<unsigned> processor = {};
};

/// One sample of each kind that the timing names, `count` times in turn, and what the device did meanwhile.
struct SampleBatch {
  std::map<SeriesKind, std::vector<double>> samples;
  Conditions conditions;
  std::string disturbed;  ///< why these samples do not count; empty: they do
};

/// Samples, or how the case ended instead.
using Sampled = std::expected<SampleBatch, CaseResult>;

/// A case in this process: machine code of the library runs here. Nothing is thrown. Threads  one.
class Case {
 public:
  Case(CaseRequest request, StepSink on_step);
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;
  ~Case();

  /// In this order: signatures, behaviour towards the device, numerics, and the set-up of the timing.
  CaseAnswer prepare();
  /// `count` samples of each kind, after `prepare` has returned a plan. The unexpected result says how it
  /// ended.
  Sampled sample(std::uint32_t count);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

std::string encode(const CaseRequest& request);
std::string encode(const CaseAnswer& answer);
std::string encode(const CaseResult& result);
std::string encode(const SampleBatch& batch);
/// Errors  corrupt.
Result<CaseRequest> decode_request(std::string_view json);
Result<CaseAnswer> decode_answer(std::string_view json);
Result<CaseResult> decode_result(std::string_view json);
Result<SampleBatch> decode_batch(std::string_view json);

}  // namespace kernels::bench
