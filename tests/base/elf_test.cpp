#include "kernels/base/elf.h"

#include <array>
#include <fstream>
#include <random>

#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/file.h"

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"
#include "support/temp_folder.h"

using namespace kernels;

namespace {

std::string some_library() {
  auto bytes = read_file(test::provider_path());
  REQUIRE(bytes);
  return *bytes;
}

/// Everything that can be asked of a file, so that a sanitizer sees all of the reader.
bool read_all(std::string_view bytes) {
  MemorySource source{ByteView(bytes)};
  auto file = read_elf(source);
  if (!file) return false;
  constexpr std::array<std::string_view, 2> prefixes{"TVMFFI", "PyInit_"};
  bool good = undefined_symbols(source, *file).has_value();
  good &= exported_symbols(source, *file, prefixes).has_value();
  good &= exported_symbols(source, *file, {}).has_value();
  return has_unique_symbols(source, *file).has_value() && good;
}

}  // namespace

TEST_CASE("elf: a library says what it needs, offers and how it is to be loaded", "[base]") {
  auto source = open_file_source(test::provider_path());
  REQUIRE(source);
  auto file = read_elf(**source);
  REQUIRE(file);
  CHECK(file->type == ElfType::shared);
  CHECK(file->has_dynamic);
  CHECK(file->soname == "libtvm_ffi.so");
  CHECK(std::ranges::count(file->needed, "libc.so.6") == 1);
  CHECK_FALSE(file->run_path);
  CHECK(file->executable_stack == ExecutableStack::no);
  CHECK_FALSE(file->has_writable_code);
  CHECK_FALSE(file->has_text_relocations);
  REQUIRE(file->section(".dynsym") != nullptr);
  CHECK(file->section(".dynsym")->bytes == file->tables.symbols);
  REQUIRE_FALSE(file->versions_needed.empty());
  CHECK(file->versions_needed.front().version.starts_with("GLIBC_"));
  constexpr std::array<std::string_view, 1> prefix{"TVMFFIEnv"};
  auto exports = exported_symbols(**source, *file, prefix);
  REQUIRE(exports);
  CHECK(std::ranges::binary_search(*exports, "TVMFFIEnvGetStream"));
  CHECK(std::ranges::all_of(*exports, [](const auto& name) { return name.starts_with("TVMFFIEnv"); }));
  auto undefined = undefined_symbols(**source, *file);
  REQUIRE(undefined);
  auto versioned =
      std::ranges::find_if(*undefined, [](const auto& symbol) { return symbol.name == "malloc"; });
  REQUIRE(versioned != undefined->end());
  CHECK(versioned->version.starts_with("GLIBC_2."));
}

TEST_CASE("elf: a file and the same bytes in memory read alike", "[base]") {
  auto bytes = some_library();
  MemorySource memory{ByteView(bytes)};
  auto opened = open_file_source(test::provider_path());
  REQUIRE(opened);
  auto& file = **opened;
  CHECK(file.size() == memory.size());
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 2000; ++round) {
    auto offset = random() % (bytes.size() + 2);
    auto length = random() % (round % 3 == 0 ? 50'000 : 40);
    auto one = memory.view(offset, length);
    auto two = file.view(offset, length);
    REQUIRE(one.has_value() == two.has_value());
    if (one) CHECK(std::ranges::equal(one->bytes(), two->bytes()));
    if (!one) CHECK(one.error().code() == Errc::corrupt);
  }
  CHECK_FALSE(file.view(0, ByteSource::kMaxView + 1));
}

TEST_CASE("byte source: a file that shrinks while it is read is an error", "[base]") {
  test::TempFolder folder;
  test::put(folder / "x", std::string(100'000, 'x'));
  auto source = open_file_source(folder / "x");
  REQUIRE(source);
  REQUIRE((*source)->view(0, 10));
  REQUIRE(::truncate((folder / "x").c_str(), 50'000) == 0);
  auto view = (*source)->view(90'000, 10);
  REQUIRE_FALSE(view);
  CHECK(view.error().code() == Errc::io);
}

TEST_CASE("byte source: a part has offsets of its own and ends where it ends", "[base]") {
  std::string text("0123456789", 10);
  MemorySource whole{ByteView(text)};
  PartSource part(whole, {.offset = 3, .length = 4});
  CHECK(part.size() == 4);
  CHECK(part.le<std::uint8_t>(0) == '3');
  CHECK_FALSE(part.view(2, 3));
  CHECK(PartSource(whole, {.offset = 8, .length = 100}).size() == 2);
  CHECK(PartSource(whole, {.offset = 80, .length = 100}).size() == 0);
}

TEST_CASE("byte source: a text ends at a zero byte inside its bounds", "[base]") {
  std::string text("abc\0def", 7);
  text += std::string(300, 'x') + std::string(1, '\0');
  MemorySource source{ByteView(text)};
  CHECK(source.c_string(0, text.size(), 100) == "abc");
  CHECK(source.c_string(1, text.size(), 3) == "bc");
  CHECK_FALSE(source.c_string(0, text.size(), 3));
  CHECK_FALSE(source.c_string(4, 7, 100));
  CHECK(source.c_string(4, text.size(), 1000)->size() == 303);
  CHECK_FALSE(source.c_string(4, text.size(), 200));
  CHECK_FALSE(source.c_string(text.size(), text.size(), 10));
}

TEST_CASE("byte source: holes of a sparse file are skipped", "[base]") {
  test::TempFolder folder;
  {
    std::ofstream out(folder / "sparse", std::ios::binary);
    out << "head";
    out.seekp(3LL << 30);
    out << "tail";
  }
  auto source = open_file_source(folder / "sparse");
  REQUIRE(source);
  CHECK((*source)->next_data(0) == 0);
  auto next = (*source)->next_data(1 << 20);
  CHECK(next > (2ULL << 30));
  CHECK(next <= (3ULL << 30));
  CHECK((*source)->next_data((3ULL << 30) + 4) == (*source)->size());
}

TEST_CASE("elf: what is no 64-bit little-endian ELF file is said so", "[base]") {
  struct Row {
    const char* name;
    std::string bytes;
    Errc code;
  };
  auto library = some_library();
  auto with = [&](std::size_t at, char value) {
    auto copy = library;
    copy[at] = value;
    return copy;
  };
  std::vector<Row> rows = {{"empty", "", Errc::corrupt},
                           {"text", "hello", Errc::corrupt},
                           {"cut in the header", library.substr(0, 63), Errc::corrupt},
                           {"32-bit", with(4, 1), Errc::unsupported},
                           {"big-endian", with(5, 2), Errc::unsupported}};
  for (const auto& row : rows) {
    INFO(row.name);
    MemorySource source{ByteView(row.bytes)};
    auto file = read_elf(source);
    REQUIRE_FALSE(file);
    CHECK(file.error().code() == row.code);
  }
}

TEST_CASE("elf: without a table of sections everything else is read", "[base]") {
  auto library = some_library();
  for (std::size_t at = 0x28; at < 0x30; ++at)
    library[at] = 0;  // e_shoff
  MemorySource source{ByteView(library)};
  auto file = read_elf(source);
  REQUIRE(file);
  CHECK(file->sections.empty());
  CHECK_FALSE(file->sections_unreadable);
  CHECK(file->soname == "libtvm_ffi.so");
  library[0x2a] = 0x7f;  // a table far behind the end
  auto damaged = read_elf(source);
  REQUIRE(damaged);
  CHECK(damaged->sections.empty());
  CHECK(damaged->sections_unreadable);
}

TEST_CASE("elf: a library cut off anywhere is corrupt or readable, never a crash", "[base]") {
  const std::string whole = some_library();
  for (std::size_t size = 0; size < whole.size(); size += size < 4096 ? 1 : 257) {
    // A copy of exactly that size, so that a sanitizer sees a read behind its end.
    const std::string part = whole.substr(0, size);
    (void)read_all(part);
  }
  CHECK(read_all(whole));
}

TEST_CASE("elf: damaged headers and tables end in an answer", "[base]") {
  const std::string whole = some_library();
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (int i = 0; i < 4; ++i) {
      const std::size_t range = round % 2 == 0 ? 1024 : damaged.size();
      damaged[random() % range] = static_cast<char>(random());
    }
    (void)read_all(damaged);
  }
  SUCCEED();
}
