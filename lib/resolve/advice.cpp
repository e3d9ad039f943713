// Each variant says what it would need of the target; that is compared, decided and put into words. Going
// from the variants to the changes, and not over all values that a property could have, finds every change
// that can help and costs no more than there are variants.

#include "kernels/resolve/advice.h"

#include <algorithm>
#include <ranges>
#include <set>
#include <span>
#include <tuple>
#include <utility>

#include "kernels/base/joined.h"
#include "kernels/model/cuda_releases.h"
#include "kernels/resolve/variants.h"

namespace kernels::resolve {

namespace {

constexpr std::size_t kMostAdvice = 4;
/// More different targets than any real kernel leads to; a repository of absurd names must not cost minutes.
constexpr std::size_t kMostCandidates = 256;

enum class Lack { nothing, any_variant, gpu_code, compiled_variant };

const DeclaredVariant* chosen_of(const VersionVariants& version, const Target& target) {
  std::vector<Variant> accepted;
  for (const auto& build : version.variants)
    if (refusal_of(build.variant, target) == Refusal::none) accepted.push_back(build.variant);
  if (accepted.empty()) return nullptr;
  auto best = decide(accepted, target).front().variant;
  return &*std::ranges::find(version.variants, best, &DeclaredVariant::variant);
}

bool same_platform(const Variant& variant, const Target& target) {
  return variant.framework != Framework::noarch && variant.cpu == target.cpu && variant.os == target.os;
}

Lack lack_of(const VersionVariants& version, const Target& target) {
  const auto* chosen = chosen_of(version, target);
  if (chosen == nullptr) return Lack::any_variant;
  if (!uncovered_capabilities(*chosen, target).empty()) return Lack::gpu_code;
  if (chosen->variant.framework != Framework::noarch) return Lack::nothing;
  bool has_compiled = std::ranges::any_of(version.variants, [&](const DeclaredVariant& build) {
    return same_platform(build.variant, target) && build.variant.backend.kind == target.backend.kind;
  });
  return has_compiled ? Lack::compiled_variant : Lack::nothing;
}

bool helps(const DeclaredVariant* chosen, Lack lack, const Target& target) {
  if (chosen == nullptr) return false;
  if (lack == Lack::compiled_variant && chosen->variant.framework == Framework::noarch) return false;
  if (lack != Lack::gpu_code) return uncovered_capabilities(*chosen, target).empty();
  return std::ranges::all_of(target.capabilities, [&](MajorMinor capability) {
    return !has_gpu_code(chosen->variant) || archs_cover(chosen->archs, capability) == Covered::yes;
  });
}

// --- what a variant needs ---

void need_torch(const Variant& variant, Target& target) {
  bool stable = variant.framework == Framework::torch_stable;
  bool fits = target.torch && (stable ? variant.framework_version <= *target.torch
                                      : variant.framework_version == *target.torch);
  if (!fits) target.torch = variant.framework_version;
  bool tagged = variant.cxx11_abi && target.os == "linux";
  if (tagged) target.cxx11_abi = variant.cxx11_abi;
  if (!fits) complete_target(target);
}

/// Another CUDA is no help on a driver that is too old for it.
void need_driver(Target& target) {
  if (target.backend.kind != BackendKind::cuda || !target.backend.version || !target.driver) return;
  auto oldest = driver_for_cuda(target.backend.version->major);
  if (target.os == "linux" && !oldest.empty() && !is_new_enough(*target.driver, oldest))
    target.driver = oldest;
}

/// Leaves the target alone where no software can help.
void need_backend(const Backend& built, Target& target) {
  auto meant = meant_backend(built);
  auto& has = target.backend;
  if (built.kind == BackendKind::cuda && has.kind == BackendKind::cuda && has.version && meant.version) {
    bool fits = meant.version->major == has.version->major && meant.version->minor <= has.version->minor;
    if (!fits) has = meant;
  } else if (built.kind == has.kind) {
    if (built.tag() != has.tag()) has = meant;
  } else if (has.kind == BackendKind::cpu && built.kind == BackendKind::cuda &&
             !target.capabilities.empty()) {
    has = meant;  // there are GPUs: what is installed only does not use them
  }
  if (built.kind == BackendKind::metal && (!target.macos || *target.macos < kFirstMetalMacos))
    target.macos = kFirstMetalMacos;
}

/// What is asked of the target beyond what the variant needs: a build can be hidden by another one, which is
/// preferred on a newer torch or CUDA and lacks code for a GPU that this one has.
struct Exactness {
  bool torch = false;    // the very version of torch that it is built for
  bool backend = false;  // the very version of CUDA
};

Target needed_by(const Variant& variant, const Exactness& exact, Target target) {
  if (variant.framework == Framework::noarch) {
    bool for_gpus = variant.noarch_name == "cuda" && target.backend.kind == BackendKind::cpu;
    if (for_gpus && !target.capabilities.empty()) target.backend = {.kind = BackendKind::cuda, .version = {}};
    return target;
  }
  target.free_threaded_python = false;
  if (variant.framework == Framework::tvm_ffi)
    target.tvm_ffi = variant.framework_version;
  else
    need_torch(variant, target);
  if (exact.torch && variant.framework == Framework::torch_stable) target.torch = variant.framework_version;
  auto before = target.backend;
  need_backend(variant.backend, target);
  if (exact.backend && variant.backend.kind == target.backend.kind)
    target.backend = meant_backend(variant.backend);
  if (before != target.backend) need_driver(target);
  return target;
}

// --- how far that is ---

std::uint64_t distance(std::uint64_t a, std::uint64_t b) {
  return a > b ? a - b : b - a;
}

std::uint64_t distance(const std::optional<MajorMinor>& before, const std::optional<MajorMinor>& after) {
  if (before == after) return 0;
  if (!before || !after) return 1U << 20U;
  return (distance(before->major, after->major) << 32U) + distance(before->minor, after->minor);
}

bool is_major(const std::optional<MajorMinor>& before, const std::optional<MajorMinor>& after) {
  return !before || !after || before->major != after->major;
}

struct Candidate {
  std::size_t version = 0;
  Target target;
  const DeclaredVariant* chosen = nullptr;  // by `decide`, of the whole version
  int steps = 0;
  int properties = 0;
  int effort = 0;
};

void measure(Candidate& candidate, const Target& before) {
  const auto& after = candidate.target;
  bool torch = before.torch != after.torch;
  bool backend = before.backend != after.backend;
  bool abi = !torch && before.cxx11_abi != after.cxx11_abi;
  bool tvm_ffi = before.tvm_ffi != after.tvm_ffi;
  bool python = before.free_threaded_python != after.free_threaded_python;
  bool macos = before.macos != after.macos;
  bool driver = before.driver != after.driver;
  int others = int{tvm_ffi} + int{python} + int{macos} + int{driver};
  candidate.properties = int{torch} + int{backend} + int{abi} + others;
  candidate.steps = int{torch || backend || abi} + others;
  if (tvm_ffi) candidate.effort += 1;
  if (torch) candidate.effort += is_major(before.torch, after.torch) ? 5 : 2;
  if (backend) candidate.effort += is_major(before.backend.version, after.backend.version) ? 4 : 3;
  if (abi) candidate.effort += 4;
  if (python) candidate.effort += 5;
  if (macos || driver) candidate.effort += 6;
}

/// In the order in which advice is given; equal only for the same change.
auto rank(const Candidate& candidate, const Target& before, std::size_t asked) {
  const auto& after = candidate.target;
  bool other = candidate.version != asked;
  bool stable = candidate.chosen->variant.framework == Framework::torch_stable;
  int group = candidate.properties == 0 && stable   ? 0
              : !other && candidate.properties == 1 ? 1
              : candidate.properties == 0           ? 2
                                                    : 3;
  bool older = after.torch < before.torch || after.backend.version < before.backend.version;
  return std::tuple(group, other ? 1 : 0, candidate.effort, distance(before.torch, after.torch),
                    distance(before.backend.version, after.backend.version), older ? 1 : 0,
                    distance(candidate.version, asked), candidate.version < asked ? 1 : 0,
                    candidate.chosen->variant.name(), after.display(), after.cxx11_abi);
}

/// What decides whether two candidates ask for the same.
auto identity(const Candidate& candidate) {
  const auto& target = candidate.target;
  return std::tuple(candidate.version, target.torch, target.cxx11_abi, static_cast<int>(target.backend.kind),
                    target.backend.version, target.tvm_ffi, target.macos, target.free_threaded_python,
                    target.driver);
}

// --- words ---

std::string value_of(const std::optional<MajorMinor>& version) {
  return version ? version->str() : "";
}

std::vector<Advice::Change> changes_of(const Candidate& candidate, const VersionVariants& version,
                                       const Target& before, std::size_t asked) {
  const auto& after = candidate.target;
  std::vector<Advice::Change> out;
  if (candidate.version != asked)
    out.push_back(
        {.key = "version", .value = version.version ? std::to_string(*version.version) : version.name});
  if (before.torch != after.torch) out.push_back({.key = "torch", .value = value_of(after.torch)});
  if (before.backend != after.backend)
    out.push_back({.key = after.backend.name(), .value = value_of(after.backend.version)});
  if (before.cxx11_abi != after.cxx11_abi && before.torch)
    out.push_back({.key = "cxx11-abi", .value = after.cxx11_abi.value_or(false) ? "true" : "false"});
  if (before.tvm_ffi != after.tvm_ffi) out.push_back({.key = "tvm-ffi", .value = value_of(after.tvm_ffi)});
  if (before.free_threaded_python != after.free_threaded_python)
    out.push_back({.key = "python", .value = "gil"});
  if (before.macos != after.macos) out.push_back({.key = "macos", .value = value_of(after.macos)});
  if (before.driver != after.driver) out.push_back({.key = "driver", .value = after.driver.value_or("")});
  return out;
}

/// `install torch 2.10 for CUDA 12.8`; empty if neither torch nor the backend changes.
std::string framework_action(const Candidate& candidate, const Target& before) {
  const auto& after = candidate.target;
  bool torch = before.torch != after.torch;
  bool backend = before.backend != after.backend;
  bool abi = before.cxx11_abi != after.cxx11_abi && before.torch;
  if (!torch && !backend && !abi) return {};
  if (!after.torch) return "install " + after.backend.display();
  std::string out = "install torch " + after.torch->str();
  bool or_newer = torch && before.torch < after.torch && !backend && !abi &&
                  candidate.chosen->variant.framework == Framework::torch_stable;
  if (or_newer) out += " or newer";
  if (backend) out += " for " + after.backend.display();
  if (abi) out += std::string(" with the ") + (after.cxx11_abi.value_or(false) ? "new" : "old") + " C++ ABI";
  return out;
}

std::string action_of(const Candidate& candidate, const Target& before) {
  const auto& after = candidate.target;
  std::vector<std::string> parts;
  if (auto framework = framework_action(candidate, before); !framework.empty())
    parts.push_back(std::move(framework));
  if (before.tvm_ffi != after.tvm_ffi) parts.push_back("install apache-tvm-ffi " + value_of(after.tvm_ffi));
  if (before.free_threaded_python != after.free_threaded_python)
    parts.emplace_back("use a Python with the GIL, or Python 3.15 or newer");
  if (before.macos != after.macos) parts.push_back("update to macOS " + value_of(after.macos));
  if (before.driver != after.driver)
    parts.push_back("update the NVIDIA driver to " + after.driver.value_or("") + " or newer");
  std::string out;
  for (const auto& part : parts)
    out += (out.empty() ? "" : " and ") + part;
  return out;
}

std::string name_of(const VersionVariants& version) {
  if (version.version) return "version " + std::to_string(*version.version);
  return version.name.empty() ? "it" : "`" + version.name + "`";
}

std::string list_of(const std::vector<MajorMinor>& versions) {
  return joined(std::views::transform(versions, &MajorMinor::str));
}

std::string text_of(const Candidate& candidate, const VersionVariants& version, const Target& before,
                    std::size_t asked, Lack lack) {
  const auto& chosen = candidate.chosen->variant;
  const auto& after = candidate.target;
  std::string variant = "`" + chosen.name() + "`";
  if (lack == Lack::gpu_code) variant += ", with code for capability " + list_of(before.capabilities);
  auto action = action_of(candidate, before);
  bool other = candidate.version != asked;
  if (action.empty())
    return name_of(version) + " has a " + (chosen.framework == Framework::torch_stable ? "stable-ABI " : "") +
           "build for you: " + variant;
  std::string owner = name_of(version);
  if (other) {
    action = "take " + owner + " and " + action;
    owner = "it";
  }
  bool only_backend = before.backend != after.backend && before.torch && before.backend.version;
  if (!only_backend) return action + ": " + owner + " has " + variant;
  return "a build for " + meant_backend(chosen.backend).display() + " exists, your torch is built for " +
         before.backend.display() + ": " + action + " (" + owner + " has " + variant + ")";
}

// --- what there is not ---

void state_platform(const std::vector<VersionVariants>& versions, const Target& target,
                    std::vector<std::string>& out) {
  std::set<std::string> platforms;
  std::set<std::string> cpus;
  std::set<std::string> systems;
  for (const auto& version : versions)
    for (const auto& [variant, archs] : version.variants) {
      if (variant.framework == Framework::noarch) continue;
      platforms.insert(variant.os + " " + variant.cpu);
      cpus.insert(variant.cpu);
      systems.insert(variant.os);
    }
  if (platforms.empty() || platforms.contains(target.os + " " + target.cpu)) return;
  if (!systems.contains(target.os))
    out.push_back("there is no build for " + target.os + " at all, only for " + joined(systems));
  if (!cpus.contains(target.cpu))
    out.push_back("there is no build for " + target.cpu + " at all, only for " + joined(cpus));
  if (out.empty())
    out.push_back("there is no build for " + target.os + " " + target.cpu + " at all, only for " +
                  joined(platforms));
}

std::string kind_of(const Variant& variant) {
  if (variant.framework != Framework::noarch) {
    Backend without_version{.kind = variant.backend.kind, .version = std::nullopt};
    return without_version.display();
  }
  auto name = variant.noarch_name == "npu" ? "cann" : variant.noarch_name;
  auto kind = Backend::kind_from_name(name);
  return kind ? Backend{.kind = *kind, .version = std::nullopt}.display() : name;
}

void state_backend(const std::vector<VersionVariants>& versions, const Target& target,
                   std::vector<std::string>& out) {
  std::set<std::string> kinds;
  for (const auto& version : versions)
    for (const auto& [variant, archs] : version.variants)
      kinds.insert(kind_of(variant));
  auto wanted = Backend{.kind = target.backend.kind, .version = std::nullopt}.display();
  if (kinds.empty() || kinds.contains(wanted)) return;
  out.push_back("no build for " + wanted + " exists" + (versions.size() > 1 ? " in any version" : "") +
                ", only for " + joined(kinds));
}

std::vector<Advice> statements(const std::vector<VersionVariants>& versions, std::size_t asked,
                               const Target& target, const std::vector<MajorMinor>& uncovered) {
  std::vector<std::string> texts;
  std::string where = versions.size() > 1 ? " of any version" : "";
  bool empty = std::ranges::all_of(versions, [](const auto& version) { return version.variants.empty(); });
  if (empty) {
    texts.push_back("there is no build variant" + where);
  } else if (!uncovered.empty()) {
    texts.push_back("no build" + where + " that could be chosen declares code for capability " +
                    list_of(uncovered));
  } else {
    state_platform(versions, target, texts);
    state_backend(versions, target, texts);
    if (texts.empty())
      texts.push_back("no other torch, " + std::string("CUDA, tvm-ffi or Python would make a build") + where +
                      " fit");
  }
  std::vector<Advice> out;
  for (auto& text : texts)
    out.push_back({.kind = Advice::Kind::statement,
                   .changes = {},
                   .index = asked,
                   .kernel_version = versions[asked].version,
                   .target = target,
                   .variant = {},
                   .text = std::move(text)});
  return out;
}

/// What is asked for, by whom.
struct Question {
  const std::vector<VersionVariants>& versions;
  std::size_t asked;
  const Target& target;
  Lack lack;
};

std::vector<Candidate> candidates_of(const Question& question, std::span<const Exactness> ways) {
  std::vector<Candidate> found;
  for (std::size_t i = 0; i < question.versions.size(); ++i) {
    if (question.lack == Lack::compiled_variant && i != question.asked) continue;
    for (const auto& build : question.versions[i].variants)
      for (const auto& exact : ways) {
        Candidate candidate{.version = i, .target = needed_by(build.variant, exact, question.target)};
        if (refusal_of(build.variant, candidate.target) != Refusal::none) continue;
        measure(candidate, question.target);
        if (i != question.asked) ++candidate.steps;
        if (candidate.steps > 0) found.push_back(std::move(candidate));
      }
  }
  std::ranges::sort(
      found, {}, [](const Candidate& item) { return std::tuple(item.steps, item.effort, identity(item)); });
  auto repeated = std::ranges::unique(found, {}, identity);
  found.erase(repeated.begin(), repeated.end());
  if (found.size() > kMostCandidates) found.resize(kMostCandidates);
  for (auto& candidate : found)
    candidate.chosen = chosen_of(question.versions[candidate.version], candidate.target);
  return found;
}

struct Search {
  std::vector<Candidate> helpful;
  std::vector<MajorMinor> uncovered;  // GPUs that kept something from being helpful
};

Search search(const Question& question) {
  static constexpr Exactness kWays[] = {
      {}, {.torch = true}, {.backend = true}, {.torch = true, .backend = true}};
  Search out;
  if (question.lack == Lack::gpu_code)
    out.uncovered = uncovered_capabilities(*chosen_of(question.versions[question.asked], question.target),
                                           question.target);
  std::span<const Exactness> ways(kWays);
  // Only a build that another one hides asks for more than it needs.
  for (auto some : {ways.first(question.lack == Lack::gpu_code ? ways.size() : 1), ways}) {
    out.helpful = candidates_of(question, some);
    for (const auto& item : out.helpful)
      if (out.uncovered.empty()) out.uncovered = uncovered_capabilities(*item.chosen, question.target);
    std::erase_if(out.helpful,
                  [&](const Candidate& item) { return !helps(item.chosen, question.lack, item.target); });
    if (!out.helpful.empty() || out.uncovered.empty()) break;
  }
  return out;
}

}  // namespace

std::string to_string(Advice::Kind kind) {
  return kind == Advice::Kind::change ? "change" : "statement";
}

std::vector<Advice> nearest_changes(const std::vector<VersionVariants>& versions, std::size_t asked,
                                    const Target& target) {
  if (asked >= versions.size()) return {};
  auto lack = lack_of(versions[asked], target);
  if (lack == Lack::nothing) return {};
  auto [found, uncovered] = search({.versions = versions, .asked = asked, .target = target, .lack = lack});
  if (found.empty()) {
    // A Python-only variant serves; that it could be more is only worth saying if it can be had.
    if (lack == Lack::compiled_variant) return {};
    return statements(versions, asked, target, uncovered);
  }
  auto fewest = std::ranges::min(found, {}, &Candidate::steps).steps;
  std::erase_if(found, [&](const Candidate& item) { return item.steps > fewest; });
  std::ranges::sort(found, {}, [&](const Candidate& item) { return rank(item, target, asked); });
  if (found.size() > kMostAdvice) found.resize(kMostAdvice);
  std::vector<Advice> out;
  for (const auto& item : found) {
    const auto& version = versions[item.version];
    out.push_back({.kind = Advice::Kind::change,
                   .changes = changes_of(item, version, target, asked),
                   .index = item.version,
                   .kernel_version = version.version,
                   .target = item.target,
                   .variant = item.chosen->variant.name(),
                   .text = text_of(item, version, target, asked, lack)});
  }
  return out;
}

}  // namespace kernels::resolve
