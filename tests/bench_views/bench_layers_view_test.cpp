#include <sstream>

#include <nlohmann/json.hpp>

#include "runs.h"
#include "support/catch.h"
#include "text.h"
#include "view_bench.h"
#include "view_bench_compare.h"
#include "view_bench_layers.h"

using namespace kernels;
using namespace kernels::bench;
using test::add_row;
using test::add_time;

namespace {

Subject subject(const std::string& kernel, char commit, const std::string& layer) {
  Subject out;
  out.kernel = kernel;
  out.commit = std::string(40, commit);
  out.variant = "v";
  out.layer = layer;
  return out;
}

/// Two kernels for `Norm`, one of which is wrong at a shape; a third one that serves a layer alone.
Results two_kernels() {
  auto run = test::run_on(1);
  run.subjects.clear();
  run.subjects.push_back(subject("acme/a", 'a', "Norm"));
  run.subjects.push_back(subject("acme/b\x1b[31m", 'b', "Norm"));
  run.subjects.push_back(subject("acme/alone", 'c', "Act"));
  add_time(run, "f", 2000).subject = 0;
  add_time(run, "g", 1000).subject = 1;
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto& row = i == 0 ? add_time(run, "f", 3000) : add_row(run, "g");
    row.subject = i;
    row.workload = std::string(60, 'w');
  }
  run.rows.back().result.verdict = Verdict::wrong;
  run.rows.back().result.reason = "element 3 is 7";
  add_time(run, "h", 500).subject = 2;
  return run;
}

}  // namespace

TEST_CASE("bench layers view: kernels of one layer stand side by side, within 100 columns", "[app]") {
  auto text = app::bench_text(two_kernels());
  INFO(text);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    CHECK(app::display_width(line) <= 100);
  CHECK(text.starts_with("layer Norm\n"));
  CHECK(text.find("2.000 (1.9") != std::string::npos);
  CHECK(text.find("best") != std::string::npos);
  CHECK(text.find("element 3 is 7") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  // One alone has nobody beside it, and more columns.
  CHECK(text.find("serves the layer Act") != std::string::npos);
  CHECK(text.find("GB/S") != std::string::npos);
}

TEST_CASE("bench layers view: what stays and what was written is said with the reason", "[app]") {
  std::vector<ops::SelectedLayer> selected = {{.layer = "Norm",
                                               .device = DeviceType::cuda,
                                               .capability = 90,
                                               .mode = kernels::Mode::inference,
                                               .mapped = "acme/a",
                                               .winner = {},
                                               .reason = "no candidate is faster for certain",
                                               .ratio = {}}};
  auto stays = app::selection_text(selected, "kernels.toml");
  INFO(stays);
  CHECK(stays.find("Norm   cuda 9.0  inference  acme/a  stays  no candidate is faster for certain") !=
        std::string::npos);
  CHECK(stays.ends_with("`kernels.toml` is as it was\n"));
  selected[0].winner = "acme/b";
  selected[0].ratio = Ratio{.value = 0.5, .low = 0.49, .high = 0.51};
  auto text = app::selection_text(selected, "kernels.toml");
  CHECK(text.find("acme/a  acme/b") != std::string::npos);
  CHECK(text.find("0.500 (0.490") != std::string::npos);
  CHECK(text.find("run `kernels lock`") != std::string::npos);
  auto json = app::with_selection_json(encode_results(two_kernels()), selected);
  auto item = nlohmann::json::parse(json)["selected"][0];
  CHECK(item["winner"] == "acme/b");
  CHECK(item["capability"] == "9.0");
  CHECK(item["ratio"]["high"] == 0.51);
  // Whoever reads results reads these too.
  CHECK(parse_results(json, "x").has_value());
}

TEST_CASE("bench layers view: kernels that two locks share are named, also in JSON", "[app]") {
  ops::LockChanges changes{
      .changed = {}, .same_commit = {"acme/a"}, .same_bytes = {"acme/b"}, .added = {}, .removed = {"acme/c"}};
  auto text = app::changes_text(changes);
  CHECK(text.find("removed: ") != std::string::npos);
  CHECK(text.find("the same commit, not measured: ") != std::string::npos);
  auto run = two_kernels();
  auto json =
      nlohmann::json::parse(app::with_changes_json(app::comparison_json(*compare(run, run, {})), changes));
  CHECK(json["schema"] == "kernels.bench-compare/1");
  CHECK(json["kernels"]["same_bytes"] == nlohmann::json{"acme/b"});
  CHECK(json["kernels"]["changed"].empty());
}
