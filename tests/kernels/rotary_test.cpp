#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/runtime/library.h"

#include "built_library.h"
#include "operands.h"
#include "support/catch.h"
#include "support/seed.h"

// What the generic drivers cannot see of rotary embeddings: positions that are in no cache, layouts that
// padding does not make, and numbers computed by hand.

using namespace kernels;
using runtime::DeviceKind;
using runtime::DType;
using runtime::Layout;
using runtime::Tensor;
using runtime::Value;

namespace {

/// Three tokens of two heads and one of the key, each of six elements, four of which are turned.
struct Call {
  std::vector<float> query = std::vector<float>(36);
  std::vector<float> key = std::vector<float>(18);
  std::vector<float> cache = std::vector<float>(20);
  std::vector<std::int64_t> positions = {4, 0, 2};
  std::vector<std::int32_t> short_positions = {4, 0, 2};
  Layout query_layout = Layout::dense({3, 2, 6});
  Layout key_layout = Layout::dense({3, 1, 6});
  Layout cache_layout = Layout::dense({5, 4});
  DType position_type = DType::int64;

  Call() {
    bench::Random random(test::seed());
    for (auto* values : {&query, &key, &cache})
      for (float& value : *values)
        value = static_cast<float>(random.value());
  }

  runtime::CallResult run(const runtime::KernelLibrary& library, const char* function) {
    void* at = position_type == DType::int64 ? static_cast<void*>(positions.data()) : short_positions.data();
    const Tensor q(query.data(), DType::float32, query_layout, DeviceKind::cpu, 0);
    const Tensor k(key.data(), DType::float32, key_layout, DeviceKind::cpu, 0);
    const Tensor p(at, position_type, Layout::dense({3}), DeviceKind::cpu, 0);
    const Tensor c(cache.data(), DType::float32, cache_layout, DeviceKind::cpu, 0);
    const std::array<Value, 4> arguments = {&q, &k, &p, &c};
    return library.call(function, arguments);
  }
};

void require(const runtime::CallResult& result) {
  if (!result) FAIL(result.error().kind << ": " << result.error().message);
}

void check_refused(Call call, const char* words) {
  const auto library = test::open_cpu_library("rotary");
  for (const char* function : {"rotary_neox", "rotary_gptj", "rotary_neox_reference"}) {
    const Call before = call;
    const auto result = call.run(library, function);
    INFO(function);
    REQUIRE_FALSE(result);
    CAPTURE(result.error().message);
    CHECK(result.error().kind == "ValueError");
    CHECK(result.error().message.find(words) != std::string::npos);
    CHECK(call.query == before.query);
    CHECK(call.key == before.key);
  }
}

}  // namespace

TEST_CASE("rotary: a position outside of the cache is refused on the CPU before anything is turned",
          "[kernels]") {
  for (const std::int64_t position : {std::int64_t{-1}, std::int64_t{5}, INT64_MAX, INT64_MIN}) {
    Call call;
    call.positions.back() = position;
    check_refused(call, "`positions` has a position outside");
  }
  Call call;
  call.position_type = DType::int32;
  call.short_positions.front() = 5;
  check_refused(call, "`positions` has a position outside");
  call.short_positions.front() = -2;
  check_refused(call, "`positions` has a position outside");
}

TEST_CASE("rotary: a cache of odd columns, or of more than a head has, is refused", "[kernels]") {
  Call call;
  call.cache_layout = Layout::dense({5, 3});
  check_refused(call, "`cos_sin_cache` must have an even number of columns");
  call.cache_layout = {{2, 8}, {8, 1}};
  check_refused(call, "`cos_sin_cache` must not have more columns than a head has elements");
  call.cache_layout = Layout::dense({0, 4});
  check_refused(call, "`cos_sin_cache` must have a row for each position");
  call.cache_layout = Layout::dense({5, 2, 2});
  check_refused(call, "`cos_sin_cache` must have two dimensions");
}

TEST_CASE("rotary: heads that overlap are refused, heads outside of tokens are not", "[kernels]") {
  Call call;
  call.query_layout.strides = {6, 6, 1};
  check_refused(call, "`query` has heads that overlap");
  call.query_layout.strides = {11, 6, 1};
  check_refused(call, "`query` has heads that overlap");
  call.query_layout.strides = {12, INT64_MAX / 2, 1};
  check_refused(call, "`query` has strides that lead beyond");
  call.query_layout.strides = {INT64_MAX / 8, 6, 1};
  check_refused(call, "`query` has strides that lead beyond");

  const auto library = test::open_cpu_library("rotary");
  for (const char* function : {"rotary_neox", "rotary_gptj"}) {
    // The same numbers, first as [token][head], then as [head][token].
    Call straight;
    Call across = straight;
    across.query_layout.strides = {6, 18, 1};
    for (std::size_t token = 0; token < 3; ++token)
      for (std::size_t head = 0; head < 2; ++head)
        for (std::size_t i = 0; i < 6; ++i)
          across.query[head * 18 + token * 6 + i] = straight.query[token * 12 + head * 6 + i];
    require(straight.run(library, function));
    require(across.run(library, function));
    for (std::size_t token = 0; token < 3; ++token)
      for (std::size_t head = 0; head < 2; ++head)
        for (std::size_t i = 0; i < 6; ++i)
          CHECK(across.query[head * 18 + token * 6 + i] == straight.query[token * 12 + head * 6 + i]);
    CHECK(across.key == straight.key);
  }
}

TEST_CASE("rotary: positions of 32 and of 64 bits give the same bits", "[kernels]") {
  const auto library = test::open_cpu_library("rotary");
  for (const char* function :
       {"rotary_neox", "rotary_gptj", "rotary_neox_reference", "rotary_gptj_reference"}) {
    Call wide;
    Call narrow = wide;
    narrow.position_type = DType::int32;
    const Call before = wide;
    require(wide.run(library, function));
    require(narrow.run(library, function));
    CHECK(wide.query == narrow.query);
    CHECK(wide.key == narrow.key);
    CHECK(wide.query != before.query);
    // What lies behind the part that is turned stays.
    for (std::size_t head = 0; head < 6; ++head)
      for (std::size_t i = 4; i < 6; ++i)
        CHECK(wide.query[head * 6 + i] == before.query[head * 6 + i]);
  }
}

TEST_CASE("rotary: a key without heads leaves the query as it would be with one", "[kernels]") {
  const auto library = test::open_cpu_library("rotary");
  Call with;
  Call without = with;
  without.key_layout = Layout::dense({3, 0, 6});
  require(with.run(library, "rotary_neox"));
  require(without.run(library, "rotary_neox"));
  CHECK(with.query == without.query);
  CHECK(with.key != without.key);
}

TEST_CASE("rotary: the references agree with numbers computed by hand", "[kernels]") {
  // A quarter turn of the first pair, none of the second.
  const auto turned = [](const char* function) {
    const auto library = test::open_cpu_library("rotary");
    std::array<double, 4> query = {1, 2, 3, 4};
    std::array<double, 4> key = {10, 20, 30, 40};
    std::array<double, 8> cache = {9, 9, 9, 9, 0, 1, 1, 0};
    std::array<std::int64_t, 1> position = {1};
    const Tensor q(query.data(), DType::float64, Layout::dense({1, 1, 4}), DeviceKind::cpu, 0);
    const Tensor k(key.data(), DType::float64, Layout::dense({1, 1, 4}), DeviceKind::cpu, 0);
    const Tensor p(position.data(), DType::int64, Layout::dense({1}), DeviceKind::cpu, 0);
    const Tensor c(cache.data(), DType::float64, Layout::dense({2, 4}), DeviceKind::cpu, 0);
    const std::array<Value, 4> arguments = {&q, &k, &p, &c};
    require(library.call(function, arguments));
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(key[i] == 10 * query[i]);
    return query;
  };
  CHECK(turned("rotary_neox_reference") == std::array<double, 4>{-3, 2, 1, 4});
  CHECK(turned("rotary_gptj_reference") == std::array<double, 4>{-2, 1, 3, 4});
}
