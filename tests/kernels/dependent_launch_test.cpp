#include <cstddef>
#include <functional>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/library.h"

#include "built_library.h"
#include "support/catch.h"
#include "support/seed.h"

// Kernels that read what the one ahead of them wrote, over and over: what dependent launch must not break.
// tests/gpu/run.sh runs this with KERNELS_DEPENDENT_LAUNCH=1 and without.

using namespace kernels;

namespace {

using runtime::DType;
using test::cuda_tensor;
using test::must;
using Bytes = std::vector<std::byte>;

// Few rows, so that kernels are short and every one would begin long before the one ahead has ended.
constexpr std::int64_t kRows = 24;
constexpr std::int64_t kCols = 4096;
constexpr std::int64_t kHeads = 32;
constexpr std::int64_t kPositions = 64;

/// A model's block of sorts, with every kernel in it.
class Chain {
 public:
  Chain() : cuda_(must(runtime::Cuda::open(0))) {
    for (const auto* kernel : {"activation", "layer-norm", "quantize-fp8", "rmsnorm", "rotary", "softmax"})
      libraries_.emplace(kernel, test::open_library(kernel, true));
    std::mt19937 random(test::seed());
    std::normal_distribution<double> normal;
    for (auto* memory : {&a_, &b_, &c_, &residual_, &weight_, &bias_, &key_, &cache_}) {
      *memory = must(cuda_->allocate(kRows * kCols * 2));
      Bytes values(memory->size());
      for (std::uint64_t i = 0; i < values.size() / 2; ++i)
        runtime::store_element(values.data(), DType::bfloat16, i, normal(random));
      initial_.emplace_back(memory, std::move(values));
    }
    positions_ = must(cuda_->allocate(kRows * 8));
    Bytes positions(kRows * 8);
    for (std::uint64_t i = 0; i < kRows; ++i)
      runtime::store_whole(positions.data(), DType::int64, i, static_cast<std::int64_t>(i * 7 % kPositions));
    must(cuda_->write(positions_.address(), positions));
    scales_ = must(cuda_->allocate(kRows * 4));
    codes_ = must(cuda_->allocate(kRows * kCols));
    for (auto& [name, library] : libraries_)
      library.set_stream(0, cuda_->stream());
  }

  /// Goes `rounds` times through the chain, `between` after every call. Returns all that it wrote.
  Bytes run(int rounds, const std::function<void()>& between) {
    restore();
    for (int i = 0; i < rounds; ++i)
      round(between);
    must(cuda_->synchronize());
    return written();
  }

  /// The same as a graph that is replayed once.
  Bytes run_recorded(int rounds) {
    restore();
    auto graph = cuda_->record([&]() -> Status {
      for (int i = 0; i < rounds; ++i)
        round([] {});
      return {};
    });
    if (!graph) FAIL(describe(graph.error()));
    CHECK(graph->contents().kernels == static_cast<std::size_t>(rounds) * 8);
    CHECK(graph->contents().copies == static_cast<std::size_t>(rounds));
    must(cuda_->replay_async(*graph));
    must(cuda_->synchronize());
    return written();
  }

  const runtime::Cuda& cuda() const { return *cuda_; }

 private:
  /// What every run begins with.
  void restore() const {
    for (const auto& [memory, values] : initial_)
      must(cuda_->write(memory->address(), values));
  }

  void call(const char* kernel, const char* function, const std::vector<runtime::Value>& arguments) {
    const auto result = libraries_.at(kernel).call(function, arguments);
    if (!result) FAIL(kernel << " " << function << ": " << result.error().message);
  }

  void round(const std::function<void()>& between) {
    const auto bf16 = DType::bfloat16;
    const auto a = cuda_tensor(a_, bf16, {kRows, kCols});
    const auto b = cuda_tensor(b_, bf16, {kRows, kCols});
    const auto c = cuda_tensor(c_, bf16, {kRows, kCols});
    const auto residual = cuda_tensor(residual_, bf16, {kRows, kCols});
    const auto weight = cuda_tensor(weight_, bf16, {kCols});
    const auto bias = cuda_tensor(bias_, bf16, {kCols});
    const auto query = cuda_tensor(a_, bf16, {kRows, kHeads, kCols / kHeads});
    const auto key = cuda_tensor(key_, bf16, {kRows, 8, kCols / kHeads});
    const auto positions = cuda_tensor(positions_, DType::int64, {kRows});
    const auto cache = cuda_tensor(cache_, bf16, {kPositions, kCols / kHeads});
    const auto gates = cuda_tensor(c_, bf16, {kRows / 2, 2 * kCols});
    const auto gated = cuda_tensor(b_, bf16, {kRows / 2, kCols});
    const auto scales = cuda_tensor(scales_, DType::float32, {kRows});
    const auto codes = cuda_tensor(codes_, DType::float8_e4m3fn, {kRows, kCols});

    call("rmsnorm", "fused_add_rms_norm", {&a, &residual, &weight, 1e-6});
    between();
    call("rotary", "rotary_neox", {&query, &key, &positions, &cache});
    between();
    call("rmsnorm", "rms_norm", {&b, &a, &weight, 1e-6});
    between();
    call("softmax", "softmax", {&c, &b});
    between();
    call("layer-norm", "layer_norm", {&b, &c, &weight, &bias, 1e-12});
    between();
    // A neighbour that knows nothing of dependent launch.
    must(cuda_->copy_async(c_.address(), b_.address(), kRows * kCols * 2));
    between();
    call("activation", "silu_and_mul", {&gated, &gates});
    between();
    call("quantize-fp8", "rms_norm_quantize_fp8", {&codes, &scales, &b, &weight, 1e-6});
    between();
    call("layer-norm", "layer_norm_no_bias", {&a, &b, &weight, 1e-5});
    between();
  }

  Bytes written() const {
    Bytes all;
    for (const auto* memory : {&a_, &b_, &c_, &residual_, &key_, &scales_, &codes_}) {
      Bytes part(memory->size());
      must(cuda_->read(part, memory->address()));
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  std::unique_ptr<runtime::Cuda> cuda_;
  std::map<std::string, runtime::KernelLibrary> libraries_;
  std::vector<std::pair<const runtime::CudaMemory*, Bytes>> initial_;
  runtime::CudaMemory a_, b_, c_, residual_, weight_, bias_, key_, cache_, positions_, scales_, codes_;
};

}  // namespace

TEST_CASE("kernels: a chain of kernels has the bits of one that waits after every call", "[.][gpu]") {
  Chain chain;
  constexpr int kRounds = 25;
  const auto waited = chain.run(kRounds, [&] { must(chain.cuda().synchronize()); });
  const auto other = chain.run(kRounds - 1, [&] { must(chain.cuda().synchronize()); });
  REQUIRE(waited != other);  // a round changes what is compared
  for (int i = 0; i < 20; ++i) {
    REQUIRE(chain.run(kRounds, [] {}) == waited);
    REQUIRE(chain.run_recorded(kRounds) == waited);
  }
}
