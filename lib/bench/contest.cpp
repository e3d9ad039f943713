#include "kernels/bench/contest.h"

#include <algorithm>
#include <set>
#include <utility>

#include "kernels/base/file.h"
#include "kernels/bench/worker.h"
#include "kernels/runtime/library.h"

#include "bench_impl.h"

namespace kernels::bench {

namespace fs = std::filesystem;

const FunctionSpec* Measurable::find(std::string_view function) const {
  auto found = std::ranges::find(file.functions, function, &FunctionSpec::name);
  return found == file.functions.end() ? nullptr : &*found;
}

Result<Measurable> open_measurable(const fs::path& variant_dir) {
  constexpr std::uint64_t kMostText = std::uint64_t{1} << 20U;
  auto text = read_file(variant_dir / "workloads.toml", kMostText);
  if (!text)
    return fail(std::move(text).error().with_hint("only kernels with a workloads.toml can be measured"));
  auto file = parse_workloads(*text);
  if (!file) return fail(std::move(file).error().while_doing("opening `" + variant_dir.string() + "`"));
  auto library = runtime::find_library(variant_dir);
  if (!library) return fail(std::move(library).error());
  return Measurable{.library = std::move(*library), .file = std::move(*file)};
}

namespace {

/// A workload, by its name, and a data type.
using Round = std::pair<std::string, DType>;

class Contest {
 public:
  Contest(std::span<const Contender> contenders, const BenchOptions& options, const ProgressSink& progress,
          std::stop_token stop)
      : contenders_(contenders),
        options_(options),
        progress_(progress),
        stop_(std::move(stop)),
        probed_(contenders.size()) {}

  Result<std::vector<BenchReport>> run() {
    for (const auto& contender : contenders_) {
      auto report = report_for(contender.library);
      if (!report) return fail(std::move(report).error());
      reports_.push_back(std::move(*report));
    }
    plan();
    for (auto dtype : dtypes_)
      if (auto done = run(dtype); !done) {
        if (done.error().code() != Errc::interrupted) return fail(std::move(done).error());
        break;
      }
    return std::move(reports_);
  }

 private:
  struct Entry {
    std::size_t contender;
    ResultRow row;
    CaseRequest request;
  };

  void plan() {
    std::set<DType> dtypes;
    for (const auto& contender : contenders_)
      for (const auto& [dtype, tolerance] : contender.function.tolerance)
        if (!options_.dtype || *options_.dtype == dtype) dtypes.insert(dtype);
    dtypes_.assign(dtypes.begin(), dtypes.end());
    for (auto dtype : dtypes_)
      state_.total += contenders_of(dtype).size() + rounds_of(dtype).size();
  }

  std::vector<std::size_t> contenders_of(DType dtype) const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < contenders_.size(); ++i)
      if (contenders_[i].function.tolerance.contains(dtype)) out.push_back(i);
    return out;
  }

  static bool has(const Workload& workload, DType dtype) {
    return std::ranges::find(workload.dtypes, dtype) != workload.dtypes.end();
  }

  /// In the order in which the contenders name them.
  std::vector<std::string> rounds_of(DType dtype) const {
    std::vector<std::string> out;
    for (auto i : contenders_of(dtype))
      for (const auto& workload : contenders_[i].workloads)
        if (has(workload, dtype) && std::ranges::find(out, workload.name) == out.end())
          out.push_back(workload.name);
    return out;
  }

  Entry entry_of(std::size_t contender, DType dtype, const std::string& workload, const Sizes& sizes) const {
    const auto& who = contenders_[contender];
    Entry out{.contender = contender,
              .row = {.function = who.function.name,
                      .workload = workload,
                      .dtype = dtype,
                      .sizes = sizes,
                      .tolerance = who.function.tolerance.at(dtype),
                      .result = {}},
              .request = request_for(who.library, options_)};
    out.request.function = who.function;
    out.request.dtype = dtype;
    return out;
  }

  StepSink steps(const Entry& entry) {
    auto title = contenders_[entry.contender].name + " " + std::string(runtime::name_of(entry.row.dtype)) +
                 " " + entry.row.workload + ": ";
    return [this, title](const CaseStep& step) { tell(title + step.text); };
  }
  void tell(std::string what) {
    state_.what = std::move(what);
    if (progress_) progress_(state_);
  }

  Status run(DType dtype) {
    for (auto i : contenders_of(dtype)) {
      auto entry = entry_of(i, dtype, "probes", {});
      entry.request.checks = contenders_[i].probes;
      auto answer = run_in_worker(entry.request, {options_.worker, options_.time_limit}, options_.rule,
                                  steps(entry), stop_);
      if (!answer) return fail(std::move(answer).error().while_doing("checking " + contenders_[i].name));
      probed_[i] = answer->result;
      keep(std::move(entry), std::move(*answer));
      ++state_.done;
    }
    for (const auto& workload : rounds_of(dtype)) {
      if (auto done = run_round(dtype, workload); !done)
        return fail(std::move(done).error().while_doing("measuring `" + workload + "`"));
      ++state_.done;
    }
    return {};
  }

  void keep(Entry entry, CaseAnswer answer) {
    auto& report = reports_[entry.contender];
    entry.row.result = std::move(answer.result);
    if (!report.device && !answer.device.kind.empty()) report.device = std::move(answer.device);
    report.rows.push_back(std::move(entry.row));
  }

  /// Those that may be measured on a workload; the others get the verdict of their probes at once.
  std::vector<Entry> entries_of(DType dtype, const std::string& workload) {
    std::vector<Entry> out;
    for (auto i : contenders_of(dtype))
      for (const auto& item : contenders_[i].workloads) {
        if (item.name != workload || !has(item, dtype)) continue;
        auto entry = entry_of(i, dtype, workload, item.sizes);
        if (options_.mode == Mode::validate_only)
          entry.request.checks = {item.sizes};
        else
          entry.request.timed = item.sizes;
        if (probed_[i].verdict == Verdict::right) {
          out.push_back(std::move(entry));
          continue;
        }
        CaseAnswer answer{.result = probed_[i], .device = {}};
        answer.result.reason = "not run, because the probes are not right: " + probed_[i].reason;
        keep(std::move(entry), std::move(answer));
      }
    return out;
  }

  Status run_round(DType dtype, const std::string& workload) {
    auto entries = entries_of(dtype, workload);
    std::vector<Candidate> candidates;
    // All on one processor: another may have other work to do, or be of another kind.
    std::optional<unsigned> processor;
    for (auto& entry : entries) {
      entry.request.processor = processor;
      auto session = WorkerSession::start(entry.request, {options_.worker, options_.time_limit});
      if (!session) return fail(std::move(session).error());
      auto answer = session->prepare(steps(entry), stop_);
      if (!answer) return fail(std::move(answer).error());
      if (!processor) processor = answer->processor;
      candidates.push_back({.answer = std::move(*answer), .session = std::move(*session)});
    }
    auto on_step = [&](const CaseStep& step) {
      tell(workload + " " + std::string(runtime::name_of(dtype)) + ": " + step.text);
    };
    if (auto done = sample_in_turns(candidates, options_.rule, on_step, stop_); !done) return done;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      forget_each_other(candidates[i].answer, candidates.size() - 1);
      keep(std::move(entries[i]), std::move(candidates[i].answer));
    }
    return {};
  }

  /// The workers of one round use the device at the same time, if never at once: no others' processes.
  static void forget_each_other(CaseAnswer& answer, std::size_t others) {
    if (!answer.result.timing) return;
    auto& seen = answer.result.timing->conditions.other_processes;
    seen -= std::min(seen, static_cast<std::uint32_t>(others));
  }

  std::span<const Contender> contenders_;
  const BenchOptions& options_;
  const ProgressSink& progress_;
  std::stop_token stop_;
  std::vector<DType> dtypes_;
  std::vector<BenchReport> reports_;
  std::vector<CaseResult> probed_;  ///< of the present data type
  BenchProgress state_;
};

/// The argument of a function that stands for a value of its layer; null: none does.
const ArgumentSpec* argument_of(const ServingFunction& serving, const std::string& value) {
  const auto& names = serving.layer->arguments;
  auto found = std::ranges::find(names, value);
  auto index = static_cast<std::size_t>(found - names.begin());
  return index < serving.function->arguments.size() && found != names.end()
             ? &serving.function->arguments[index]
             : nullptr;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (auto size : shape)
    out += (out.size() == 1 ? "" : ", ") + std::to_string(size);
  return out + "]";
}

/// What `forward` takes, then what it returns, by name.
std::vector<std::string> values_of(const NativeLayer& layer) {
  std::vector<std::string> out;
  for (const auto& value : layer.forward)
    out.push_back(value.name);
  out.insert(out.end(), layer.returns.begin(), layer.returns.end());
  return out;
}

}  // namespace

Result<std::vector<BenchReport>> bench_contest(std::span<const Contender> contenders,
                                               const BenchOptions& options, const ProgressSink& progress,
                                               const std::stop_token& stop) {
  return Contest(contenders, options, progress, stop).run();
}

std::string mismatch(const ServingFunction& one, const std::vector<Workload>& sizes_of_one,
                     const ServingFunction& other, const std::vector<Workload>& sizes_of_other) {
  for (const auto* serving : {&one, &other})
    if (serving->layer->arguments.size() != serving->function->arguments.size())
      return "its layers.toml and workloads.toml do not name the same arguments of `" +
             serving->function->name + "`";
  auto mine = values_of(*one.layer);
  auto theirs = values_of(*other.layer);
  if (one.layer->forward.size() != other.layer->forward.size() || mine.size() != theirs.size())
    return "`" + one.layer->signature() + "` does not stand in for `" + other.layer->signature() + "` of " +
           other.name;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    const auto* my = argument_of(one, mine[i]);
    const auto* their = argument_of(other, theirs[i]);
    if (my == nullptr || their == nullptr) continue;
    if (my->value.has_value() != their->value.has_value())
      return "`" + mine[i] + "` and `" + theirs[i] + "` of " + other.name + " are not of one kind";
    if (my->value) continue;
    for (std::size_t w = 0; w < std::min(sizes_of_one.size(), sizes_of_other.size()); ++w) {
      auto shape = shape_of(*my, sizes_of_one[w].sizes);
      auto expected = shape_of(*their, sizes_of_other[w].sizes);
      if (!shape || !expected) return (shape ? expected : shape).error().text();
      if (*shape != *expected)
        return "the sizes do not correspond: at " + describe(sizes_of_one[w].sizes) + " its `" + mine[i] +
               "` is " + shape_text(*shape) + ", and `" + theirs[i] + "` of " + other.name + " is " +
               shape_text(*expected);
    }
  }
  return {};
}

}  // namespace kernels::bench
