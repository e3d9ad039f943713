// Prints what we read from layer sources, one JSON document a line: for the comparison with Python's own
// parser in tests/inspect/layer_source_differential.py. Arguments are files; standard input, if any is named
// `-`, is a list of them.

#include <iostream>

#include <nlohmann/json.hpp>

#include "kernels/base/file.h"
#include "kernels/inspect/layer_source.h"

using namespace kernels;
using nlohmann::json;

namespace {

const char* text_of(inspect::LayerFlag flag) {
  switch (flag) {
    case inspect::LayerFlag::absent:
      return "absent";
    case inspect::LayerFlag::no:
      return "no";
    case inspect::LayerFlag::yes:
      return "yes";
    case inspect::LayerFlag::unknown:
      return "unknown";
  }
  return "";
}

json to_json(const std::vector<inspect::LayerParameter>& parameters) {
  json out = json::array();
  for (const auto& item : parameters)
    out.push_back({item.name, static_cast<int>(item.kind), item.has_default});
  return out;
}

json to_json(const std::optional<bool>& value) {
  return value ? json(*value) : json(nullptr);
}

json to_json(const inspect::LayerClass& item) {
  bool known = item.forward == inspect::ForwardText::known;
  return {{"name", item.name},
          {"bases", item.bases},
          {"certain", item.certain},
          {"has_backward", text_of(item.has_backward)},
          {"can_torch_compile", text_of(item.can_torch_compile)},
          {"defines_init", item.defines_init},
          {"members", item.members},
          {"forward", item.forward == inspect::ForwardText::absent ? json("absent")
                      : known                                      ? to_json(item.parameters)
                                                                   : json("unknown")}};
}

json described(const inspect::LayerSource& source, const std::string& name) {
  auto layer = inspect::describe_layer(source, name);
  static const char* const kPresence[] = {"defined", "elsewhere", "absent"};
  return {{"presence", kPresence[static_cast<int>(layer.presence)]},
          {"has_backward", to_json(layer.has_backward)},
          {"can_torch_compile", to_json(layer.can_torch_compile)},
          {"forward", layer.forward ? to_json(*layer.forward) : json(nullptr)},
          {"defines_init", layer.defines_init},
          {"extra_members", layer.extra_members}};
}

json read(const std::string& file) {
  auto text = read_file(file);
  if (!text) return {{"error", describe(text.error())}};
  auto source = inspect::read_layer_source(*text);
  if (!source) return {{"error", describe(source.error())}};
  json out = {{"open", source->open},         {"classes", json::array()},    {"imported", source->imported},
              {"assigned", source->assigned}, {"none", source->set_to_none}, {"layers", json::object()}};
  for (const auto& item : source->classes)
    out["classes"].push_back(to_json(item));
  for (const char* name : {"Alpha", "Beta", "Gamma", "Delta", "Nowhere"})
    out["layers"][name] = described(*source, name);
  return out;
}

}  // namespace

int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    if (std::string_view(arguments[i]) != "-") {
      std::cout << read(arguments[i]).dump() << "\n";
      continue;
    }
    for (std::string file; std::getline(std::cin, file);)
      std::cout << read(file).dump() << "\n";
  }
  return 0;
}
