#include <algorithm>
#include <array>

#include "kernels/inspect/judge.h"
#include "kernels/model/cuda_releases.h"

#include "lists.h"

namespace kernels::inspect {

namespace {

constexpr std::uint16_t kX86 = 62;
constexpr std::uint16_t kArm = 183;
constexpr std::uint16_t kCuda = 190;
constexpr std::uint16_t kAmdGpu = 224;
constexpr std::string_view kPolicy = "manylinux_2_28";
constexpr MajorMinor kStablePython{.major = 3, .minor = 9};

/// Libraries that come with what a kernel is built for: the frameworks, and the CUDA, ROCm and XPU runtimes.
/// A name that ends with `.so` stands for its numbered names too.
constexpr std::array kFrameworkLibraries = {
    "libtvm_ffi.so",   "libtorch.so",     "libtorch_cpu.so", "libtorch_cuda.so", "libtorch_hip.so",
    "libtorch_xpu.so", "libc10.so",       "libc10_cuda.so",  "libc10_hip.so",    "libc10_xpu.so",
    "libcudart.so",    "libcublas.so",    "libcublasLt.so",  "libcusparse.so",   "libcusolver.so",
    "libcurand.so",    "libcufft.so",     "libcudnn.so",     "libnvrtc.so",      "libnvJitLink.so",
    "libcuda.so",      "libnccl.so",      "libamdhip64.so",  "libhiprtc.so",     "libhipblas.so",
    "libhipblaslt.so", "librocblas.so",   "libsycl.so",      "libze_loader.so",  "libdnnl.so",
    "libascendcl.so",  "libtorch_npu.so", "libgomp.so",      "libur_loader.so",  "libOpenCL.so",
    "libimf.so",       "libsvml.so",      "libirng.so",      "libintlc.so",      "libmkl_core.so"};

bool stands_for(std::string_view known, std::string_view library) {
  return library == known || (known.ends_with(".so") && library.starts_with(known) &&
                              library.size() > known.size() && library[known.size()] == '.');
}

bool is_allowed_library(std::string_view library) {
  if (library.starts_with("ld-linux")) return true;
  if (std::ranges::find(policy_libraries(), library) != policy_libraries().end()) return true;
  return std::ranges::any_of(kFrameworkLibraries,
                             [&](std::string_view known) { return stands_for(known, library); });
}

bool is_number(std::string_view version) {
  return !version.empty() && version.find_first_not_of("0123456789.") == std::string_view::npos;
}

/// Whether a system of the policy has a version; nothing if the policy says nothing about the family.
std::optional<bool> has_version(std::string_view policy, std::string_view cpu, const NewestVersion& need) {
  std::optional<bool> out;
  for (const auto& row : policy_rows()) {
    if (row.policy != policy || row.cpu != cpu || row.family != need.family) continue;
    bool fits = is_number(need.version) && is_number(row.version)
                    ? compare_dotted(need.version, row.version) <= 0
                    : need.version == row.version;
    out = out.value_or(false) || fits;
  }
  return out;
}

bool lacks_version(std::string_view policy, std::string_view cpu, const NewestVersion& need) {
  return !has_version(policy, cpu, need).value_or(true);
}

std::string by_symbol(const NewestVersion& need) {
  return need.symbol.empty() ? std::string() : " (for `" + need.symbol + "`)";
}

std::string shown(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 5;
  std::string out;
  for (std::size_t i = 0; i < std::min(kMost, names.size()); ++i)
    out += (i == 0 ? "`" : ", `") + names[i] + "`";
  if (names.size() > kMost) out += " and " + std::to_string(names.size() - kMost) + " more";
  return out;
}

/// Whether every place of a run path is the library's own folder or lies below it. An empty one is the folder
/// in which the program happens to run.
bool stays_beside(std::string_view path) {
  while (true) {
    auto place = path.substr(0, path.find(':'));
    auto origin = place.starts_with("$ORIGIN") ? 7U : place.starts_with("${ORIGIN}") ? 9U : 0U;
    if (origin == 0 || (place.size() > origin && place[origin] != '/')) return false;
    auto below = "/" + std::string(place.substr(origin)) + "/";
    if (below.find("/../") != std::string::npos) return false;
    if (path.size() == place.size()) return true;
    path.remove_prefix(place.size() + 1);
  }
}

class Judge {
 public:
  Judge(const LibraryFacts& facts, const std::optional<Variant>& variant)
      : facts_(facts), elf_(*facts.elf), variant_(variant) {}

  std::vector<Finding> run() {
    versions();
    libraries();
    loading();
    python();
    torch();
    tvm_ffi();
    return std::move(out_);
  }

 private:
  void add(Weight weight, const char* rule, std::string text, std::string hint = {}) {
    out_.push_back({.weight = weight, .rule = rule, .text = std::move(text), .hint = std::move(hint)});
  }

  void versions() {
    auto cpu = cpu_name(elf_.machine);
    for (const auto& need : facts_.versions)
      if (lacks_version(kPolicy, cpu, need))
        add(Weight::violation, "manylinux",
            "needs " + need.family + "_" + need.version + by_symbol(need) +
                ", which manylinux_2_28 does not have",
            "build on a system of manylinux_2_28, or link with the stubs of an older one");
  }

  void libraries() {
    for (const auto& library : elf_.needed)
      if (!is_allowed_library(library))
        add(Weight::warning, "needed-library",
            "needs `" + library + "`, which neither the system nor a framework brings",
            "it has to be installed beside, or be linked statically");
    if (elf_.run_path || elf_.old_r_path) {
      const auto& path = elf_.run_path ? *elf_.run_path : *elf_.old_r_path;
      // Where it was built is nowhere else; beside itself is at least a place that the kernel's publisher
      // controls.
      bool relative = path.empty() || stays_beside(path);
      add(relative ? Weight::note : Weight::violation, "run-path", "has the run path `" + path + "`",
          relative ? "" : "libraries would be loaded from a folder that this machine may let others write");
    }
  }

  void loading() {
    if (elf_.executable_stack == ExecutableStack::yes)
      add(Weight::violation, "executable-stack", "asks for an executable stack",
          "glibc 2.41 and newer refuse to load it; assemble with `-z noexecstack`");
    if (elf_.has_writable_code)
      add(Weight::violation, "writable-code", "has memory that is both written and executed");
    if (elf_.has_text_relocations)
      add(Weight::warning, "text-relocations", "has relocations in its code", "compile with -fPIC");
    if (facts_.has_unique_symbols)
      add(Weight::note, "unique-symbols",
          "has symbols that are shared by all libraries of a process (STB_GNU_UNIQUE)");
    if (elf_.bind_now && !facts_.python_symbols.empty())
      add(Weight::note, "bind-now", "resolves all symbols when it is loaded (BIND_NOW), also those of Python",
          "a program without Python has to provide them before it loads this");
  }

  void python() {
    std::vector<std::string> newer;
    std::vector<std::string> outside;
    for (const auto& name : facts_.python_symbols) {
      auto added = python_symbol_added(name);
      if (!added)
        outside.push_back(name);
      else if (*added > kStablePython)
        newer.push_back(name);
    }
    if (!outside.empty())
      add(Weight::violation, "python-abi", "uses Python symbols outside of the stable ABI: " + shown(outside),
          "it works with one version of Python only; build with Py_LIMITED_API");
    if (!newer.empty())
      add(Weight::violation, "python-abi", "uses Python symbols that are newer than 3.9: " + shown(newer),
          "build with Py_LIMITED_API=0x03090000");
  }

  void torch() {
    if (!variant_ || variant_->framework != Framework::torch_stable) return;
    auto promised = variant_->framework_version;
    std::vector<std::string> unstable;
    std::vector<std::string> newer;
    std::vector<std::string> unknown;
    for (const auto& name : facts_.torch_symbols) {
      if (is_unstable_torch_name(name)) {
        unstable.push_back(name);
        continue;
      }
      auto range = torch_shim_range(name);
      if (!range)
        unknown.push_back(name);
      else if (range->first > promised)
        newer.push_back(name + " (" + range->first.str() + ")");
    }
    if (!unstable.empty())
      add(Weight::violation, "torch-abi",
          "is named a stable-ABI build, but uses C++ symbols of torch: " + shown(unstable),
          "it works with one version of torch only");
    if (!newer.empty())
      add(Weight::violation, "torch-abi",
          "is named for torch " + promised.str() +
              " or newer, but uses functions that came later: " + shown(newer));
    if (!unknown.empty())
      add(Weight::warning, "torch-abi",
          "uses functions of torch that no known release declares: " + shown(unknown));
  }

  void tvm_ffi() {
    std::string_view newest;
    std::vector<std::string> late;
    std::vector<std::string> unknown;
    for (const auto& name : facts_.tvm_ffi_symbols) {
      auto added = tvm_ffi_added(name);
      if (added.empty()) {
        unknown.push_back(name);
        continue;
      }
      if (compare_dotted(added, "0.1.0") > 0) late.push_back(name);
      if (newest.empty() || compare_dotted(added, newest) > 0) newest = added;
    }
    if (!late.empty())
      add(Weight::warning, "tvm-ffi",
          "needs tvm-ffi " + std::string(newest) +
              " or newer, although the name of a variant says only 0.1: " + shown(late),
          "install apache-tvm-ffi " + std::string(newest) + " or newer where it is used");
    if (!unknown.empty())
      add(Weight::warning, "tvm-ffi",
          "uses functions of tvm-ffi that no known release has: " + shown(unknown));
  }

  const LibraryFacts& facts_;
  const ElfFile& elf_;
  const std::optional<Variant>& variant_;
  std::vector<Finding> out_;
};

/// Machine code of GPUs comes in ELF files too, which no loader of the system takes.
bool is_gpu_machine(std::uint16_t machine) {
  return machine == kCuda || machine == kAmdGpu;
}

void judge_family(std::vector<Finding>& out, const LibraryFacts& facts, std::string_view family,
                  const std::optional<std::string>& has) {
  if (!has) return;
  for (const auto& need : facts.versions) {
    if (need.family != family || !is_number(need.version)) continue;
    if (compare_dotted(need.version, *has) <= 0) continue;
    out.push_back({.weight = Weight::violation,
                   .rule = "glibc",
                   .text = "needs " + need.family + " " + need.version + by_symbol(need) +
                           ", but the target has " + *has,
                   .hint = "use a newer system, or a build of the kernel for an older one"});
  }
}

}  // namespace

std::string cpu_name(std::uint16_t elf_machine) {
  return elf_machine == kX86 ? "x86_64" : elf_machine == kArm ? "aarch64" : "";
}

std::string manylinux_policy(const LibraryFacts& facts) {
  if (!facts.elf) return {};
  auto cpu = cpu_name(facts.elf->machine);
  std::vector<std::string_view> policies;
  for (const auto& row : policy_rows())
    if (row.cpu == cpu && (policies.empty() || policies.back() != row.policy)) policies.push_back(row.policy);
  for (auto policy : policies)
    if (std::ranges::none_of(facts.versions,
                             [&](const auto& need) { return lacks_version(policy, cpu, need); }))
      return std::string(policy);
  return {};
}

std::vector<Finding> judge_abi(const LibraryFacts& facts, const std::optional<Variant>& variant) {
  if (!facts.elf || is_gpu_machine(facts.elf->machine)) return {};
  return Judge(facts, variant).run();
}

std::vector<Finding> judge_on_target(const LibraryFacts& facts, const std::optional<Variant>& variant,
                                     const Target& target) {
  std::vector<Finding> out;
  if (!facts.elf || is_gpu_machine(facts.elf->machine)) return out;
  auto cpu = cpu_name(facts.elf->machine);
  if (target.os == "linux" && cpu != target.cpu)
    out.push_back({.weight = Weight::violation,
                   .rule = "cpu",
                   .text = "is machine code for " + (cpu.empty() ? "another CPU" : cpu) +
                           ", but the target has " + target.cpu,
                   .hint = {}});
  judge_family(out, facts, "GLIBC", target.glibc ? std::optional(target.glibc->str()) : std::nullopt);
  judge_family(out, facts, "GLIBCXX", target.glibcxx);
  judge_family(out, facts, "CXXABI", target.cxxabi);
  if (!variant || variant->framework != Framework::torch_stable || !target.torch) return out;
  std::vector<std::string> gone;
  for (const auto& name : facts.torch_symbols)
    if (auto range = torch_shim_range(name); range && range->gone && *target.torch >= *range->gone)
      gone.push_back(name);
  if (!gone.empty())
    out.push_back(
        {.weight = Weight::violation,
         .rule = "torch-abi",
         .text = "uses functions that torch " + target.torch->str() + " no longer has: " + shown(gone),
         .hint = {}});
  return out;
}

}  // namespace kernels::inspect
