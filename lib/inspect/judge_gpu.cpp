#include <algorithm>
#include <map>
#include <set>

#include "kernels/base/joined.h"
#include "kernels/inspect/judge.h"
#include "kernels/model/cuda_releases.h"

namespace kernels::inspect {

namespace {

/// How one container fares on one GPU.
enum class Fate { machine_code, jit, driver_too_old, refused, unknown };

struct Outcome {
  Fate fate = Fate::refused;
  std::optional<MajorMinor> ptx;  ///< that has to be compiled
};

bool driver_loads(const std::optional<std::string>& driver, MajorMinor ptx) {
  if (!driver) return true;
  auto needed = driver_for_ptx(ptx);
  // Newer than the list: a driver that is older than everything in it cannot know it, another one may.
  if (needed.empty()) return compare_dotted(*driver, cuda_releases().back().driver) > 0;
  return is_new_enough(*driver, needed);
}

Outcome fate_of(const GpuContainer& container, MajorMinor capability,
                const std::optional<std::string>& driver) {
  Outcome best;
  for (const auto& image : container.images) {
    if (image.kind == CodeKind::other && best.fate == Fate::refused) best.fate = Fate::unknown;
    if (image.is_relocatable || !image_covers(image, capability)) continue;
    if (image.kind == CodeKind::sass) return {.fate = Fate::machine_code, .ptx = std::nullopt};
    if (image.kind != CodeKind::ptx) continue;
    auto fate = driver_loads(driver, image.version) ? Fate::jit : Fate::driver_too_old;
    // Of several the driver takes one that it can; the oldest is what it needs at least.
    bool is_better = best.fate != Fate::jit && (fate == Fate::jit || best.fate != Fate::driver_too_old);
    if (is_better || (fate == best.fate && image.version < best.ptx))
      best = {.fate = fate, .ptx = image.version};
  }
  return best;
}

/// Neither tells where a library runs: what has no functions, and what only a linker can use.
bool counts(const GpuContainer& container) {
  bool only_lto = !container.images.empty() &&
                  std::ranges::all_of(container.images,
                                      [](const GpuImage& image) { return image.kind == CodeKind::lto; });
  return !container.is_empty() && !container.is_relocatable && !only_lto;
}

struct Tally {
  std::size_t machine_code = 0;
  std::size_t jit = 0;
  std::size_t unknown = 0;
};

GpuVerdict verdict_of(const GpuCode& code, const GpuJudgement& judgement, const Tally& tally) {
  if (judgement.considered == 0) {
    if (!code.is_complete) return GpuVerdict::unknown;
    return code.foreign.empty() ? GpuVerdict::no_code : GpuVerdict::not_read;
  }
  if (!judgement.refused.empty())
    return judgement.refused.size() == judgement.considered ? GpuVerdict::would_not : GpuVerdict::partly;
  if (tally.unknown > 0 || !code.is_complete) return GpuVerdict::unknown;
  return tally.jit > 0 ? GpuVerdict::after_jit : GpuVerdict::runs;
}

std::string arch_name(const GpuImage& image) {
  std::string out = image.capability.str();
  if (image.suffix == ArchSuffix::specific) out += 'a';
  if (image.suffix == ArchSuffix::family) out += 'f';
  if (image.kind == CodeKind::ptx) out += "+PTX";
  return out;
}

/// By number, so that 10.0 comes after 9.0, then suffix and PTX.
bool arch_less(const std::string& one, const std::string& other) {
  auto key = [](const std::string& name) {
    auto end = name.find_first_not_of("0123456789.");
    return std::pair(MajorMinor::parse(name.substr(0, end)).value_or(MajorMinor{}),
                     end == std::string::npos ? std::string() : name.substr(end));
  };
  return key(one) < key(other);
}

/// The names of what one declared architecture stands for: `9.0+PTX` is machine code and PTX.
std::vector<std::string> parts_of(const std::string& declared) {
  if (!declared.ends_with("+PTX")) return {declared};
  return {declared.substr(0, declared.size() - 4), declared};
}

std::set<std::string> names_in(const GpuContainer& container) {
  std::set<std::string> out;
  for (const auto& image : container.images)
    if (image.kind == CodeKind::sass || image.kind == CodeKind::ptx) out.insert(arch_name(image));
  return out;
}

}  // namespace

std::string to_string(Weight weight) {
  return weight == Weight::note ? "note" : weight == Weight::warning ? "warning" : "violation";
}

std::string to_string(GpuVerdict verdict) {
  switch (verdict) {
    case GpuVerdict::runs:
      return "runs";
    case GpuVerdict::after_jit:
      return "runs after JIT";
    case GpuVerdict::partly:
      return "some functions would not run";
    case GpuVerdict::would_not:
      return "would not run";
    case GpuVerdict::no_code:
      return "no GPU code found";
    case GpuVerdict::not_read:
      return "not read";
    case GpuVerdict::unknown:
      return "unknown";
  }
  return {};
}

bool image_covers(const GpuImage& image, MajorMinor capability) {
  const auto& built = image.capability;
  if (image.suffix == ArchSuffix::specific) return built == capability;
  bool is_later = built.major == capability.major && built.minor <= capability.minor;
  if (image.kind == CodeKind::sass || image.suffix == ArchSuffix::family) return is_later;
  return image.kind == CodeKind::ptx && built <= capability;
}

GpuJudgement judge_gpu(const GpuCode& code, MajorMinor capability, const std::optional<std::string>& driver) {
  GpuJudgement out;
  Tally tally;
  for (std::size_t i = 0; i < code.containers.size(); ++i) {
    const auto& container = code.containers[i];
    if (!counts(container)) continue;
    ++out.considered;
    auto outcome = fate_of(container, capability, driver);
    tally.machine_code += outcome.fate == Fate::machine_code ? 1 : 0;
    tally.jit += outcome.fate == Fate::jit ? 1 : 0;
    tally.unknown += outcome.fate == Fate::unknown ? 1 : 0;
    if (outcome.fate == Fate::refused || outcome.fate == Fate::driver_too_old) out.refused.push_back(i);
    out.driver_is_too_old |= outcome.fate == Fate::driver_too_old;
    if (outcome.ptx) out.needs_ptx = std::max(out.needs_ptx.value_or(*outcome.ptx), *outcome.ptx);
  }
  if (out.needs_ptx) out.needs_driver = driver_for_ptx(*out.needs_ptx);
  out.verdict = verdict_of(code, out, tally);
  return out;
}

std::vector<std::string> archs_of(const GpuCode& code) {
  std::set<std::string> names;
  for (const auto& container : code.containers)
    if (counts(container)) names.merge(names_in(container));
  std::vector<std::string> out(names.begin(), names.end());
  std::ranges::sort(out, arch_less);
  return out;
}

std::vector<Finding> compare_archs(const std::vector<std::string>& declared,
                                   std::span<const GpuCode* const> code) {
  std::size_t containers = 0;
  std::map<std::string, std::size_t> having;
  for (const auto* one : code)
    for (const auto& container : one->containers) {
      if (!counts(container)) continue;
      ++containers;
      for (const auto& name : names_in(container))
        ++having[name];
    }
  if (containers == 0) return {};
  std::vector<Finding> out;
  std::vector<std::string> absent;
  std::set<std::string> promised;
  for (const auto& arch : declared)
    for (const auto& part : parts_of(arch)) {
      if (!promised.insert(part).second) continue;
      auto found = having.contains(part) ? having.at(part) : 0;
      if (found == 0) absent.push_back(part);
      if (found > 0 && found < containers)
        out.push_back(
            {.weight = Weight::warning,
             .rule = "archs-partial",
             .text = "metadata.json declares " + part + ", but only " + std::to_string(found) + " of " +
                     std::to_string(containers) + " containers of GPU code have it",
             .hint = "the functions of the other containers do not run where only " + part + " does"});
    }
  std::vector<std::string> undeclared;
  for (const auto& [name, count] : having)
    if (!promised.contains(name)) undeclared.push_back(name);
  std::ranges::sort(absent, arch_less);
  std::ranges::sort(undeclared, arch_less);
  if (!absent.empty())
    out.push_back(
        {.weight = Weight::violation,
         .rule = "archs-absent",
         .text = "metadata.json declares " + joined(absent, " ") + ", which the binaries do not hold",
         .hint = "believe the binaries; they were built for other architectures than was written down"});
  if (!undeclared.empty() && !declared.empty())
    out.push_back(
        {.weight = Weight::note,
         .rule = "archs-undeclared",
         .text = "the binaries hold " + joined(undeclared, " ") + ", which metadata.json does not declare",
         .hint = {}});
  return out;
}

}  // namespace kernels::inspect
