// `kernels bench` as it is used to gate: saved runs, comparisons, job arrays. What is measured is real; what
// changes is planted in the files.

#include <functional>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;

/// One function at one shape, saved.
class Saved {
 public:
  Saved() {
    auto run = bench({"--save", "a.json"});
    INFO(run.out << run.err);
    REQUIRE(run.status == 0);
    original = json::parse(read("a.json"));
  }

  Outcome bench(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"bench",      kernel(),   "--device", "cpu",
                                          "--function", "rms_norm", "--dtype",  "float32",
                                          "--workload", "decode-1", "--budget", "0.1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world.kernels(arguments);
  }
  Outcome compare(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"bench", "--compare", "a.json", "b.json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world.kernels(arguments);
  }

  /// Writes a file of results with other times: `count` of them, around a median in microseconds.
  void put_times(const std::string& name, double median_us, std::size_t count = 50,
                 const std::function<void(json&)>& change = {}) const {
    auto results = original;
    for (auto& row : results["rows"]) {
      if (row["result"]["timing"].is_null()) continue;
      json samples = json::array();
      for (std::size_t i = 0; i < count; ++i)
        samples.push_back(median_us * 1e3 * (1 + 0.0002 * static_cast<double>(i % 5)));
      row["result"]["timing"]["series"]["cold"]["samples_ns"] = samples;
    }
    if (change) change(results);
    put(world.folder() / name, results.dump());
  }
  std::string read(const std::string& name) const { return world.read(name); }

  static std::string kernel() {
    for (const auto& variant : built_variants())
      if (!variant.cuda && variant.kernel == "rmsnorm") return variant.folder;
    return {};
  }

  World world;
  json original;
};

}  // namespace

TEST_CASE("bench: a saved run has every sample, the machine, the bytes and the device", "[cli]") {
  Saved saved;
  const auto& results = saved.original;
  CHECK(results["schema"] == "kernels.bench/1");
  CHECK(has(results["program"], "kernels "));
  CHECK(results["started"].get<std::string>().size() == 20);
  CHECK_FALSE(results["machine"].empty());
  REQUIRE(results["devices"].size() == 1);
  CHECK(results["devices"][0]["kind"] == "cpu");
  REQUIRE(results["subjects"].size() == 1);
  CHECK(results["subjects"][0]["variant_sha256"].get<std::string>().size() == 64);
  CHECK(results["subjects"][0]["runner"] == "tvm-ffi");
  REQUIRE(results["rows"].size() == 2);
  const auto& timing = results["rows"][1]["result"]["timing"];
  for (const char* kind : {"cold", "limit", "single", "warm"})
    CHECK(timing["series"][kind]["samples_ns"].size() >= 3);
  auto printed = saved.bench({"--json", "--seed", "7"});
  CHECK(json::parse(printed.out)["settings"]["seed"] == 7);
}

TEST_CASE("bench: a measured run is compared with a saved one on the same inputs", "[cli]") {
  Saved saved;
  auto run = saved.bench({"--compare", "a.json", "--threshold", "90", "--save", "c.json"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "BEFORE"));
  auto again = json::parse(saved.read("c.json"));
  CHECK(again["settings"]["seed"] == saved.original["settings"]["seed"]);
  CHECK(again["subjects"] == saved.original["subjects"]);
}

TEST_CASE("bench: only what is slower for certain fails a build, and by more than was allowed", "[cli]") {
  Saved saved;
  saved.put_times("a.json", 100);
  struct Row {
    double now;
    std::size_t count;
    const char* allowed;
    int status;
    const char* verdict;
  };
  const std::vector<Row> rows = {{103, 50, "2", 1, "SLOWER"}, {103, 50, "4", 0, "SAME"},
                                 {100, 50, "2", 0, "SAME"},   {97, 50, "2", 0, "FASTER"},
                                 {103, 4, "2", 0, "UNSURE"},  {102, 50, "2", 0, "UNSURE"}};
  for (const auto& row : rows) {
    INFO(row.now << " of " << row.count << " with " << row.allowed);
    saved.put_times("b.json", row.now, row.count);
    auto run = saved.compare({"--fail-on-regression", row.allowed});
    INFO(run.out << run.err);
    CHECK(run.status == row.status);
    CHECK(has(run.out, row.verdict));
    // Without the option a comparison informs.
    CHECK(saved.compare({}).status == 0);
  }
}

TEST_CASE("bench: runs that are not alike are compared only when told", "[cli]") {
  Saved saved;
  saved.put_times("b.json", 100, 50, [](json& results) {
    results["devices"][0]["name"] = "another processor";
    results["settings"]["seed"] = 1;
  });
  auto refused = saved.compare({});
  CHECK(refused.status == 2);
  CHECK(has(refused.err, "the runs are not alike"));
  CHECK(has(refused.err, "another processor"));
  CHECK(has(refused.err, "seed"));
  auto told = saved.compare({"--despite-differences", "--json"});
  INFO(told.err);
  CHECK(told.status == 0);
  auto report = json::parse(told.out);
  CHECK(report["schema"] == "kernels.bench-compare/1");
  CHECK(report["differences"].size() >= 2);
}

TEST_CASE("bench: comparisons go to pages and CI servers", "[cli]") {
  Saved saved;
  saved.put_times("a.json", 100);
  saved.put_times("b.json", 110);
  auto run = saved.compare({"--markdown", "out.md", "--junit", "out.xml"});
  CHECK(run.status == 0);
  CHECK(has(saved.read("out.md"), "| SLOWER |"));
  CHECK(has(saved.read("out.xml"), "<failure"));
}

TEST_CASE("bench: a file that is no result of this version is refused, and names what is wrong", "[cli]") {
  Saved saved;
  struct Row {
    const char* text;
    const char* error;
  };
  const std::vector<Row> rows = {{"{", "not valid JSON"},
                                 {R"({"schema": "kernels.bench/2"})", "kernels.bench/2"},
                                 {R"({"schema": "kernels.lock/1"})", "kernels.lock/1"},
                                 {"[]", "b.json"}};
  for (const auto& row : rows) {
    INFO(row.text);
    put(saved.world.folder() / "b.json", row.text);
    auto run = saved.compare({});
    CHECK(run.status != 0);
    CHECK(has(run.err, row.error));
  }
  saved.put_times("b.json", 100, 50, [](json& results) {
    results["rows"][1]["result"]["timing"]["series"]["cold"]["samples_ns"][3] = -1;
  });
  auto negative = saved.compare({});
  CHECK(negative.status != 0);
  CHECK(has(negative.err, "samples_ns[3]"));
  fs::remove(saved.world.folder() / "b.json");
  auto absent = saved.compare({});
  CHECK(absent.status != 0);
  CHECK(has(absent.err, "b.json"));
}

TEST_CASE("bench: the jobs of an array name one folder, and the slow machine of a fleet is found", "[cli]") {
  Saved saved;
  fs::create_directory(saved.world.folder() / "jobs");
  auto first = saved.world.kernels({"bench", Saved::kernel(), "--device", "cpu", "--function", "rms_norm",
                                    "--validate-only", "--save", "jobs/"},
                                   {.environment = {{"SLURM_JOB_ID", "4713"},
                                                    {"SLURM_ARRAY_JOB_ID", "4711"},
                                                    {"SLURM_ARRAY_TASK_ID", "3"},
                                                    {"SLURMD_NODENAME", "rack1-07"}}});
  INFO(first.err);
  CHECK(first.status == 0);
  auto names = World::files_below(saved.world.folder() / "jobs");
  REQUIRE(names.size() == 1);
  CHECK(has(names[0], "slurm-4711_3-on-rack1-07"));
  fs::remove_all(saved.world.folder() / "jobs");
  for (int i = 0; i < 5; ++i)
    saved.put_times("jobs/" + std::to_string(i) + ".json", i == 3 ? 107 : 100, 50, [&](json& results) {
      results["host"] = "node" + std::to_string(i);
      results["devices"][0]["uuid"] = "GPU-" + std::to_string(i);
    });
  auto merged = saved.world.kernels({"bench", "--merge", "jobs", "--threshold", "3", "--save", "all.json"});
  INFO(merged.out << merged.err);
  CHECK(merged.status == 1);
  CHECK(has(merged.out, "node3"));
  CHECK_FALSE(has(merged.out, "node2"));
  CHECK(json::parse(saved.read("all.json"))["devices"].size() == 5);
  CHECK(saved.world.kernels({"bench", "--merge", "jobs", "--threshold", "10"}).status == 0);
  auto none = saved.world.kernels({"bench", "--merge", saved.world.temp.path().string()});
  CHECK(none.status != 0);
  CHECK(has(none.err, "there are no results in"));
}

TEST_CASE("bench: a shape by hand, in the kernel's names or in those that people use", "[cli]") {
  World world;
  auto bench = [&](const std::string& sizes) {
    return world.kernels(
        {"bench", Saved::kernel(), "--device", "cpu", "--budget", "0.05", "--workload", sizes, "--json"});
  };
  for (const char* sizes :
       {"T=3,hidden=40,dtype=bf16", "rows=3,cols=40,dtype=bfloat16", "tokens=3,cols=40,dtype=bf16"}) {
    auto run = bench(sizes);
    INFO(sizes << run.err);
    CHECK(run.status == 0);
    auto rows = json::parse(run.out)["rows"];
    REQUIRE(rows.size() == 4);  // two functions, each with its probes
    CHECK(rows[1]["workload"] == "by-hand");
    CHECK(rows[1]["sizes"] == json{{"rows", 3}, {"cols", 40}});
    CHECK(rows[1]["dtype"] == "bfloat16");
  }
  struct Row {
    const char* sizes;
    const char* error;
  };
  for (const auto& row : std::vector<Row>{{"batch=3,cols=4", "no function of this kernel has a size `batch`"},
                                          {"cols=4", "needs more sizes than these"},
                                          {"rows=3,rows=4", "`rows` is there twice"},
                                          {"rows=3,T=4,cols=2", "`rows`, which is there too"},
                                          {"rows=three,cols=4", "`three` is not a size"},
                                          {"rows=-1,cols=4", "`-1` is not a size"},
                                          {"rows=9999999999999999999,cols=4", "is not a size"},
                                          {"rows=3,cols", "`cols` is not a name and a size"},
                                          {"dtype=bf16", "it has no sizes"},
                                          {"rows=3,cols=4,dtype=int4", "`int4` is not a data type"}}) {
    auto run = bench(row.sizes);
    INFO(row.sizes);
    CHECK(run.status == 2);
    CHECK(has(run.err, row.error));
  }
}

TEST_CASE("bench: every GPU of a machine without one is an error that says so", "[cli]") {
  World world;
  auto run = world.kernels({"bench", Saved::kernel(), "--device", "all"},
                           {.environment = {{"CUDA_VISIBLE_DEVICES", ""}}});
  CHECK(run.status == 2);
  CHECK(has(run.err, "there is no CUDA device"));
}

TEST_CASE("bench: options that make no sense together are refused", "[cli]") {
  World world;
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"bench", "--fail-on-regression", "2"},
        std::vector<std::string>{"bench", "--despite-differences"},
        std::vector<std::string>{"bench", "--merge", "x", "--compare", "a.json"},
        std::vector<std::string>{"bench", "--select", "--merge", "x"},
        std::vector<std::string>{"bench", "--select", "--validate-only"},
        std::vector<std::string>{"bench", "--layer", "x", "--compare", "old.lock", "new.lock"},
        std::vector<std::string>{"bench", "--precision", "0"}}) {
    INFO(arguments[1]);
    CHECK(world.kernels(arguments).status == 2);
  }
}
