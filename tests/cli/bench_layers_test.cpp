// `kernels bench` in a project: kernels for one layer beside one another, winners written into the project
// file, and what an update from one lock to another costs. The kernels are real ones, on the CPU.

#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;

constexpr const char* kVariant = "tvm-ffi01-cpu-x86_64-linux";

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream content;
  content << stream.rdbuf();
  return content.str();
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  REQUIRE(has(text, what));
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

/// The CPU variant of our own rmsnorm, file by file.
std::map<std::string, std::string> norm_files() {
  std::map<std::string, std::string> out;
  for (const auto& variant : built_variants()) {
    if (variant.cuda || variant.kernel != "rmsnorm") continue;
    for (const char* name : {"workloads.toml", "layers.toml"})
      out[name] = text_of(variant.folder / name);
    out[variant.library.filename().string()] = text_of(variant.library);
  }
  REQUIRE(out.size() == 3);
  return out;
}

const char* const kSlowLayers = R"(schema = 1
[[layers]]
name = "RMSNorm"
function = "fused_add_rms_norm"
forward = [{name = "x"}]
members = [{name = "residual"}, {name = "weight"}, {name = "eps", type = "float", members = ["eps"]}]
arguments = ["x", "residual", "weight", "eps"]
returns = ["x"]
has_backward = false
[layers.tolerance]
float32 = {relative = 1e-5, absolute = 1e-6}
)";

/// A project whose layer `Norm` is mapped to `acme/slow`, which does the same with twice the traffic, beside
/// `acme/fast`.
class Norms {
 public:
  Norms() {
    publish("acme/fast", norm_files());
    auto slow = norm_files();
    slow["layers.toml"] = kSlowLayers;
    publish("acme/slow", slow);
  }

  void publish(const std::string& repo, const std::map<std::string, std::string>& files,
               std::uint64_t version = 1) {
    world.publish({.repo = repo, .version = version, .variants = {{kVariant, files}}});
  }
  void project(const std::string& text) {
    world.project(text);
    for (const char* verb : {"lock", "download"}) {
      auto run = world.kernels({verb});
      INFO(verb << run.out << run.err);
      REQUIRE(run.status == 0);
    }
  }
  Outcome bench(const std::vector<std::string>& more, RunOptions options = {}) {
    std::vector<std::string> arguments = {"bench", "--device", "cpu"};
    if (std::ranges::find(more, "--budget") == more.end())
      arguments.insert(arguments.end(), {"--budget", "0.3"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    // Where arithmetic and not the memory is the limit, twice the traffic takes nearly twice the time
    // everywhere.
    options.environment.try_emplace("KERNELS_CPU_LEVEL", "baseline");
    return world.kernels(arguments, std::move(options));
  }
  std::string file() const { return world.read("kernels.toml"); }

  World world;
};

const char* const kProject = R"(# of mine
[dependencies]
"acme/fast" = 1
"acme/slow" = 1  # the old one

[layers.Norm]    # of the model
cpu = { repo = "acme/slow", layer = "RMSNorm", mode = "inference" }  # why

[[bench.Norm]]
name = "chunk"
sizes = { tokens = 32, hidden = 4096 }
dtypes = ["float32"]
)";

/// Until a program has started another one.
void wait_for_child(int pid) {
  auto id = std::to_string(pid);
  constexpr int kMostTries = 2000;
  for (int i = 0; i < kMostTries; ++i) {
    if (!text_of("/proc/" + id + "/task/" + id + "/children").empty()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// The processors that the children of a program stay on, each of those that stay on one.
std::vector<std::string> processors_of_children(int pid) {
  auto id = std::to_string(pid);
  std::istringstream children(text_of("/proc/" + id + "/task/" + id + "/children"));
  std::vector<std::string> out;
  for (std::string child; children >> child;) {
    auto status = text_of("/proc/" + child + "/status");
    const std::string key = "Cpus_allowed_list:\t";
    auto at = status.find(key);
    if (at == std::string::npos) continue;
    auto allowed = status.substr(at + key.size(), status.find('\n', at) - at - key.size());
    if (allowed.find_first_of(",-") == std::string::npos) out.push_back(allowed);
  }
  return out;
}

bool has_ended(int pid) {
  auto stat = text_of("/proc/" + std::to_string(pid) + "/stat");
  return stat.empty() || has(stat, ") Z ");
}

std::map<std::string, json> subjects_of(const json& results) {
  std::map<std::string, json> out;
  for (const auto& subject : results["subjects"])
    out[subject["kernel"]] = subject;
  return out;
}

}  // namespace

TEST_CASE("bench layers: kernels for one layer are measured on the same shapes and compared", "[cli]") {
  Norms norms;
  norms.project(kProject);
  auto run = norms.bench({"--save", "a.json"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "layer Norm"));
  CHECK(has(run.out, "TO THE BEST"));
  CHECK(has(run.out, "best"));
  for (std::size_t at = 0, end = 0; at < run.out.size(); at = end + 1) {
    end = run.out.find('\n', at);
    CHECK(end - at <= 100);
  }
  auto results = json::parse(norms.world.read("a.json"));
  auto subjects = subjects_of(results);
  REQUIRE(subjects.size() == 2);
  std::map<std::string, std::vector<json>> rows;
  for (const auto& row : results["rows"]) {
    const auto& subject = results["subjects"][row["subject"].get<std::size_t>()];
    CHECK(subject["layer"] == "Norm");
    rows[subject["kernel"]].push_back(row);
  }
  for (const auto& [kernel, function] :
       {std::pair{"acme/fast", "rms_norm"}, std::pair{"acme/slow", "fused_add_rms_norm"}}) {
    // Probes of each type, and the project's shape in the names of the kernel.
    for (const auto& row : rows[kernel])
      CHECK(row["function"] == function);
    auto timed = std::ranges::find(rows[kernel], "chunk", [](const json& row) { return row["workload"]; });
    REQUIRE(timed != rows[kernel].end());
    CHECK((*timed)["sizes"] == json{{"rows", 32}, {"cols", 4096}});
    CHECK((*timed)["dtype"] == "float32");
    CHECK((*timed)["result"]["timing"]["series"]["cold"]["samples_ns"].size() >= 3);
  }
  CHECK(norms.file() == kProject);
}

TEST_CASE("bench layers: candidates take turns on one processor", "[cli]") {
  Norms norms;
  // Few tokens, so that a kernel surely has one thread: only those stay on a processor.
  std::string shapes;
  for (const char* name : {"a", "b", "c", "d"})
    shapes += replaced(
        "[[bench.Norm]]\nname = \"N\"\nsizes = { tokens = 4, hidden = 4096 }\ndtypes = [\"float32\"]\n",
        "\"N\"", "\"" + std::string(name) + "\"");
  norms.project(std::string(kProject) + shapes);
  std::size_t pairs = 0;
  std::size_t apart = 0;
  auto run = norms.bench({}, {.meanwhile = [&](int pid) {
                           while (!has_ended(pid)) {
                             auto processors = processors_of_children(pid);
                             if (processors.size() == 2) {
                               ++pairs;
                               if (processors[0] != processors[1]) ++apart;
                             }
                             std::this_thread::sleep_for(std::chrono::milliseconds(5));
                           }
                         }});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(pairs > 0);
  CHECK(apart == 0);
}

TEST_CASE("bench layers: --layer needs the kernels of that layer only", "[cli]") {
  Norms norms;
  norms.world.publish_simple("other");
  norms.project(std::string(kProject) +
                "[layers.Elsewhere]\ncuda = { repo = \"acme/fast\", layer = \"RMSNorm\" }\n"
                "[dependencies.\"acme/other\"]\nversion = 1\n");
  auto all = norms.bench({});
  CHECK(all.status != 0);
  CHECK(has(all.err, "acme/other"));
  auto one = norms.bench({"--layer", "Norm", "--json", "--validate-only"});
  INFO(one.err);
  CHECK(one.status == 0);
  CHECK(subjects_of(json::parse(one.out)).size() == 2);
  auto unknown = norms.bench({"--layer", "Nrom"});
  CHECK(unknown.status == 2);
  CHECK(has(unknown.err, "the project maps no layer `Nrom`"));
  CHECK(has(unknown.err, "did you mean `Norm`?"));
  auto elsewhere = norms.bench({"--layer", "Elsewhere"});
  CHECK(elsewhere.status == 1);
  CHECK(has(elsewhere.err, "`Elsewhere` is not mapped for cpu"));
}

TEST_CASE("bench layers: the winner goes into the project file with its evidence, once", "[cli]") {
  Norms norms;
  norms.project(kProject);
  auto run = norms.bench({"--select", "--seed", "11", "--budget", "1"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "inference  acme/slow  acme/fast"));
  CHECK(has(run.out, "run `kernels lock`"));
  auto written = norms.file();
  INFO(written);
  CHECK(has(written, "\n# kernels bench --select: 20"));
  CHECK(has(written, "seed 11"));
  CHECK(has(written, "of the time of acme/slow"));
  CHECK(has(written, "\ncpu = { repo = \"acme/fast\", layer = \"RMSNorm\", mode = \"inference\" }  # why\n"));
  std::string kept;
  std::istringstream lines(written);
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("# kernels bench")) kept += line + "\n";
  CHECK(kept == replaced(kProject, "{ repo = \"acme/slow\"", "{ repo = \"acme/fast\""));

  auto stale = norms.bench({"--select"});
  CHECK(stale.status == 2);
  CHECK(has(stale.err, "run `kernels lock`"));
  // Without writing, what is locked is what is measured.
  auto locked = norms.bench({"--validate-only", "--json"});
  CHECK(locked.status == 0);
  CHECK(has(locked.err, "has other layers than"));
  CHECK(subjects_of(json::parse(locked.out))["acme/slow"]["layer"] == "Norm");
  REQUIRE(norms.world.kernels({"lock"}).status == 0);
  auto again = norms.bench({"--select"});
  INFO(again.out << again.err);
  CHECK(again.status == 0);
  CHECK(has(again.out, "acme/fast  stays  it is the fastest that is right"));
  CHECK(norms.file() == written);
}

TEST_CASE("bench layers: a wrong kernel has no time and cannot win", "[cli]") {
  Norms norms;
  auto wrong = norm_files();
  // What it computes is no longer what it promises.
  wrong["workloads.toml"] =
      replaced(wrong["workloads.toml"], "{relative = 1e-5, absolute = 1e-6}", "{relative = 0, absolute = 0}");
  norms.publish("acme/wrong", wrong);
  norms.project(replaced(kProject, "\"acme/fast\" = 1", "\"acme/wrong\" = 1"));
  auto run = norms.bench({"--select"});
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(has(run.out, "wrong"));
  CHECK(has(run.out, "acme/slow  stays  it is the fastest that is right"));
  CHECK(has(norms.file(), "cpu = { repo = \"acme/slow\""));

  norms.project(replaced(replaced(kProject, "\"acme/slow\"", "\"acme/wrong\""), "\"acme/fast\" = 1", ""));
  auto none = norms.bench({"--select"});
  INFO(none.out << none.err);
  CHECK(none.status == 1);
  CHECK(has(none.out, "acme/wrong  stays"));
  CHECK_FALSE(has(norms.file(), "kernels bench --select"));
}

TEST_CASE("bench layers: what is mapped and wrong gives way to what is right", "[cli]") {
  Norms norms;
  auto wrong = norm_files();
  wrong["workloads.toml"] =
      replaced(wrong["workloads.toml"], "{relative = 1e-5, absolute = 1e-6}", "{relative = 0, absolute = 0}");
  norms.publish("acme/wrong", wrong);
  norms.project(replaced(replaced(kProject, "{ repo = \"acme/slow\"", "{ repo = \"acme/wrong\""),
                         "\"acme/fast\" = 1", "\"acme/wrong\" = 1"));
  auto run = norms.bench({"--select"});
  INFO(run.out << run.err);
  CHECK(has(run.out, "acme/wrong  acme/slow  what was mapped is not right: wrong at probes"));
  CHECK(has(norms.file(), "cpu = { repo = \"acme/slow\""));
  CHECK(has(norms.file(), "was mapped: wrong at"));
}

TEST_CASE("bench layers: a kernel whose sizes do not correspond is left out, and said to be", "[cli]") {
  Norms norms;
  auto turned = norm_files();
  turned["workloads.toml"] =
      replaced(turned["workloads.toml"], "shape = [\"rows\", \"cols\"]", "shape = [\"2*rows\", \"cols\"]");
  norms.publish("acme/turned", turned);
  auto renamed = norm_files();
  for (const auto& [from, to] : {std::pair{"\"rows\"", "\"lines\""}, std::pair{"rows =", "lines ="}})
    renamed["workloads.toml"] = replaced(renamed["workloads.toml"], from, to);
  norms.publish("acme/renamed", renamed);
  norms.project(
      replaced(kProject, "[layers.Norm]", "\"acme/turned\" = 1\n\"acme/renamed\" = 1\n[layers.Norm]"));
  auto quiet = norms.bench({"--layer", "Norm", "--validate-only", "--json"});
  INFO(quiet.err);
  CHECK(subjects_of(json::parse(quiet.out)).size() == 2);
  CHECK(has(quiet.err, "`acme/turned` is not measured for the layer `Norm`: the sizes do not correspond"));
  CHECK(has(quiet.err, "its `hidden_states` is [64, 4096]"));
  CHECK(has(quiet.err, "`acme/renamed` is not measured for the layer `Norm`: the sizes do not correspond"));
  CHECK(has(quiet.err, "`tokens`"));
}

TEST_CASE("bench layers: a layer that no kernel declares cannot be measured", "[cli]") {
  Norms norms;
  auto files = norm_files();
  files.erase("layers.toml");
  norms.publish("acme/plain", files);
  norms.project("[dependencies]\n\"acme/plain\" = 1\n[layers.Norm]\ncpu = { repo = \"acme/plain\" }\n");
  auto run = norms.bench({"--layer", "Norm"});
  CHECK(run.status == 1);
  CHECK(has(run.err, "no kernel of the project can be measured for the layer `Norm`"));
  CHECK(has(run.err, "layers.toml"));
  // Without the question it is a kernel like others.
  auto all = norms.bench({"--validate-only", "--json"});
  INFO(all.err);
  CHECK(all.status == 0);
  CHECK(subjects_of(json::parse(all.out))["acme/plain"]["layer"].is_null());
}

TEST_CASE("bench layers: a lock without its project is measured by the lock's own layers", "[cli]") {
  Norms norms;
  norms.project(kProject);
  fs::remove(norms.world.folder() / "kernels.toml");
  put(norms.world.folder() / "pyproject.toml", "[project]\nname = \"x\"\n");
  auto run = norms.bench({"--validate-only", "--json", "--workload", "decode-1"});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK_FALSE(has(run.err, "has other layers than"));
  auto subjects = subjects_of(json::parse(run.out));
  CHECK(subjects["acme/slow"]["layer"] == "Norm");
  CHECK(subjects["acme/fast"]["layer"] == "Norm");
}

TEST_CASE("bench layers: without kernels.sum the layers are not known, and that is said", "[cli]") {
  Norms norms;
  norms.project(kProject);
  fs::remove(norms.world.folder() / "kernels.sum");
  auto run = norms.bench({"--validate-only", "--json"});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(has(run.err, "there is no `kernels.sum`"));
  for (const auto& [kernel, subject] : subjects_of(json::parse(run.out)))
    CHECK(subject["layer"].is_null());
  auto asked = norms.bench({"--layer", "Norm"});
  CHECK(asked.status == 2);
  CHECK(has(asked.err, "run `kernels lock`"));
}

TEST_CASE("bench layers: --select asks for what it needs before anything is measured", "[cli]") {
  Norms norms;
  auto refused = [&](const std::string& error) {
    auto before = norms.file();
    auto run = norms.bench({"--select"});
    INFO(run.out << run.err);
    CHECK(run.status != 0);
    CHECK(run.out.empty());
    CHECK(has(run.err, error));
    CHECK(norms.file() == before);
  };
  norms.project("[dependencies]\n\"acme/fast\" = 1\n");
  refused("maps no layers");
  norms.project(kProject);
  fs::permissions(norms.world.folder() / "kernels.toml", fs::perms::owner_read);
  refused("it is read-only");
  fs::permissions(norms.world.folder() / "kernels.toml", fs::perms::owner_all);
  norms.world.project(replaced(kProject, "mode = \"inference\"", "mode = \"training\""));
  refused("run `kernels lock`");
  CHECK(norms.bench({"--select", "--validate-only"}).status == 2);
  fs::remove(norms.world.folder() / "kernels.toml");
  CHECK(has(norms.bench({"--select"}).err, "has neither `kernels.toml` nor"));
  auto folder = norms.bench({hub_folder() / "rmsnorm", "--layer", "Norm"});
  CHECK(folder.status == 2);
  CHECK(has(folder.err, "is no project whose lock has layers"));
}

TEST_CASE("bench layers: interrupted, --select writes nothing and leaves no process behind", "[cli]") {
  Norms norms;
  norms.project(kProject);
  int program = 0;
  auto run = norms.bench({"--select", "--budget", "30", "--precision", "0.01"}, {.meanwhile = [&](int pid) {
                           program = pid;
                           wait_for_child(pid);
                           ::kill(pid, SIGINT);
                         }});
  INFO(run.out << run.err);
  CHECK(run.status == 130);
  CHECK(norms.file() == kProject);
  CHECK(World::files_below(norms.world.folder()) ==
        std::vector<std::string>{"kernels.lock", "kernels.sum", "kernels.toml"});
  // A worker is told whose it is.
  auto mine = std::string("kernels-worker") + '\0' + std::to_string(program) + '\0';
  REQUIRE(program > 0);
  for (const auto& entry : fs::directory_iterator("/proc"))
    CHECK_FALSE(has(text_of(entry.path() / "cmdline"), mine));
}

TEST_CASE("bench layers: a project file that changes meanwhile is not overwritten", "[cli]") {
  Norms norms;
  norms.project(kProject);
  auto changed = std::string(kProject) + "# somebody was here\n";
  auto run = norms.bench({"--select", "--budget", "1"}, {.meanwhile = [&](int pid) {
                           wait_for_child(pid);
                           norms.world.project(changed);
                         }});
  INFO(run.out << run.err);
  CHECK(run.status == 2);
  CHECK(has(run.err, "has changed while the kernels were measured"));
  CHECK(norms.file() == changed);
}

TEST_CASE("bench layers: shapes of a project are read strictly", "[cli]") {
  Norms norms;
  norms.project(kProject);
  struct Row {
    const char* from;
    const char* to;
    const char* error;
  };
  for (const auto& row : std::vector<Row>{
           {"[[bench.Norm]]", "[[bench.Nrom]]", "`bench` has shapes of `Nrom`, which `layers` does not map"},
           {"[[bench.Norm]]", "[bench.Norm]", "should be a list"},
           {"tokens = 32", "tokens = -1", "`tokens` should be a number from 0 to 2^40"},
           {"tokens = 32", "tokens = \"a\"", "`tokens` should be a number from 0 to 2^40"},
           {"sizes = { tokens = 32, hidden = 4096 }", "", "needs one to eight `sizes`"},
           {"\"float32\"", "\"int4\"", "`int4` is not a data type"},
           {"name = \"chunk\"", "name = \"a b\"", "letters, digits"},
           {"name = \"chunk\"", "nmae = \"chunk\"", "did you mean `name`?"}}) {
    norms.world.project(replaced(kProject, row.from, row.to));
    auto run = norms.bench({});
    INFO(row.to << run.err);
    CHECK(run.status == 2);
    CHECK(has(run.err, "kernels.toml:"));
    CHECK(has(run.err, row.error));
  }
}

namespace {

/// Two locks of a project in which `acme/norm` was updated.
class Update {
 public:
  explicit Update(const std::map<std::string, std::string>& second, const std::string& old_form = "v2",
                  const std::string& new_form = "v2") {
    norms.publish("acme/norm", norm_files());
    norms.publish("acme/norm", second, 2);
    lock("[dependencies]\n\"acme/norm\" = 1\n\"acme/fast\" = 1\n\"acme/slow\" = 1\n", "old", old_form);
    lock("[dependencies]\n\"acme/norm\" = 2\n\"acme/fast\" = 1\n", "new", new_form);
  }
  void lock(const std::string& project, const std::string& name, const std::string& form) {
    fs::remove(norms.world.folder() / "kernels.lock");
    fs::remove(norms.world.folder() / "kernels.sum");
    norms.world.project(project);
    for (const auto& verb : {std::vector<std::string>{"lock", "--lock-format", form}, {"download"}}) {
      auto run = norms.world.kernels(verb);
      INFO(run.err);
      REQUIRE(run.status == 0);
    }
    fs::copy_file(norms.world.folder() / "kernels.lock", norms.world.folder() / (name + ".lock"));
  }
  Outcome compare(const std::vector<std::string>& more) {
    std::vector<std::string> all = {"--compare", "old.lock", "new.lock", "--function",
                                    "rms_norm",  "--dtype",  "float32"};
    all.insert(all.end(), more.begin(), more.end());
    return norms.bench(all);
  }
  Norms norms;
};

}  // namespace

TEST_CASE("bench locks: what an update costs is measured in turns; what did not change is only named",
          "[cli]") {
  auto forms = GENERATE(table<std::string, std::string>({{"v1", "v1"}, {"v2", "v2"}, {"v1", "v2"}}));
  CAPTURE(std::get<0>(forms), std::get<1>(forms));
  auto changed = norm_files();
  changed["workloads.toml"] += "# changed\n";
  Update update(changed, std::get<0>(forms), std::get<1>(forms));
  auto run = update.compare({"--threshold", "60", "--json", "--save", "after.json"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["kernels"]["changed"][0]["kernel"] == "acme/norm");
  CHECK(report["kernels"]["same_commit"] == json{"acme/fast"});
  CHECK(report["kernels"]["removed"] == json{"acme/slow"});
  REQUIRE_FALSE(report["rows"].empty());
  for (const auto& row : report["rows"]) {
    CHECK(row["kernel"] == "acme/norm");
    CHECK(row["before"]["samples"].get<int>() > 0);
    CHECK(row["after"]["samples"].get<int>() > 0);
    CHECK(row["change"] != "SLOWER");
  }
  CHECK(subjects_of(json::parse(update.norms.world.read("after.json"))).size() == 1);
  auto words = update.compare({"--workload", "decode-1"});
  INFO(words.err);
  CHECK(has(words.out, "changed: "));
  CHECK(has(words.out, "removed: "));
  CHECK(has(words.out, "the same commit, not measured:  acme/fast"));
}

TEST_CASE("bench locks: an update that makes a kernel wrong or slower fails a build", "[cli]") {
  auto wrong = norm_files();
  wrong["workloads.toml"] =
      replaced(wrong["workloads.toml"], "{relative = 1e-5, absolute = 1e-6}", "{relative = 0, absolute = 0}");
  Update update(wrong);
  auto run = update.compare({"--fail-on-regression", "5"});
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(has(run.out, "BROKEN"));
}

TEST_CASE("bench locks: the same bytes at another commit are not measured", "[cli]") {
  auto same = norm_files();
  same["metadata.json"] =
      R"({"name": "norm", "id": "_norm_x_0a1b2c3", "version": 1, "license": "Apache-2.0", )"
      R"("python-depends": [], "kernel-depends": [], "backend": {"type": "cpu"}})"
      "\n";
  Norms norms;
  norms.world.publish(
      {.repo = "acme/norm", .variants = {{kVariant, same}}, .root_files = {{"README.md", "a"}}});
  norms.world.publish({.repo = "acme/norm",
                       .version = 2,
                       .variants = {{kVariant, same}},
                       .root_files = {{"README.md", "b"}}});
  for (const char* version : {"1", "2"}) {
    norms.project(std::string("[dependencies]\n\"acme/norm\" = ") + version + "\n");
    fs::rename(norms.world.folder() / "kernels.lock",
               norms.world.folder() / (std::string(version) + ".lock"));
    fs::remove(norms.world.folder() / "kernels.sum");
  }
  auto run = norms.bench({"--compare", "1.lock", "2.lock"});
  INFO(run.out << run.err);
  CHECK(has(run.out, "the same bytes, not measured:  acme/norm"));
  CHECK(run.status == 0);
}

TEST_CASE("bench locks: what is not two locks, or not in the cache, is refused with the way out", "[cli]") {
  auto changed = norm_files();
  changed["workloads.toml"] += "# changed\n";
  Update update(changed);
  auto& world = update.norms.world;
  put(world.folder() / "results.json", R"({"schema": "kernels.bench/1"})");
  put(world.folder() / "damaged.lock", "[{");
  struct Row {
    std::vector<std::string> files;
    const char* error;
  };
  for (const auto& row :
       std::vector<Row>{{{"old.lock"}, "`old.lock` is a lock, which is compared with another"},
                        {{"old.lock", "results.json"}, "and the other file is not"},
                        {{"results.json", "old.lock"}, "and the other file is not"},
                        {{"old.lock", "damaged.lock"}, "damaged.lock"},
                        {{"old.lock", "absent.lock"}, "absent.lock"}}) {
    std::vector<std::string> arguments = {"--compare"};
    arguments.insert(arguments.end(), row.files.begin(), row.files.end());
    auto run = update.norms.bench(arguments);
    INFO(run.err);
    CHECK(run.status != 0);
    CHECK(has(run.err, row.error));
  }
  fs::remove_all(world.cache());
  auto gone = update.compare({});
  INFO(gone.out << gone.err);
  CHECK(gone.status != 0);
  CHECK(has(gone.err, "is not in the cache"));
  CHECK(has(gone.err, "kernels download"));
}
