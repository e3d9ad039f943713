#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/library.h"

#include "built_library.h"
#include "support/catch.h"
#include "support/seed.h"

// Rows that the generic drivers' random ones never are. Of norms, with weights of 1 and biases of 0: far from
// 0 for what they vary by, all the same, or so small that their squares are subnormal float32. Of softmax:
// what masks and outliers make of scores.

using namespace kernels;

namespace {

using runtime::DeviceKind;
using runtime::DType;
using runtime::Tensor;
using runtime::Value;
using test::must;

struct Norm {
  const char* kernel;
  const char* function;
  bool has_bias;
  bool has_mean;
};
constexpr Norm kNorms[] = {{"rmsnorm", "rms_norm", false, false},
                           {"layer-norm", "layer_norm", true, true},
                           {"layer-norm", "layer_norm_no_bias", false, true}};

/// Dense rows in their type.
struct Rows {
  DType type;
  std::int64_t count;
  std::int64_t cols;
  std::vector<std::byte> bytes;

  double at(std::uint64_t index) const { return runtime::load_element(bytes.data(), type, index); }
};

/// Rows of `make()`, rounded to the type.
template <class Make>
Rows rows_of(DType type, std::int64_t count, std::int64_t cols, const Make& make) {
  Rows rows{type, count, cols, {}};
  const auto elements = static_cast<std::uint64_t>(count * cols);
  rows.bytes.resize(elements * runtime::size_of(type));
  for (std::uint64_t i = 0; i < elements; ++i)
    runtime::store_element(rows.bytes.data(), type, i, make());
  return rows;
}

/// Operands in the memory of a CPU, or of the first CUDA device.
class Memory {
 public:
  explicit Memory(bool cuda) : cuda_(cuda ? must(runtime::Cuda::open(0)) : nullptr) {}

  /// Keeps a copy of `bytes`, up to the end of this object.
  Tensor tensor(std::vector<std::byte> bytes, DType type, std::vector<std::int64_t> sizes) {
    if (cuda_ == nullptr) {
      held_.push_back(std::move(bytes));
      return {held_.back().data(), type, runtime::Layout::dense(std::move(sizes)), DeviceKind::cpu, 0};
    }
    device_.push_back(must(cuda_->allocate(bytes.size())));
    must(cuda_->write(device_.back().address(), bytes));
    return test::cuda_tensor(device_.back(), type, std::move(sizes));
  }
  void use_for(runtime::KernelLibrary& library) const {
    if (cuda_ != nullptr) library.set_stream(0, cuda_->stream());
  }
  /// What the first tensor holds when all work is done.
  std::vector<std::byte> first() {
    if (cuda_ == nullptr) return held_.front();
    must(cuda_->synchronize());
    std::vector<std::byte> bytes(device_.front().size());
    must(cuda_->read(bytes, device_.front().address()));
    return bytes;
  }

 private:
  std::unique_ptr<runtime::Cuda> cuda_;
  std::vector<std::vector<std::byte>> held_;
  std::vector<runtime::CudaMemory> device_;
};

Rows normalised(const Norm& norm, const Rows& x, double eps, bool cuda) {
  auto library = test::open_library(norm.kernel, cuda);
  Memory memory(cuda);
  memory.use_for(library);
  const auto vector_of = [&](double value) {
    return memory.tensor(rows_of(x.type, 1, x.cols, [=] { return value; }).bytes, x.type, {x.cols});
  };
  const auto out = memory.tensor(std::vector<std::byte>(x.bytes.size()), x.type, {x.count, x.cols});
  const auto in = memory.tensor(x.bytes, x.type, {x.count, x.cols});
  const auto weight = vector_of(1.0);
  const auto bias = vector_of(0.0);
  std::vector<Value> arguments{&out, &in, &weight};
  if (norm.has_bias) arguments.emplace_back(&bias);
  arguments.emplace_back(eps);
  if (const auto called = library.call(norm.function, arguments); !called)
    FAIL(norm.function << ": " << called.error().message);
  return {x.type, x.count, x.cols, memory.first()};
}

/// The largest distance from the formula in float64, of what is tolerated.
double worst_share(const Norm& norm, const Rows& x, double eps, const Rows& out) {
  const double relative = x.type == DType::float32 ? 3e-4 : 1.6e-2;
  const auto cols = static_cast<std::uint64_t>(x.cols);
  double worst = 0.0;
  for (std::uint64_t begin = 0; begin < static_cast<std::uint64_t>(x.count) * cols; begin += cols) {
    double sum = 0.0;
    double squares = 0.0;
    for (std::uint64_t i = begin; i < begin + cols; ++i)
      sum += x.at(i);
    const double mean = norm.has_mean ? sum / static_cast<double>(cols) : 0.0;
    for (std::uint64_t i = begin; i < begin + cols; ++i)
      squares += (x.at(i) - mean) * (x.at(i) - mean);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(cols) + eps);
    for (std::uint64_t i = begin; i < begin + cols; ++i) {
      const double right = (x.at(i) - mean) * scale;
      const double share = std::abs(out.at(i) - right) / (relative * (0.3 + std::abs(right)));
      if (!(share <= worst) && !std::isnan(worst)) worst = share;
    }
  }
  return worst;
}

/// Looks at rows of `make()` with every norm, in sizes that have forms of their own; where rows are many is
/// another number on the CPU.
template <class Make>
void check_rows(bool cuda, double eps, const Make& make) {
  struct Size {
    std::int64_t count, cols;
  };
  for (const auto size : {Size{2, 1000}, Size{2, 2048}, Size{2, 4096}, Size{5, 4096}, Size{2, 16384},
                          Size{3, 16384}, Size{5, 16384}, Size{cuda ? 1030 : 5, 1024}})
    for (const auto type : {DType::float32, DType::bfloat16}) {
      const Rows x = rows_of(type, size.count, size.cols, make);
      for (const auto& norm : kNorms) {
        CAPTURE(norm.function, size.count, size.cols, runtime::name_of(type), test::seed());
        CHECK(worst_share(norm, x, eps, normalised(norm, x, eps, cuda)) <= 1.0);
      }
    }
}

void check_far_from_zero(bool cuda) {
  std::mt19937 random(test::seed());
  std::normal_distribution<double> normal(1000.0, 1.0);
  check_rows(cuda, 1e-5, [&] { return normal(random); });
}

void check_equal(bool cuda) {
  check_rows(cuda, 1e-5, [] { return 1234.567; });
}

void check_tiny(bool cuda) {
  constexpr double kTiny = 6e-20;  // its square is below 2^-126
  double next = kTiny;
  check_rows(cuda, 0.0, [&] { return next = -next; });
}

/// What masks and outliers make of scores, in the columns of one row: "usual" is about 0.
struct Scores {
  const char* name;
  std::function<double(std::int64_t c, std::int64_t cols, double usual)> at;
};

/// Softmax of few rows trusts the ends of a row, as far as the sum does not say otherwise.
const Scores kScores[] = {
    {"usual", [](auto, auto, double usual) { return usual; }},
    {"masked behind the middle",
     [](auto c, auto cols, double usual) { return 2 * c > cols ? -INFINITY : usual; }},
    {"masked up to the middle",
     [](auto c, auto cols, double usual) { return 2 * c < cols ? -INFINITY : usual; }},
    {"masked at both ends",
     [](auto c, auto cols, double usual) { return 3 * c < cols || 3 * c > 2 * cols ? -INFINITY : usual; }},
    {"masked at both ends by a large number",
     [](auto c, auto cols, double usual) { return 3 * c < cols || 3 * c > 2 * cols ? -3e38 : usual; }},
    {"ends far below the others",
     [](auto c, auto cols, double usual) { return c < 8 || c >= cols - 8 ? usual - 500 : usual; }},
    {"ends somewhat below the others",
     [](auto c, auto cols, double usual) { return c < 8 || c >= cols - 8 ? usual - 24 : usual; }},
    {"ends far above the others",
     [](auto c, auto cols, double usual) { return c < 8 || c >= cols - 8 ? usual + 500 : usual; }},
    {"far from 0", [](auto, auto, double usual) { return usual + 30000; }},
    {"far below 0", [](auto, auto, double usual) { return usual - 3e7; }},
    {"near the end of float32", [](auto, auto, double usual) { return usual > 0 ? 3e38 : -3e38; }},
    {"one above all", [](auto c, auto cols, double usual) { return c == cols / 2 ? 300.0 : usual; }},
    {"nothing", [](auto, auto, double) { return -INFINITY; }},
    {"NaN", [](auto c, auto cols, double usual) { return c == cols / 2 ? NAN : usual; }},
    {"NaN at the beginning", [](auto c, auto, double usual) { return c == 0 ? NAN : usual; }},
    {"infinity", [](auto c, auto cols, double usual) { return c == cols / 2 ? INFINITY : usual; }},
};

Rows softmax_of(const Rows& x, bool cuda) {
  auto library = test::open_library("softmax", cuda);
  Memory memory(cuda);
  memory.use_for(library);
  const auto out = memory.tensor(std::vector<std::byte>(x.bytes.size()), x.type, {x.count, x.cols});
  const auto in = memory.tensor(x.bytes, x.type, {x.count, x.cols});
  const std::vector<Value> arguments{&out, &in};
  if (const auto called = library.call("softmax", arguments); !called) FAIL(called.error().message);
  return {x.type, x.count, x.cols, memory.first()};
}

/// The largest distance of one row, from `begin` on, from the formula in float64, of what is tolerated.
double worst_of_softmax(const Rows& x, const Rows& out, std::uint64_t begin) {
  const double relative = x.type == DType::float32 ? 2e-5 : 1.6e-2;
  const double absolute = x.type == DType::float16 ? 1e-7 : 1e-37;  // results below normal numbers
  const auto end = begin + static_cast<std::uint64_t>(x.cols);
  double largest = -INFINITY;
  for (std::uint64_t i = begin; i < end; ++i)
    largest = std::max(largest, x.at(i));
  double sum = 0.0;
  for (std::uint64_t i = begin; i < end; ++i)
    sum += std::exp(x.at(i) - largest);
  double worst = 0.0;
  for (std::uint64_t i = begin; i < end; ++i) {
    const double right = std::exp(x.at(i) - largest) / sum;
    if (std::isnan(right) && std::isnan(out.at(i))) continue;
    const double share = std::abs(out.at(i) - right) / (relative * right + absolute);
    if (!(share <= worst) && !std::isnan(worst)) worst = share;
  }
  return worst;
}

/// Each of those rows as the last of `count`, of which the others are usual.
void check_scores(bool cuda, std::int64_t count, std::int64_t cols, DType type, std::mt19937& random) {
  std::normal_distribution<double> normal;
  const auto last = (count - 1) * cols;
  for (const auto& scores : kScores) {
    std::int64_t next = 0;
    const Rows x = rows_of(type, count, cols, [&] {
      const std::int64_t c = next++ - last;
      return c < 0 ? normal(random) : scores.at(c, cols, normal(random));
    });
    const Rows out = softmax_of(x, cuda);
    CAPTURE(scores.name, count, cols, runtime::name_of(type), test::seed());
    CHECK(worst_of_softmax(x, out, 0) <= 1.0);
    CHECK(worst_of_softmax(x, out, static_cast<std::uint64_t>(last)) <= 1.0);
  }
}

/// In sizes that have forms of their own: few rows, and many, which are another number on the CPU.
void check_scores(bool cuda) {
  std::mt19937 random(test::seed());
  for (const auto type : {DType::float32, DType::bfloat16, DType::float16}) {
    for (const std::int64_t cols : {500, 512, 1000, 2048, 4096, 8192, 16384, 40000, 131072})
      check_scores(cuda, 2, cols, type, random);
    for (const std::int64_t cols : {1000, 4096, 16384})
      if (!cuda || cols <= 1000) check_scores(cuda, cuda ? 1030 : 5, cols, type, random);
    if (!cuda) check_scores(cuda, 17, 1000, type, random);
  }
}

}  // namespace

TEST_CASE("norms: rows far from 0 keep what they vary by", "[kernels]") {
  check_far_from_zero(false);
}
TEST_CASE("norms: rows of equal elements have no variance", "[kernels]") {
  check_equal(false);
}
TEST_CASE("norms: rows of subnormal squares are normalised where eps is 0", "[kernels]") {
  check_tiny(false);
}

TEST_CASE("softmax: rows of masks and outliers are right, and what has no softmax is NaN", "[kernels]") {
  check_scores(false);
}

// Hidden from a plain run by the dot, because they need the CUDA code as it runs on the CPU.
TEST_CASE("norms: CUDA code that is run on the CPU is right about rows that random ones never are",
          "[.][emulated]") {
  check_far_from_zero(false);
  check_equal(false);
  check_tiny(false);
}

TEST_CASE("softmax: CUDA code that is run on the CPU is right about rows of masks and outliers",
          "[.][emulated]") {
  check_scores(false);
}

// Hidden because they need a device; tests/gpu/run.sh names the tag.
TEST_CASE("norms: on a device rows far from 0 keep what they vary by", "[.][gpu]") {
  check_far_from_zero(true);
}
TEST_CASE("norms: on a device rows of equal elements have no variance", "[.][gpu]") {
  check_equal(true);
}
TEST_CASE("norms: on a device rows of subnormal squares are normalised where eps is 0", "[.][gpu]") {
  check_tiny(true);
}
TEST_CASE("softmax: on a device rows of masks and outliers are right, and what has no softmax is NaN",
          "[.][gpu]") {
  check_scores(true);
}
