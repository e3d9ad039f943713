#include "kernels/resolve/advice.h"

#include <algorithm>
#include <random>

#include "kernels/resolve/variants.h"

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::resolve;

namespace {

VersionVariants version(std::uint64_t number, const std::vector<std::string>& names) {
  VersionVariants out{.version = number, .name = "v" + std::to_string(number), .variants = {}};
  for (auto& variant : parse_variant_names(names).valid)
    out.variants.push_back({.variant = std::move(variant)});
  return out;
}

VersionVariants declaring(VersionVariants version, const std::vector<std::vector<std::string>>& archs) {
  for (std::size_t i = 0; i < archs.size(); ++i)
    version.variants[i].archs = archs[i];
  return version;
}

std::vector<std::string> texts(const std::vector<Advice>& advice) {
  std::vector<std::string> out;
  for (const auto& item : advice)
    out.push_back(item.text);
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("advice: the nearest change, in words", "[resolve]") {
  struct Row {
    const char* name;
    const char* target;
    std::vector<VersionVariants> versions;
    std::size_t asked;
    Texts expected;
  };
  const std::vector<Row> rows = {
      {"what fits needs no advice",
       "torch=2.12,cuda=13.0",
       {version(1, {"torch212-cxx11-cu130-x86_64-linux"})},
       0,
       {}},
      {"another torch, the nearest first and of two as near the newer",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch29-cxx11-cu130-x86_64-linux", "torch210-cxx11-cu130-x86_64-linux",
                    "torch212-cxx11-cu130-x86_64-linux"})},
       0,
       {"install torch 2.12: version 1 has `torch212-cxx11-cu130-x86_64-linux`",
        "install torch 2.10: version 1 has `torch210-cxx11-cu130-x86_64-linux`",
        "install torch 2.9: version 1 has `torch29-cxx11-cu130-x86_64-linux`"}},
      {"a stable-ABI build of another version comes before a change of torch",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch212-cxx11-cu130-x86_64-linux"}), version(2, {"torch211-cxx11-cu130-x86_64-linux"}),
        version(3, {"torch-stable-abi210-cu130-x86_64-linux"})},
       0,
       {"version 3 has a stable-ABI build for you: `torch-stable-abi210-cu130-x86_64-linux`",
        "install torch 2.12: version 1 has `torch212-cxx11-cu130-x86_64-linux`",
        "version 2 has a build for you: `torch211-cxx11-cu130-x86_64-linux`"}},
      {"a stable ABI that is too new",
       "torch=2.8,cuda=13.0",
       {version(1, {"torch-stable-abi210-cu130-x86_64-linux"})},
       0,
       {"install torch 2.10 or newer: version 1 has `torch-stable-abi210-cu130-x86_64-linux`"}},
      {"another CUDA means another torch of the same version",
       "torch=2.10,cuda=13.0",
       {version(1, {"torch210-cxx11-cu128-x86_64-linux"})},
       0,
       {"a build for CUDA 12.8 exists, your torch is built for CUDA 13.0: install torch 2.10 for CUDA 12.8 "
        "(version 1 has `torch210-cxx11-cu128-x86_64-linux`)"}},
      {"torch and its CUDA are one installation",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch210-cxx11-cu128-x86_64-linux"})},
       0,
       {"a build for CUDA 12.8 exists, your torch is built for CUDA 13.0: install torch 2.10 for CUDA 12.8 "
        "(version 1 has `torch210-cxx11-cu128-x86_64-linux`)"}},
      {"tvm-ffi before torch",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch212-cxx11-cu130-x86_64-linux", "tvm-ffi01-cu130-x86_64-linux"})},
       0,
       {"install apache-tvm-ffi 0.1: version 1 has `tvm-ffi01-cu130-x86_64-linux`",
        "install torch 2.12: version 1 has `torch212-cxx11-cu130-x86_64-linux`"}},
      {"no torch at all",
       "cuda=13.0",
       {version(1, {"torch212-cxx11-cu130-x86_64-linux"})},
       0,
       {"install torch 2.12: version 1 has `torch212-cxx11-cu130-x86_64-linux`"}},
      {"the CUDA runtime without torch",
       "cuda=12.8,tvm-ffi=0.1",
       {version(1, {"tvm-ffi01-cu130-x86_64-linux"})},
       0,
       {"install CUDA 13.0: version 1 has `tvm-ffi01-cu130-x86_64-linux`"}},
      {"two steps",
       "cuda=12.8",
       {version(1, {"tvm-ffi01-cu130-x86_64-linux"})},
       0,
       {"install CUDA 13.0 and install apache-tvm-ffi 0.1: version 1 has `tvm-ffi01-cu130-x86_64-linux`"}},
      {"a step and another version",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch29-cxx11-rocm64-x86_64-linux"}), version(2, {"torch212-cxx11-cu130-x86_64-linux"})},
       0,
       {"take version 2 and install torch 2.12: it has `torch212-cxx11-cu130-x86_64-linux`"}},
      {"the C++ ABI",
       "torch=2.6,cuda=12.4,cxx11-abi=false",
       {version(1, {"torch26-cxx11-cu124-x86_64-linux"})},
       0,
       {"install torch 2.6 with the new C++ ABI: version 1 has `torch26-cxx11-cu124-x86_64-linux`"}},
      {"ROCm by the version that a person means",
       "torch=2.11,rocm=7.2",
       {version(1, {"torch211-cxx11-rocm710-x86_64-linux"})},
       0,
       {"a build for ROCm 7.10 exists, your torch is built for ROCm 7.2: install torch 2.11 for ROCm 7.10 "
        "(version 1 has `torch211-cxx11-rocm710-x86_64-linux`)"}},
      {"macOS",
       "os=darwin,cpu=aarch64,torch=2.11,backend=metal,macos=15.7",
       {version(1, {"torch211-metal-aarch64-darwin"})},
       0,
       {"update to macOS 26.0: version 1 has `torch211-metal-aarch64-darwin`"}},
      {"a torch without CUDA on a machine with GPUs",
       "torch=2.11,backend=cpu,capability=9.0",
       {version(1, {"torch211-cxx11-cu130-x86_64-linux"})},
       0,
       {"install torch 2.11 for CUDA 13.0: version 1 has `torch211-cxx11-cu130-x86_64-linux`"}},
      {"another CUDA that the driver is too old for",
       "torch=2.10,cuda=12.6,driver=535.104.05",
       {version(1, {"torch210-cxx11-cu130-x86_64-linux"})},
       0,
       {"a build for CUDA 13.0 exists, your torch is built for CUDA 12.6: install torch 2.10 for CUDA 13.0 "
        "and "
        "update the NVIDIA driver to 580.65.06 or newer (version 1 has "
        "`torch210-cxx11-cu130-x86_64-linux`)"}},
      {"one that it is not too old for is nearer",
       "torch=2.10,cuda=12.6,driver=535.104.05",
       {version(1, {"torch210-cxx11-cu130-x86_64-linux", "torch210-cxx11-cu128-x86_64-linux",
                    "torch29-cxx11-cu129-x86_64-linux"})},
       0,
       {"a build for CUDA 12.8 exists, your torch is built for CUDA 12.6: install torch 2.10 for CUDA 12.8 "
        "(version 1 has `torch210-cxx11-cu128-x86_64-linux`)",
        "a build for CUDA 12.9 exists, your torch is built for CUDA 12.6: install torch 2.9 for CUDA 12.9 "
        "(version 1 has `torch29-cxx11-cu129-x86_64-linux`)"}},
      {"no build for the CPU",
       "cpu=aarch64,torch=2.11,cuda=13.0",
       {version(1, {"torch211-cxx11-cu130-x86_64-linux"}), version(2, {"torch211-cxx11-cu128-x86_64-linux"})},
       1,
       {"there is no build for aarch64 at all, only for x86_64"}},
      {"no build for the system",
       "os=windows,torch=2.11,cuda=13.0",
       {version(1, {"torch211-cxx11-cu130-x86_64-linux", "torch211-metal-aarch64-darwin"})},
       0,
       {"there is no build for windows at all, only for darwin, linux"}},
      {"no build for the two together",
       "cpu=aarch64,torch=2.11,cuda=13.0",
       {version(1, {"torch211-cxx11-cu130-x86_64-linux", "torch211-cpu-aarch64-darwin"})},
       0,
       {"there is no build for linux aarch64 at all, only for darwin aarch64, linux x86_64"}},
      {"no build for the backend",
       "torch=2.11,rocm=7.0",
       {version(1, {"torch211-cxx11-cu130-x86_64-linux"}), version(2, {"torch-cpu"})},
       0,
       {"no build for ROCm exists in any version, only for CPU, CUDA"}},
      {"a name that no machine can choose",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch211-cxx11-cu1210-x86_64-linux"})},
       0,
       {"no other torch, CUDA, tvm-ffi or Python would make a build fit"}},
      {"nothing at all", "torch=2.11,cuda=13.0", {version(1, {})}, 0, {"there is no build variant"}},
      {"a Python-only variant is chosen although there are compiled ones",
       "torch=2.11,cuda=13.0",
       {version(1, {"torch-cuda", "torch212-cxx11-cu130-x86_64-linux"}),
        version(2, {"torch211-cxx11-cu130-x86_64-linux"})},
       0,
       {"install torch 2.12: version 1 has `torch212-cxx11-cu130-x86_64-linux`"}},
      {"a Python-only variant for another CPU than the compiled ones is no worse than it could be",
       "cpu=aarch64,torch=2.11,cuda=13.0",
       {version(1, {"torch-cuda", "torch212-cxx11-cu130-x86_64-linux"})},
       0,
       {}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(texts(nearest_changes(row.versions, row.asked, *parse_target(row.target))) == row.expected);
  }
}

TEST_CASE("advice: a Python without the GIL is told to take one with it", "[resolve]") {
  auto target = *parse_target("torch=2.11,cuda=13.0");
  target.free_threaded_python = true;
  auto advice = nearest_changes({version(1, {"torch211-cxx11-cu130-x86_64-linux"})}, 0, target);
  REQUIRE(advice.size() == 1);
  CHECK(advice[0].text ==
        "use a Python with the GIL, or Python 3.15 or newer: version 1 has "
        "`torch211-cxx11-cu130-x86_64-linux`");
  CHECK(advice[0].changes == std::vector<Advice::Change>{{.key = "python", .value = "gil"}});
}

TEST_CASE("advice: a build without code for the GPU leads to one that has it, or to none", "[resolve]") {
  auto target = *parse_target("torch=2.11,cuda=12.8,capability=12.0");
  auto old = declaring(version(1, {"torch211-cxx11-cu128-x86_64-linux"}), {{"8.0", "9.0"}});
  auto newer =
      declaring(version(2, {"torch211-cxx11-cu126-x86_64-linux", "torch211-cxx11-cu130-x86_64-linux"}),
                {{"9.0"}, {"9.0", "12.0"}});
  CHECK(texts(nearest_changes({old}, 0, target)) ==
        Texts{"no build that could be chosen declares code for capability 12.0"});
  CHECK(texts(nearest_changes({old, newer}, 1, target)) ==
        Texts{"a build for CUDA 13.0 exists, your torch is built for CUDA 12.8: install torch 2.11 for CUDA "
              "13.0 (version 2 has `torch211-cxx11-cu130-x86_64-linux`, with code for capability 12.0)"});
  auto other = declaring(version(3, {"torch-stable-abi29-cu128-x86_64-linux"}), {{"12.0"}});
  CHECK(texts(nearest_changes({old, newer, other}, 1, target)).front() ==
        "version 3 has a stable-ABI build for you: `torch-stable-abi29-cu128-x86_64-linux`, with code for "
        "capability 12.0");
  // A build that says nothing is neither complained about nor recommended for a GPU.
  auto silent = version(4, {"torch211-cxx11-cu128-x86_64-linux"});
  CHECK(nearest_changes({silent}, 0, target).empty());
  CHECK(texts(nearest_changes({old, silent}, 0, target)).front() ==
        "no build of any version that could be chosen declares code for capability 12.0");
}

TEST_CASE("advice: a build that another one hides is reached by the versions that it is built for",
          "[resolve]") {
  auto volta = *parse_target("torch=2.11,cuda=12.8,capability=7.0");
  auto by_cuda =
      declaring(version(1, {"torch211-cxx11-cu126-x86_64-linux", "torch211-cxx11-cu128-x86_64-linux"}),
                {{"7.0"}, {"8.0"}});
  CHECK(
      texts(nearest_changes({by_cuda}, 0, volta)) ==
      Texts{
          "a build for CUDA 12.6 exists, your torch is built for CUDA 12.8: install torch 2.11 for CUDA 12.6 "
          "(version 1 has `torch211-cxx11-cu126-x86_64-linux`, with code for capability 7.0)"});
  auto by_torch = declaring(
      version(1, {"torch-stable-abi29-cu128-x86_64-linux", "torch-stable-abi210-cu128-x86_64-linux"}),
      {{"7.0"}, {"8.0"}});
  CHECK(texts(nearest_changes({by_torch}, 0, volta)) ==
        Texts{"install torch 2.9: version 1 has `torch-stable-abi29-cu128-x86_64-linux`, with code for "
              "capability "
              "7.0"});
  // Also where nothing fits at first.
  auto none = *parse_target("torch=2.11,cuda=13.0,capability=7.0");
  CHECK(texts(nearest_changes({by_cuda}, 0, none)).front() ==
        "a build for CUDA 12.6 exists, your torch is built for CUDA 13.0: install torch 2.11 for CUDA 12.6 "
        "(version 1 has `torch211-cxx11-cu126-x86_64-linux`)");
}

TEST_CASE("advice: what a change consists of can be typed again as a target", "[resolve]") {
  auto advice = nearest_changes({version(1, {}), version(2, {"torch212-cxx11-cu130-x86_64-linux"})}, 0,
                                *parse_target("torch=2.11,cuda=12.8"));
  REQUIRE(advice.size() == 1);
  CHECK(advice[0].changes == std::vector<Advice::Change>{{.key = "version", .value = "2"},
                                                         {.key = "torch", .value = "2.12"},
                                                         {.key = "cuda", .value = "13.0"}});
  CHECK(advice[0].index == 1);
  auto expected = *parse_target("torch=2.12,cuda=13.0");
  expected.name = advice[0].target.name;
  CHECK(advice[0].target == expected);
}

// --- random sets: the same question by trying everything ---

namespace {

std::string pick(std::mt19937_64& random, const std::vector<std::string>& values) {
  return values[random() % values.size()];
}

const std::vector<std::string> kTorch = {"2.9", "2.10", "2.11", "3.0"};
const std::vector<std::string> kTvm = {"0.1", "0.2"};
const std::vector<std::string> kBackends = {"backend=cpu", "cuda=12.6", "cuda=12.8",  "cuda=13.0",
                                            "rocm=7.0",    "rocm=7.10", "xpu=2025.3", "backend=metal"};

std::string random_name(std::mt19937_64& random) {
  static const std::vector<std::string> frameworks = {
      "torch29",        "torch210-cxx11", "torch210-cxx98",      "torch211",
      "torch211-cxx11", "torch30-cxx11",  "torch-stable-abi210", "torch-stable-abi211",
      "tvm-ffi01",      "tvm-ffi02",      "torch29-cxx11"};
  static const std::vector<std::string> tags = {"cpu",    "cu126",   "cu128",    "cu130", "cu1210",
                                                "rocm70", "rocm710", "xpu20253", "metal"};
  static const std::vector<std::string> platforms = {"x86_64-linux",  "x86_64-linux",   "x86_64-linux",
                                                     "aarch64-linux", "aarch64-darwin", "x86_64-windows"};
  static const std::vector<std::string> noarch = {"torch-cuda", "torch-rocm", "torch-metal",
                                                  "torch-universal"};
  if (random() % 40 == 0) return pick(random, noarch);
  return pick(random, frameworks) + "-" + pick(random, tags) + "-" + pick(random, platforms);
}

Target random_target(std::mt19937_64& random) {
  std::string text = pick(random, {"os=linux,cpu=x86_64", "os=linux,cpu=x86_64", "os=linux,cpu=aarch64",
                                   "os=darwin,cpu=aarch64", "os=windows,cpu=x86_64"});
  text += "," + pick(random, kBackends);
  if (random() % 4 != 0) text += ",torch=" + pick(random, kTorch);
  if (random() % 2 == 0) text += ",tvm-ffi=" + pick(random, kTvm);
  if (random() % 4 == 0) text += ",cxx11-abi=false";
  if (random() % 2 == 0) text += ",macos=" + pick(random, {"15.7", "26.1"});
  if (random() % 3 == 0) text += ",capability=9.0";
  auto target = *parse_target(text);
  target.free_threaded_python = random() % 8 == 0;
  return target;
}

std::vector<VersionVariants> random_versions(std::mt19937_64& random) {
  std::vector<VersionVariants> out;
  for (std::uint64_t number = 1; number <= 1 + random() % 3; ++number) {
    std::vector<std::string> names;
    for (auto count = random() % 6; count > 0; --count)
      names.push_back(random_name(random));
    std::ranges::sort(names);
    auto repeated = std::ranges::unique(names);
    names.erase(repeated.begin(), repeated.end());
    out.push_back(version(number, names));
    // The same for all builds: one that hides a better one is a case of its own, and not one to be advised
    // to leave by an older torch.
    bool has_noarch = std::ranges::any_of(out.back().variants, [](const DeclaredVariant& build) {
      return build.variant.framework == Framework::noarch;
    });
    std::vector<std::string> archs;
    if (!has_noarch && random() % 2 == 0) archs = {pick(random, {"8.0", "9.0"})};
    for (auto& build : out.back().variants)
      build.archs = archs;
  }
  return out;
}

/// Every target that software of the lists above could make of one; the platform and the GPUs stay.
std::vector<Target> all_changes(const Target& from) {
  std::vector<Target> out;
  auto with_each = [&out](auto&& change_each) {
    auto before = out;
    for (const auto& target : before)
      change_each(target);
  };
  out.push_back(from);
  with_each([&](Target target) {
    for (const auto& torch : kTorch) {
      target.torch = *MajorMinor::parse(torch);
      complete_target(target);
      out.push_back(target);
    }
  });
  with_each([&](Target target) {
    for (const auto& text : kBackends) {
      auto backend = parse_target(text)->backend;
      bool reachable = backend.kind == from.backend.kind ||
                       (from.backend.kind == BackendKind::cpu && backend.kind == BackendKind::cuda &&
                        !from.capabilities.empty());
      target.backend = backend;
      if (reachable) out.push_back(target);
    }
  });
  with_each([&](Target target) {
    if (!target.torch || target.os != "linux") return;
    target.cxx11_abi = !target.cxx11_abi.value_or(false);
    out.push_back(target);
  });
  with_each([&](Target target) {
    for (const auto& tvm_ffi : kTvm) {
      target.tvm_ffi = *MajorMinor::parse(tvm_ffi);
      out.push_back(target);
    }
  });
  with_each([&](Target target) {
    target.free_threaded_python = false;
    out.push_back(target);
  });
  with_each([&](Target target) {
    target.macos = MajorMinor{.major = 26, .minor = 0};
    out.push_back(target);
  });
  return out;
}

int steps_between(const Target& a, const Target& b) {
  bool framework = a.torch != b.torch || a.backend != b.backend || a.cxx11_abi != b.cxx11_abi;
  return int{framework} + int{a.tvm_ffi != b.tvm_ffi} +
         int{a.free_threaded_python != b.free_threaded_python} + int{a.macos != b.macos};
}

const DeclaredVariant* chosen_by(const VersionVariants& version, const Target& target) {
  std::vector<Variant> variants;
  for (const auto& build : version.variants)
    variants.push_back(build.variant);
  auto decisions = decide(variants, target);
  if (decisions.empty() || !decisions.front().accepted()) return nullptr;
  return &*std::ranges::find(version.variants, decisions.front().variant, &DeclaredVariant::variant);
}

/// The fewest steps after which a version chooses something that its GPUs can run; nothing if there is no
/// way.
std::optional<int> fewest_steps(const std::vector<VersionVariants>& versions, std::size_t asked,
                                const Target& target) {
  std::optional<int> best;
  for (const auto& changed : all_changes(target))
    for (std::size_t i = 0; i < versions.size(); ++i) {
      int steps = steps_between(target, changed) + (i == asked ? 0 : 1);
      if (best && *best <= steps) continue;
      const auto* chosen = chosen_by(versions[i], changed);
      if (chosen != nullptr && uncovered_capabilities(*chosen, changed).empty()) best = steps;
    }
  return best;
}

}  // namespace

TEST_CASE("advice: every change that is advised is accepted, and none with fewer steps exists", "[resolve]") {
  std::mt19937_64 random(test::seed());
  int changes = 0;
  int hopeless = 0;
  for (int round = 0; round < 1500; ++round) {
    auto versions = random_versions(random);
    auto target = random_target(random);
    auto asked = random() % versions.size();
    auto advice = nearest_changes(versions, asked, target);
    CAPTURE(round, target.display(), asked, texts(advice));
    for (const auto& item : advice) {
      if (item.kind == Advice::Kind::statement) continue;
      ++changes;
      const auto* chosen = chosen_by(versions[item.index], item.target);
      REQUIRE(chosen != nullptr);
      CHECK(chosen->variant.name() == item.variant);
      CHECK(uncovered_capabilities(*chosen, item.target).empty());
      CHECK(item.target.os == target.os);
      CHECK(item.target.cpu == target.cpu);
      CHECK(item.target.capabilities == target.capabilities);
      CHECK_FALSE(item.changes.empty());
    }
    if (chosen_by(versions[asked], target) != nullptr) continue;
    REQUIRE_FALSE(advice.empty());
    auto best = fewest_steps(versions, asked, target);
    hopeless += int{!best.has_value()};
    REQUIRE(best.has_value() == (advice.front().kind == Advice::Kind::change));
    if (!best) continue;
    for (const auto& item : advice)
      CHECK(steps_between(target, item.target) + (item.index == asked ? 0 : 1) == *best);
  }
  CHECK(changes > 300);
  CHECK(hopeless > 50);
}

TEST_CASE("advice: the order of the variants does not matter", "[resolve]") {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 300; ++round) {
    auto versions = random_versions(random);
    auto target = random_target(random);
    auto expected = texts(nearest_changes(versions, 0, target));
    for (auto& item : versions)
      std::ranges::shuffle(item.variants, random);
    CHECK(texts(nearest_changes(versions, 0, target)) == expected);
  }
}

TEST_CASE("advice: absurdly many variants are answered", "[resolve]") {
  std::vector<std::string> names;
  for (int i = 0; i < 20000; ++i)
    names.push_back("torch2" + std::to_string(100 + i) + "-cxx11-cu130-x86_64-linux");
  auto advice = nearest_changes({version(1, names)}, 0, *parse_target("torch=2.11,cuda=13.0"));
  REQUIRE(advice.size() == 4);
  CHECK(advice[0].variant == "torch2100-cxx11-cu130-x86_64-linux");
}
