#include "bench_targets.h"

#include <algorithm>

#include "kernels/bench/compare.h"
#include "kernels/bench/python_runner.h"
#include "kernels/model/project_edit.h"
#include "kernels/runtime/runner.h"

#include "targets.h"

namespace kernels::fuzz {

using namespace bench;

void bench_results(std::string_view bytes) {
  const auto first = parse_results(bytes, "the results");
  if (!first) {
    require(!first.error().text().empty(), "an error says something");
    return require(first.error().code() == Errc::corrupt || first.error().code() == Errc::unsupported,
                   "a file is damaged or of another program");
  }
  const auto written = encode_results(*first);
  const auto second = parse_results(written, "the results");
  require(second.has_value(), "what was read can be written and read again");
  require(*second == *first, "it is the same then");
  require(encode_results(*second) == written, "writing is stable");
  require(differences(*first, *second).empty(), "a run is like itself");
  for (double threshold : {0.0, 0.01})
    if (const auto compared = compare(*first, *second, {.threshold = threshold})) {
      // Shapes that are only checked have nothing to compare.
      const auto checked = std::ranges::count_if(
          first->rows, [](const ResultRow& row) { return row.sizes.empty() && !row.result.timing; });
      require(compared->rows.size() + static_cast<std::size_t>(checked) == first->rows.size(),
              "every other row finds itself");
      for (const auto& row : compared->rows)
        require(
            row.change == Change::same || row.change == Change::unsure || row.change == Change::not_measured,
            "a run beside itself has not changed");
    }
  if (const auto fleet = merge({*first}, 0.01))
    require(fleet->merged.rows.size() == first->rows.size(), "merging loses nothing");
  require(first->devices.empty() || !merge({*first, *second}, 0.01), "no run is merged with itself");
}

void script_listing(std::string_view bytes) {
  const auto listing = parse_listing(bytes);
  if (!listing) return require(listing.error().code() == Errc::corrupt, "a script has sent it");
  std::size_t methods = 0;
  for (const auto& one : *listing) {
    methods += one.methods.size();
    require(!one.name.empty() && one.name.size() <= 800, "a class has a name");
    for (const auto& method : one.methods)
      require(method.starts_with("benchmark_") && method.size() <= 800, "a method is one of a benchmark");
  }
  require(methods <= 1000 && listing->size() <= 1000, "a listing is bounded");
}

void hand_workload(std::string_view bytes) {
  const auto hand = parse_hand_workload(bytes);
  if (!hand) return require(hand.error().code() == Errc::invalid_argument, "somebody wrote it");
  require(!hand->sizes.empty(), "a workload has sizes");
  for (const auto& [name, size] : hand->sizes)
    require(!name.empty() && size >= 0 && size <= std::int64_t{1} << 40, "a size is one");
  FunctionSpec function{.name = "f", .reference = "r", .independent = "", .arguments = {}, .tolerance = {}};
  function.arguments = {
      {.name = "x", .value = {}, .access = Access::read, .shape = {{1, {"rows"}}, {1, {"cols"}}}}};
  function.tolerance[DType::bfloat16] = {};
  if (const auto workload = to_workload(*hand, {.functions = {function}, .probes = {}, .workloads = {}}))
    require(workload->sizes.contains("rows") && workload->sizes.contains("cols") && !workload->dtypes.empty(),
            "the function can be called with it");
}

void torch_schema(std::string_view bytes) {
  const auto schema = runtime::parse_schema(bytes);
  if (!schema) return require(schema.error().code() == Errc::corrupt, "libtorch printed it");
  require(schema->arguments.size() <= bytes.size(), "every argument is there");
  std::string text = "f(";
  for (const auto& type : schema->arguments) {
    require(!type.empty() && type.front() != ' ', "every argument has a type");
    text += (text.ends_with('(') ? "" : ", ") + type + " x";
  }
  const auto again = runtime::parse_schema(text + ") -> " + schema->result);
  require(again && again->arguments == schema->arguments && again->result == schema->result,
          "what was read can be written and read again");
}

/// A selection in any project that is accepted: it is found there afterwards, or the file is refused.
void layer_selection(std::string_view bytes) {
  for (auto format : {ProjectFormat::kernels_toml, ProjectFormat::pyproject}) {
    const auto before = parse_project(bytes, format, "p");
    if (!before) continue;
    std::size_t tried = 0;
    for (const auto& row : before->layers) {
      constexpr std::size_t kMostTried = 8;
      if (++tried > kMostTried) break;
      bool has_capability = row.device == DeviceType::cuda || row.device == DeviceType::rocm;
      LayerSelection what{.layer = row.layer,
                          .device = row.device,
                          .capability = std::nullopt,
                          .mode = row.mode,
                          .repo = *RepoId::parse("acme/winner"),
                          .kernel_layer = "Fast",
                          .requirement = Requirement::of_revision("main"),
                          .trust = true,
                          .evidence = {"why\nnot"}};
      if (has_capability) what.capability = row.capabilities.min;
      const auto changed = select_layer(bytes, format, "p", what);
      if (!changed) {
        require(changed.error().code() == Errc::invalid_argument,
                "the file is not of a form that can be changed");
        continue;
      }
      const auto after = parse_project(*changed, format, "p");
      require(after.has_value(), "what was written can be read");
      const auto rows = rows_in_effect(*after, row.layer, row.device, what.capability);
      const auto found = std::ranges::find(rows, row.mode, &ProjectLayer::mode);
      require(found != rows.end() && (*found)->repo == what.repo && (*found)->kernel_layer == "Fast" &&
                  (*found)->trust && *(*found)->requirement.revision() == "main",
              "what was selected is found");
      require(rows.size() == rows_in_effect(*before, row.layer, row.device, what.capability).size(),
              "the other modes are there still");
      require(after->dependencies.size() == before->dependencies.size() &&
                  after->shapes.size() == before->shapes.size() &&
                  after->targets.size() == before->targets.size(),
              "nothing else has changed");
      const auto again = select_layer(*changed, format, "p", what);
      require(again.has_value(), "it can be selected again");
    }
  }
}

}  // namespace kernels::fuzz
