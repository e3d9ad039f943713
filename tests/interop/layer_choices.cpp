// Plays scripts of layer mappings on our side of layers_differential.py: one JSON document a line on stdin,
// the answers to its questions as one JSON line on stdout.
//
//   script   [step, …]
//   step     ["enter", inherit, mapping] · ["exit"] · ["register", inherit, mapping] · ["ask", layer, device,
//   capability, mode] mapping  [[layer, device, [min, max] or null, [[mode, repository], …]], …] answers  one
//   for each question: ["kernel", repository] or ["fallback", reason] or ["refused"]
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/layers/kernel_source.h"
#include "kernels/layers/kernelize.h"

namespace {

using nlohmann::json;
using namespace kernels;
using namespace kernels::layers;

/// Has nothing: which repository `kernelize` asked for is all that is wanted.
class EmptySource final : public KernelSource {
 public:
  Result<LocatedKernel> locate(const Repository&, DeviceType) override {
    return fail(Errc::not_found, "this source is empty");
  }
  std::optional<std::uint32_t> capability(DeviceType) override { return std::nullopt; }
};

class ExtensibleLayer : public Layer<Tensor(const Tensor&)> {
 public:
  explicit ExtensibleLayer(std::string name) { use_kernel_forward_from_hub(std::move(name)); }
  Result<Tensor> forward(const Tensor& x) const override { return x; }
};

/// Scripts are made by our own test, so a value that cannot be read is a mistake there: `value()` throws.
Mode mode_of(const json& text) {
  return text == "torch-compile" ? Mode::torch_compile : Mode::parse(text.get<std::string>()).value();
}

Device device_of(const json& entry) {
  Device device(entry[1].get<std::string>());
  if (entry[2].is_null()) return device;
  if (device.type == "cuda") device.properties = CudaProperties{entry[2][0], entry[2][1]};
  if (device.type == "rocm") device.properties = RocmProperties{entry[2][0], entry[2][1]};
  return device;
}

KernelMapping mapping_of(const json& entries) {
  KernelMapping out;
  for (const auto& entry : entries) {
    std::vector<std::pair<Mode, Repository>> kernels;
    for (const auto& pair : entry[3])
      kernels.emplace_back(mode_of(pair[0]), LocalLayerRepository{.repo_path = pair[1].get<std::string>(),
                                                                  .layer_name = "Layer"});
    out.push_back({entry[0], {{device_of(entry), ModeRepositories(std::move(kernels))}}});
  }
  return out;
}

/// The names of the Python package's cases.
std::string reason_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::no_layer:
      return "no layer";
    case Outcome::no_device:
      return "no device";
    case Outcome::no_compatible_properties:
      return "no range";
    case Outcome::no_compatible_mode:
      return "no mode";
    default:
      return to_string(outcome);
  }
}

json ask(const json& step) {
  ExtensibleLayer layer(step[1]);
  KernelizeOptions options{
      .mode = mode_of(step[4]), .device = step[2].get<std::string>(), .use_fallback = KernelizeFallback::all};
  if (step[2] == "cuda" || step[2] == "rocm") options.capability = step[3].get<std::uint32_t>();
  auto report = kernelize(layer, options);
  if (!report) return {"refused"};
  const auto& row = report->layers.at(0);
  if (row.outcome != Outcome::cannot_load) return {"fallback", reason_of(row.outcome)};
  auto begin = row.repository.find('`') + 1;
  return {"kernel", row.repository.substr(begin, row.repository.find('`', begin) - begin)};
}

json play(const json& script) {
  static_cast<void>(register_kernel_mapping({}, InheritMapping::no));
  std::vector<KernelMappingScope> scopes;
  json answers = json::array();
  for (const auto& step : script) {
    if (step[0] == "exit") {
      scopes.pop_back();
      continue;
    }
    if (step[0] == "ask") {
      answers.push_back(ask(step));
      continue;
    }
    auto mapping = mapping_of(step[2]);
    // An empty mapping that inherits changes nothing; ours calls that a mistake.
    auto inherit = step[1].get<bool>() ? InheritMapping::yes : InheritMapping::no;
    bool is_nothing = mapping.empty() && inherit == InheritMapping::yes;
    if (step[0] == "enter") {
      if (is_nothing) mapping.push_back({"a layer of no model", {{"cpu", LocalLayerRepository{"x", "x"}}}});
      scopes.push_back(std::move(use_kernel_mapping(mapping, inherit)).value());
    } else if (!is_nothing) {
      register_kernel_mapping(mapping, inherit).value();
    }
  }
  while (!scopes.empty())
    scopes.pop_back();
  return answers;
}

}  // namespace

int main() {
  set_kernel_source(std::make_shared<EmptySource>());
  for (std::string line; std::getline(std::cin, line);)
    std::cout << play(json::parse(line)).dump() << '\n';
  return 0;
}
