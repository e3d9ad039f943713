// What a library can claim about itself. None is ever loaded into the program: it is read, with every offset
// checked; random damage and cut files are in tests/base/elf_test.cpp and in the fuzz target `elf`.

#include "kernels/base/elf.h"

#include <cstring>

#include "kernels/inspect/judge.h"
#include "kernels/inspect/library.h"

#include "support/elf_writer.h"
#include "victim.h"

using namespace kernels;
using namespace kernels::test;

namespace {

struct Sectioned {
  std::string bytes;
  std::size_t table = 0;  // of the sections
};

template <class Number>
void poke(std::string& bytes, std::size_t at, Number value) {
  REQUIRE(at + sizeof(value) <= bytes.size());
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

/// A library with three sections: none, `.data`, and the table of their names.
Sectioned sectioned() {
  Sectioned out{.bytes = write_elf({.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.17"}}},
                                    .symbols = {{.name = "__tvm_ffi_x"}},
                                    .data = std::string(64, 'd')})};
  auto names = out.bytes.size();
  out.bytes += std::string("\0.data\0.shstrtab\0", 17);
  out.bytes.resize((out.bytes.size() + 7) / 8 * 8);
  out.table = out.bytes.size();
  out.bytes.resize(out.table + std::size_t{3} * 64);
  auto section = [&](std::size_t index, std::uint32_t name, std::uint32_t type, std::uint64_t at,
                     std::uint64_t size) {
    poke(out.bytes, out.table + 64 * index, name);
    poke(out.bytes, out.table + 64 * index + 4, type);
    poke(out.bytes, out.table + 64 * index + 24, at);
    poke(out.bytes, out.table + 64 * index + 32, size);
  };
  section(1, 1, 1, 64, 32);
  section(2, 7, 3, names, 17);
  poke<std::uint64_t>(out.bytes, 40, out.table);
  poke<std::uint16_t>(out.bytes, 58, 64);
  poke<std::uint16_t>(out.bytes, 60, 3);
  poke<std::uint16_t>(out.bytes, 62, 2);
  return out;
}

Result<ElfFile> read(const std::string& bytes) {
  MemorySource source{ByteView(bytes)};
  auto file = read_elf(source);
  if (file) {
    (void)undefined_symbols(source, *file);
    (void)exported_symbols(source, *file, {});
  }
  return file;
}

/// Whether such a library in a kernel is told, and nothing worse happens.
std::string what_check_says(const std::string& bytes) {
  TempFolder temp;
  put(temp / "x.so", bytes);
  auto run = run_program({KERNELS_PROGRAM, "check", (temp / "x.so").string(), "--target",
                          "os=linux,cpu=x86_64,tvm-ffi=0.1", "--json"});
  CHECK(run.status < 128);
  return run.out + run.err;
}

std::vector<std::string> broken_rules(const std::string& bytes) {
  MemorySource source{ByteView(bytes)};
  auto facts = inspect::read_library(source);
  REQUIRE(facts);
  std::vector<std::string> out;
  for (const auto& finding : inspect::judge_abi(*facts, std::nullopt))
    if (finding.weight == inspect::Weight::violation) out.push_back(finding.rule);
  return out;
}

}  // namespace

TEST_CASE("attack 93: an offset beyond the end is an error, not a read", "[attacks]") {
  auto good = sectioned();
  REQUIRE(read(good.bytes)->sections.size() == 3);
  for (std::uint64_t far : {std::uint64_t{1} << 20, ~std::uint64_t{0}, ~std::uint64_t{0} - 63}) {
    auto sections = good.bytes;
    poke(sections, 40, far);
    CHECK(read(sections)->sections_unreadable);
    auto programs = good.bytes;
    poke(programs, 32, far);
    CHECK_FALSE(read(programs));
    auto content = good.bytes;
    poke(content, good.table + 64 + 24, far);
    CHECK(read(content)->sections_unreadable);
  }
  CHECK(has(what_check_says(good.bytes.substr(0, 200)), "x.so"));
}

TEST_CASE("attack 94: sections that overlap are read for what each says", "[attacks]") {
  auto library = sectioned();
  poke<std::uint64_t>(library.bytes, library.table + 64 + 24, 0);
  poke<std::uint64_t>(library.bytes, library.table + 64 + 32, library.bytes.size());  // over everything
  auto file = read(library.bytes);
  REQUIRE(file);
  CHECK(file->section(".data")->bytes.length == library.bytes.size());
}

TEST_CASE("attack 95: a number of sections that cannot be is refused, also by its escapes", "[attacks]") {
  auto library = sectioned();
  poke<std::uint16_t>(library.bytes, 60, 0xfeff);
  CHECK(read(library.bytes)->sections_unreadable);
  poke<std::uint16_t>(library.bytes, 60, 0);  // the number stands in the first section
  poke<std::uint64_t>(library.bytes, library.table + 32, ~std::uint64_t{0});
  CHECK(read(library.bytes)->sections.empty());
  auto names = sectioned();
  poke<std::uint16_t>(names.bytes, 62, 0xffff);  // the place of the names stands there too
  poke<std::uint32_t>(names.bytes, names.table + 40, 0xfffffff0);
  CHECK(read(names.bytes)->sections_unreadable);
  auto programs = sectioned();
  poke<std::uint16_t>(programs.bytes, 56, 0xffff);
  CHECK_FALSE(read(programs.bytes));
}

TEST_CASE("attack 96: a table of names without an end gives no name", "[attacks]") {
  auto library = sectioned();
  std::uint64_t names = 0;
  std::memcpy(&names, library.bytes.data() + library.table + 128 + 24, 8);
  for (std::size_t i = 0; i < 17; ++i)
    library.bytes[names + i] = 'x';
  CHECK(read(library.bytes)->sections_unreadable);
  auto outside = sectioned();
  poke<std::uint32_t>(outside.bytes, outside.table + 64, 0xffffff);
  CHECK(read(outside.bytes)->sections_unreadable);
}

TEST_CASE("attack 97: lists of needed versions that go in circles end", "[attacks]") {
  auto library = sectioned().bytes;
  // The entry of libc: version 1, one name, which follows after 16 bytes.
  std::size_t at = std::string::npos;
  for (std::size_t i = 0; i + 16 <= library.size() && at == std::string::npos; i += 4)
    if (library.compare(i, 4, std::string("\x01\0\x01\0", 4)) == 0 &&
        library.compare(i + 8, 4, std::string("\x10\0\0\0", 4)) == 0)
      at = i;
  REQUIRE(at != std::string::npos);
  auto names = library;
  poke<std::uint16_t>(names, at + 2, 0xffff);  // as many names, each of which leads to the next
  poke<std::uint32_t>(names, at + 16 + 12, 0);
  CHECK((read(names) ? read(names)->versions_needed.size() : 0) < 70'000);
  for (std::uint32_t next : {0U, 1U, 16U, 0xfffffff0U}) {
    auto circle = library;
    poke(circle, at + 12, next);
    poke(circle, at + 16 + 12, next);
    (void)read(circle);  // an answer, in no time
  }
  SUCCEED();
}

TEST_CASE("attack 98: a run path out of the kernel's folder is told", "[attacks]") {
  for (const char* path :
       {"/tmp/evil", "$ORIGIN/../../../../tmp", "lib", "", "$ORIGIN/a:/tmp/evil", "$ORIGINAL/x"}) {
    CAPTURE(path);
    auto rules = broken_rules(write_elf({.run_path = path}));
    bool is_told = std::ranges::find(rules, "run-path") != rules.end();
    CHECK(is_told == (path[0] != '\0'));
  }
  CHECK(broken_rules(write_elf({.run_path = "$ORIGIN"})).empty());
  CHECK(broken_rules(write_elf({.run_path = "$ORIGIN/lib:${ORIGIN}/more"})).empty());
  CHECK(has(what_check_says(write_elf({.symbols = {{.name = "__tvm_ffi_x"}}, .run_path = "/tmp/evil"})),
            "/tmp/evil"));
}

TEST_CASE("attack 99: an executable stack and memory that is written and executed are told", "[attacks]") {
  CHECK(broken_rules(write_elf({.stack_flags = 7})) == std::vector<std::string>{"executable-stack"});
  CHECK(broken_rules(write_elf({.segment_flags = 7})) == std::vector<std::string>{"writable-code"});
  CHECK(has(what_check_says(write_elf({.symbols = {{.name = "__tvm_ffi_x"}}, .stack_flags = 7})),
            "asks for an executable stack"));
}

TEST_CASE("attack 100: another class or byte order is no library of this machine", "[attacks]") {
  auto library = sectioned().bytes;
  library[4] = 1;
  CHECK(read(library).error().code() == Errc::unsupported);
  CHECK(has(what_check_says(library), "x.so"));
  library[4] = 2;
  library[5] = 2;
  CHECK(read(library).error().code() == Errc::unsupported);
  library[4] = 9;
  library[5] = 9;
  CHECK_FALSE(read(library));
}
