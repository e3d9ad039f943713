// `kernels doctor --sysroot` over whole machines. A machine is a folder of text files in the layout that it
// really has; what would be binary there is made here, into a copy.

#include <fstream>

#include <nlohmann/json.hpp>

#include "kernels/base/file.h"
#include "kernels/model/target.h"

#include "support/catch.h"
#include "support/elf_writer.h"
#include "support/program.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::test;
using nlohmann::json;

namespace fs = std::filesystem;

namespace {

constexpr std::uint16_t kX86 = 62;
constexpr std::uint16_t kArm = 183;

struct Machine {
  const char* name;
  std::uint16_t processor = 0;  ///< 0: no binaries
  const char* libraries = "";   ///< where libc and libstdc++ are
  const char* glibc = "";
  const char* glibcxx = "";
  const char* cxxabi = "";
  const char* python = nullptr;
  int status = 0;
};

std::vector<Machine> machines() {
  constexpr const char* kDebian = "usr/lib/x86_64-linux-gnu";
  return {
      {.name = "dgx-h100",
       .processor = kX86,
       .libraries = kDebian,
       .glibc = "2.35",
       .glibcxx = "3.4.30",
       .cxxabi = "1.3.13"},
      {.name = "jetson-orin",
       .processor = kArm,
       .libraries = "usr/lib/aarch64-linux-gnu",
       .glibc = "2.35",
       .glibcxx = "3.4.30",
       .cxxabi = "1.3.13",
       .python = "/home/nvidia/venv/bin/python3"},
      {.name = "mi300x",
       .processor = kX86,
       .libraries = kDebian,
       .glibc = "2.39",
       .glibcxx = "3.4.33",
       .cxxabi = "1.3.15",
       .python = "/opt/conda/envs/py_3.12/bin/python"},
      {.name = "mac", .python = "/Users/ada/venv"},
      {.name = "ci-runner",
       .processor = kX86,
       .libraries = kDebian,
       .glibc = "2.39",
       .glibcxx = "3.4.33",
       .cxxabi = "1.3.15"},
      {.name = "mig-slice",
       .processor = kX86,
       .libraries = kDebian,
       .glibc = "2.35",
       .glibcxx = "3.4.30",
       .cxxabi = "1.3.13"},
      {.name = "mixed-gpus",
       .processor = kX86,
       .libraries = kDebian,
       .glibc = "2.41",
       .glibcxx = "3.4.34",
       .cxxabi = "1.3.15",
       .python = "/home/ada/work/.venv/bin/python",
       .status = 1},
  };
}

/// Versions in the order in which libraries define them, which is not that of text: 3.4.9 before 3.4.10.
std::vector<std::string> versions_up_to(const std::string& prefix, const std::string& newest) {
  auto dot = newest.rfind('.');
  std::vector<std::string> out;
  for (int last = 0; last <= std::stoi(newest.substr(dot + 1)); ++last)
    out.push_back(prefix + newest.substr(0, dot + 1) + std::to_string(last));
  return out;
}

/// A copy of the fixture with the binaries that the machine has.
void make_machine(const Machine& machine, const fs::path& root) {
  fs::copy(fs::path(KERNELS_TEST_MACHINES) / machine.name / "root", root,
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  if (machine.processor == 0) return;
  fs::path folder = root / machine.libraries;
  auto libc = versions_up_to("GLIBC_", machine.glibc);
  libc.emplace_back("GLIBC_PRIVATE");
  put(folder / "libc.so.6",
      write_elf({.machine = machine.processor, .soname = "libc.so.6", .defined_versions = libc}));
  auto cxx = versions_up_to("GLIBCXX_", machine.glibcxx);
  for (auto& version : versions_up_to("CXXABI_", machine.cxxabi))
    cxx.push_back(std::move(version));
  cxx.emplace_back("CXXABI_FLOAT128");
  put(folder / "libstdc++.so.6.0.30",
      write_elf({.machine = machine.processor, .soname = "libstdc++.so.6", .defined_versions = cxx}));
  fs::create_symlink("libstdc++.so.6.0.30", folder / "libstdc++.so.6");
  put(root / "usr/bin/dash", write_elf({.machine = machine.processor, .needs = {{.library = "libc.so.6"}}}));
  fs::create_symlink("dash", root / "usr/bin/sh");
}

/// What must not be seen: a torch in every place where this machine's environment could point to.
std::map<std::string, std::string> tempting_environment(const TempFolder& trap) {
  put(trap / "lib/python3.12/site-packages/torch/version.py", "__version__ = '1.0'\ncuda = '9.0'\n");
  put(trap / "bin/python3", "");
  return {{"VIRTUAL_ENV", trap.path().string()},
          {"CONDA_PREFIX", trap.path().string()},
          {"PYTHONPATH", (trap / "lib/python3.12/site-packages").string()},
          {"PATH", (trap / "bin").string()},
          {"LD_LIBRARY_PATH", KERNELS_TEST_FAKE_DRIVER},
          {"KERNELS_TEST_GPUS", "5.2,Trap,0000:01:00.0,4"},
          {"HF_ENDPOINT", "http://127.0.0.1:9"},
          {"HOME", trap.path().string()}};
}

Outcome examine(const Machine& machine, const fs::path& root, bool as_json) {
  TempFolder trap;
  std::vector<std::string> arguments = {KERNELS_PROGRAM, "doctor", "--sysroot", root.string()};
  if (machine.python != nullptr) arguments.insert(arguments.end(), {"--python", machine.python});
  if (as_json) arguments.emplace_back("--json");
  return run_program(arguments, {.environment = tempting_environment(trap)});
}

}  // namespace

TEST_CASE("doctor: a machine is described by its files, as it was checked in", "[cli]") {
  for (const auto& machine : machines()) {
    INFO(machine.name);
    TempFolder folder;
    make_machine(machine, folder / "root");
    auto run = examine(machine, folder / "root", true);
    INFO(run.err);
    CHECK(run.status == machine.status);
    CHECK(run.err.empty());
    auto expected = fs::path(KERNELS_TEST_MACHINES) / machine.name / "expected.json";
    if (std::getenv("KERNELS_TEST_ACCEPT") != nullptr) std::ofstream(expected, std::ios::binary) << run.out;
    CHECK(run.out == read_file(expected).value_or("no file"));
  }
}

TEST_CASE("doctor: the description of a machine is a target that means the same", "[cli]") {
  for (const auto& machine : machines()) {
    INFO(machine.name);
    TempFolder folder;
    make_machine(machine, folder / "root");
    auto report = json::parse(examine(machine, folder / "root", true).out);
    auto text = report["target"]["description"].get<std::string>();
    auto target = parse_target(text);
    REQUIRE(target);
    CHECK(target->description() == text);
    // The line for people is the same one.
    auto shown = examine(machine, folder / "root", false).out;
    CHECK(shown.find("  --target " + text + "\n") != std::string::npos);
    auto version = [](const std::optional<MajorMinor>& value) {
      return value ? json(value->str()) : json(nullptr);
    };
    CHECK(report["target"]["torch"] == version(target->torch));
    CHECK(report["target"]["python"] == version(target->python));
    CHECK(report["target"]["backend_version"] == version(target->backend.version));
    CHECK(report["target"]["capabilities"].size() == target->capabilities.size());
  }
}

TEST_CASE("doctor: nothing of this machine and nothing of the Hub is in the description of another",
          "[cli]") {
  TempFolder folder;
  put(folder / "root/etc/hostname", "x\n");
  auto run = examine({.name = "empty"}, folder / "root", true);
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["gpus"].empty());
  CHECK(report["hub"].empty());
  CHECK(report["routes"].empty());
  CHECK(report["cache"].is_null());
  CHECK(report["target"]["description"] == "os=linux,cpu=x86_64,tvm-ffi=0.1");
  for (const auto& fact : report["facts"]) {
    CAPTURE(fact.dump());
    CHECK(fact["certainty"] != "asked");
  }
}

TEST_CASE("doctor: GPUs without the driver's library are a problem, and still shown", "[cli]") {
  auto machine = machines().front();
  TempFolder folder;
  make_machine(machine, folder / "root");
  fs::remove(folder / "root/usr/lib/x86_64-linux-gnu/libcuda.so.1");
  auto run = examine(machine, folder / "root", true);
  CHECK(run.status == 1);
  auto report = json::parse(run.out);
  CHECK(report["good"] == false);
  CHECK(report["gpus"].size() == 8);
  REQUIRE(report["problems"].size() == 1);
  CHECK_THAT(report["problems"][0]["what"].get<std::string>(), contains("libcuda.so.1"));
  CHECK_THAT(report["problems"][0]["fix"].get<std::string>(), contains("--gpus all"));
}

TEST_CASE("doctor: a root folder or a Python that is not there is a mistake of the command line", "[cli]") {
  TempFolder folder;
  auto root = run_program({KERNELS_PROGRAM, "doctor", "--sysroot", (folder / "none").string()});
  CHECK(root.status == 2);
  CHECK_THAT(root.err, contains("there is no folder"));
  put(folder / "root/x", "");
  auto python = run_program(
      {KERNELS_PROGRAM, "doctor", "--sysroot", (folder / "root").string(), "--python", "/usr/bin/python3"});
  CHECK(python.status == 2);
  CHECK_THAT(python.err, contains("there is no Python at `/usr/bin/python3`"));
}
