#include "kernels/inspect/library.h"

#include <fstream>

#include <sys/resource.h>

#include "support/catch.h"
#include "support/elf_writer.h"
#include "support/gpu_code_writer.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::test;
using inspect::FileKind;

namespace {

inspect::LibraryFacts facts_of(const std::string& bytes) {
  MemorySource source{ByteView(bytes)};
  auto facts = inspect::read_library(source);
  if (!facts) FAIL(describe(facts.error()));
  return *facts;
}

}  // namespace

TEST_CASE("library: kinds of files are recognised from their first bytes", "[inspect]") {
  using namespace std::string_literals;
  struct Row {
    const char* name;
    std::string bytes;
    FileKind kind;
  };
  std::vector<Row> rows = {
      {"Mach-O", "\xcf\xfa\xed\xfe"s + std::string(60, 'x'), FileKind::mach_o},
      {"universal Mach-O", "\xca\xfe\xba\xbe\0\0\0\x02"s + std::string(60, 'x'), FileKind::mach_o},
      {"Java class", "\xca\xfe\xba\xbe\0\0\x01\x34"s + std::string(60, 'x'), FileKind::other},
      {"Windows", "MZ"s + std::string(60, 'x'), FileKind::windows},
      {"Metal", "MTLB"s, FileKind::metal},
      {"AMD", "__CLANG_OFFLOAD_BUNDLE__"s + std::string(60, 'x'), FileKind::amd_bundle},
      {"archive", "!<arch>\n"s, FileKind::archive},
      {"fat binary", write_fat_binary({{.arch = 90}}), FileKind::fat_binary},
      {"text", "hello"s, FileKind::other},
      {"empty", ""s, FileKind::other}};
  for (const auto& row : rows) {
    INFO(row.name);
    auto facts = facts_of(row.bytes);
    CHECK(facts.kind == row.kind);
    CHECK(facts.size == row.bytes.size());
    CHECK((facts.gpu.foreign == std::vector{inspect::ForeignCode::amd}) ==
          (row.kind == FileKind::amd_bundle));
  }
}

TEST_CASE("library: the newest version of each family counts, with a symbol that needs it", "[inspect]") {
  auto facts = facts_of(
      write_elf({.needs = {{.library = "libc.so.6",
                            .versions = {"GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9", "GLIBC_ABI_DT_RELR"}},
                           {.library = "libstdc++.so.6", .versions = {"GLIBCXX_3.4.9", "GLIBCXX_3.4.26"}}},
                 .symbols = {{.name = "malloc", .is_defined = false, .version = "GLIBC_2.2.5"},
                             {.name = "dlopen", .is_defined = false, .version = "GLIBC_2.34"},
                             {.name = "_ZSt4cout", .is_defined = false, .version = "GLIBCXX_3.4.26"}}}));
  REQUIRE(facts.versions.size() == 3);
  CHECK(facts.versions[0] == inspect::NewestVersion{"GLIBC", "ABI_DT_RELR", "libc.so.6", ""});
  CHECK(facts.versions[1] == inspect::NewestVersion{"GLIBC", "2.34", "libc.so.6", "dlopen"});
  CHECK(facts.versions[2] == inspect::NewestVersion{"GLIBCXX", "3.4.26", "libstdc++.so.6", "_ZSt4cout"});
}

TEST_CASE("library: exports and imports are sorted by whose they are; weak imports do not count",
          "[inspect]") {
  auto facts = facts_of(write_elf({.symbols = {{.name = "__tvm_ffi_silu"},
                                               {.name = "__tvm_ffi__metadata_silu"},
                                               {.name = "__tvm_ffi_gelu"},
                                               {.name = "PyInit__activation"},
                                               {.name = "other"},
                                               {.name = "PyModule_Create2", .is_defined = false},
                                               {.name = "_Py_Dealloc", .is_defined = false},
                                               {.name = "PyWeak", .is_defined = false, .is_weak = true},
                                               {.name = "TVMFFIEnvGetStream", .is_defined = false},
                                               {.name = "aoti_torch_empty_strided", .is_defined = false},
                                               {.name = "_ZN2at4_ops5empty", .is_defined = false},
                                               {.name = "_ZN5torch6stable1x", .is_defined = false}}}));
  CHECK(facts.tvm_ffi_functions == std::vector<std::string>{"gelu", "silu"});
  CHECK(facts.python_modules == std::vector<std::string>{"_activation"});
  CHECK(facts.python_symbols == std::vector<std::string>{"PyModule_Create2", "_Py_Dealloc"});
  CHECK(facts.tvm_ffi_symbols == std::vector<std::string>{"TVMFFIEnvGetStream"});
  CHECK(facts.torch_symbols == std::vector<std::string>{"aoti_torch_empty_strided", "_ZN2at4_ops5empty"});
}

TEST_CASE("library: which C++ names are torch's, and bound to one version of it", "[inspect]") {
  struct Row {
    const char* name;
    bool unstable;
  };
  auto row = GENERATE(values<Row>({{"_ZN3c1010TensorImpl4sizeEv", true},
                                   {"_ZNK2at6Tensor4sizeEv", true},
                                   {"_ZNKR5torch8autograd8VariableE", true},
                                   {"_ZTVN3c1010StorageImplE", true},
                                   {"_ZGVN2at1xE", true},
                                   {"_ZN5torch6stable6TensorC1Ev", false},
                                   {"_ZN5torch10headeronly1xE", false},
                                   {"_ZN5torch", true},
                                   {"_ZN4mine3c10E", false},
                                   {"_ZSt4cout", false},
                                   {"_Z3fooN3c106DeviceE", false},
                                   {"c10", false},
                                   {"_ZN", false},
                                   {"_ZN99999999999999999999c10", false},
                                   {"_ZN9c10", false},
                                   {"", false}}));
  CAPTURE(row.name);
  CHECK(inspect::is_unstable_torch_name(row.name) == row.unstable);
}

TEST_CASE("library: mangled names are shortened where that is easy, else left alone", "[inspect]") {
  struct Row {
    const char* mangled;
    const char* shown;
  };
  auto row =
      GENERATE(values<Row>({{"_Z4siluPf", "silu"},
                            {"_Z4siluIfEvPT_", "silu<…>"},
                            {"_ZN7kernels10activation5gatedILi0EEEvPf", "kernels::activation::gated<…>"},
                            {"_ZN12_GLOBAL__N_14siluEPf", "silu"},
                            {"plain_c", "plain_c"},
                            {"_Z", "_Z"},
                            {"_Z99x", "_Z99x"},
                            {"", ""}}));
  CHECK(inspect::short_function_name(row.mangled) == row.shown);
}

TEST_CASE("library: a sparse file of 4 GiB is answered in bounded memory", "[inspect]") {
  TempFolder folder;
  auto path = folder / "huge.so";
  auto code = write_fat_binary({{.arch = 90}});
  auto library = write_elf({.symbols = {{.name = "PyInit_x"}}, .data = code});
  {
    std::ofstream out(path, std::ios::binary);
    out << library;
    out.seekp((4LL << 30) - 1);
    out << 'x';
  }
  // The segment is said to hold all of it.
  {
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    std::string size(8, '\0');
    size[4] = 1;
    out.seekp(64 + 32);
    out.write(size.data(), 8);
  }
  struct rusage before{};
  getrusage(RUSAGE_SELF, &before);
  auto source = open_file_source(path);
  REQUIRE(source);
  auto facts = inspect::read_library(**source);
  REQUIRE(facts);
  CHECK(facts->gpu.containers.size() == 1);
  struct rusage after{};
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < 64 << 10);
}
