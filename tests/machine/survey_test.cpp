// Whole surveys of machines that are made up here: Pythons of every kind, and files that lie.

#include <map>
#include <random>

#include <sys/stat.h>

#include "kernels/machine/detect.h"

#include "support/catch.h"
#include "support/elf_writer.h"
#include "support/seed.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::machine;
using kernels::test::put;
using kernels::test::TempFolder;

namespace fs = std::filesystem;

namespace {

struct Fixture {
  Fixture() { fs::create_directories(folder / "root"); }
  void file(const std::string& path, const std::string& content = "") {
    put(folder / "root" / path, content);
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((folder / "root" / path).parent_path());
    fs::create_symlink(target, folder / "root" / path);
  }
  void torch(const std::string& site, const std::string& version) {
    file(site + "/torch/version.py", "__version__ = '" + version + "'\ncuda = '13.0'\n");
  }
  Detected survey(std::optional<fs::path> python = std::nullopt) const {
    auto never = [](const char* name) -> std::optional<std::string> {
      FAIL("the environment of this machine was asked for " << name);
      return std::nullopt;
    };
    return machine::survey(
        {.sysroot = *Sysroot::at(folder / "root"), .environment = never, .python = std::move(python)});
  }
  TempFolder folder;
};

std::string value(const Detected& machine, const std::string& name) {
  for (const auto& fact : machine.facts)
    if (fact.name == name) return fact.value;
  return "none";
}

const Fact* find(const Detected& machine, const std::string& name) {
  for (const auto& fact : machine.facts)
    if (fact.name == name) return &fact;
  return nullptr;
}

}  // namespace

TEST_CASE("survey: a Python without the GIL is known by its names or its build", "[machine]") {
  struct Row {
    const char* name;
    std::function<void(Fixture&)> make;
    const char* python;
    bool free_threaded;
    bool counts;  // before 3.15
  };
  const std::vector<Row> rows = {
      {"its own name",
       [](Fixture& m) {
         m.file("usr/bin/python3.13t");
         m.link("usr/bin/python3", "python3.13t");
       },
       "3.13", true, true},
      {"the environment's folder",
       [](Fixture& m) {
         m.file("usr/bin/python3");
         m.file("usr/pyvenv.cfg", "home = /opt/bin\nversion_info = 3.14.0.final.0\n");
         m.file("usr/lib/python3.14t/site-packages/x.py");
       },
       "3.14", true, true},
      {"the build",
       [](Fixture& m) {
         m.file("usr/bin/python3.13");
         m.link("usr/bin/python3", "python3.13");
         m.file("usr/lib/python3.13/_sysconfigdata_t_linux_x86_64-linux-gnu.py");
       },
       "3.13", true, true},
      {"one with the GIL beside it",
       [](Fixture& m) {
         m.file("usr/bin/python3.13");
         m.link("usr/bin/python3", "python3.13");
         m.file("usr/lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py");
         m.file("usr/lib/python3.13t/os.py");
       },
       "3.13", false, false},
      {"a later one has a stable ABI",
       [](Fixture& m) {
         m.file("usr/bin/python3.15t");
         m.link("usr/bin/python3", "python3.15t");
       },
       "3.15", true, false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    Fixture fixture;
    row.make(fixture);
    auto machine = fixture.survey();
    REQUIRE(machine.target.python);
    CHECK(machine.target.python->str() == row.python);
    CHECK((value(machine, "python").find("without the GIL") != std::string::npos) == row.free_threaded);
    CHECK(machine.target.free_threaded_python == row.counts);
  }
}

TEST_CASE("survey: a virtual environment sees the system's packages only if it says so", "[machine]") {
  Fixture fixture;
  fixture.file("usr/bin/python3.12");
  fixture.link("usr/bin/python3", "python3.12");
  fixture.torch("usr/local/lib/python3.12/dist-packages", "2.10.0");
  fixture.file("venv/bin/python");
  auto configure = [&](const char* see) {
    fixture.file(
        "venv/pyvenv.cfg",
        std::string("home = /usr/bin\nversion = 3.12.3\ninclude-system-site-packages = ") + see + "\n");
  };
  configure("false");
  fs::create_directories(fixture.folder / "root/venv/lib/python3.12/site-packages");
  CHECK_FALSE(fixture.survey("/venv/bin/python").target.torch);
  configure("true");
  CHECK(fixture.survey("/venv/bin/python").target.torch == MajorMinor{2, 10});
  // Its own packages come first; the folder is as good as the interpreter in it.
  fixture.torch("venv/lib/python3.12/site-packages", "2.11.0");
  CHECK(fixture.survey("/venv").target.torch == MajorMinor{2, 11});
  auto machine = fixture.survey("/venv");
  CHECK(value(machine, "python") == "3.12.3");
  CHECK(value(machine, "python environment") == "virtual environment /venv");
  // Packages of another version of Python are not those of this one.
  fixture.torch("venv/lib/python3.9/site-packages", "1.0.0");
  CHECK(fixture.survey("/venv").target.torch == MajorMinor{2, 11});
}

TEST_CASE("survey: the Python behind pyenv's shims, and the one after them", "[machine]") {
  Fixture fixture;
  // On the usual path of a machine that is not here, /usr/local/bin comes first; shims stand in for it.
  fixture.file("home/.pyenv/shims/python3", "#!/bin/sh\n");
  fixture.file("home/.pyenv/version", "3.12.1\n3.11.0\n");
  fixture.file("home/.pyenv/versions/3.12.1/bin/python3.12");
  fixture.link("home/.pyenv/versions/3.12.1/bin/python3", "python3.12");
  auto environment = [&](const char* name) -> std::optional<std::string> {
    auto root = fixture.folder / "root/home/.pyenv";
    if (std::string_view(name) == "PATH")
      return (root / "shims").string() + ":" + (fixture.folder / "root/usr/bin").string();
    return std::nullopt;
  };
  auto here = [&] { return machine::survey({.sysroot = {}, .environment = environment}); };
  CHECK(here().target.python == MajorMinor{3, 12});
  fixture.file("usr/bin/python3.10");
  fixture.link("usr/bin/python3", "python3.10");
  fixture.file("home/.pyenv/version", "system\n");
  CHECK(here().target.python == MajorMinor{3, 10});
  fixture.file("home/.pyenv/version", "../../..\n");
  CHECK(here().target.python == MajorMinor{3, 10});
}

TEST_CASE("survey: torch's own word on its C++ ABI counts, then its version, then what is usual",
          "[machine]") {
  Fixture fixture;
  fixture.file("usr/bin/python3.12");
  fixture.link("usr/bin/python3", "python3.12");
  const std::string site = "usr/lib/python3.12/site-packages";
  fixture.torch(site, "2.11.0+cu130");
  CHECK(find(fixture.survey(), "cxx11-abi")->certainty == Certainty::inferred);
  fixture.torch(site, "2.5.1+cu124");
  auto old = fixture.survey();
  CHECK(find(old, "cxx11-abi")->certainty == Certainty::assumed);
  CHECK(old.target.cxx11_abi == true);
  fixture.file(site + "/torch/share/cmake/Torch/TorchConfig.cmake", "\"-D_GLIBCXX_USE_CXX11_ABI=0\"\n");
  auto said = fixture.survey();
  CHECK(said.target.cxx11_abi == false);
  CHECK(find(said, "cxx11-abi")->certainty == Certainty::read);
}

TEST_CASE("survey: an XPU build of torch writes its version as a date", "[machine]") {
  Fixture fixture;
  fixture.file("usr/bin/python3.12");
  fixture.link("usr/bin/python3", "python3.12");
  fixture.file("usr/lib/python3.12/site-packages/torch/version.py",
               "__version__ = '2.10.0+xpu'\ncuda = None\nxpu = '20250301'\n");
  CHECK(fixture.survey().target.backend.tag() == "xpu20253");
}

TEST_CASE("survey: the C++ runtime of a conda environment is the one that its Python loads", "[machine]") {
  Fixture fixture;
  auto library = [](const std::string& newest) {
    return test::write_elf({.soname = "libstdc++.so.6", .defined_versions = {"GLIBCXX_3.4.9", newest}});
  };
  fixture.file("usr/lib64/libstdc++.so.6", library("GLIBCXX_3.4.25"));
  fixture.file("conda/bin/python3.12");
  fixture.file("conda/conda-meta/history");
  CHECK(fixture.survey("/conda/bin/python3.12").target.glibcxx == "3.4.25");
  fixture.file("conda/lib/libstdc++.so.6", library("GLIBCXX_3.4.34"));
  auto machine = fixture.survey("/conda/bin/python3.12");
  CHECK(machine.target.glibcxx == "3.4.34");
  CHECK(find(machine, "glibcxx")->source == "/conda/lib/libstdc++.so.6");
}

TEST_CASE("survey: a system without glibc is said to be one", "[machine]") {
  Fixture fixture;
  fixture.file("etc/os-release", "PRETTY_NAME=\"Alpine Linux v3.22\"\n");
  fixture.file("lib/ld-musl-x86_64.so.1", test::write_elf({.machine = 62}));
  fixture.file("bin/sh", test::write_elf({.machine = 183}));
  auto machine = fixture.survey();
  CHECK(machine.is_musl);
  CHECK_FALSE(machine.target.glibc);
  CHECK(machine.target.cpu == "aarch64");
}

TEST_CASE("survey: hostile files end in an answer, soon", "[machine]") {
  Fixture fixture;
  auto root = fixture.folder / "root";
  for (const char* fifo : {"etc/os-release", "proc/cpuinfo", "usr/bin/python3", "proc/driver/nvidia/version",
                           "lib/libc.so.6", "usr/local/cuda/version.json"}) {
    fs::create_directories((root / fifo).parent_path());
    REQUIRE(::mkfifo((root / fifo).c_str(), 0600) == 0);
  }
  fixture.link("lib64", "/lib64");
  fixture.link("usr/lib64/libstdc++.so.6", "libstdc++.so.6");
  fixture.link("sys/class/kfd/kfd", "/sys/class/kfd");
  fixture.file("usr/lib/os-release", std::string(3 << 20, '='));
  fixture.file("proc/meminfo", "MemTotal: 99999999999999999999 kB\n");
  fixture.file("proc/device-tree/compatible", std::string(100'000, '\0'));
  fixture.file("bin/sh",
               "\x7f"
               "ELF\2\1\1");
  fs::resize_file(root / "bin/sh", std::uintmax_t{1} << 40U);
  fixture.file("etc/ld.so.conf.d/x.conf", std::string(60'000, '\n') + "/etc/../..\n/proc\nrelative\n");
  fixture.file("venv/pyvenv.cfg",
               "home = ../../../../../..\nversion = 99999999999.1\ninclude-system-site-packages = true\n");
  fixture.file("venv/lib/python3.99999999999/site-packages/x", "");
  for (const char* kind : {"good", "bad"}) {
    auto id = std::string("sys/devices/") + kind;
    fixture.file(id + "/vendor", "0x10de\n");
    fixture.file(id + "/class", "0x030000\n");
    fixture.file(id + "/device", std::string(kind) == "good" ? "0x2330\n" : "garbage");
  }
  fixture.file("information/information", "Model: \x1b[31m\xff\nDevice Minor: 18446744073709551615\n");
  for (int i = 0; i < 3000; ++i) {
    auto id = std::to_string(i);
    fixture.link("sys/bus/pci/devices/" + id, i % 2 == 0 ? "../../../devices/good" : "/sys/devices/bad");
    fixture.link("proc/driver/nvidia/gpus/" + id, "/information");
  }
  auto machine =
      fixture.survey("/venv");  // what takes for ever ends with the time limit of the whole program
  CHECK(machine.gpus.size() <= 256);
  CHECK(machine.target.capabilities == std::vector<MajorMinor>{{9, 0}});
  for (const auto& gpu : machine.gpus) {
    CHECK(gpu.name.find('\x1b') == std::string::npos);
    CHECK(gpu.name.find('\xff') == std::string::npos);
  }
  CHECK(machine.target.os == "linux");
  CHECK_FALSE(machine.target.glibc);
  CHECK_FALSE(machine.target.python);
}

TEST_CASE("survey: thousands of KFD nodes are counted to a bound", "[machine]") {
  Fixture fixture;
  for (const char* version : {"0", "90402"}) {
    fixture.file(std::string("node/") + version + "/properties",
                 std::string("gfx_target_version ") + version + "\n");
    fixture.file(std::string("node/") + version + "/mem_banks/0/properties",
                 "heap_type 1\nsize_in_bytes 18446744073709551615\n");
  }
  for (int i = 0; i < 3000; ++i)
    fixture.link("sys/class/kfd/kfd/topology/nodes/" + std::to_string(i),
                 i % 3 == 0 ? "/node/0" : "/node/90402");
  fixture.file("opt/rocm/.info/version", "7.0.2-56\n");
  auto machine = fixture.survey();
  CHECK(machine.gpus.size() == 256);
  CHECK(machine.gpus.front().arch == "gfx942");
  CHECK(machine.target.backend.tag() == "rocm70");
  CHECK(machine.target.capabilities == std::vector<MajorMinor>{{9, 4}});
}

TEST_CASE("survey: a fixture with its files changed at random is still described", "[machine]") {
  std::mt19937_64 random(test::seed());
  for (const char* name : {"dgx-h100", "jetson-orin", "mi300x", "mac", "mig-slice", "mixed-gpus"}) {
    TempFolder folder;
    auto root = folder / "root";
    fs::copy(fs::path(KERNELS_TEST_MACHINES) / name / "root", root,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
    for (int round = 0; round < 20; ++round) {
      const auto& file = files[random() % files.size()];
      std::string content(random() % 200, '\0');
      for (auto& c : content)
        c = static_cast<char>(random());
      put(file, content);
      auto machine = machine::survey({.sysroot = *Sysroot::at(root), .environment = {}});
      auto target = parse_target(machine.target.description());
      REQUIRE(target);
      target->name = machine.target.name;
      CHECK(*target == machine.target);
      for (const auto& fact : machine.facts)
        CHECK(fact.certainty != Certainty::asked);
    }
  }
}
