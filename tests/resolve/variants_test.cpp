#include "kernels/resolve/variants.h"

#include <algorithm>
#include <random>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::resolve;

namespace {

std::vector<Decision> decide_names(const std::vector<std::string>& names, const Target& target) {
  return decide(parse_variant_names(names).valid, target);
}

std::vector<std::string> accepted(const std::vector<Decision>& decisions) {
  std::vector<std::string> out;
  for (const auto& decision : decisions)
    if (decision.accepted()) out.push_back(decision.variant.name());
  return out;
}

Refusal refusal_of(const std::vector<Decision>& decisions, const std::string& name) {
  auto found = std::ranges::find(decisions, name, [](const Decision& d) { return d.variant.name(); });
  REQUIRE(found != decisions.end());
  CHECK(found->reason.empty() == found->accepted());
  return found->refusal;
}

/// The five systems of the decision table.
Target system(char letter) {
  const char* text = letter == 'A'   ? "torch=2.10,cuda=12.8,tvm-ffi=0.1"
                     : letter == 'B' ? "torch=2.10,cuda=12.9"
                     : letter == 'C' ? "torch=2.10,cuda=13.0"
                     : letter == 'D' ? "torch=2.10,backend=cpu"
                                     : "cuda=12.8,tvm-ffi=0.1";
  return *parse_target(text);
}

struct Row {
  const char* name;
  int place[5];        ///< among the accepted ones of systems A to E; 0: refused
  Refusal refusal[5];  ///< for those that are refused
};

constexpr auto kOk = Refusal::none;
constexpr auto kMajor = Refusal::cuda_version;
constexpr auto kOther = Refusal::backend;
constexpr auto kNoTorch = Refusal::torch_missing;

const std::vector<Row>& decision_table() {
  using R = Refusal;
  static const std::vector<Row> rows = {
      {"torch-stable-abi210-cu124-x86_64-linux", {1, 1, 0, 0, 0}, {kOk, kOk, kMajor, kOther, kNoTorch}},
      {"torch-stable-abi29-cu126-x86_64-linux", {2, 2, 0, 0, 0}, {kOk, kOk, kMajor, kOther, kNoTorch}},
      {"torch210-cu126-x86_64-linux", {3, 3, 0, 0, 0}, {kOk, kOk, kMajor, kOther, kNoTorch}},
      {"torch210-cxx11-cu128-x86_64-linux", {4, 4, 0, 0, 0}, {kOk, kOk, kMajor, kOther, kNoTorch}},
      {"torch210-cxx11-cu126-x86_64-linux", {5, 5, 0, 0, 0}, {kOk, kOk, kMajor, kOther, kNoTorch}},
      {"torch210-cxx11-cu130-x86_64-linux", {0, 0, 1, 0, 0}, {kMajor, kMajor, kOk, kOther, kNoTorch}},
      {"torch210-cxx11-cpu-x86_64-linux", {0, 0, 0, 1, 0}, {kOther, kOther, kOther, kOk, kNoTorch}},
      {"tvm-ffi01-cu128-x86_64-linux", {6, 0, 0, 0, 1}, {kOk, R::tvm_ffi, R::tvm_ffi, R::tvm_ffi, kOk}},
      {"torch-cuda", {7, 6, 2, 0, 2}, {kOk, kOk, kOk, kOther, kOk}},
      {"torch-cpu", {0, 0, 0, 2, 0}, {kOther, kOther, kOther, kOk, kOther}},
      {"torch-universal", {8, 7, 3, 3, 3}, {kOk, kOk, kOk, kOk, kOk}},
      {"torch-stable-abi211-cu128-x86_64-linux",
       {0, 0, 0, 0, 0},
       {R::torch_too_old, R::torch_too_old, R::torch_too_old, R::torch_too_old, kNoTorch}},
      {"torch29-cxx11-cu128-x86_64-linux",
       {0, 0, 0, 0, 0},
       {R::torch_version, R::torch_version, R::torch_version, R::torch_version, kNoTorch}},
      {"torch210-cxx98-cu128-x86_64-linux",
       {0, 0, 0, 0, 0},
       {R::cxx11_abi, R::cxx11_abi, R::cxx11_abi, R::cxx11_abi, kNoTorch}},
      {"torch210-cxx11-cu128-aarch64-linux", {0, 0, 0, 0, 0}, {R::cpu, R::cpu, R::cpu, R::cpu, R::cpu}},
      {"torch210-cu128-x86_64-windows", {0, 0, 0, 0, 0}, {R::os, R::os, R::os, R::os, R::os}},
  };
  return rows;
}

}  // namespace

TEST_CASE("variants: the decision table of five systems, with places and reasons", "[resolve]") {
  auto column = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(column);
  std::vector<std::string> names;
  for (const auto& row : decision_table())
    names.emplace_back(row.name);
  auto decisions = decide_names(names, system("ABCDE"[column]));
  auto good = accepted(decisions);
  for (const auto& row : decision_table()) {
    CAPTURE(row.name);
    auto place = std::ranges::find(good, row.name) - good.begin();
    CHECK((row.place[column] == 0 ? static_cast<std::ptrdiff_t>(good.size()) : row.place[column] - 1) ==
          place);
    CHECK(refusal_of(decisions, row.name) == row.refusal[column]);
  }
}

TEST_CASE("variants: other systems", "[resolve]") {
  struct System {
    const char* name;
    const char* target;
    std::vector<std::string> offered;
    std::vector<std::string> expected;
  };
  const std::vector<System> systems = {
      {"windows",
       "os=windows,torch=2.10,cuda=12.8",
       {"torch210-cxx11-cu128-x86_64-windows", "torch210-cu128-x86_64-windows",
        "torch-stable-abi29-cu128-x86_64-windows"},
       {"torch-stable-abi29-cu128-x86_64-windows", "torch210-cu128-x86_64-windows"}},
      {"macOS 15.7",
       "os=darwin,cpu=aarch64,macos=15.7,torch=2.10,backend=metal",
       {"torch-metal", "torch210-metal-aarch64-darwin", "torch210-cpu-aarch64-darwin", "torch-cpu"},
       {"torch-metal"}},
      {"macOS 26.0",
       "os=darwin,cpu=aarch64,macos=26.0,torch=2.10,backend=metal",
       {"torch-metal", "torch210-metal-aarch64-darwin", "torch210-cpu-aarch64-darwin", "torch-cpu"},
       {"torch210-metal-aarch64-darwin", "torch-metal"}},
      {"ROCm 7.0",
       "torch=2.10,rocm=7.0",
       {"torch-rocm", "torch-cuda", "torch210-cxx11-rocm70-x86_64-linux",
        "torch210-cxx11-rocm64-x86_64-linux", "torch210-cxx11-rocm71-x86_64-linux"},
       {"torch210-cxx11-rocm70-x86_64-linux", "torch-rocm"}},
      {"ROCm 7.10",
       "torch=2.10,rocm=7.10",
       {"torch210-cxx11-rocm710-x86_64-linux", "torch210-cxx11-rocm71-x86_64-linux"},
       {"torch210-cxx11-rocm710-x86_64-linux"}},
      {"CUDA 12.10",
       "torch=2.10,cuda=12.10",
       {"torch210-cxx11-cu128-x86_64-linux", "torch210-cxx11-cu1210-x86_64-linux"},
       {"torch210-cxx11-cu128-x86_64-linux"}},
      {"CANN 8.5",
       "cpu=aarch64,torch=2.10,cann=8.5",
       {"torch-cann", "torch-universal", "torch-npu", "torch210-cxx11-cann85-aarch64-linux"},
       {"torch210-cxx11-cann85-aarch64-linux", "torch-npu", "torch-universal"}},
      {"XPU 2025.3",
       "torch=2.10,xpu=2025.3",
       {"torch-xpu", "torch210-cxx11-xpu20253-x86_64-linux", "torch210-cxx11-xpu20252-x86_64-linux"},
       {"torch210-cxx11-xpu20253-x86_64-linux", "torch-xpu"}},
      {"stable ABI only",
       "torch=2.10,cuda=12.8",
       {"torch-stable-abi29-cu128-x86_64-linux", "torch-stable-abi210-cu126-x86_64-linux",
        "torch-stable-abi210-cu128-x86_64-linux"},
       {"torch-stable-abi210-cu128-x86_64-linux", "torch-stable-abi210-cu126-x86_64-linux",
        "torch-stable-abi29-cu128-x86_64-linux"}},
      {"torch 2.10 is not torch 2.1",
       "torch=2.10.0+cu128,cuda=12.8",
       {"torch21-cxx11-cu128-x86_64-linux"},
       {}},
      {"a stable ABI of an older major version",
       "torch=3.0,cuda=12.8",
       {"torch-stable-abi29-cu128-x86_64-linux"},
       {"torch-stable-abi29-cu128-x86_64-linux"}},
      {"a newer CUDA without tag loses to no CUDA at all",
       "torch=2.10,backend=cpu",
       {"torch210-cu128-x86_64-linux"},
       {}},
  };
  for (const auto& row : systems) {
    INFO(row.name);
    CHECK(accepted(decide_names(row.offered, *parse_target(row.target))) == row.expected);
  }
}

TEST_CASE("variants: a Python without the GIL takes what has no binary", "[resolve]") {
  auto target = system('A');
  target.free_threaded_python = true;
  auto decisions =
      decide_names({"torch210-cxx11-cu128-x86_64-linux", "torch-cuda", "torch-universal"}, target);
  CHECK(accepted(decisions) == std::vector<std::string>{"torch-cuda", "torch-universal"});
  CHECK(decisions.back().refusal == Refusal::free_threaded);
}

TEST_CASE("variants: the order does not depend on that of the listing, also in a tie", "[resolve]") {
  std::vector<std::string> names = {"torch-cuda", "tvm-ffi01-cu130-x86_64-linux", "torch-universal",
                                    "tvm-ffi01-cpu-x86_64-linux"};
  for (const auto& row : decision_table())
    names.emplace_back(row.name);
  auto target = *parse_target("torch=2.10,cuda=13.0,tvm-ffi=0.1");
  auto expected = accepted(decide_names(names, target));
  CHECK(expected[1] == "tvm-ffi01-cu130-x86_64-linux");
  CHECK(expected[2] == "torch-cuda");
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 50; ++round) {
    std::ranges::shuffle(names, random);
    CHECK(accepted(decide_names(names, target)) == expected);
  }
}

TEST_CASE("variant names: those that do not parse or do not render to themselves are set apart",
          "[resolve]") {
  auto names =
      parse_variant_names({"torch-cpu", "torch100-cpu-x86_64-linux", "torch", "__pycache__", "jax06-cuda"});
  REQUIRE(names.valid.size() == 1);
  CHECK(names.invalid ==
        std::vector<std::string>{"__pycache__", "jax06-cuda", "torch", "torch100-cpu-x86_64-linux"});
  CHECK(decide({}, Target{}).empty());
}

TEST_CASE("arch: what an architecture of metadata.json covers", "[resolve]") {
  struct Arch {
    const char* arch;
    MajorMinor capability;
    Covered covered;
  };
  auto row = GENERATE(values<Arch>({
      {"9.0", {9, 0}, Covered::yes},
      {"9.0", {9, 1}, Covered::yes},
      {"9.0", {8, 9}, Covered::no},
      {"9.0", {10, 0}, Covered::no},
      {"8.6", {8, 0}, Covered::no},
      {"9.0a", {9, 0}, Covered::yes},
      {"9.0a", {9, 1}, Covered::no},
      {"10.0f", {10, 0}, Covered::yes},
      {"10.0f", {10, 3}, Covered::yes},
      {"10.0f", {11, 0}, Covered::no},
      {"9.0+PTX", {9, 0}, Covered::yes},
      {"9.0+PTX", {12, 0}, Covered::yes},
      {"9.0+PTX", {8, 9}, Covered::no},
      {"9.0a+PTX", {10, 0}, Covered::no},
      {"10.0f+PTX", {12, 0}, Covered::no},
      {"gfx90a", {9, 0}, Covered::unknown},
      {"sm_90", {9, 0}, Covered::unknown},
      {"9", {9, 0}, Covered::unknown},
      {"9.", {9, 0}, Covered::unknown},
      {".0", {9, 0}, Covered::unknown},
      {"", {9, 0}, Covered::unknown},
      {"+PTX", {9, 0}, Covered::unknown},
      {"9.0b", {9, 0}, Covered::unknown},
      {"9.0.1", {9, 0}, Covered::unknown},
      {"99999999999.0", {9, 0}, Covered::unknown},
  }));
  CAPTURE(row.arch, row.capability.str());
  CHECK(arch_covers(row.arch, row.capability) == row.covered);
}

TEST_CASE("archs: one that covers is enough, none that can be read leaves it open", "[resolve]") {
  CHECK(archs_cover({"8.0", "gfx90a", "9.0"}, {9, 0}) == Covered::yes);
  CHECK(archs_cover({"8.0", "gfx90a"}, {9, 0}) == Covered::no);
  CHECK(archs_cover({"gfx90a"}, {9, 0}) == Covered::unknown);
  CHECK(archs_cover({}, {9, 0}) == Covered::unknown);
}
