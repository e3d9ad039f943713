#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include <pthread.h>

#include "kernels/base/file.h"
#include "kernels/bench/workload.h"
#include "kernels/runtime/library.h"

#include "common/parallel.h"
#include "operands.h"
#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

using namespace kernels;

namespace {

/// OMP_NUM_THREADS for a while.
class ThreadLimit {
 public:
  explicit ThreadLimit(const char* count) { ::setenv("OMP_NUM_THREADS", count, 1); }
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;
  ~ThreadLimit() { ::unsetenv("OMP_NUM_THREADS"); }
};

/// The smallest workload that a function moves 8 MiB for: enough for several threads.
std::optional<bench::Sizes> large_sizes(const bench::WorkloadFile& file,
                                        const bench::FunctionSpec& function) {
  constexpr std::uint64_t kLeast = 8 << 20;
  std::optional<bench::Sizes> best;
  std::uint64_t least = ~std::uint64_t{0};
  for (const auto& workload : file.workloads) {
    auto bytes = bench::bytes_moved(function, workload.sizes, runtime::DType::float32);
    if (!bytes || *bytes < kLeast || *bytes >= least) continue;
    least = *bytes;
    best = workload.sizes;
  }
  return best;
}

std::vector<bench::Image> results(const runtime::KernelLibrary& library, const bench::FunctionSpec& function,
                                  const std::vector<bench::Operand>& operands) {
  std::vector<bench::Image> all;
  REQUIRE(library.call(function.name, bench::values_of(operands)));
  for (const auto& operand : operands) {
    all.emplace_back(operand.before.size());
    if (!operand.is_tensor()) continue;
    REQUIRE(operand.buffer.read(all.back()));
    REQUIRE(operand.buffer.write(operand.before, 0));
  }
  return all;
}

}  // namespace

TEST_CASE("kernels: every index is computed once, whatever the number of threads", "[kernels]") {
  for (const std::int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
    for (const char* limit : {"1", "2", "3", "1000", "0", "many"}) {
      const ThreadLimit threads(limit);
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
      common::parallel_for(count, 1 << 30, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          ++seen[static_cast<std::size_t>(i)];
      });
      INFO(count << " with OMP_NUM_THREADS=" << limit);
      CHECK(std::ranges::all_of(seen, [](const auto& times) { return times == 1; }));
    }
  }
}

TEST_CASE("kernels: large calls use the processors that they may use, small ones the caller", "[kernels]") {
  const auto threads_of = [](std::int64_t bytes) {
    std::atomic<int> others = 0;
    const auto caller = std::this_thread::get_id();
    common::parallel_for(256, bytes, [&](std::int64_t, std::int64_t) {
      if (std::this_thread::get_id() != caller) ++others;
    });
    return others.load() + 1;
  };
  CHECK(threads_of(1000) == 1);
  CHECK(threads_of(1 << 30) == std::min<std::int64_t>(common::usable_processors(), 64));
  const ThreadLimit one("1");
  CHECK(threads_of(1 << 30) == 1);
}

TEST_CASE("kernels: CPU variants give the same bits on one thread and on many", "[kernels]") {
  for (const auto& variant : test::built_variants()) {
    if (variant.cuda) continue;
    auto text = read_file(variant.folder / "workloads.toml");
    REQUIRE(text);
    auto file = bench::parse_workloads(*text);
    REQUIRE(file);
    auto library = runtime::KernelLibrary::open(variant.library, test::provider_path());
    REQUIRE(library);
    for (const auto& function : file->functions) {
      const auto sizes = large_sizes(*file, function);
      INFO(variant.folder << " " << function.name);
      REQUIRE(sizes);
      bench::Random random(test::seed());
      const bench::OperandOptions options{runtime::DType::float32, bench::Rows::padded, nullptr, 0};
      auto operands = bench::make_images(function, *sizes, random, options);
      REQUIRE(operands);
      REQUIRE(bench::place(*operands, options));
      const auto many = results(*library, function, *operands);
      const ThreadLimit one("1");
      CHECK(results(*library, function, *operands) == many);
    }
  }
}
