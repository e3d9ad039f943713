#include "kernels/bench/case.h"

#include <algorithm>
#include <new>

#include "measure.h"

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
  if (error.code() == Errc::no_match)
    return Verdict::wrong;  // nothing was launched where it should have been
  return error.code() == Errc::io ? Verdict::crashed : Verdict::failed;
}

bool is_tensor_type(const std::string& type) {
  return type.find("Tensor") != std::string::npos;
}

/// Compares what the library says of itself with what workloads.toml says: calling with other types would
/// only produce less clear errors.
Status match_signature(const runtime::KernelLibrary& library, const FunctionSpec& function) {
  for (const std::string& name : {function.name, function.reference}) {
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

class Case {
 public:
  Case(const CaseRequest& request, const StepSink& on_step) : request_(request), on_step_(on_step) {
    result_.seed = request.seed;
  }

  CaseResult run() {
    step("opening the library");
    auto library = runtime::KernelLibrary::open(request_.library, request_.provider);
    if (!library) return ended(result_, Verdict::failed, kernels::describe(library.error()));
    step("asking for signatures");
    if (auto matched = match_signature(*library, request_.function); !matched)
      return ended(result_, Verdict::failed, kernels::describe(matched.error()));
    if (auto opened = open_device(*library); !opened)
      return ended(result_, Verdict::failed, kernels::describe(opened.error()));
    const auto tolerance = request_.function.tolerance.find(request_.dtype);
    if (tolerance == request_.function.tolerance.end())
      return ended(result_, Verdict::failed, "no tolerance for this data type");
    const CheckContext context{&*library,
                               &request_.function,
                               tolerance->second,
                               {request_.dtype, Rows::dense, cuda_.get(), request_.device_index}};
    result_.verdict = Verdict::right;
    Random random(request_.seed);
    return checks(context, random) && request_.timed ? time(context, random) : result_;
  }

 private:
  void step(std::string text) const {
    if (on_step_) on_step_({std::move(text)});
  }

  Status open_device(const runtime::KernelLibrary& library) {
    if (request_.device == runtime::DeviceKind::cpu) {
      result_.device = cpu_name();
      return {};
    }
    step("opening the CUDA device");
    auto cuda = runtime::Cuda::open(request_.device_index);
    if (!cuda) return std::unexpected(std::move(cuda).error());
    cuda_ = std::move(*cuda);
    library.set_stream(request_.device_index, cuda_->stream());
    const auto clocks = cuda_->clocks();
    const auto& info = cuda_->info();
    result_.device = info.name + ", compute capability " + std::to_string(info.capability_major) + "." +
                     std::to_string(info.capability_minor) + (clocks ? ", driver " + clocks->driver : "");
    return {};
  }

  bool checks(const CheckContext& context, Random& random) {
    for (const Sizes& sizes : request_.checks)
      for (const Rows rows : {Rows::dense, Rows::padded})
        if (!check_one(context, sizes, rows, random)) return false;
    return !request_.timed || check_one(context, *request_.timed, Rows::dense, random);
  }

  bool check_one(CheckContext context, const Sizes& sizes, Rows rows, Random& random) {
    const std::string what = describe(sizes) + (rows == Rows::padded ? " with padded rows" : "");
    step("checking " + what);
    context.options.rows = rows;
    auto outcome = check(context, sizes, random);
    if (!outcome) {
      const Verdict verdict = verdict_of(outcome.error());
      result_ = ended(std::move(result_), verdict, what + ": " + kernels::describe(outcome.error()));
      return false;
    }
    result_.max_error = std::max(result_.max_error, outcome->max_error);
    result_.worst_share = std::max(result_.worst_share, outcome->worst_share);
    result_.checked += outcome->checked;
    if (outcome->verdict == Verdict::right) return true;
    result_ = ended(std::move(result_), outcome->verdict, what + ": " + outcome->reason);
    return false;
  }

  CaseResult time(const CheckContext& context, Random& random) {
    step("measuring " + describe(*request_.timed));
    const MeasureOptions options{*request_.timed, request_.budget_seconds};
    auto timing =
        cuda_ == nullptr ? measure_cpu(context, options, random) : measure_cuda(context, options, random);
    if (!timing) return ended(result_, verdict_of(timing.error()), kernels::describe(timing.error()));
    result_.timing = std::move(*timing);
    return result_;
  }

  const CaseRequest& request_;
  const StepSink& on_step_;
  CaseResult result_;
  std::unique_ptr<runtime::Cuda> cuda_;
};

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::right:
      return "right";
    case Verdict::wrong:
      return "wrong";
    case Verdict::raised:
      return "raised";
    case Verdict::crashed:
      return "crashed";
    case Verdict::timed_out:
      return "timed out";
    case Verdict::out_of_memory:
      return "out of memory";
    default:
      return "failed";
  }
}

CaseResult run_case(const CaseRequest& request, const StepSink& on_step) {
  CaseResult result;
  result.seed = request.seed;
  try {
    return Case(request, on_step).run();
  } catch (const std::bad_alloc&) {
    return ended(std::move(result), Verdict::out_of_memory, "no memory left on this machine");
  } catch (const std::exception& error) {
    // An exception that a kernel let through its C interface.
    return ended(std::move(result), Verdict::crashed, std::string("exception: ") + error.what());
  }
}

}  // namespace kernels::bench
