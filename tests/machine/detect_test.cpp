#include "kernels/machine/detect.h"

#include <map>

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using kernels::machine::detect;
using kernels::machine::Detected;
using kernels::machine::python_constant;
using kernels::test::put;
using kernels::test::TempFolder;

namespace {

/// A machine whose environment variables are these and no others.
Detected detect_with(const std::map<std::string, std::string>& variables) {
  return detect([&](const char* name) -> std::optional<std::string> {
    auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

const machine::Fact* fact(const Detected& detected, const std::string& name) {
  for (const auto& item : detected.facts)
    if (item.name == name) return &item;
  return nullptr;
}

std::string version_py(const std::string& version, const std::string& cuda, const std::string& hip) {
  return "from typing import Optional\n\n__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', "
         "'xpu']\n__version__ = '" +
         version + "'\ndebug = False\ncuda: Optional[str] = " + cuda +
         "\ngit_version = 'abc'\nhip: Optional[str] = " + hip + "\nxpu: Optional[str] = None\n";
}

}  // namespace

TEST_CASE("python constant: what a line of version.py assigns", "[machine]") {
  struct Row {
    const char* source;
    const char* value;
  };
  auto row = GENERATE(values<Row>({
      {"cuda = '12.8'", "12.8"},
      {"cuda: Optional[str] = \"12.8\"\n", "12.8"},
      {"a = 1\ncuda='13.0' # x\n", "13.0"},
      {"cuda = None\n", "-"},
      {"cuda = None\nother = 'x'\n", "-"},
      {"cuda_version = '1'\n", "-"},
      {"  cuda = '1'\n", "-"},
      {"cuda\n", "-"},
      {"cuda = '", "-"},
      {"cuda == ''", ""},
      {"", "-"},
      {"cuda = 'a\nb'", "-"},
  }));
  CAPTURE(row.source);
  CHECK(python_constant(row.source, "cuda").value_or("-") == row.value);
}

TEST_CASE("detect: torch and its backend come from the files of the active environment", "[machine]") {
  TempFolder folder;
  put(folder / "lib/python3.12/site-packages/torch/version.py", version_py("2.11.0+cu130", "'13.0'", "None"));
  put(folder / "lib/python3.12/site-packages/apache_tvm_ffi-0.1.4.dist-info/METADATA", "");
  auto variable = GENERATE(as<std::string>{}, "VIRTUAL_ENV", "CONDA_PREFIX");
  auto detected = detect_with({{variable, folder.path().string()}});
  CHECK(detected.target.torch == MajorMinor{2, 11});
  CHECK(detected.target.backend.tag() == "cu130");
  CHECK(detected.target.cxx11_abi == true);
  CHECK(detected.target.tvm_ffi == MajorMinor{0, 1});
  REQUIRE(fact(detected, "torch") != nullptr);
  CHECK(fact(detected, "torch")->source.find("version.py") != std::string::npos);
  CHECK(fact(detected, "tvm-ffi")->source.find("apache_tvm_ffi") != std::string::npos);
}

TEST_CASE("detect: a torch for ROCm, and one for the CPU alone", "[machine]") {
  TempFolder folder;
  auto file = folder / "lib/python3.10/site-packages/torch/version.py";
  put(file, version_py("2.10.0a0+git1", "None", "'7.0.51831'"));
  CHECK(detect_with({{"VIRTUAL_ENV", folder.path().string()}}).target.backend.tag() == "rocm70");
  put(file, version_py("2.10.0+cpu", "None", "None"));
  auto plain = detect_with({{"VIRTUAL_ENV", folder.path().string()}});
  CHECK(plain.target.backend.tag() == "cpu");
  CHECK(plain.target.torch == MajorMinor{2, 10});
}

TEST_CASE(
    "detect: an environment without torch says so, and the provider of this program stands in for tvm-ffi",
    "[machine]") {
  TempFolder folder;
  put(folder / "lib/python3.12/site-packages/x.py", "");
  auto detected = detect_with({{"VIRTUAL_ENV", folder.path().string()}, {"PATH", "/usr/bin"}});
  CHECK_FALSE(detected.target.torch);
  CHECK_FALSE(detected.target.cxx11_abi);
  CHECK(fact(detected, "torch")->source == "none found");
  CHECK(detected.target.tvm_ffi == MajorMinor{0, 1});
  CHECK(fact(detected, "tvm-ffi")->source == "the provider of this program");
}

TEST_CASE("detect: without an active environment the packages beside the first python3 on PATH count",
          "[machine]") {
  TempFolder folder;
  put(folder / "empty" / "x", "");
  put(folder / "bin" / "python3", "");
  put(folder / "lib64/python3.11/dist-packages/torch/version.py", version_py("2.9.1", "'12.6'", "None"));
  auto path =
      (folder / "none").string() + "::" + (folder / "empty").string() + ":" + (folder / "bin").string();
  auto detected = detect_with({{"PATH", path}});
  CHECK(detected.target.torch == MajorMinor{2, 9});
  CHECK(detected.target.backend.tag() == "cu126");
}

TEST_CASE("detect: broken files are as good as none, whatever is in them", "[machine]") {
  TempFolder folder;
  auto file = folder / "lib/python3.12/site-packages/torch/version.py";
  auto content = GENERATE(as<std::string>{}, "", "__version__ = 'new'", "__version__ = None",
                          std::string(70'000, 'x'), std::string("\0\xff", 2));
  put(file, content);
  put(folder / "lib/python3.12/site-packages/apache_tvm_ffi-x.dist-info/METADATA", "");
  auto detected = detect_with({{"VIRTUAL_ENV", folder.path().string()}});
  CHECK_FALSE(detected.target.torch);
  CHECK(detected.target.tvm_ffi == MajorMinor{0, 1});
}

TEST_CASE("detect: the system itself is always known", "[machine]") {
  auto detected = detect_with({});
  CHECK(detected.target.os == "linux");
  CHECK_FALSE(detected.target.cpu.empty());
  CHECK(detected.target.glibc);
  CHECK(fact(detected, "os") != nullptr);
}
