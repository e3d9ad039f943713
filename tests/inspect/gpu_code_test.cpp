#include "kernels/inspect/gpu_code.h"

#include <random>

#include "kernels/inspect/library.h"

#include "support/catch.h"
#include "support/elf_writer.h"
#include "support/gpu_code_writer.h"
#include "support/hub_tree.h"
#include "support/seed.h"
#include "support/temp_folder.h"
#include "unpack.h"

using namespace kernels;
using namespace kernels::test;
using inspect::ArchSuffix;
using inspect::CodeKind;
using inspect::Compression;
using inspect::ImageContent;

namespace {

Result<inspect::GpuCode> read_bytes(const std::string& bytes) {
  MemorySource source{ByteView(bytes)};
  return inspect::read_fat_binary(source);
}

std::vector<std::string> arch_names(const inspect::GpuContainer& container) {
  std::vector<std::string> out;
  for (const auto& image : container.images)
    out.push_back(image.arch());
  return out;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Everything that can be asked of code, so that a sanitizer sees all of the reader.
void read_everything(const std::string& bytes) {
  MemorySource source{ByteView(bytes)};
  auto code = inspect::read_fat_binary(source);
  if (!code) return;
  for (const auto& container : code->containers)
    for (const auto& image : container.images)
      (void)inspect::function_names(source, image);
}

const std::vector<std::vector<ImageDescription>> kTwoFiles = {
    {{.arch = 80, .functions = {"a", "b"}},
     {.arch = 90, .suffix = 'a', .functions = {"a", "b"}, .pack = Pack::zstd},
     {.kind = 1, .arch = 90, .functions = {"a", "b"}, .pack = Pack::lz4, .major = 8, .minor = 7}},
    {{.arch = 100, .suffix = 'f', .functions = {"c"}}, {.kind = 8, .arch = 90}}};

}  // namespace

TEST_CASE("gpu code: containers are kept apart, with architecture, suffix and compression of each image",
          "[inspect]") {
  auto code = read_bytes(write_fat_binaries(kTwoFiles));
  REQUIRE(code);
  CHECK(code->is_complete);
  REQUIRE(code->containers.size() == 2);
  CHECK(arch_names(code->containers[0]) == std::vector<std::string>{"sm_80", "sm_90a", "compute_90"});
  CHECK(arch_names(code->containers[1]) == std::vector<std::string>{"sm_100f", "lto_90"});
  const auto& images = code->containers[0].images;
  CHECK(images[0].compression == Compression::none);
  CHECK(images[1].compression == Compression::zstd);
  CHECK(images[1].suffix == ArchSuffix::specific);
  CHECK(images[2].compression == Compression::lz4);
  CHECK(images[2].kind == CodeKind::ptx);
  CHECK(images[2].version == MajorMinor{8, 7});
  CHECK(images[1].content == ImageContent::has_functions);
}

TEST_CASE("gpu code: the functions of an image are named, however it is packed", "[inspect]") {
  auto kind = GENERATE(as<std::uint16_t>{}, 1, 2);
  auto pack = GENERATE(Pack::raw, Pack::lz4, Pack::zstd);
  auto bytes =
      write_fat_binary({{.kind = kind, .arch = 90, .functions = {"_Z4siluPf", "gelu"}, .pack = pack}});
  MemorySource source{ByteView(bytes)};
  auto code = inspect::read_fat_binary(source);
  REQUIRE(code);
  auto names = inspect::function_names(source, code->containers[0].images[0]);
  REQUIRE(names);
  CHECK(*names == std::vector<std::string>{"_Z4siluPf", "gelu"});
}

TEST_CASE("gpu code: a container without functions is empty, one that cannot be looked into is not",
          "[inspect]") {
  auto code = read_bytes(
      write_fat_binaries({{{.arch = 80, .functions = {}}, {.kind = 1, .arch = 80, .functions = {}}},
                          {{.arch = 80, .functions = {}, .pack = Pack::zstd}},
                          {{.arch = 80}}}));
  REQUIRE(code);
  REQUIRE(code->containers.size() == 3);
  CHECK(code->containers[0].is_empty());
  CHECK(code->containers[1].is_empty());
  CHECK_FALSE(code->containers[2].is_empty());
  // Damage must not make code vanish from the verdict.
  auto bytes = write_fat_binary({{.arch = 80, .functions = {}, .pack = Pack::zstd}});
  bytes[16 + 0x40] = 'x';
  auto damaged = read_bytes(bytes);
  REQUIRE(damaged);
  CHECK_FALSE(damaged->containers[0].is_empty());
}

TEST_CASE("gpu code: zeros between containers are passed over", "[inspect]") {
  auto bytes = std::string(64, '\0') + write_fat_binary({{.arch = 80}}) + std::string(4096, '\0') +
               write_fat_binary({{.arch = 90}}) + std::string(24, '\0');
  auto code = read_bytes(bytes);
  REQUIRE(code);
  CHECK(code->containers.size() == 2);
}

TEST_CASE("gpu code: code for the device linker is told apart from code that a driver loads", "[inspect]") {
  auto code = read_bytes(
      write_fat_binaries({{{.arch = 80, .is_relocatable = true}, {.arch = 90, .is_relocatable = true}},
                          {{.arch = 80}, {.arch = 90}}}));
  REQUIRE(code);
  CHECK(code->containers[0].is_relocatable);
  CHECK_FALSE(code->containers[1].is_relocatable);
}

TEST_CASE("gpu code: containers and images that leave their place are errors", "[inspect]") {
  auto good = write_fat_binary({{.arch = 80}});
  auto with = [&](std::size_t at, std::uint64_t value, unsigned bytes) {
    auto copy = good;
    for (unsigned i = 0; i < bytes; ++i)
      copy[at + i] = static_cast<char>(value >> (8 * i) & 255U);
    return copy;
  };
  struct Row {
    const char* name;
    std::string bytes;
  };
  std::vector<Row> rows = {{"container longer than the file", with(8, 1 << 20, 8)},
                           {"container of 2^64 bytes", with(8, ~std::uint64_t{0}, 8)},
                           {"container with a header of 0 bytes", with(6, 0, 2)},
                           {"container of another version", with(4, 9, 2)},
                           {"image with a header of 8 bytes", with(16 + 4, 8, 4)},
                           {"image with a header of 2^32 bytes", with(16 + 4, 0xffffffff, 4)},
                           {"image payload of 2^64 bytes", with(16 + 8, ~std::uint64_t{0}, 8)},
                           {"image payload one byte too long", with(16 + 8, good.size() - 16 - 64 + 1, 8)},
                           {"cut in the middle", good.substr(0, good.size() / 2)},
                           {"only the magic number", good.substr(0, 8)}};
  for (const auto& row : rows) {
    INFO(row.name);
    auto code = read_bytes(row.bytes);
    REQUIRE_FALSE(code);
    CHECK(code.error().code() == Errc::corrupt);
    CHECK(code.error().text().find("damaged GPU code at byte") == 0);
  }
}

TEST_CASE("gpu code: containers inside an image are not containers", "[inspect]") {
  auto inner = write_fat_binary({{.arch = 75}});
  ImageDescription outer{.arch = 80};
  auto bytes = write_fat_binary({outer});
  // The payload is replaced by a container; lengths stay right.
  bytes.replace(16 + 64, std::min(inner.size(), bytes.size() - 80), inner.substr(0, bytes.size() - 80));
  auto code = read_bytes(bytes);
  REQUIRE(code);
  CHECK(code->containers.size() == 1);
  CHECK(arch_names(code->containers[0]) == std::vector<std::string>{"sm_80"});
}

TEST_CASE("gpu code: without a table of sections the data of a library is searched", "[inspect]") {
  auto code = write_fat_binaries(kTwoFiles);
  auto library =
      write_elf({.symbols = {{.name = "PyInit_x"}}, .data = "some data" + std::string(7, '\0') + code});
  MemorySource source{ByteView(library)};
  auto facts = inspect::read_library(source);
  REQUIRE(facts);
  CHECK(facts->python_modules == std::vector<std::string>{"x"});
  REQUIRE(facts->gpu.containers.size() == 2);
  CHECK(arch_names(facts->gpu.containers[0]).size() == 3);
  // Chance hits of the magic number are no containers there.
  auto unlucky =
      write_elf({.data = std::string("\x50\xed\x55\xba\x00\x00\x00\x00", 8) + std::string(8, 'x') + code});
  MemorySource second{ByteView(unlucky)};
  auto found = inspect::read_library(second);
  REQUIRE(found);
  CHECK(found->gpu.containers.size() == 2);
}

TEST_CASE("gpu code: our own kernels hold what they were built for", "[inspect]") {
  for (const auto& variant : built_variants()) {
    auto source = open_file_source(variant.library);
    REQUIRE(source);
    auto facts = inspect::read_library(**source);
    REQUIRE(facts);
    INFO(variant.library);
    CHECK(facts->gpu.containers.empty() == !variant.cuda);
    for (const auto& container : facts->gpu.containers)
      CHECK(arch_names(container) == std::vector<std::string>{"sm_80", "sm_90", "compute_100", "sm_100"});
    CHECK_FALSE(facts->tvm_ffi_functions.empty());
  }
}

TEST_CASE("lz4: what a compressor writes is what comes out", "[inspect]") {
  struct Row {
    const char* name;
    std::string block;
    std::string text;
  };
  using namespace std::string_literals;
  std::vector<Row> rows = {{"literals only", "\x30"s + "abc", "abc"},
                           {"a match that repeats itself", "\x14"s + "a\x01\x00"s + "\x10z"s, "aaaaaaaaaz"},
                           {"long literals", "\xf0\x05"s + std::string(20, 'x'), std::string(20, 'x')},
                           {"long match", "\x1f"s + "b\x01\x00\x03"s + "\x10y"s, std::string(23, 'b') + "y"}};
  for (const auto& row : rows) {
    INFO(row.name);
    auto out = inspect::unpack_lz4(bytes_of(row.block), row.text.size());
    REQUIRE(out);
    CHECK(text_of(*out) == row.text);
    CHECK_FALSE(inspect::unpack_lz4(bytes_of(row.block), row.text.size() + 1));
    CHECK_FALSE(inspect::unpack_lz4(bytes_of(row.block), row.text.size() - 1));
  }
}

TEST_CASE("compression: sizes that are claimed are not believed", "[inspect]") {
  using namespace std::string_literals;
  CHECK(inspect::unpack_lz4(bytes_of("\x30"s + "abc"), 1ULL << 40).error().code() == Errc::unsupported);
  CHECK(inspect::unpack_lz4(bytes_of("\x30"s + "abc"), 16ULL << 20).error().code() == Errc::corrupt);
  CHECK_FALSE(inspect::unpack_lz4(bytes_of("\x14"s + "a\x05\x00"s), 9));  // a match before the beginning
  CHECK_FALSE(inspect::unpack_lz4(bytes_of("\x14"s + "a\x00\x00"s), 9));  // a distance of 0
  CHECK_FALSE(inspect::unpack_lz4({}, 0));
  CHECK(inspect::unpack_zstd(bytes_of("nothing"), 1ULL << 40).error().code() == Errc::unsupported);
  CHECK(inspect::unpack_zstd(bytes_of("nothing"), 100).error().code() == Errc::corrupt);
  CHECK(inspect::unpack_zstd({}, 100).error().code() == Errc::corrupt);
}

TEST_CASE("gpu code: damaged bytes end in an answer", "[inspect]") {
  auto whole = write_fat_binaries(kTwoFiles);
  for (std::size_t size = 0; size < whole.size(); ++size)
    read_everything(whole.substr(0, size));
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 4000; ++round) {
    auto damaged = whole;
    for (int i = 0; i < 3; ++i)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    read_everything(damaged);
  }
  SUCCEED();
}
