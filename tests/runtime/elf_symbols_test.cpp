#include "elf_symbols.h"

#include <random>

#include "kernels/base/file.h"

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

using namespace kernels;

namespace {
std::string some_library() {
  auto bytes = read_file(test::provider_path());
  REQUIRE(bytes);
  return *bytes;
}
}  // namespace

TEST_CASE("elf: a library cut off anywhere is corrupt or readable, never a crash", "[runtime]") {
  const std::string whole = some_library();
  for (std::size_t size = 0; size < whole.size(); size += size < 4096 ? 1 : 257) {
    // A copy of exactly that size, so that a sanitizer sees a read behind its end.
    const std::string part = whole.substr(0, size);
    (void)runtime::read_dynamic_symbols(ByteView(part));
  }
  CHECK(runtime::read_dynamic_symbols(ByteView(whole)));
  CHECK_FALSE(runtime::read_dynamic_symbols(ByteView(std::string_view())));
}

TEST_CASE("elf: damaged headers and tables end in an answer", "[runtime]") {
  const std::string whole = some_library();
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (int i = 0; i < 4; ++i) {
      const std::size_t range = round % 2 == 0 ? 1024 : damaged.size();
      damaged[random() % range] = static_cast<char>(random());
    }
    (void)runtime::read_dynamic_symbols(ByteView(damaged));
  }
  SUCCEED();
}
