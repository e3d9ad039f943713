#include "kernels/inspect/judge.h"

#include <algorithm>
#include <array>

#include "lists.h"
#include "support/catch.h"
#include "support/elf_writer.h"

using namespace kernels;
using namespace kernels::test;
using inspect::ArchSuffix;
using inspect::CodeKind;
using inspect::Finding;
using inspect::GpuCode;
using inspect::GpuContainer;
using inspect::GpuImage;
using inspect::GpuVerdict;
using inspect::ImageContent;
using inspect::Weight;

namespace {

/// An image by its name: `sm_90a`, `compute_100f@9.0` with the version of PTX, `lto_90`.
GpuImage image(std::string text) {
  GpuImage out;
  out.content = ImageContent::has_functions;
  if (auto at = text.find('@'); at != std::string::npos) {
    out.version = *MajorMinor::parse(text.substr(at + 1));
    text.resize(at);
  }
  auto underscore = text.find('_');
  auto kind = text.substr(0, underscore);
  out.kind = kind == "sm"        ? CodeKind::sass
             : kind == "compute" ? CodeKind::ptx
             : kind == "lto"     ? CodeKind::lto
                                 : CodeKind::other;
  auto number = text.substr(underscore + 1);
  if (number.ends_with('a')) out.suffix = ArchSuffix::specific;
  if (number.ends_with('f')) out.suffix = ArchSuffix::family;
  auto value = static_cast<std::uint32_t>(std::stoul(number));
  out.capability = {.major = value / 10, .minor = value % 10};
  return out;
}

GpuContainer container(const std::vector<std::string>& names) {
  GpuContainer out;
  for (const auto& name : names)
    out.images.push_back(image(name));
  return out;
}

GpuCode code(const std::vector<std::vector<std::string>>& containers) {
  GpuCode out;
  for (const auto& names : containers)
    out.containers.push_back(container(names));
  return out;
}

MajorMinor capability(const std::string& text) {
  return *MajorMinor::parse(text);
}

inspect::LibraryFacts facts_of(const ElfDescription& description) {
  static std::vector<std::string> kept;  // sources borrow
  const auto& bytes = kept.emplace_back(write_elf(description));
  MemorySource source{ByteView(bytes)};
  auto facts = inspect::read_library(source);
  REQUIRE(facts);
  return *facts;
}

std::vector<std::string> rules(const std::vector<Finding>& findings, Weight weight) {
  std::vector<std::string> out;
  for (const auto& finding : findings)
    if (finding.weight == weight) out.push_back(finding.rule);
  return out;
}

Variant variant(const std::string& name) {
  auto parsed = parse_variant(name);
  REQUIRE(parsed);
  return *parsed;
}

}  // namespace

TEST_CASE("gpu verdict: machine code, suffixes, PTX and drivers", "[inspect]") {
  struct Row {
    const char* name;
    std::vector<std::vector<std::string>> containers;
    const char* capability;
    const char* driver;
    GpuVerdict verdict;
  };
  std::vector<Row> rows = {
      {"same capability", {{"sm_90"}}, "9.0", "", GpuVerdict::runs},
      {"later minor version", {{"sm_80"}}, "8.6", "", GpuVerdict::runs},
      {"earlier minor version", {{"sm_86"}}, "8.0", "", GpuVerdict::would_not},
      {"later major version", {{"sm_80"}}, "9.0", "", GpuVerdict::would_not},
      {"a: exactly", {{"sm_90a"}}, "9.0", "", GpuVerdict::runs},
      {"a: nothing else", {{"sm_100a"}}, "10.3", "", GpuVerdict::would_not},
      {"f: later minor version", {{"sm_100f"}}, "10.3", "", GpuVerdict::runs},
      {"f: not another major version", {{"sm_100f"}}, "12.0", "", GpuVerdict::would_not},
      {"PTX for a later GPU", {{"compute_80@8.0"}}, "9.0", "", GpuVerdict::after_jit},
      {"PTX for an earlier GPU", {{"compute_90@8.0"}}, "8.9", "", GpuVerdict::would_not},
      {"PTX with a: exactly", {{"compute_90a@8.0"}}, "9.0", "", GpuVerdict::after_jit},
      {"PTX with a: nothing later", {{"compute_90a@8.0"}}, "10.0", "", GpuVerdict::would_not},
      {"PTX with f: its family", {{"compute_100f@9.0"}}, "10.3", "", GpuVerdict::after_jit},
      {"PTX with f: no other family", {{"compute_100f@9.0"}}, "12.0", "", GpuVerdict::would_not},
      {"machine code goes before PTX", {{"compute_80@8.0", "sm_90"}}, "9.0", "", GpuVerdict::runs},
      {"driver that knows the PTX", {{"compute_90@9.0"}}, "9.0", "580.65.06", GpuVerdict::after_jit},
      {"branch of a driver that knows it", {{"compute_90@9.0"}}, "9.0", "580", GpuVerdict::after_jit},
      {"driver too old for the PTX", {{"compute_90@9.0"}}, "9.0", "575.51.03", GpuVerdict::would_not},
      {"machine code needs no new driver", {{"sm_90", "compute_90@9.0"}}, "9.0", "575", GpuVerdict::runs},
      {"one PTX of two is old enough",
       {{"compute_80@7.8", "compute_90@9.0"}},
       "9.0",
       "525.60.13",
       GpuVerdict::after_jit},
      {"PTX newer than every known driver", {{"compute_90@99.0"}}, "9.0", "580", GpuVerdict::would_not},
      {"that a newer driver may know", {{"compute_90@99.0"}}, "9.0", "9999", GpuVerdict::after_jit},
      {"the union would run, the containers do not",
       {{"sm_80", "sm_90a"}, {"sm_100a"}},
       "9.0",
       "",
       GpuVerdict::partly},
      {"no container runs", {{"sm_80"}, {"sm_100a"}}, "9.0", "", GpuVerdict::would_not},
      {"one container is compiled", {{"sm_90"}, {"compute_80@8.0"}}, "9.0", "", GpuVerdict::after_jit},
      {"code for the linker says nothing", {{"sm_90"}, {"lto_80"}}, "9.0", "", GpuVerdict::runs},
      {"only code for the linker", {{"lto_90"}}, "9.0", "", GpuVerdict::no_code},
      {"images of an unknown kind", {{"new_90"}}, "9.0", "", GpuVerdict::unknown},
      {"nothing", {}, "9.0", "", GpuVerdict::no_code},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto driver = *row.driver == '\0' ? std::nullopt : std::optional<std::string>(row.driver);
    CHECK(inspect::judge_gpu(code(row.containers), capability(row.capability), driver).verdict ==
          row.verdict);
  }
}

TEST_CASE("gpu verdict: what is refused, what has to be compiled, and the driver for it", "[inspect]") {
  auto parts = code({{"sm_80", "compute_80@7.8"}, {"sm_90"}, {"sm_100"}});
  auto judgement = inspect::judge_gpu(parts, capability("9.0"), std::nullopt);
  CHECK(judgement.verdict == GpuVerdict::partly);
  CHECK(judgement.refused == std::vector<std::size_t>{2});
  CHECK(judgement.considered == 3);
  CHECK(judgement.needs_ptx == MajorMinor{7, 8});
  CHECK(judgement.needs_driver == "520.61.05");
  CHECK_FALSE(judgement.driver_is_too_old);
  auto old = inspect::judge_gpu(code({{"compute_90@9.0"}}), capability("9.0"), "570.26");
  CHECK(old.driver_is_too_old);
  CHECK(old.needs_driver == "580.65.06");
}

TEST_CASE("gpu verdict: empty and relocatable containers play no part", "[inspect]") {
  auto parts = code({{"sm_90"}, {"sm_80"}, {"sm_80"}});
  parts.containers[1].images[0].content = ImageContent::empty;
  parts.containers[2].is_relocatable = true;
  auto judgement = inspect::judge_gpu(parts, capability("9.0"), std::nullopt);
  CHECK(judgement.verdict == GpuVerdict::runs);
  CHECK(judgement.considered == 1);
}

TEST_CASE("gpu verdict: code that is not read is not called bad", "[inspect]") {
  GpuCode amd;
  amd.foreign = {inspect::ForeignCode::amd};
  CHECK(inspect::judge_gpu(amd, capability("9.4"), std::nullopt).verdict == GpuVerdict::not_read);
  GpuCode cut;
  cut.is_complete = false;
  CHECK(inspect::judge_gpu(cut, capability("9.0"), std::nullopt).verdict == GpuVerdict::unknown);
}

TEST_CASE("archs: what metadata declares against what each container holds", "[inspect]") {
  auto one = code({{"sm_80", "sm_90", "compute_90@9.0"}, {"sm_90", "compute_90@9.0"}});
  std::array<const GpuCode*, 1> all = {&one};
  CHECK(inspect::archs_of(one) == std::vector<std::string>{"8.0", "9.0", "9.0+PTX"});
  auto right = inspect::compare_archs({"9.0+PTX"}, all);
  REQUIRE(right.size() == 1);
  CHECK(right[0].rule == "archs-undeclared");
  CHECK(right[0].text == "the binaries hold 8.0, which metadata.json does not declare");
  auto partial = inspect::compare_archs({"8.0", "9.0+PTX"}, all);
  REQUIRE(partial.size() == 1);
  CHECK(partial[0].rule == "archs-partial");
  CHECK(partial[0].weight == Weight::warning);
  CHECK(partial[0].text.find("1 of 2 containers") != std::string::npos);
  auto absent = inspect::compare_archs({"8.0", "9.0", "9.0+PTX", "10.0", "12.0a"}, all);
  CHECK(rules(absent, Weight::violation) == std::vector<std::string>{"archs-absent"});
  GpuCode none;
  std::array<const GpuCode*, 1> nothing = {&none};
  CHECK(inspect::compare_archs({"9.0"}, nothing).empty());
}

TEST_CASE("archs: numbers are in order, not letters", "[inspect]") {
  CHECK(inspect::archs_of(code({{"sm_100", "sm_90a", "sm_120f", "sm_75", "compute_100@9.0"}})) ==
        std::vector<std::string>{"7.5", "9.0a", "10.0", "10.0+PTX", "12.0f"});
}

TEST_CASE("abi: a library within manylinux_2_28 has no findings", "[inspect]") {
  auto facts = facts_of({.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.28"}},
                                   {.library = "libstdc++.so.6",
                                    .versions = {"GLIBCXX_3.4.24", "CXXABI_1.3.11", "CXXABI_TM_1"}},
                                   {.library = "libtorch_cpu.so"},
                                   {.library = "libcudart.so.13"},
                                   {.library = "libcublas.so.13", .versions = {"libcublas.so.13"}},
                                   {.library = "ld-linux-x86-64.so.2"}},
                         .symbols = {{.name = "PyModule_Create2", .is_defined = false}}});
  CHECK(inspect::judge_abi(facts, std::nullopt).empty());
  CHECK(inspect::manylinux_policy(facts) == "manylinux_2_28");
}

TEST_CASE("abi: what is newer than manylinux_2_28, or private, is a violation", "[inspect]") {
  auto facts = facts_of({.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.34", "GLIBC_ABI_DT_RELR"}},
                                   {.library = "libstdc++.so.6", .versions = {"GLIBCXX_3.4.26"}}},
                         .symbols = {{.name = "dlopen", .is_defined = false, .version = "GLIBC_2.34"}}});
  auto findings = inspect::judge_abi(facts, std::nullopt);
  CHECK(rules(findings, Weight::violation) ==
        std::vector<std::string>{"manylinux", "manylinux", "manylinux"});
  CHECK(std::ranges::any_of(findings, [](const auto& finding) {
    return finding.text == "needs GLIBC_2.34 (for `dlopen`), which manylinux_2_28 does not have";
  }));
  CHECK(inspect::manylinux_policy(facts) == "manylinux_2_36");
}

TEST_CASE("abi: libraries, run path, stack, writable code", "[inspect]") {
  auto facts = facts_of({.needs = {{.library = "libfoo.so.1"}, {.library = "libc.so.6"}},
                         .run_path = "/home/builder/lib",
                         .segment_flags = 7,
                         .stack_flags = 7});
  auto findings = inspect::judge_abi(facts, std::nullopt);
  CHECK(rules(findings, Weight::violation) ==
        std::vector<std::string>{"run-path", "executable-stack", "writable-code"});
  CHECK(rules(findings, Weight::warning) == std::vector<std::string>{"needed-library"});
  auto beside = facts_of({.run_path = "$ORIGIN/lib"});
  CHECK(rules(inspect::judge_abi(beside, std::nullopt), Weight::note) ==
        std::vector<std::string>{"run-path"});
}

TEST_CASE("abi: Python's symbols are those of the stable ABI of 3.9", "[inspect]") {
  auto findings_for = [](const char* symbol) {
    return inspect::judge_abi(facts_of({.symbols = {{.name = symbol, .is_defined = false}}}), std::nullopt);
  };
  CHECK(findings_for("PyModule_Create2").empty());
  CHECK(rules(findings_for("PyModule_AddObjectRef"), Weight::violation) ==
        std::vector<std::string>{"python-abi"});  // 3.10
  auto outside = findings_for("_PyObject_GetDictPtr");
  CHECK(rules(outside, Weight::violation) == std::vector<std::string>{"python-abi"});
  CHECK(outside.front().text.find("outside of the stable ABI") != std::string::npos);
  auto now = facts_of({.symbols = {{.name = "PyModule_Create2", .is_defined = false}}, .bind_now = true});
  CHECK(rules(inspect::judge_abi(now, std::nullopt), Weight::note) == std::vector<std::string>{"bind-now"});
}

TEST_CASE("abi: a stable-ABI build uses what the torch that it names has", "[inspect]") {
  auto facts = facts_of({.symbols = {{.name = "aoti_torch_empty_strided", .is_defined = false},
                                     {.name = "torch_call_dispatcher", .is_defined = false},
                                     {.name = "torch_no_such_function", .is_defined = false},
                                     {.name = "_ZN3c1010TensorImpl4sizeEv", .is_defined = false}}});
  auto on = [&](const char* name) { return inspect::judge_abi(facts, variant(name)); };
  auto early = on("torch-stable-abi29-cu130-x86_64-linux");
  CHECK(rules(early, Weight::violation) == std::vector<std::string>{"torch-abi", "torch-abi"});
  CHECK(rules(early, Weight::warning) == std::vector<std::string>{"torch-abi"});
  auto later = on("torch-stable-abi210-cu130-x86_64-linux");
  CHECK(rules(later, Weight::violation) == std::vector<std::string>{"torch-abi"});  // the C++ name alone
  CHECK(on("torch210-cxx11-cu130-x86_64-linux").empty());
}

TEST_CASE("abi: functions of tvm-ffi that came after 0.1.0 are told with their release", "[inspect]") {
  auto findings =
      inspect::judge_abi(facts_of({.symbols = {{.name = "TVMFFIEnvGetStream", .is_defined = false},
                                               {.name = "TVMFFIGetCustomAllocator", .is_defined = false},
                                               {.name = "TVMFFIHandleInitOnce", .is_defined = false}}}),
                         std::nullopt);
  REQUIRE(rules(findings, Weight::warning) == std::vector<std::string>{"tvm-ffi"});
  CHECK(findings.front().text.find("needs tvm-ffi 0.1.13 or newer") == 0);
  CHECK(inspect::judge_abi(facts_of({.symbols = {{.name = "TVMFFIEnvGetStream", .is_defined = false}}}),
                           std::nullopt)
            .empty());
}

TEST_CASE("target: CPU, C library and C++ runtime decide whether a library loads", "[inspect]") {
  auto facts =
      facts_of({.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.17"}},
                          {.library = "libstdc++.so.6", .versions = {"GLIBCXX_3.4.26", "CXXABI_1.3.9"}}}});
  auto texts = [&](const char* target) {
    std::vector<std::string> out;
    for (const auto& finding : inspect::judge_on_target(facts, std::nullopt, *parse_target(target)))
      out.push_back(finding.text);
    return out;
  };
  CHECK(texts("os=linux,cpu=x86_64").empty());
  CHECK(texts("os=linux,cpu=x86_64,glibc=2.17,glibcxx=3.4.26,cxxabi=1.3.9").empty());
  CHECK(texts("os=linux,cpu=aarch64") ==
        std::vector<std::string>{"is machine code for x86_64, but the target has aarch64"});
  CHECK(texts("os=linux,glibc=2.12") ==
        std::vector<std::string>{"needs GLIBC 2.17, but the target has 2.12"});
  CHECK(texts("os=linux,glibcxx=3.4.25") ==
        std::vector<std::string>{"needs GLIBCXX 3.4.26, but the target has 3.4.25"});
}

TEST_CASE("target: machine code of a GPU is no library, whatever the CPU", "[inspect]") {
  auto amd = facts_of({.machine = 224, .needs = {{.library = "strange.so"}}});
  CHECK(amd.gpu.foreign == std::vector{inspect::ForeignCode::amd});
  CHECK(inspect::judge_on_target(amd, std::nullopt, *parse_target("os=linux,cpu=x86_64")).empty());
  CHECK(inspect::judge_abi(amd, std::nullopt).empty());
}

TEST_CASE("lists: every data file is read, and says what is generally known", "[inspect]") {
  CHECK(inspect::python_symbol_added("PyModule_Create2") == MajorMinor{3, 2});
  CHECK(inspect::python_symbol_added("PyModule_AddObjectRef") == MajorMinor{3, 10});
  CHECK_FALSE(inspect::python_symbol_added("_PyObject_GetDictPtr"));
  CHECK(inspect::torch_shim_range("torch_call_dispatcher")->first == MajorMinor{2, 10});
  CHECK_FALSE(inspect::torch_shim_range("torch_no_such_function"));
  CHECK(inspect::tvm_ffi_added("TVMFFIGetCustomAllocator") == "0.1.13");
  CHECK(inspect::policy_libraries().size() > 10);
  CHECK(inspect::policy_rows().front().policy == "manylinux_2_5");
}
