#include "view_advice.h"

#include "json_values.h"
#include "text.h"

namespace kernels::app {

std::string advice_text(const std::vector<resolve::Advice>& advice, const std::string& heading,
                        const std::string& indent) {
  if (advice.empty()) return {};
  bool helps = advice.front().kind == resolve::Advice::Kind::change;
  std::vector<std::vector<std::string>> rows;
  for (const auto& item : advice)
    rows.push_back({indent + "-", plain(item.text)});
  return indent + (helps ? heading : "Nothing that can be installed helps") + ":\n" + table_within(100, rows);
}

Json advice_json(const std::vector<resolve::Advice>& advice) {
  Json out = Json::array();
  for (const auto& item : advice) {
    Json changes = Json::object();
    for (const auto& change : item.changes)
      changes[change.key] = change.value;
    out.push_back({{"kind", resolve::to_string(item.kind)},
                   {"text", item.text},
                   {"version", item.kernel_version ? Json(*item.kernel_version) : Json(nullptr)},
                   {"variant", item.variant.empty() ? Json(nullptr) : Json(item.variant)},
                   {"changes", changes}});
  }
  return out;
}

}  // namespace kernels::app
