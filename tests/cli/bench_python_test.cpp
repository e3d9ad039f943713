// `kernels bench` on repositories with benchmark scripts. The interpreter is the machine's python3, which
// need not have torch: scripts and kernels here are plain Python.

#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;

constexpr const char* kMetadata =
    R"({"name": "adder", "id": "_adder_x_0a1b2c3", "version": 1, "license": "Apache-2.0", )"
    R"("python-depends": [], "backend": {"type": "cpu"}})";
constexpr const char* kKernel =
    "def add_one(out, x):\n    for i, value in enumerate(x):\n        out[i] = value + 1\n";
constexpr const char* kHead =
    "import os, sys, time, subprocess\nfrom kernels.benchmark import Benchmark\n\n\nclass Add(Benchmark):\n"
    "    def setup(self):\n        self.x = [0.5 * i for i in range(50)]\n        self.out = [0.0] * 50\n\n"
    "    def benchmark_small(self):\n        self.kernel.add_one(self.out, self.x)\n\n";
constexpr const char* kVerify =
    "    def verify_small(self):\n        return [value + 1 for value in self.x]\n\n";

/// A repository with one pure-Python variant and scripts.
struct Repository {
  explicit Repository(const std::string& script = std::string(kHead) + kVerify) {
    put(place() / "build/torch-cpu/metadata.json", kMetadata);
    put(place() / "build/torch-cpu/__init__.py", kKernel);
    put(place() / "benchmarks/benchmark.py", script);
  }
  fs::path place() const { return world.folder() / "adder"; }

  Outcome bench(std::vector<std::string> more = {}, const RunOptions& options = {}) {
    std::vector<std::string> arguments = {"bench", "adder/build/torch-cpu", "--device", "cpu", "--budget",
                                          "0.1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world.kernels(arguments, options);
  }
  json rows(std::vector<std::string> more = {}) {
    more.emplace_back("--json");
    const auto run = bench(std::move(more));
    INFO(run.out << run.err);
    const auto parsed = json::parse(run.out, nullptr, false);
    REQUIRE(parsed.is_object());
    return parsed["rows"];
  }

  World world;
};

/// Processes whose command line holds the text.
std::size_t alive(const std::string& text) {
  std::size_t count = 0;
  std::error_code code;
  for (fs::directory_iterator it("/proc", code), end; !code && it != end; it.increment(code)) {
    std::ifstream file(it->path() / "cmdline", std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    if (has(content.str(), text)) ++count;
  }
  return count;
}

bool gone_soon(const std::string& text) {
  for (int i = 0; i < 250 && alive(text) > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return alive(text) == 0;
}

/// A number that no other process has on its command line.
std::string marker() {
  return std::to_string(100'000'000 + ::getpid()) + "." +
         std::to_string(std::chrono::steady_clock::now().time_since_epoch().count() % 100000);
}

}  // namespace

TEST_CASE("bench: a script's right row has times beside its reference", "[cli]") {
  Repository repository;
  const auto rows = repository.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0]["function"] == "Add");
  CHECK(rows[0]["workload"] == "small");
  CHECK(rows[0]["dtype"].is_null());
  const auto& result = rows[0]["result"];
  CHECK(result["verdict"] == "right");
  CHECK(result["numerics"]["checked"] == 50);
  CHECK(result["speedup"]["value"].get<double>() > 0);
  for (const char* kind : {"cold", "warm", "reference"})
    CHECK(result["timing"]["series"][kind]["samples_ns"].size() >= 3);
  CHECK(has(result["timing"]["method"], "benchmark.py with SHA-256 "));
  const auto text = repository.bench();
  CHECK(text.status == 0);
  CHECK(has(text.out, "SPEEDUP"));
  CHECK_FALSE(has(text.out, "OF LIMIT"));
}

TEST_CASE("bench: a script without verify_X is not checked, has times, and says so", "[cli]") {
  Repository repository(kHead);
  const auto rows = repository.rows();
  REQUIRE(rows.size() == 1);
  const auto& result = rows[0]["result"];
  CHECK(result["verdict"] == "not checked");
  CHECK(result["reason"] == "the script has no verify_small");
  CHECK(result["numerics"]["checked"] == 0);
  CHECK(result["timing"]["series"].contains("cold"));
  CHECK_FALSE(result["timing"]["series"].contains("reference"));
  const auto text = repository.bench({"--report", "page.html"});
  CHECK(text.status == 0);
  CHECK(has(text.out, "0 of 1 row right, 1 not checked"));
  CHECK(has(repository.world.read("page.html"), "not checked"));
}

TEST_CASE("bench: whatever a script does becomes a verdict with its reason", "[cli]") {
  struct Row {
    const char* name;
    std::string script;
    const char* verdict;
    const char* reason;
  };
  const std::string head = kHead;
  const std::string wrong = head + "    def verify_small(self):\n        return [v + 1.2 for v in self.x]\n";
  const auto in_setup = [&](const std::string& line) {
    return head + "    def setup_small(self):\n        " + line + "\n";
  };
  const auto in_call = [&](const std::string& line) {
    return head + "    def benchmark_small(self):\n        " + line + "\n";
  };
  const auto in_verify = [&](const std::string& line) {
    return head + "    def verify_small(self):\n        " + line + "\n";
  };
  const std::vector<Row> rows = {
      {"wrong", wrong, "wrong", "element 0 of `self.out` is 1.0, the reference says 1.2"},
      {"nan", in_verify("return [float('nan')] * 50"), "wrong", "the reference says nan"},
      {"shape", in_verify("return [1.0]"), "wrong", "`self.out` has 50 elements, the reference 1"},
      {"syntax", "def f(:\n", "failed", "SyntaxError"},
      {"import", "import surely_not_there\n" + head, "failed", "has no module `surely_not_there`"},
      {"raises at import", head + "\nraise ValueError('not today')\n", "failed",
       "ValueError: not today while importing benchmark.py (benchmark.py:14)"},
      {"no class", "print('hello')\n", "failed", "no subclass of `kernels.benchmark.Benchmark`"},
      {"no method", "from kernels.benchmark import Benchmark\nclass A(Benchmark):\n    pass\n", "failed",
       "the class `A` has no method `benchmark_…`"},
      {"exit at import", head + "\nsys.exit(3)\n", "crashed", "it called sys.exit(3) while importing"},
      {"setup", in_setup("raise KeyError('x')"), "failed", "KeyError: 'x' while running setup_small"},
      {"setup without a module", in_setup("import surely_not_there"), "failed",
       "has no module `surely_not_there`"},
      {"raises", in_call("raise ValueError('not today')"), "raised",
       "ValueError: not today while calling benchmark_small"},
      {"exits", in_call("sys.exit('bye')"), "crashed", "it called sys.exit(bye) while calling"},
      {"leaves", in_call("os._exit(7)"), "crashed", "ended with status 7 and no answer while calling"},
      {"aborts", in_call("print('last words'); os.abort()"), "crashed",
       "killed by SIGABRT while calling benchmark_small; its last output: "},
      {"no memory", in_call("raise MemoryError()"), "out of memory", "MemoryError"},
      {"verify raises", in_verify("raise TypeError('no')"), "failed",
       "TypeError: no while running verify_small"},
      {"itself", in_verify("return self.out"), "not checked", "verify_small returns `self.out` itself"},
      {"nothing", in_setup("self.x = []") + "    def verify_small(self):\n        return [1.0]\n", "failed",
       "`self.out` holds nothing to compare with"},
      {"empty", in_setup("self.x = []; self.out = []") + "    def verify_small(self):\n        return []\n",
       "not checked", "is empty"},
      {"strings", in_verify("return 'abc'"), "failed", "a str cannot be compared"},
      {"closes everything", in_call("os.closerange(3, 100)"), "crashed",
       "no answer while calling benchmark_small; its last output: "},
      {"talks into the answers", in_call("os.write(4, b'\\xff' * 100)"), "timed out",
       "while calling benchmark_small"}};
  for (const auto& row : rows) {
    INFO(row.name);
    Repository repository(row.script);
    const auto found = repository.rows({"--time-limit", "4"});
    REQUIRE(found.size() == 1);
    const auto& result = found[0]["result"];
    INFO(result["verdict"] << ": " << result["reason"]);
    CHECK(result["verdict"] == row.verdict);
    if (result["reason"].is_string()) CHECK(has(result["reason"], row.reason));
    CHECK(result["timing"].is_null() == (result["verdict"] != "not checked"));
  }
}

TEST_CASE("bench: a script that never returns is killed at the time limit", "[cli]") {
  for (const std::string line : {"while True: pass", "time.sleep(1000)"}) {
    Repository repository(std::string(kHead) + "    def benchmark_small(self):\n        " + line + "\n");
    const auto begin = std::chrono::steady_clock::now();
    const auto rows = repository.rows({"--time-limit", "2"});
    CHECK(rows[0]["result"]["verdict"] == "timed out");
    CHECK(has(rows[0]["result"]["reason"], "no answer within 2000 ms while calling benchmark_small"));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  }
}

TEST_CASE("bench: a call that turns bad while it is measured has no time", "[cli]") {
  for (const auto& [line, verdict] :
       {std::pair{"raise ValueError('late')", "raised"}, std::pair{"os.abort()", "crashed"},
        std::pair{"sys.exit(0)", "crashed"}}) {
    INFO(line);
    Repository repository(std::string(kHead) + "    count = 0\n\n    def benchmark_small(self):\n" +
                          "        Add.count += 1\n        if Add.count > 5:\n            " + line + "\n");
    const auto rows = repository.rows();
    CHECK(rows[0]["result"]["verdict"] == verdict);
    CHECK(rows[0]["result"]["timing"].is_null());
  }
}

TEST_CASE("bench: nothing that a script has started outlives it", "[cli]") {
  const auto mark = marker();
  const std::string start = "subprocess.Popen(['sleep', '" + mark + "']); subprocess.Popen(['sleep', '" +
                            mark + "'], start_new_session=True)";
  for (const std::string then : {"pass", "os.abort()", "time.sleep(1000)", "sys.exit(1)"}) {
    INFO(then);
    Repository repository(std::string(kHead) + "    def setup(self):\n        " + start + "\n        " +
                          then + "\n" + "        self.x = []\n");
    const auto rows = repository.rows({"--time-limit", "2"});
    REQUIRE(rows.size() == 1);
    CHECK(gone_soon(mark));
  }
  // One that has left everybody: its parents are gone, and its group is its own.
  Repository daemon(
      std::string(kHead) + "    def setup(self):\n        self.x = []\n        if os.fork() == 0:\n" +
      "            os.setsid()\n            if os.fork() == 0:\n                os.execlp('sleep', "
      "'sleep', '" +
      mark + "')\n            os._exit(0)\n        time.sleep(0.3)\n");
  (void)daemon.rows();
  CHECK(gone_soon(mark));
}

TEST_CASE("bench: nothing outlives a program that is stopped or killed", "[cli]") {
  const auto mark = marker();
  for (const int signal : {SIGINT, SIGKILL}) {
    INFO(signal);
    Repository repository(std::string(kHead) + "    def setup(self):\n        subprocess.Popen(['sleep', '" +
                          mark + "'], start_new_session=True)\n        time.sleep(1000)\n");
    const auto run =
        repository.bench({}, {.signal_after = std::chrono::milliseconds(2000), .signal = signal});
    CHECK(run.status == (signal == SIGINT ? 130 : 128 + SIGKILL));
    CHECK(gone_soon(mark));
  }
}

TEST_CASE("bench: a script may print megabytes, change its folder and have any names", "[cli]") {
  SECTION("prints") {
    Repository repository(
        std::string(kHead) + kVerify +
        "    def setup_small(self):\n        print('x' * 20_000_000)\n        self.setup()\n");
    CHECK(repository.rows()[0]["result"]["verdict"] == "right");
  }
  SECTION("changes its folder") {
    Repository repository(
        std::string(kHead) + kVerify +
        "    def setup_small(self):\n        os.chdir('/')\n        self.setup()\n\nos.chdir('/')\n");
    CHECK(repository.rows()[0]["result"]["verdict"] == "right");
  }
  SECTION("hostile names") {
    Repository repository(
        std::string(kHead) + kVerify +
        "\nAdd.__name__ = 'Add\\x1b[31m'\nglobals()['B\\x1b]0;owned\\x07'] = type('B', (Add,), "
        "{'__module__': __name__, 'benchmark_\\x1b[2J\\ud800': Add.benchmark_small})\n");
    const auto run = repository.bench();
    INFO(run.out);
    CHECK_FALSE(has(run.out + run.err, "\x1b["));
    CHECK_FALSE(has(run.out + run.err, "\x1b]"));
    CHECK(has(run.out, "Add"));
  }
}

TEST_CASE("bench: a script sees no token, no network and no bytecode, and its kernel is the variant's",
          "[cli]") {
  Repository repository(std::string(kHead) + kVerify +
                        "    def setup_small(self):\n        assert 'HF_TOKEN' not in os.environ\n"
                        "        assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
                        "        assert '/build/torch-cpu/' in self.kernel.__file__\n"
                        "        assert self.device == 'cpu' and self.seed is None\n"
                        "        from kernels import get_local_kernel\n"
                        "        self.setup()\n");
  const auto run = repository.bench({}, {.environment = {{"HF_TOKEN", "hf_secret"}}});
  INFO(run.out);
  CHECK(run.status == 0);
  for (const auto& file : World::files_below(repository.place()))
    CHECK_FALSE(has(file, ".pyc"));
}

TEST_CASE("bench: the kernel's module may lie in a folder of its name", "[cli]") {
  Repository repository;
  fs::create_directory(repository.place() / "build/torch-cpu/adder");
  fs::rename(repository.place() / "build/torch-cpu/__init__.py",
             repository.place() / "build/torch-cpu/adder/__init__.py");
  CHECK(repository.rows()[0]["result"]["verdict"] == "right");
  fs::remove(repository.place() / "build/torch-cpu/adder/__init__.py");
  const auto rows = repository.rows();
  CHECK(rows[0]["result"]["verdict"] == "failed");
  CHECK(has(rows[0]["result"]["reason"], "no Python module"));
}

TEST_CASE("bench: several scripts and classes are rows of their own, and can be chosen", "[cli]") {
  Repository repository;
  put(repository.place() / "benchmarks/benchmark_more.py",
      std::string(kHead) + kVerify +
          "    def benchmark_other(self):\n        pass\n\n\n"
          "class Second(Add):\n    pass\n");
  put(repository.place() / "benchmarks/helper.py", "raise RuntimeError('is no script')\n");
  put(repository.place() / "benchmarks/benchmark_bad.py", "raise RuntimeError('is bad')\n");
  CHECK(repository.rows({"--validate-only"}).size() == 6);
  const auto other = repository.rows({"--workload", "other", "--function", "benchmark_more.Second"});
  REQUIRE(other.size() == 2);  // what cannot be listed is told whatever is asked for
  CHECK(other[0]["workload"] == "script");
  CHECK(other[0]["function"] == "benchmark_bad.py");
  CHECK(other[1]["function"] == "benchmark_more.Second");
  fs::remove(repository.place() / "benchmarks/benchmark_bad.py");
  const auto none = repository.bench({"--workload", "absent"});
  CHECK(none.status == 1);
  CHECK(has(none.err, "pass the filters"));
}

TEST_CASE("bench: without an interpreter, or with one that is none, there is a clear error", "[cli]") {
  Repository repository;
  const auto absent = repository.bench({"--python", "/nowhere/python3"});
  CHECK(absent.status == 5);
  CHECK(has(absent.err, "there is no Python interpreter"));
  const auto empty = repository.bench({}, {.environment = {{"PATH", "/nowhere"}}});
  CHECK(empty.status == 5);
  CHECK(has(empty.err, "there is no Python interpreter"));
  put(repository.place() / "none", "text");
  const auto text = repository.bench({"--python", (repository.place() / "none").string()});
  CHECK(text.status == 1);
  CHECK(has(text.out, "cannot start `"));
  const auto liar = repository.bench({"--python", "/bin/true"});
  CHECK(liar.status == 1);
  CHECK(has(liar.out, "ended with status 0 and no answer"));
}

TEST_CASE("bench: runs of scripts are compared like others", "[cli]") {
  Repository repository;
  CHECK(repository.bench({"--save", "a.json"}).status == 0);
  const auto same = repository.bench({"--compare", "a.json", "--threshold", "99"});
  INFO(same.out << same.err);
  CHECK(same.status == 0);
  CHECK(has(same.out, "Add"));
  put(repository.place() / "benchmarks/benchmark.py",
      std::string(kHead) + "    def verify_small(self):\n        return [0.0] * 50\n");
  const auto broken = repository.bench({"--compare", "a.json"});
  CHECK(has(broken.out, "BROKEN"));
  CHECK(broken.status == 1);
}

TEST_CASE("bench: the arguments of the Python program are taken", "[cli]") {
  Repository repository;
  const auto run =
      repository.world.kernels({"benchmark", "adder/build/torch-cpu", "--device", "cpu", "--iterations", "5",
                                "--warmup", "2", "--output", "out.json", "--json"});
  INFO(run.err);
  CHECK(run.status == 0);
  const auto rows = json::parse(run.out)["rows"];
  CHECK(rows[0]["result"]["timing"]["series"]["cold"]["samples_ns"].size() <= 5);
  CHECK(json::parse(repository.world.read("out.json")) == json::parse(run.out));
}

namespace {

/// `acme/adder` on the Hub of a world, with a script.
std::string publish(World& world, const std::string& repo = "acme/adder") {
  return world.publish({.repo = repo,
                        .variants = {{"tvm-ffi01-cpu-x86_64-linux", {{"__init__.py", kKernel}}}},
                        .root_files = {{"benchmarks/benchmark.py", std::string(kHead) + kVerify}}});
}

}  // namespace

TEST_CASE("bench: a repository is downloaded and measured, and offline measured again", "[cli]") {
  World world;
  const auto commit = publish(world);
  for (const char* name : {"acme/adder", "acme/adder@v1", "acme/adder@1"}) {
    INFO(name);
    const auto run = world.kernels({"bench", name, "--device", "cpu", "--budget", "0.1", "--json"});
    INFO(run.out << run.err);
    REQUIRE(run.status == 0);
    const auto results = json::parse(run.out);
    CHECK(results["subjects"][0]["kernel"] == "acme/adder");
    CHECK(results["subjects"][0]["commit"] == commit);
    CHECK(results["subjects"][0]["runner"] == "python");
    CHECK(results["rows"][0]["result"]["verdict"] == "right");
  }
  const auto offline =
      world.kernels({"--offline", "bench", "acme/adder", "--device", "cpu", "--budget", "0.1"});
  INFO(offline.out << offline.err);
  CHECK(offline.status == 0);
  const auto by_flag =
      world.kernels({"benchmark", "acme/adder", "--branch", "v1", "--device", "cpu", "--validate-only"});
  INFO(by_flag.err);
  CHECK(by_flag.status == 0);
}

TEST_CASE("bench: a kernel that needs another one gets it, online and offline", "[cli]") {
  World world;
  publish(world);
  world.publish(
      {.repo = "acme/twice",
       .variants = {{"tvm-ffi01-cpu-x86_64-linux",
                     {{"__init__.py",
                       "from kernels import get_kernel_dep\n\nadder = get_kernel_dep('acme/adder')\n\n\n"
                       "def add_one(out, x):\n    adder.add_one(out, x)\n"}}}},
       .root_files = {{"benchmarks/benchmark.py", std::string(kHead) + kVerify}},
       .kernel_depends = R"([{"repo-id": "acme/adder", "version": 1}])"});
  const std::vector<std::string> bench = {"bench", "acme/twice", "--device", "cpu", "--validate-only"};
  const auto online = world.kernels(bench);
  INFO(online.out << online.err);
  CHECK(online.status == 0);
  auto arguments = bench;
  arguments.insert(arguments.begin(), "--offline");
  const auto offline = world.kernels(arguments);
  INFO(offline.out << offline.err);
  CHECK(offline.status == 0);
  fs::remove_all(world.cache() / "kernels--acme--adder");
  const auto without = world.kernels(arguments);
  CHECK(without.status == 1);
  CHECK(has(without.err, "acme/adder"));
}

TEST_CASE("bench: a locked kernel without workloads is measured by the scripts of its commit", "[cli]") {
  World world;
  publish(world);
  world.project("[dependencies]\n\"acme/adder\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download"}).status == 0);
  const auto has_script = [&] {
    for (const auto& file : World::files_below(world.cache()))
      if (has(file, "benchmark.py")) return true;
    return false;
  };
  CHECK_FALSE(has_script());
  const auto offline = world.kernels({"--offline", "bench", "--device", "cpu", "--validate-only"});
  CHECK(offline.status == 1);
  CHECK(has(offline.err, "workloads.toml"));
  const auto run = world.kernels({"bench", "--device", "cpu", "--validate-only", "--json"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(json::parse(run.out)["subjects"][0]["runner"] == "python");
  CHECK(has_script());
  CHECK(world.kernels({"--offline", "bench", "--device", "cpu", "--validate-only"}).status == 0);
}

TEST_CASE("bench: a repository that is not there, not trusted or named twice is an error that says so",
          "[cli]") {
  World world;
  publish(world);
  publish(world, "stranger/adder");
  struct Row {
    std::vector<std::string> arguments;
    int status;
    const char* text;
  };
  for (const auto& row : std::vector<Row>{{{"acme/absent"}, 1, "acme/absent"},
                                          {{"acme/adder@v7"}, 1, "has no version 7"},
                                          {{"stranger/adder"}, 4, "does not mark `stranger`"},
                                          {{"acme/adder@v1", "--version", "1"}, 2, "both say which revision"},
                                          {{"./absent"}, 2, "there is no folder"},
                                          {{".", "--version", "1"}, 2, "a folder has no versions"}}) {
    std::vector<std::string> arguments = {"bench", "--device", "cpu"};
    arguments.insert(arguments.end(), row.arguments.begin(), row.arguments.end());
    const auto run = world.kernels(arguments);
    INFO(row.arguments[0] << run.err);
    CHECK(run.status == row.status);
    CHECK(has(run.err, row.text));
  }
}

TEST_CASE("bench: a script that was changed or added in the cache is not run", "[cli]") {
  World world;
  const auto commit = publish(world);
  const std::vector<std::string> bench = {"bench", "acme/adder", "--device", "cpu", "--validate-only"};
  REQUIRE(world.kernels(bench).status == 0);
  const auto scripts = world.cache() / "kernels--acme--adder/snapshots" / commit / "benchmarks";
  fs::create_symlink("/etc/hostname", scripts / "benchmark_link.py");
  const auto linked = world.kernels(bench);
  CHECK(linked.status == 4);
  CHECK(has(linked.err, "benchmark_link.py"));
  auto offline = bench;
  offline.insert(offline.begin(), "--offline");
  CHECK(world.kernels(offline).status == 4);
  fs::remove(scripts / "benchmark_link.py");
  CHECK(world.kernels(offline).status == 0);
  const auto blob = fs::canonical(scripts / "benchmark.py");
  fs::permissions(blob, fs::perms::owner_all);
  std::ofstream(blob, std::ios::app) << "# changed\n";
  CHECK(world.kernels(offline).status == 4);
}
