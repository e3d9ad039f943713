#include "kernels/bench/python_runner.h"

#include "measurement_json_impl.h"

namespace kernels::bench {

namespace {

constexpr std::size_t kMostMethods = 1000;
constexpr std::size_t kMostName = 800;
constexpr std::string_view kPrefix = "benchmark_";

Status check_name(const std::string& name) {
  if (!name.empty() && name.size() <= kMostName && name.find('\0') == std::string::npos) return {};
  return fail(Errc::corrupt, "a name in the listing of a script is empty or too long");
}

Result<ScriptClass> class_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  ScriptClass out{.name = reader.text("class"), .methods = reader.texts_or_empty("methods")};
  if (auto status = reader.status(); !status) return fail(status.error());
  if (auto good = check_name(out.name); !good) return fail(good.error());
  for (const auto& method : out.methods) {
    if (auto good = check_name(method); !good) return fail(good.error());
    if (!method.starts_with(kPrefix))
      return fail(Errc::corrupt, "a method in the listing of a script is no `benchmark_…`");
  }
  return out;
}

}  // namespace

Result<std::vector<ScriptClass>> parse_listing(std::string_view json) {
  auto document = detail::parse_json(json, "the listing of a script", kJsonLimits);
  if (!document) return fail(std::move(document).error());
  if (!document->is_array()) return fail(Errc::corrupt, "the listing of a script is no list");
  std::vector<ScriptClass> out;
  std::size_t methods = 0;
  for (const auto& item : *document) {
    auto one = class_from(item, "a class of the script");
    if (!one) return fail(std::move(one).error());
    methods += one->methods.size();
    if (out.size() >= kMostMethods || methods > kMostMethods)
      return fail(Errc::corrupt, "a script has more than a thousand benchmarks");
    out.push_back(std::move(*one));
  }
  return out;
}

}  // namespace kernels::bench
