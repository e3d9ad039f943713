#include "kernels/bench/case.h"

#include <algorithm>
#include <expected>
#include <new>

#include "meter.h"

namespace kernels::bench {
namespace {

CaseResult ended(CaseResult result, Verdict verdict, std::string reason) {
  result.verdict = verdict;
  result.reason = std::move(reason);
  return result;
}

/// What an Error in the middle of a case means: no room, a device that died, or a case that cannot be run.
Verdict verdict_of(const Error& error) {
  if (error.text().find("OUT_OF_MEMORY") != std::string::npos) return Verdict::out_of_memory;
  if (error.code() == Errc::unsupported) return Verdict::out_of_memory;
  return error.code() == Errc::io ? Verdict::crashed : Verdict::failed;
}

bool is_tensor_type(const std::string& type) {
  return type.find("Tensor") != std::string::npos;
}

/// Compares what the library says of itself with what workloads.toml says: calling with other types would
/// only produce less clear errors.
Status match_signature(const runtime::Runner& library, const FunctionSpec& function) {
  for (const std::string& name : {function.name, function.reference, function.baseline}) {
    if (name.empty()) continue;  // no baseline
    if (!library.has(name)) return fail(Errc::corrupt, "the library has no function `" + name + "`");
    auto signature = library.signature(name);
    if (!signature) return std::unexpected(std::move(signature).error());
    if (signature->arguments.size() != function.arguments.size())
      return fail(Errc::corrupt, "`" + name + "` takes " + std::to_string(signature->arguments.size()) +
                                     " arguments, workloads.toml names " +
                                     std::to_string(function.arguments.size()));
    for (std::size_t i = 0; i < function.arguments.size(); ++i)
      if (is_tensor_type(signature->arguments[i]) == function.arguments[i].value.has_value())
        return fail(Errc::corrupt, "`" + name + "` takes a " + signature->arguments[i] + " for `" +
                                       function.arguments[i].name + "`, workloads.toml says otherwise");
  }
  return {};
}

}  // namespace

class Case::Impl {
 public:
  Impl(CaseRequest request, StepSink on_step)
      : request_(std::move(request)), on_step_(std::move(on_step)), random_(request_.seed) {}

  CaseAnswer prepare() {
    CaseAnswer answer;
    answer.result = prepared();
    answer.device = device_;
    if (meter_) {
      answer.plan = meter_->plan();
      answer.processor = meter_->processor();
    }
    return answer;
  }

  Sampled sample(std::uint32_t count) {
    step("measuring " + describe(*request_.timed));
    auto batch = meter_->sample(count);
    if (!batch)
      return std::unexpected(ended(result_, verdict_of(batch.error()), kernels::describe(batch.error())));
    return std::move(*batch);
  }

 private:
  CaseResult prepared() {
    step("opening the library");
    if (request_.device == runtime::DeviceKind::cpu) counters_ = CpuCounters::open();
    auto library = open_library();
    if (!library) return ended(result_, Verdict::failed, kernels::describe(library.error()));
    library_ = std::move(*library);
    step("asking for signatures");
    if (auto matched = match_signature(*library_, request_.function); !matched)
      return ended(result_, Verdict::failed, kernels::describe(matched.error()));
    if (auto opened = open_device(); !opened)
      return ended(result_, Verdict::failed, kernels::describe(opened.error()));
    const auto tolerance = request_.function.tolerance.find(request_.dtype);
    if (tolerance == request_.function.tolerance.end())
      return ended(result_, Verdict::failed, "no tolerance for this data type");
    context_ = {library_.get(),
                &request_.function,
                tolerance->second,
                {request_.dtype, Rows::dense, cuda_.get(), request_.device_index}};
    result_.verdict = Verdict::right;
    if (!probe() || !checks()) return result_;
    if (!result_.probe.faults.empty()) {
      result_.verdict = Verdict::misbehaved;
      for (const auto& fault : result_.probe.faults)
        result_.reason += (result_.reason.empty() ? "" : "; ") + fault;
    }
    return request_.timed && result_.verdict == Verdict::right ? set_up() : result_;
  }

  void step(std::string text) const {
    if (on_step_) on_step_({std::move(text)});
  }

  Result<std::unique_ptr<runtime::Runner>> open_library() const {
    auto abi = runtime::abi_of(request_.library);
    if (!abi) return fail(std::move(abi).error());
    if (*abi == runtime::Abi::tvm_ffi)
      return runtime::open_tvm_ffi_runner(request_.library, request_.provider);
    if (request_.torch_lib.empty())
      return fail(
          Errc::unsupported,
          "its functions are called through libtorch, and none was found: activate an environment with "
          "PyTorch, or name its `torch/lib` with --torch-lib");
    return runtime::open_torch_runner({.library = request_.library,
                                       .torch_lib = request_.torch_lib,
                                       .python_stub = request_.python_stub,
                                       .device = request_.device});
  }

  Status open_device() {
    if (request_.device == runtime::DeviceKind::cpu) {
      device_ = cpu_device();
      return {};
    }
    step("opening the CUDA device");
    auto cuda = runtime::Cuda::open(request_.device_index);
    if (!cuda) return std::unexpected(std::move(cuda).error());
    cuda_ = std::move(*cuda);
    if (auto set = library_->set_stream(request_.device_index, cuda_->stream()); !set) return set;
    const auto& info = cuda_->info();
    device_ = {
        .kind = "cuda",
        .index = static_cast<std::uint32_t>(request_.device_index),
        .name = info.name,
        .uuid = info.uuid,
        .driver = info.driver,
        .capability = std::to_string(info.capability_major) + "." + std::to_string(info.capability_minor),
        .multiprocessors = static_cast<std::uint32_t>(info.multiprocessors),
        .memory_bytes = info.total_bytes,
        .cache_bytes = info.l2_bytes,
        .ecc = info.ecc,
        .max_clock_mhz = info.max_sm_mhz,
        .max_memory_mhz = info.max_memory_mhz,
        .power_limit_w = info.power_limit_w};
    return {};
  }

  /// A shape with something in it: nothing need be launched for nothing.
  const Sizes* shape_to_probe() const {
    if (request_.timed) return &*request_.timed;
    for (const auto& sizes : request_.checks) {
      auto bytes = bytes_moved(request_.function, sizes, request_.dtype);
      bool is_empty = std::ranges::any_of(sizes, [](const auto& size) { return size.second == 0; });
      if (bytes && !is_empty) return &sizes;
    }
    return nullptr;
  }

  bool probe() {
    const auto* sizes = shape_to_probe();
    if (cuda_ == nullptr || sizes == nullptr) return true;
    step("recording a call with " + describe(*sizes));
    auto probe = probe_call(context_, *sizes, random_);
    if (probe) {
      result_.probe = std::move(*probe);
      return true;
    }
    result_ = ended(std::move(result_), verdict_of(probe.error()), kernels::describe(probe.error()));
    return false;
  }

  bool checks() {
    for (const Sizes& sizes : request_.checks)
      for (const Rows rows : {Rows::dense, Rows::padded})
        if (!check_one(sizes, rows)) return false;
    return !request_.timed || check_one(*request_.timed, Rows::dense);
  }

  bool check_one(const Sizes& sizes, Rows rows) {
    auto context = context_;
    const std::string what = describe(sizes) + (rows == Rows::padded ? " with padded rows" : "");
    step("checking " + what);
    context.options.rows = rows;
    auto outcome = check(context, sizes, random_);
    if (!outcome) {
      const Verdict verdict = verdict_of(outcome.error());
      result_ = ended(std::move(result_), verdict, what + ": " + kernels::describe(outcome.error()));
      return false;
    }
    auto& numerics = result_.numerics;
    numerics.max_error = std::max(numerics.max_error, outcome->max_error);
    numerics.worst_share = std::max(numerics.worst_share, outcome->worst_share);
    numerics.checked += outcome->checked;
    if (outcome->verdict == Verdict::right) return true;
    result_ = ended(std::move(result_), outcome->verdict, what + ": " + outcome->reason);
    return false;
  }

  CaseResult set_up() {
    step("setting up the measurement of " + describe(*request_.timed));
    auto meter = cuda_ == nullptr ? make_cpu_meter(context_, *request_.timed, random_,
                                                   counters_ ? &*counters_ : nullptr, request_.processor)
                                  : make_cuda_meter(context_, *request_.timed, random_);
    if (!meter) return ended(result_, verdict_of(meter.error()), kernels::describe(meter.error()));
    meter_ = std::move(*meter);
    return result_;
  }

  CaseRequest request_;
  StepSink on_step_;
  Random random_;
  CaseResult result_;
  DeviceRecord device_;
  // Destroyed from the last to the first: the meter uses all others.
  std::optional<CpuCounters> counters_;
  std::unique_ptr<runtime::Cuda> cuda_;
  std::unique_ptr<runtime::Runner> library_;
  CheckContext context_ = {};
  std::unique_ptr<Meter> meter_;
};

namespace {

/// Runs a part of a case; what it throws becomes a result.
template <class Run, class Failed>
auto guarded(Run run, Failed failed) -> decltype(run()) {
  CaseResult result;
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return failed(ended(std::move(result), Verdict::out_of_memory, "no memory left on this machine"));
  } catch (const std::exception& error) {
    // An exception that a kernel let through its C interface.
    return failed(ended(std::move(result), Verdict::crashed, std::string("exception: ") + error.what()));
  }
}

}  // namespace

Case::Case(CaseRequest request, StepSink on_step)
    : impl_(std::make_unique<Impl>(std::move(request), std::move(on_step))) {}
Case::~Case() = default;

CaseAnswer Case::prepare() {
  return guarded(
      [&] { return impl_->prepare(); },
      [](CaseResult result) { return CaseAnswer{.result = std::move(result), .device = {}, .plan = {}}; });
}

Sampled Case::sample(std::uint32_t count) {
  return guarded([&] { return impl_->sample(count); },
                 [](CaseResult result) -> Sampled { return std::unexpected(std::move(result)); });
}

}  // namespace kernels::bench
