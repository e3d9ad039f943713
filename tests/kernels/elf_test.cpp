#include "kernels/base/elf.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "kernels/base/byte_source.h"

#include "support/catch.h"
#include "support/hub_tree.h"

// The promises of manylinux_2_28 for every library that leaves this build.

using namespace kernels;

namespace {

struct Library {
  ElfFile file;
  std::vector<std::string> defined;
  std::vector<ElfUndefined> undefined;
};

Library read_library(const std::filesystem::path& path) {
  auto source = open_file_source(path);
  REQUIRE(source);
  auto file = read_elf(**source);
  if (!file) FAIL(path << ": " << describe(file.error()));
  auto defined = exported_symbols(**source, *file, {});
  REQUIRE(defined);
  auto undefined = undefined_symbols(**source, *file);
  REQUIRE(undefined);
  return {.file = *file, .defined = *defined, .undefined = *undefined};
}

std::vector<int> numbers(std::string_view text) {
  std::vector<int> parts;
  while (!text.empty()) {
    int part = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), part);
    if (code != std::errc()) break;
    parts.push_back(part);
    text.remove_prefix(std::min(static_cast<std::size_t>(end - text.data()) + 1, text.size()));
  }
  return parts;
}

/// The newest version of each family that a system of manylinux_2_28 has.
void check_versions(const std::filesystem::path& path, const ElfFile& file) {
  const std::map<std::string, std::vector<int>> newest = {
      {"GLIBC", {2, 28}}, {"GLIBCXX", {3, 4, 24}}, {"CXXABI", {1, 3, 11}}, {"GCC", {7, 0, 0}}};
  for (const auto& [library, version, is_weak] : file.versions_needed) {
    const auto split = version.find('_');
    const auto family = newest.find(version.substr(0, split));
    INFO(path << " needs " << version << " of " << library);
    REQUIRE(family != newest.end());
    CHECK(numbers(version.substr(split + 1)) <= family->second);
  }
}

}  // namespace

TEST_CASE("kernels: every library loads on manylinux_2_28 and needs nothing unusual", "[kernels]") {
  const std::set<std::string> allowed = {
      "libtvm_ffi.so",        "libc.so.6",       "libm.so.6",      "libdl.so.2",
      "librt.so.1",           "libpthread.so.0", "libstdc++.so.6", "ld-linux-x86-64.so.2",
      "ld-linux-aarch64.so.1"};
  for (const auto& variant : test::built_variants()) {
    const auto library = read_library(variant.library);
    INFO(variant.library);
    check_versions(variant.library, library.file);
    CHECK_FALSE(library.file.run_path);
    CHECK_FALSE(library.file.old_r_path);
    CHECK(std::ranges::count(library.file.needed, "libtvm_ffi.so") == 1);
    for (const std::string& needed : library.file.needed) {
      INFO("needs " << needed);
      CHECK(allowed.contains(needed));
    }
    for (const std::string& name : library.defined) {
      INFO("exports " << name);
      CHECK(name.starts_with("__tvm_ffi_"));
    }
  }
}

TEST_CASE("kernels: libraries import only what every 0.1.x runtime has", "[kernels]") {
  const std::set<std::string> oldest = {"TVMFFIEnvGetStream", "TVMFFIErrorSetRaisedFromCStr",
                                        "TVMFFIStringFromByteArray"};
  for (const auto& variant : test::built_variants())
    for (const auto& symbol : read_library(variant.library).undefined)
      if (symbol.name.starts_with("TVMFFI")) {
        INFO(variant.library << " imports " << symbol.name);
        CHECK(oldest.contains(symbol.name));
      }
}

TEST_CASE("provider: it exports the environment's functions and nothing else", "[kernels]") {
  const auto library = read_library(test::provider_path());
  check_versions(test::provider_path(), library.file);
  for (const std::string& name : library.defined) {
    INFO(name);
    CHECK(name.starts_with("TVMFFI"));
  }
  for (const char* name :
       {"TVMFFIGetVersion", "TVMFFIEnvSetStream", "TVMFFIEnvGetStream", "TVMFFIObjectIncRef",
        "TVMFFIObjectDecRef", "TVMFFIGetCustomAllocator", "TVMFFIErrorSetRaised",
        "TVMFFIErrorSetRaisedFromCStr", "TVMFFIErrorSetRaisedFromCStrParts", "TVMFFIErrorMoveFromRaised",
        "TVMFFIBacktrace", "TVMFFIStringFromByteArray", "TVMFFIGetTypeInfo", "TVMFFITypeGetOrAllocIndex",
        "TVMFFIDataTypeFromString", "TVMFFIEnvTensorAlloc", "TVMFFIEnvSetDLPackManagedTensorAllocator",
        "TVMFFIHandleInitOnce", "TVMFFIObjectCreateOpaque"}) {
    INFO(name);
    CHECK(std::ranges::count(library.defined, name) == 1);
  }
}
