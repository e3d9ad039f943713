#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/library.h"

#include "built_library.h"
#include "support/catch.h"
#include "support/seed.h"

// On a device nobody looks at positions before the kernel does. tests/gpu/run.sh runs this under
// compute-sanitizer, too, which would see a read beside the cache.

using namespace kernels;

namespace {

using runtime::DType;
using test::cuda_tensor;
using test::must;
using Bytes = std::vector<std::byte>;

constexpr std::int64_t kHeadsOfToken = 3;
constexpr std::int64_t kCacheRows = 5;

/// Tokens of one shape, and the cache, in the memory of a device.
class Turns {
 public:
  Turns(DType type, DType position_type, std::int64_t tokens, std::int64_t size)
      : cuda_(must(runtime::Cuda::open(0))),
        library_(test::open_library("rotary", true)),
        type_(type),
        position_type_(position_type),
        tokens_(tokens),
        size_(size),
        query_(random_values(tokens * kHeadsOfToken * size)),
        query_memory_(must(cuda_->allocate(query_.size()))),
        cache_memory_(must(cuda_->allocate(bytes_of(kCacheRows * size)))),
        positions_memory_(must(cuda_->allocate(position_bytes()))) {
    must(cuda_->write(cache_memory_.address(), random_values(kCacheRows * size)));
    library_.set_stream(0, cuda_->stream());
  }

  /// The bytes of every token, turned for these positions.
  std::vector<Bytes> turned(const std::string& function, const std::vector<std::int64_t>& positions) {
    Bytes values(position_bytes());
    for (std::size_t i = 0; i < positions.size(); ++i)
      runtime::store_whole(values.data(), position_type_, i, positions[i]);
    must(cuda_->write(positions_memory_.address(), values));
    must(cuda_->write(query_memory_.address(), query_));
    const auto query = cuda_tensor(query_memory_, type_, {tokens_, kHeadsOfToken, size_});
    const auto at = cuda_tensor(positions_memory_, position_type_, {tokens_});
    const auto cache = cuda_tensor(cache_memory_, type_, {kCacheRows, size_});
    const auto key = cuda_tensor(query_memory_, type_, {tokens_, 0, size_});  // has no heads
    const std::vector<runtime::Value> arguments{&query, &key, &at, &cache};
    const auto result = library_.call(function, arguments);
    if (!result) FAIL(function << ": " << result.error().message);
    must(cuda_->synchronize());
    Bytes all(query_.size());
    must(cuda_->read(all, query_memory_.address()));
    return in_tokens(all);
  }

  std::vector<Bytes> untouched() const { return in_tokens(query_); }

 private:
  std::uint64_t bytes_of(std::int64_t elements) const {
    return static_cast<std::uint64_t>(elements) * runtime::size_of(type_);
  }
  std::uint64_t position_bytes() const {
    return static_cast<std::uint64_t>(tokens_) * runtime::size_of(position_type_);
  }

  Bytes random_values(std::int64_t elements) const {
    static std::mt19937 random(test::seed());
    std::normal_distribution<double> normal;
    Bytes values(bytes_of(elements));
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(elements); ++i)
      runtime::store_element(values.data(), type_, i, normal(random));
    return values;
  }

  std::vector<Bytes> in_tokens(const Bytes& all) const {
    const auto each = static_cast<std::ptrdiff_t>(bytes_of(kHeadsOfToken * size_));
    std::vector<Bytes> tokens;
    for (auto begin = all.begin(); begin != all.end(); begin += each)
      tokens.emplace_back(begin, begin + each);
    return tokens;
  }

  std::unique_ptr<runtime::Cuda> cuda_;
  runtime::KernelLibrary library_;
  DType type_;
  DType position_type_;
  std::int64_t tokens_;
  std::int64_t size_;
  Bytes query_;
  runtime::CudaMemory query_memory_, cache_memory_, positions_memory_;
};

/// Every third token is at a position that is not in the cache: it stays, and the others turn as if it were.
void check_left_alone(const std::string& function, Turns turns, const std::vector<std::int64_t>& outside) {
  const auto before = turns.untouched();
  std::vector<std::int64_t> inside;
  for (std::size_t i = 0; i < before.size(); ++i)
    inside.push_back(1 + static_cast<std::int64_t>(i) % (kCacheRows - 1));
  const auto all = turns.turned(function, inside);
  for (const auto bad : outside) {
    auto positions = inside;
    for (std::size_t i = 1; i < positions.size(); i += 3)
      positions[i] = bad;
    const auto found = turns.turned(function, positions);
    CAPTURE(function, before.size(), bad);
    for (std::size_t i = 0; i < found.size(); ++i) {
      REQUIRE(all[i] != before[i]);
      REQUIRE(found[i] == (positions[i] == bad ? before[i] : all[i]));
    }
  }
}

}  // namespace

// Hidden from a plain run by the dot, because it needs a device; tests/gpu/run.sh names the tag.
TEST_CASE("rotary: on a device a token stays as it is whose position is not in the cache", "[.][gpu]") {
  using Limits32 = std::numeric_limits<std::int32_t>;
  using Limits64 = std::numeric_limits<std::int64_t>;
  // One and two heads for each thread, few blocks and many; vectors, and single elements.
  for (const std::int64_t tokens : {5, 300, 700})
    for (const std::int64_t size : {128, 6})
      for (const auto type : {DType::bfloat16, DType::float32})
        for (const auto* function : {"rotary_neox", "rotary_gptj"}) {
          check_left_alone(function, {type, DType::int64, tokens, size},
                           {kCacheRows, -1, std::int64_t{1} << 32, Limits64::max(), Limits64::min()});
          check_left_alone(function, {type, DType::int32, tokens, size},
                           {kCacheRows, -1, Limits32::max(), Limits32::min()});
        }
}
