#include "check_judge.h"

#include <algorithm>
#include <array>
#include <set>

#include "kernels/base/joined.h"
#include "kernels/model/cuda_releases.h"

namespace kernels::ops {

namespace fs = std::filesystem;
using inspect::GpuVerdict;

namespace {

std::string counted(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string why_chosen(const Variant& variant, const Target& target) {
  auto version = variant.framework_version.str();
  switch (variant.framework) {
    case Framework::torch_stable:
      return "built with torch's stable ABI of " + version + ", which the target's torch " +
             (target.torch ? target.torch->str() + " " : "") + "has";
    case Framework::torch:
      return "built for torch " + version;
    case Framework::tvm_ffi:
      return "built for tvm-ffi " + version;
    case Framework::noarch:
      return "Python only, for `" + variant.noarch_name + "`";
  }
  return {};
}

/// Without the platform, which is that of the target.
std::string short_name(const Variant& variant) {
  auto name = variant.name();
  auto platform = "-" + variant.cpu + "-" + variant.os;
  return variant.framework != Framework::noarch && name.ends_with(platform)
             ? name.substr(0, name.size() - platform.size())
             : name;
}

void judge_variant(CheckRow& row, const Target& target) {
  CheckItem item{.aspect = Aspect::variant, .state = State::bad, .brief = "none", .text = {}, .hint = {}};
  if (row.variant.empty()) {
    item.text = row.decisions.empty() ? "there is no variant to choose from" : "no variant fits";
  } else {
    const auto& chosen = row.decisions.front().variant;
    auto fitting = static_cast<std::size_t>(
        std::ranges::count_if(row.decisions, [](const auto& decision) { return decision.accepted(); }));
    item.state = State::good;
    item.brief = short_name(chosen);
    item.text =
        row.variant + ": " + why_chosen(chosen, target) + "; " +
        (fitting == 1 ? "the only one that fits" : "the best of " + std::to_string(fitting) + " that fit");
  }
  row.items.push_back(std::move(item));
}

class ContentJudge {
 public:
  ContentJudge(CheckRow& row, const JudgeInputs& inputs) : row_(row), in_(inputs), chosen_(inputs.chosen) {}

  void run() {
    signature();
    collect();
    gpu_code();
    driver();
    abi();
    python();
    metadata();
  }

 private:
  void add(Aspect aspect, State state, std::string brief, std::string text, std::string hint = {}) {
    row_.items.push_back({.aspect = aspect,
                          .state = state,
                          .brief = std::move(brief),
                          .text = std::move(text),
                          .hint = std::move(hint)});
  }

  bool is_cuda_build() const {
    return chosen_.framework != Framework::noarch && chosen_.backend.kind == BackendKind::cuda;
  }
  bool is_gpu_build() const {
    auto kind = chosen_.backend.kind;
    return chosen_.framework != Framework::noarch && kind != BackendKind::cpu;
  }

  void signature() {
    if (in_.signature == nullptr) return;
    const auto& result = *in_.signature;
    row_.signature = result;
    bool required = in_.signatures == SignaturePolicy::require;
    if (result.outcome == verify::Outcome::success)
      return add(Aspect::signature, State::good, "yes",
                 "signed by " + signer_name(*result.signature) + ", in the log " + result.signature->log +
                     " as " + std::to_string(result.signature->log_index) +
                     (in_.are_files_compared ? "" : "; the files were not compared"));
    if (result.outcome == verify::Outcome::signature_bundle_missing)
      return add(Aspect::signature, required ? State::bad : State::none, "no", "not signed",
                 required ? "signatures are required here; ask the publisher for one" : "");
    add(Aspect::signature, required ? State::bad : State::warning, "wrong",
        to_string(result.outcome) + ": " + result.reason, result.hint);
  }

  void collect() {
    std::vector<std::string> all;
    for (const auto& library : in_.inspected.libraries) {
      if (!library.facts) continue;
      for (auto& arch : inspect::archs_of(library.facts->gpu))
        if (std::ranges::find(all, arch) == all.end()) all.push_back(std::move(arch));
      for (const auto& finding : library.findings)
        row_.findings.push_back(finding);
    }
    row_.archs = all.empty() && in_.inspected.metadata ? in_.inspected.metadata->archs : all;
    for (const auto& finding : in_.inspected.findings)
      row_.findings.push_back(finding);
  }

  // --- GPU code ---

  void gpu_code() {
    if (!in_.inspected.has_gpu_code()) return no_gpu_code();
    if (in_.target.capabilities.empty() || !is_cuda_build()) return not_judged();
    std::vector<std::string> texts;
    std::vector<std::string> briefs;
    for (const auto& capability : in_.target.capabilities)
      judge(capability, texts, briefs);
    auto state = !is_good(row_.gpu_code)              ? State::bad
                 : row_.gpu_code > Verdict::after_jit ? State::unknown
                                                      : State::good;
    add(Aspect::gpu_code, state, joined(briefs, " "),
        joined(texts, "; ") + (state == State::bad ? closing() : ""), state == State::bad ? gpu_hint() : "");
  }

  void no_gpu_code() {
    const auto& compilers = in_.inspected.run_time_compilers;
    bool uses_gpu = is_gpu_build() ||
                    (chosen_.framework == Framework::noarch && in_.target.backend.kind != BackendKind::cpu);
    if (!uses_gpu) return;
    if (!compilers.empty()) {
      row_.gpu_code = Verdict::at_run_time;
      return add(Aspect::gpu_code, State::unknown, "at run time",
                 "its GPU code is made at run time, with " + joined(compilers) + ": only running it tells");
    }
    if (!is_gpu_build()) return;  // Python that calls the framework
    if (!is_cuda_build()) {
      row_.gpu_code = Verdict::not_read;
      return add(Aspect::gpu_code, State::unknown, "not read",
                 "GPU code for " + chosen_.backend.display() + " is not read");
    }
    row_.gpu_code = Verdict::no_gpu_code;
    add(Aspect::gpu_code, State::unknown, "none found",
        "no GPU code was found in it; it may call that of libraries, or make its own");
  }

  /// There is code, but nothing to compare it with.
  void not_judged() {
    bool is_foreign = std::ranges::any_of(in_.inspected.libraries, [](const auto& library) {
      return library.facts && !library.facts->gpu.foreign.empty();
    });
    if (is_foreign) row_.gpu_code = Verdict::not_read;
    if (is_foreign)
      return add(Aspect::gpu_code, State::unknown, "not read",
                 "it holds code for " + foreign_names() + " GPUs, which is not read");
    if (!is_cuda_build()) return;
    add(Aspect::gpu_code, State::unknown, "no GPU named",
        "the target names no GPU; there is code for " + joined(row_.archs),
        "name its capability, for example `capability=9.0`");
  }

  std::string foreign_names() const {
    std::set<std::string> names;
    for (const auto& library : in_.inspected.libraries)
      if (library.facts)
        for (auto code : library.facts->gpu.foreign)
          names.insert(inspect::to_string(code));
    return joined(names, " and ");
  }

  /// All libraries of the variant together on one GPU.
  struct Sum {
    std::size_t considered = 0;
    std::size_t refused = 0;
    bool jit = false;
    bool unread = false;
    bool driver_is_too_old = false;
    std::vector<std::string> functions;
  };

  Sum sum_for(MajorMinor capability) {
    Sum out;
    for (const auto& library : in_.inspected.libraries) {
      if (!library.facts) continue;
      auto judgement = inspect::judge_gpu(library.facts->gpu, capability, in_.target.driver);
      out.considered += judgement.considered;
      out.refused += judgement.refused.size();
      out.jit |= judgement.verdict == GpuVerdict::after_jit ||
                 (judgement.needs_ptx && judgement.verdict == GpuVerdict::partly);
      out.unread |= judgement.verdict == GpuVerdict::not_read || judgement.verdict == GpuVerdict::unknown;
      out.driver_is_too_old |= judgement.driver_is_too_old;
      if (judgement.needs_ptx && compare_dotted(judgement.needs_driver, jit_driver_) > 0) {
        jit_driver_ = judgement.needs_driver;
        jit_ptx_ = *judgement.needs_ptx;
      }
      if (!judgement.refused.empty() && in_.name_functions)
        for (auto& name : in_.name_functions(library, judgement.refused))
          out.functions.push_back(std::move(name));
    }
    driver_is_too_old_ |= out.driver_is_too_old;
    return out;
  }

  void judge(MajorMinor capability, std::vector<std::string>& texts, std::vector<std::string>& briefs) {
    auto sum = sum_for(capability);
    auto gpu = capability.str();
    Verdict verdict = Verdict::runs;
    if (sum.refused > 0) {
      bool all = sum.refused == sum.considered;
      verdict = all ? Verdict::would_not : Verdict::partly;
      row_.uncovered.push_back(capability);
      auto cause =
          sum.driver_is_too_old ? "PTX that the driver cannot compile" : "neither machine code nor PTX";
      texts.push_back(
          gpu + ": " + cause +
          (all ? "" : " in " + std::to_string(sum.refused) + " of " + counted(sum.considered, "container")));
      briefs.push_back((all ? "not " : "partly ") + gpu);
      for (auto& name : sum.functions)
        if (std::ranges::find(affected_, name) == affected_.end()) affected_.push_back(std::move(name));
    } else if (sum.unread || sum.considered == 0) {
      verdict = sum.unread ? Verdict::not_read : Verdict::no_gpu_code;
      texts.push_back(gpu + ": could not be told");
      briefs.push_back(gpu + "?");
    } else if (sum.jit) {
      verdict = Verdict::after_jit;
      texts.push_back(gpu + ": PTX, which the driver compiles");
      briefs.push_back(gpu + " JIT");
    } else {
      texts.push_back(gpu + ": machine code");
      briefs.push_back(gpu);
    }
    row_.gpu_code = std::max(row_.gpu_code, verdict);
  }

  /// What there is, and which functions lack it.
  std::string closing() const {
    constexpr std::size_t kMost = 4;
    std::string out = ". There is code for " + joined(row_.archs);
    if (affected_.empty()) return out;
    std::vector<std::string> shown(
        affected_.begin(),
        affected_.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, affected_.size())));
    return out + ". Affected: " + joined(shown) + (affected_.size() > kMost ? ", …" : "");
  }

  std::string gpu_hint() const {
    if (driver_is_too_old_)
      return "install driver " + jit_driver_ + " or newer, or take a build for this GPU";
    return "take a version or variant that is built for this GPU; `kernels variants --matrix` shows what "
           "exists";
  }

  // --- driver ---

  void driver() {
    if (!is_cuda_build() || !chosen_.backend.version) return;
    auto needed = driver_for_cuda(chosen_.backend.version->major);
    std::string why = "CUDA " + std::to_string(chosen_.backend.version->major);
    if (!jit_driver_.empty() && compare_dotted(jit_driver_, needed) > 0) {
      needed = jit_driver_;
      why = "compiling PTX " + jit_ptx_.str();
    }
    if (needed.empty()) return;
    if (!in_.target.driver)
      return add(
          Aspect::driver, State::unknown, "≥ " + needed,
          "driver " + needed + " or newer is needed for " + why + "; the target does not say what it has");
    auto has = *in_.target.driver;
    if (is_new_enough(has, needed))
      return add(Aspect::driver, State::good, "ok",
                 "driver " + has + " is new enough (" + needed + " for " + why + ")");
    add(Aspect::driver, State::bad, "too old",
        "driver " + has + " is older than " + needed + ", which " + why + " needs",
        "update the driver, or take a build for an older CUDA");
  }

  // --- the rest ---

  void abi() {
    if (in_.inspected.libraries.empty()) return;
    std::optional<Variant> variant = chosen_;
    for (const auto& library : in_.inspected.libraries) {
      if (!library.facts)
        return add(Aspect::abi, State::bad, "unreadable",
                   "`" + library.path + "` cannot be read: " + library.failure,
                   "it is no library that this machine could load");
      if (auto problem = wrong_kind(library); !problem.empty())
        return add(Aspect::abi, State::bad, "wrong kind", problem);
      for (const auto& finding : inspect::judge_on_target(*library.facts, variant, in_.target))
        if (finding.weight == inspect::Weight::violation)
          return add(Aspect::abi, State::bad, "no", "`" + library.path + "` " + finding.text, finding.hint);
    }
    for (const auto& library : in_.inspected.libraries)
      for (const auto& finding : library.findings)
        if (finding.weight == inspect::Weight::violation)
          return add(Aspect::abi, State::warning, "findings", "`" + library.path + "` " + finding.text,
                     finding.hint);
    add(Aspect::abi, State::good, "ok", needs_text());
  }

  /// A library of a build for Linux must be one of Linux.
  std::string wrong_kind(const InspectedLibrary& library) const {
    if (chosen_.framework == Framework::noarch || chosen_.os != "linux") return {};
    if (!library.path.ends_with(".so") || library.facts->kind == inspect::FileKind::elf) return {};
    return "`" + library.path + "` is no library of Linux" +
           (library.facts->kind == inspect::FileKind::other
                ? ""
                : ", but " + inspect::to_string(library.facts->kind));
  }

  std::string needs_text() const {
    std::set<std::string> needs;
    for (const auto& library : in_.inspected.libraries)
      for (const auto& need : library.facts->versions)
        if (need.family == "GLIBC" || need.family == "GLIBCXX" || need.family == "CXXABI")
          needs.insert(need.family + " " + need.version);
    if (needs.empty()) return "nothing of the system is needed";
    auto text = "needs " + joined(needs);
    return in_.target.glibc ? text + "; the target has glibc " + in_.target.glibc->str() : text;
  }

  void python() {
    if (!in_.inspected.metadata || in_.inspected.metadata->python_depends.empty()) return;
    const auto& depends = in_.inspected.metadata->python_depends;
    std::vector<std::string> lacking;
    for (const auto& dependency : depends) {
      auto module = python_module_of(dependency);
      if (!module)
        return add(Aspect::python, State::bad, "unknown",
                   "depends on `" + dependency + "`, which no reader of kernels knows",
                   "use a version of the kernel with known dependencies");
      if (!module->empty() && in_.python_packages != nullptr && !has_module(*module))
        lacking.push_back(dependency);
    }
    auto all = joined(depends);
    if (in_.python_packages == nullptr)
      return add(Aspect::python, State::unknown, all,
                 "in Python it needs " + all + "; what the target has is not known");
    if (lacking.empty())
      return add(Aspect::python, State::good, "ok", "the Python packages that it needs are there: " + all);
    add(Aspect::python, State::warning, "lacks " + joined(lacking),
        "the active Python environment lacks " + joined(lacking),
        "install it where the kernel is used from Python");
  }

  bool has_module(const std::string& module) const {
    return std::ranges::any_of(*in_.python_packages, [&](const fs::path& folder) {
      std::error_code code;
      return fs::exists(folder / module, code) || fs::exists(folder / (module + ".py"), code);
    });
  }

  void metadata() {
    const auto& inspected = in_.inspected;
    if (!inspected.metadata_failure.empty())
      return add(Aspect::metadata, State::bad, "unreadable", inspected.metadata_failure,
                 "the kernel was published damaged");
    if (!inspected.metadata) return;
    if (chosen_.framework != Framework::noarch && !inspected.metadata->backend.empty() &&
        inspected.metadata->backend != chosen_.backend.name())
      return add(Aspect::metadata, State::warning, "differs",
                 "metadata.json is for " + inspected.metadata->backend + ", the folder's name for " +
                     chosen_.backend.name());
    for (const auto& finding : inspected.findings)
      if (finding.weight == inspect::Weight::violation || finding.rule == "archs-partial")
        return add(Aspect::metadata, State::warning, "differs", finding.text, finding.hint);
    add(Aspect::metadata, State::good, "ok", "metadata.json says what the binaries hold");
  }

  CheckRow& row_;
  const JudgeInputs& in_;
  const Variant& chosen_;
  std::string jit_driver_;
  MajorMinor jit_ptx_;
  bool driver_is_too_old_ = false;
  std::vector<std::string> affected_;
};

}  // namespace

std::string to_string(Verdict verdict) {
  constexpr std::array kNames = {"runs",
                                 "runs after JIT",
                                 "decided at run time",
                                 "no GPU code found",
                                 "GPU code not read",
                                 "some functions would not run",
                                 "would not run",
                                 "no variant",
                                 "incomplete",
                                 "damaged"};
  return kNames.at(static_cast<std::size_t>(verdict));
}

bool is_good(Verdict verdict) {
  return verdict <= Verdict::not_read;
}

std::string to_string(Aspect aspect) {
  constexpr std::array kNames = {"variant", "publisher", "files",  "signature", "gpu code",
                                 "driver",  "abi",       "python", "metadata"};
  return kNames.at(static_cast<std::size_t>(aspect));
}

std::string to_string(State state) {
  constexpr std::array kNames = {"good", "warning", "bad", "unknown", "none"};
  return kNames.at(static_cast<std::size_t>(state));
}

const CheckItem* CheckRow::item(Aspect aspect) const {
  auto found = std::ranges::find(items, aspect, &CheckItem::aspect);
  return found == items.end() ? nullptr : &*found;
}

bool CheckRow::is_trusted() const {
  return std::ranges::none_of(items, [](const CheckItem& item) {
    return item.state == State::bad && (item.aspect == Aspect::publisher || item.aspect == Aspect::signature);
  });
}

bool CheckReport::good() const {
  return std::ranges::all_of(rows, [](const CheckRow& row) { return is_good(row.verdict); });
}

bool CheckReport::has_fallback() const {
  return std::ranges::any_of(layer_rows, [](const LayerRows& on_target) {
    return !std::ranges::all_of(on_target.decisions, &resolve::LayerDecision::runs_kernel);
  });
}

std::optional<std::string> python_module_of(std::string_view dependency) {
  struct Entry {
    std::string_view dependency;
    std::string_view module;
  };
  constexpr std::array kKnown = {Entry{"einops", "einops"},   Entry{"helion", "helion"},
                                 Entry{"tvm-ffi", "tvm_ffi"}, Entry{"nvidia-cutlass-dsl", "cutlass"},
                                 Entry{"nki", "nki"},         Entry{"onednn", ""}};
  const auto* found = std::ranges::find(kKnown, dependency, &Entry::dependency);
  if (found == kKnown.end()) return std::nullopt;
  return std::string(found->module);
}

CheckRow decide_row(std::string kernel, const std::vector<std::string>& names, const Target& target) {
  CheckRow row;
  row.kernel = std::move(kernel);
  row.target = target.name;
  row.decisions = resolve::decide(resolve::parse_variant_names(names).valid, target);
  if (!row.decisions.empty() && row.decisions.front().accepted())
    row.variant = row.decisions.front().variant.name();
  judge_variant(row, target);
  return row;
}

void judge_files(CheckRow& row, const std::string& where) {
  CheckItem item{.aspect = Aspect::files, .state = State::good, .brief = "ok", .text = {}, .hint = {}};
  if (!row.damaged.empty()) {
    item.state = State::bad;
    item.brief = std::to_string(row.damaged.size()) + " damaged";
    item.text = counted(row.damaged.size(), "file") + " with other bytes than " + where + ", the first is " +
                row.damaged.front();
  } else if (!row.missing.empty()) {
    item.state = State::bad;
    item.brief = std::to_string(row.missing.size()) + " missing";
    item.text = counted(row.missing.size(), "file") + " missing, the first is " + row.missing.front();
  } else {
    item.text = "all " + counted(row.files, "file") + " are there, with the bytes that " + where + " says";
  }
  row.items.push_back(std::move(item));
}

void apply_digest(CheckRow& row, const DigestFindings& findings) {
  row.missing.insert(row.missing.end(), findings.missing.begin(), findings.missing.end());
  row.damaged.insert(row.damaged.end(), findings.damaged.begin(), findings.damaged.end());
  for (const auto& path : findings.unknown)
    row.damaged.push_back(path + " (unknown)");
}

void judge_content(CheckRow& row, const JudgeInputs& inputs) {
  ContentJudge(row, inputs).run();
}

void conclude(CheckRow& row) {
  std::ranges::stable_sort(row.items, {}, &CheckItem::aspect);
  auto is_bad = [](const CheckItem& item) {
    return item.state == State::bad && item.aspect != Aspect::gpu_code;
  };
  if (row.variant.empty())
    row.verdict = Verdict::no_variant;
  else if (!row.damaged.empty())
    row.verdict = Verdict::damaged;
  else if (!row.missing.empty())
    row.verdict = Verdict::incomplete;
  else if (std::ranges::any_of(row.items, is_bad))
    row.verdict = Verdict::would_not;
  else
    row.verdict = row.gpu_code;
}

}  // namespace kernels::ops
