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

#include "kernels/resolve/layer_choice.h"

namespace {

using nlohmann::json;
using namespace kernels;
using Table = resolve::LayerTable<std::string>;

/// Scripts are made by our own test, so a value that cannot be read is a mistake there: `value()` throws.
void add(Table& table, const json& mapping) {
  for (const auto& entry : mapping) {
    CapabilityRange range;
    if (!entry[2].is_null()) range = {.min = entry[2][0], .max = entry[2][1]};
    Table::ByMode modes;
    for (const auto& pair : entry[3])
      modes.insert_or_assign(Mode::parse(pair[0].get<std::string>()).value(), pair[1].get<std::string>());
    table.insert(entry[0], parse_device(entry[1].get<std::string>()).value(), range, std::move(modes));
  }
}

json ask(const Table& table, const json& step) {
  auto requested =
      step[4] == "torch-compile" ? Mode::torch_compile : Mode::parse(step[4].get<std::string>()).value();
  auto order = resolve::lookup_order(requested);
  if (!order) return {"refused"};
  auto device = parse_device(step[2].get<std::string>()).value();
  auto choice = table.choose(step[1], device, step[3].get<std::uint32_t>(), *order);
  if (choice.value != nullptr) return {"kernel", *choice.value};
  return {"fallback", resolve::to_string(choice.reason)};
}

json play(const json& script) {
  std::vector<Table> scopes(1);
  json answers = json::array();
  for (const auto& step : script) {
    if (step[0] == "exit") {
      scopes.pop_back();
    } else if (step[0] == "ask") {
      answers.push_back(ask(scopes.back(), step));
    } else {
      auto before = step[1].get<bool>() ? scopes.back() : Table{};
      if (step[0] == "enter") scopes.push_back({});
      scopes.back() = std::move(before);
      add(scopes.back(), step[2]);
    }
  }
  return answers;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << play(json::parse(line)).dump() << '\n';
  return 0;
}
