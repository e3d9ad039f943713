#include "kernels/model/target.h"

#include "support/catch.h"

using namespace kernels;

TEST_CASE("target: a description sets what it names and leaves the rest unknown", "[model]") {
  auto target = parse_target(
      "os=linux,cpu=aarch64,torch=2.11,cuda=13.0,capability=9.0,capability=10.0,driver=580.65,glibc=2.28,tvm-"
      "ffi=0.1");
  REQUIRE(target);
  CHECK(target->os == "linux");
  CHECK(target->cpu == "aarch64");
  CHECK(target->torch == MajorMinor{2, 11});
  CHECK(target->backend.tag() == "cu130");
  CHECK(target->capabilities == std::vector<MajorMinor>{{9, 0}, {10, 0}});
  CHECK(target->driver == "580.65");
  CHECK(target->glibc == MajorMinor{2, 28});
  CHECK(target->tvm_ffi == MajorMinor{0, 1});
  CHECK_FALSE(target->macos);
  CHECK(target->display() ==
        "linux aarch64, CUDA 13.0, torch 2.11, tvm-ffi 0.1, capability 9.0, capability 10.0, driver 580.65, "
        "glibc 2.28");
}

TEST_CASE("target: every documented key can be set", "[model]") {
  for (const auto& key : target_keys()) {
    CAPTURE(key);
    std::string value = key == "backend"              ? "metal"
                        : key == "cxx11-abi"          ? "true"
                        : key == "os" || key == "cpu" ? "x"
                                                      : "8.5";
    Target target;
    CHECK(set_target_key(target, key, value));
  }
}

TEST_CASE("target: the C++ ABI follows from Linux with torch, unless it is said", "[model]") {
  struct Row {
    const char* text;
    std::optional<bool> abi;
  };
  auto row = GENERATE(values<Row>({{"os=linux,torch=2.10", true},
                                   {"os=linux,torch=2.10,cxx11-abi=false", false},
                                   {"os=linux", std::nullopt},
                                   {"os=windows,torch=2.10", std::nullopt},
                                   {"os=darwin,torch=2.10", std::nullopt}}));
  CAPTURE(row.text);
  CHECK(parse_target(row.text)->cxx11_abi == row.abi);
}

TEST_CASE("target: what is wrong is named, with a way on", "[model]") {
  struct Row {
    const char* text;
    const char* in_error;
    const char* hint;
  };
  auto row = GENERATE(values<Row>({
      {"os", "`os` is not `key=value`", "write for example"},
      {"cud=13.0", "no key `cud`", "did you mean `cuda`?"},
      {"colour=red", "no key `colour`", "the keys are os, cpu"},
      {"cuda=new", "`new` is not a version", ""},
      {"cuda=13.0,rocm=7.0", "both `cuda` and `rocm`", "describe two targets"},
      {"cuda=13.0,cuda=12.0", "both `cuda` and `cuda`", "describe two targets"},
      {"cuda=13.0,backend=cpu", "both `cuda` and `cpu`", "describe two targets"},
      {"backend=cuda", "`cuda` is not a backend without version", "cuda=13.0"},
      {"backend=abacus", "`abacus` is not a backend", "backend=cpu|metal"},
      {"cxx11-abi=yes", "expected `true` or `false`, got `yes`", ""},
      {"os=", "`` is not a value for `os`", ""},
      {"os=a b", "`a b` is not a value for `os`", ""},
      {"cpu=x86-64", "`x86-64` is not a value for `cpu`", ""},
      {"capability=", "`` is not a version", ""},
      {"os=linux,,cpu=x", "`` is not `key=value`", ""},
  }));
  CAPTURE(row.text);
  auto target = parse_target(row.text);
  REQUIRE_FALSE(target);
  CHECK(target.error().code() == Errc::invalid_argument);
  CHECK_THAT(describe(target.error()), test::contains(row.in_error));
  CHECK_THAT(target.error().hint(), test::contains(row.hint));
}

TEST_CASE("target: a description is read back as the same machine", "[model]") {
  auto text = GENERATE(
      as<std::string>{}, "os=linux,cpu=x86_64",
      "os=linux,cpu=x86_64,cuda=13.0,torch=2.11,glibc=2.39,glibcxx=3.4.33,cxxabi=1.3.15,driver=580.65.06,"
      "cxx11-abi=true,tvm-ffi=0.1,python=3.12,capability=9.0,capability=10.0",
      "os=linux,cpu=x86_64,rocm=7.1,torch=2.10,cxx11-abi=false,python=3.14t,capability=9.4",
      "os=darwin,cpu=aarch64,backend=metal,torch=2.11,macos=26.1",
      "os=windows,cpu=x86_64,xpu=2025.3,torch=2.10");
  CAPTURE(text);
  auto target = parse_target(text);
  REQUIRE(target);
  CHECK(target->description() == text);
}

TEST_CASE("target: versions of the C++ runtime and of Python", "[model]") {
  auto target = parse_target("glibcxx=3.4.30,cxxabi=1.3.13,python=3.13t");
  REQUIRE(target);
  CHECK(target->glibcxx == "3.4.30");
  CHECK(target->cxxabi == "1.3.13");
  CHECK(target->python == MajorMinor{3, 13});
  CHECK(target->free_threaded_python);
  CHECK_FALSE(parse_target("python=3.13")->free_threaded_python);
  // From 3.15 on there is a stable ABI for Pythons without the GIL too.
  CHECK_FALSE(parse_target("python=3.15t")->free_threaded_python);
  for (const char* bad : {"glibcxx=", "glibcxx=3..4", "glibcxx=.3", "cxxabi=1.3.", "cxxabi=1.3x", "python=t",
                          "python=3.13tt", "python=new"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_target(bad));
  }
}
