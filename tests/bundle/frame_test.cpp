#include "kernels/bundle/frame.h"

#include "sample.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::test;

static Result<bundle::Frame> examine(const std::string& bytes) {
  MemorySource source{ByteView(std::string_view(bytes))};
  return bundle::examine_frame(source, "`x`");
}

TEST_CASE("frame: the sizes are those that zstd states, for contents of all sizes", "[bundle]") {
  for (std::size_t size :
       {0UZ, 1UZ, 255UZ, 256UZ, 257UZ, 65791UZ, 65792UZ, 131072UZ, 131073UZ, 1048576UZ, 5000000UZ}) {
    CAPTURE(size);
    std::string content(size, 'x');
    for (std::size_t i = 0; i < size; ++i)
      content[i] = static_cast<char>(i * 2654435761U >> 13);
    auto bytes = zstd_frame(content);
    auto frame = examine(bytes);
    if (!frame) FAIL(frame.error().text());
    CHECK(frame->content_bytes == size);
    CHECK(frame->compressed_bytes == bytes.size());
    CHECK(frame->window_bytes <= bundle::kMaxWindowBytes);
  }
}

TEST_CASE("frame: a window of 128 MiB is accepted, one of twice that is not", "[bundle]") {
  CHECK(examine(zstd_zeros(1, 1000, 17 << 3)));
  CHECK_FALSE(examine(zstd_zeros(1, 1000, 17 << 3 | 1)));
}

TEST_CASE("frame: a thousandfold is the most that a file may grow", "[bundle]") {
  auto size = zstd_zeros(1, 0, 17 << 3).size();
  CHECK(examine(zstd_zeros(1, size * 1000 + 999, 17 << 3)));
  auto more = examine(zstd_zeros(1, size * 1000 + 1000, 17 << 3));
  REQUIRE_FALSE(more);
  CHECK_THAT(more.error().text(), contains("(rule frame-ratio)"));
}

TEST_CASE("frame: more than the blocks can hold is not believed", "[bundle]") {
  std::string noise(70000, '\0');
  std::uint32_t state = 1;
  for (auto& letter : noise)
    letter = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  auto bytes = zstd_frame(noise);
  REQUIRE(examine(bytes));
  const std::uint32_t stated = 140000;  // one block holds 131072 at most
  for (std::size_t i = 0; i < 4; ++i)
    bytes[5 + i] = static_cast<char>(stated >> (8 * i));
  auto frame = examine(bytes);
  REQUIRE_FALSE(frame);
  CHECK_THAT(frame.error().text(), contains("(rule frame-form)"));
}
