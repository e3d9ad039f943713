#include "kernels/resolve/layer_choice.h"

#include <algorithm>
#include <random>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::resolve;
using kernels::test::seed;

namespace {

Mode mode(const std::string& text) {
  return *Mode::parse(text);
}

std::span<const Mode> order(const std::string& text) {
  return *lookup_order(mode(text));
}

const Commit kCommit = *Commit::parse(std::string(40, 'a'));

LockedLayer row(const std::string& device, const std::string& mode_text, CapabilityRange range,
                const std::string& kernel_layer) {
  return {.layer = "Norm",
          .device = *parse_device(device),
          .mode = mode(mode_text),
          .capabilities = range,
          .repo = *RepoId::parse("acme/norm"),
          .commit = kCommit,
          .kernel_layer = kernel_layer};
}

LockedKernel kernel(const std::string& repo, const std::vector<std::string>& variants) {
  LockedKernel out{.repo = *RepoId::parse(repo),
                   .requirement = Requirement::of_version(1),
                   .commit = kCommit,
                   .ref = "v1",
                   .asked_for = std::nullopt,
                   .hub_name = {},
                   .variants = {}};
  for (const auto& name : variants)
    out.variants.push_back({.name = name, .files = {}, .metadata = std::nullopt});
  return out;
}

/// `<kernel layer>`, or the reason.
std::string shown(const LayerDecision& decision) {
  CHECK(decision.text.empty() == decision.runs_kernel());
  CHECK(decision.variant.empty() == !decision.runs_kernel());
  return decision.runs_kernel() ? decision.chosen->kernel_layer : to_string(decision.reason);
}

/// One layer with rows for every device that matters, and one kernel with builds for all of them.
Lock norm_lock() {
  return {.kernels = {kernel("acme/norm", {"torch-universal"})},
          .layers = {row("cuda", "inference", {.min = 75, .max = 89}, "Ampere"),
                     row("cuda", "inference", {.min = 90, .max = 9999}, "Hopper"),
                     row("cuda", "training", {.min = 90, .max = 9999}, "HopperTraining"),
                     row("cuda", "training|torch-compile", {.min = 0, .max = 9999}, "Slow"),
                     row("rocm", "fallback", {.min = 90, .max = 94}, "Instinct"),
                     row("mps", "fallback", {}, "Apple"), row("npu", "inference", {}, "Ascend")}};
}

}  // namespace

TEST_CASE("layer decisions: device, capability and mode of the target, one by one", "[resolve]") {
  struct Row {
    const char* target;
    const char* mode;
    const char* shown;
  };
  auto lock = norm_lock();
  auto given = GENERATE(values<Row>({
      {"cuda=13.0,capability=8.0", "inference", "Ampere"},
      {"cuda=13.0,capability=7.5", "inference", "Ampere"},
      {"cuda=13.0,capability=8.9", "inference", "Ampere"},
      {"cuda=13.0,capability=9.0", "inference", "Hopper"},
      {"cuda=13.0,capability=12.1", "inference", "Hopper"},
      {"cuda=13.0,capability=7.0", "inference", "Slow"},
      // The narrowest range decides before the mode: `any` has a kernel, the range 7.5 to 8.9 has none.
      {"cuda=13.0,capability=8.0", "training", "no mode"},
      {"cuda=13.0,capability=8.0", "training|torch-compile", "no mode"},
      {"cuda=13.0,capability=9.0", "training", "HopperTraining"},
      {"cuda=13.0,capability=9.0", "training|torch-compile", "no mode"},
      {"cuda=13.0,capability=9.0", "inference|torch-compile", "no mode"},
      {"cuda=13.0,capability=7.0", "training", "Slow"},
      {"cuda=13.0,capability=7.0", "inference|torch-compile", "Slow"},
      {"cuda=13.0", "inference", "capability unknown"},
      {"cuda=13.0", "training|torch-compile", "capability unknown"},
      {"rocm=7.1,capability=9.0", "training", "Instinct"},
      {"rocm=7.1,capability=9.5", "training", "no range"},
      {"rocm=7.1,capability=8.9", "inference", "no range"},
      {"rocm=7.1", "inference", "capability unknown"},
      {"os=darwin,cpu=aarch64,backend=metal,macos=26.0", "training|torch-compile", "Apple"},
      {"cann=8.5", "inference", "Ascend"},
      {"cann=8.5", "training", "no mode"},
      // A capability means nothing where the device knows none.
      {"cann=8.5,capability=9.0", "inference", "Ascend"},
      {"backend=cpu", "inference", "no device"},
      {"xpu=2025.3", "inference", "no device"},
      {"backend=neuron", "inference", "no device"},
      {"backend=tpu", "inference", "no device"},
  }));
  DYNAMIC_SECTION(given.target << " " << given.mode) {
    auto decisions = decide_layers(lock, *parse_target(given.target), std::vector{mode(given.mode)});
    REQUIRE(decisions);
    REQUIRE(decisions->size() == 1);
    CHECK(shown(decisions->front()) == given.shown);
    CHECK(decisions->front().layer == "Norm");
    CHECK(decisions->front().mode == mode(given.mode));
  }
}

TEST_CASE("layer decisions: reasons say what there is instead", "[resolve]") {
  struct Row {
    const char* target;
    const char* mode;
    const char* text;
  };
  auto lock = norm_lock();
  for (auto given :
       {Row{"backend=cpu", "inference", "no kernel for cpu, only for cuda, rocm, mps, npu"},
        Row{"rocm=7.1,capability=8.0", "inference", "no kernel for this capability, only for 9.0 to 9.4"},
        Row{"cuda=13.0,capability=9.0", "training|torch-compile",
            "no kernel for this mode, only for inference, training"},
        Row{"rocm=7.1", "inference",
            "depends on the capability, which the target does not name: kernels for 9.0 to 9.4"}}) {
    auto decisions = decide_layers(lock, *parse_target(given.target), std::vector{mode(given.mode)});
    REQUIRE(decisions);
    CHECK(decisions->front().text == given.text);
  }
}

TEST_CASE("layer decisions: a kernel without a variant for the target is named as such", "[resolve]") {
  Lock lock{.kernels = {kernel("acme/norm", {"torch-rocm", "tvm-ffi01-cpu-x86_64-linux"})},
            .layers = {row("cuda", "fallback", {}, "Norm"), row("cpu", "fallback", {}, "Plain")}};
  std::vector modes = {Mode::inference};
  auto on_cuda = decide_layers(lock, *parse_target("cuda=13.0,tvm-ffi=0.1,capability=9.0"), modes);
  REQUIRE(on_cuda);
  CHECK(on_cuda->front().reason == FallbackReason::no_variant);
  CHECK(on_cuda->front().chosen->kernel_layer == "Norm");
  CHECK(on_cuda->front().text == "acme/norm has no variant for this target");
  auto on_cpu = decide_layers(lock, *parse_target("tvm-ffi=0.1"), modes);
  REQUIRE(on_cpu);
  CHECK(shown(on_cpu->front()) == "Plain");
  CHECK(on_cpu->front().variant == "tvm-ffi01-cpu-x86_64-linux");
  // Another commit of the same repository is another kernel.
  lock.kernels.front().commit = *Commit::parse(std::string(40, 'b'));
  CHECK(decide_layers(lock, *parse_target("tvm-ffi=0.1"), modes)->front().reason ==
        FallbackReason::no_variant);
}

TEST_CASE("layer decisions: a kernel that says it lacks what a mode needs leaves the layer its own forward",
          "[resolve]") {
  auto plain = row("cpu", "fallback", {}, "Plain");
  plain.facts = LayerFacts{.has_backward = false, .can_torch_compile = false, .forward = std::nullopt};
  Lock lock{.kernels = {kernel("acme/norm", {"tvm-ffi01-cpu-x86_64-linux"})}, .layers = {plain}};
  auto in = [&](const char* text) {
    return decide_layers(lock, *parse_target("tvm-ffi=0.1"), std::vector{mode(text)})->front();
  };
  CHECK(shown(in("inference")) == "Plain");
  CHECK(in("training").reason == FallbackReason::not_supported);
  CHECK(in("training").text == "Plain of acme/norm has no backward");
  CHECK(in("inference|torch-compile").text == "Plain of acme/norm does not work under torch.compile");
  // What is not known is believed.
  lock.layers.front().facts = LayerFacts{};
  CHECK(shown(in("training")) == "Plain");
}

TEST_CASE("layer decisions: layers in the order of the lock, capabilities rising and once, modes as asked",
          "[resolve]") {
  Lock lock{.kernels = {kernel("acme/norm", {"torch-universal"})},
            .layers = {row("cuda", "fallback", {}, "First"), row("cuda", "fallback", {}, "Second"),
                       row("cpu", "fallback", {}, "Third")}};
  lock.layers[0].layer = "Zeta";
  lock.layers[2].layer = "Alpha";
  auto decisions = decide_layers(
      lock, *parse_target("cuda=13.0,capability=9.0,capability=8.0,capability=9.0"), requestable_modes());
  REQUIRE(decisions);
  REQUIRE(decisions->size() == 3 * 2 * 4);
  std::string places;
  for (std::size_t i = 0; i < decisions->size(); i += 4)
    places += (*decisions)[i].layer + (*decisions)[i].capability->str() + " ";
  CHECK(places == "Zeta8.0 Zeta9.0 Norm8.0 Norm9.0 Alpha8.0 Alpha9.0 ");
  CHECK((*decisions)[1].mode.str() == "inference|torch-compile");
  CHECK((*decisions)[23].reason == FallbackReason::no_device);
}

TEST_CASE("layer decisions: of two rows for the same mode and bounds the last one counts", "[resolve]") {
  Lock lock{.kernels = {kernel("acme/norm", {"torch-universal"})},
            .layers = {row("cpu", "inference", {}, "First"), row("cpu", "inference", {}, "Last"),
                       row("cpu", "training", {}, "Training")}};
  auto decisions = decide_layers(lock, *parse_target("backend=cpu"), requestable_modes());
  REQUIRE(decisions);
  CHECK(shown(decisions->at(0)) == "Last");
  CHECK(shown(decisions->at(2)) == "Training");
}

TEST_CASE("layer decisions: a mode that cannot be requested is refused", "[resolve]") {
  auto decisions = decide_layers(norm_lock(), Target{}, std::vector{Mode::fallback});
  REQUIRE_FALSE(decisions);
  CHECK(decisions.error().code() == Errc::invalid_argument);
}

TEST_CASE("layer table: an insert replaces all modes of the same bounds, and no others", "[resolve]") {
  LayerTable<int> table;
  CHECK(table.choose("Norm", DeviceType::cuda, 80, order("inference")).reason == FallbackReason::no_layer);
  table.insert("Norm", DeviceType::cuda, {.min = 75, .max = 89}, {{Mode::inference, 1}, {Mode::training, 2}});
  table.insert("Norm", DeviceType::cuda, {}, {{Mode::fallback, 3}});
  table.insert("Norm", DeviceType::cpu, {}, {{Mode::fallback, 4}});
  CHECK(*table.choose("Norm", DeviceType::cuda, 80, order("training")).value == 2);
  table.insert("Norm", DeviceType::cuda, {.min = 75, .max = 89}, {{Mode::inference, 5}});
  auto training = table.choose("Norm", DeviceType::cuda, 80, order("training"));
  CHECK(training.value == nullptr);
  CHECK(training.reason == FallbackReason::no_mode);
  CHECK(training.modes->size() == 1);
  CHECK(*table.choose("Norm", DeviceType::cuda, 80, order("inference")).value == 5);
  CHECK(*table.choose("Norm", DeviceType::cuda, 90, order("training")).value == 3);
  CHECK(table.choose("Norm", DeviceType::cuda, 90, order("training")).registered == Mode::fallback);
  CHECK(*table.choose("Norm", DeviceType::cpu, std::nullopt, order("training")).value == 4);
  // A capability means nothing to a CPU, not even one that no range holds.
  REQUIRE(table.choose("Norm", DeviceType::cpu, 20000, order("training")).value != nullptr);
  CHECK(table.choose("Norm", DeviceType::cuda, 20000, order("training")).reason == FallbackReason::no_range);
  CHECK(table.find("Norm")->size() == 2);
  CHECK(table.find("Other") == nullptr);
}

TEST_CASE("layer table: without a capability the answer is that of all capabilities, or unknown",
          "[resolve]") {
  std::mt19937_64 rng(seed());
  auto draw = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(rng() % limit); };
  std::size_t known = 0;
  std::size_t unknown = 0;
  for (int round = 0; round < 3000; ++round) {
    LayerTable<int> table;
    for (std::uint32_t i = 0, count = 1 + draw(4); i < count; ++i) {
      CapabilityRange range{.min = draw(3), .max = draw(2) == 0 ? CapabilityRange{}.max : 3 + draw(3)};
      LayerTable<int>::ByMode modes;
      if (draw(2) == 0) modes[Mode::fallback] = static_cast<int>(draw(50));
      if (draw(2) == 0) modes[Mode::training] = static_cast<int>(draw(50));
      table.insert("Norm", DeviceType::rocm, range, modes);
    }
    auto answer = table.choose("Norm", DeviceType::rocm, std::nullopt, order("inference"));
    auto first = table.choose("Norm", DeviceType::rocm, 0, order("inference"));
    bool same = true;
    for (std::uint32_t capability = 1; capability < 10; ++capability) {
      auto there = table.choose("Norm", DeviceType::rocm, capability, order("inference"));
      same = same && there.value == first.value && there.reason == first.reason;
    }
    CAPTURE(round);
    REQUIRE((answer.reason == FallbackReason::capability_unknown) == !same);
    if (same) REQUIRE(answer.value == first.value);
    if (same) REQUIRE(answer.reason == first.reason);
    (same ? known : unknown) += 1;
  }
  CHECK(known > 100);
  CHECK(unknown > 100);
}

TEST_CASE("capability ranges: their text for people", "[resolve]") {
  struct Row {
    CapabilityRange range;
    const char* text;
  };
  for (auto given :
       {Row{{}, "any"}, Row{{.min = 75, .max = 89}, "7.5 to 8.9"}, Row{{.min = 90, .max = 90}, "9.0"},
        Row{{.min = 100, .max = 9999}, "10.0 and up"}, Row{{.min = 0, .max = 121}, "up to 12.1"}})
    CHECK(display_capabilities(given.range) == given.text);
}
