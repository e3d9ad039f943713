#include "kernels/base/bytes.h"

#include <limits>
#include <string>

#include "support/catch.h"

using namespace kernels;

TEST_CASE("byte view: a range that leaves the data is refused, also where the sum overflows", "[base]") {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  struct Row {
    const char* name;
    std::uint64_t offset;
    std::uint64_t length;
    bool fits;
  };
  auto row = GENERATE(values<Row>({
      {"all of it", 0, 8, true},
      {"nothing at the end", 8, 0, true},
      {"the last byte", 7, 1, true},
      {"one byte too many", 1, 8, false},
      {"behind the end", 9, 0, false},
      {"a sum that wraps to zero", 1, kMax, false},
      {"an offset that wraps", kMax, 1, false},
      {"both at the limit", kMax, kMax, false},
  }));
  INFO(row.name);
  auto part = ByteView("01234567").slice(row.offset, row.length);
  REQUIRE(part.has_value() == row.fits);
  if (part) CHECK(part->size() == row.length);
  if (!part) CHECK(part.error().code() == Errc::corrupt);
}

TEST_CASE("byte view: integers are little-endian and need no alignment", "[base]") {
  ByteView view(std::string_view("\xff\x01\x02\x03\x04\x05\x06\x07\x08", 9));
  CHECK(*view.le<std::uint8_t>(0) == 0xff);
  CHECK(*view.le<std::int8_t>(0) == -1);
  CHECK(*view.le<std::uint16_t>(1) == 0x0201);
  CHECK(*view.le<std::uint32_t>(1) == 0x04030201);
  CHECK(*view.le<std::uint64_t>(1) == 0x0807060504030201);
  CHECK_FALSE(view.le<std::uint64_t>(2));
}

TEST_CASE("byte view: a text must end inside the data", "[base]") {
  ByteView view(std::string_view("ab\0cd", 5));
  CHECK(*view.c_string(0) == "ab");
  CHECK(view.c_string(2)->empty());
  CHECK_FALSE(view.c_string(3));
  CHECK_FALSE(view.c_string(5));
  CHECK_FALSE(ByteView().c_string(0));
}
