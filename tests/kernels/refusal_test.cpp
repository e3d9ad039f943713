#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include <dlfcn.h>

#include "kernels/base/file.h"
#include "kernels/bench/workload.h"
#include "kernels/runtime/library.h"

#include "operands.h"
#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

// What a kernel must refuse, for all kernels and both backends. The CUDA variants are called without a GPU: a
// refusal comes before the first CUDA call, and the memory, which is the host's, is never touched.

using namespace kernels;
using bench::Operand;
using runtime::DeviceKind;
using runtime::DType;
using runtime::Layout;
using runtime::Tensor;
using runtime::Value;

namespace {

struct Subject {
  runtime::KernelLibrary library;
  DeviceKind device;
  bench::FunctionSpec function;
  std::vector<Operand> operands;

  /// The arguments of a right call, in memory of the host.
  std::vector<Value> values() const { return bench::values_of(operands); }
};

/// Rows, tokens: what the results of the function do not share. Four of them, and of all other sizes as many
/// as the smallest probe has that has more than one of each.
bench::Sizes small_sizes(const bench::WorkloadFile& file, const bench::FunctionSpec& function) {
  std::optional<bench::Sizes> best;
  std::uint64_t least = ~std::uint64_t{0};
  for (const auto& probe : file.probes) {
    const bool is_small = std::ranges::any_of(probe, [](const auto& size) { return size.second < 2; });
    const auto bytes = bench::operand_bytes(function, probe, DType::float32);
    REQUIRE(bytes);
    if (is_small || *bytes >= least) continue;
    least = *bytes;
    best = probe;
  }
  REQUIRE(best);
  REQUIRE(best->contains(function.independent));
  (*best)[function.independent] = 4;
  return *best;
}

/// Whether the first dimension of an argument is that of what is independent.
bool follows(const bench::FunctionSpec& function, const bench::ArgumentSpec& argument) {
  return !argument.value && argument.shape.front().factor == 1 &&
         argument.shape.front().names == std::vector<std::string>{function.independent};
}

/// Whether the size of a dimension is also that of another argument, with which it then has to agree.
bool is_shared(const bench::FunctionSpec& function, std::size_t index, const bench::SizeProduct& size) {
  for (std::size_t i = 0; i < function.arguments.size(); ++i)
    for (const auto& other : function.arguments[i].shape)
      if (i != index && other.names == size.names) return true;
  return false;
}

/// Calls `visit` for each function of each built variant with small arguments.
template <class Visit>
void for_each_function(Visit visit) {
  for (const auto& variant : test::built_variants()) {
    auto text = read_file(variant.folder / "workloads.toml");
    REQUIRE(text);
    auto file = bench::parse_workloads(*text);
    REQUIRE(file);
    for (const auto& function : file->functions) {
      auto library = runtime::KernelLibrary::open(variant.library, test::provider_path());
      if (!library) FAIL(describe(library.error()));
      bench::Random random(test::seed());
      auto operands = bench::make_images(function, small_sizes(*file, function), random,
                                         {DType::float32, bench::Rows::padded, nullptr, 0});
      REQUIRE(operands);
      REQUIRE(bench::place(*operands, {DType::float32, bench::Rows::padded, nullptr, 0}));
      Subject subject{std::move(*library), variant.cuda ? DeviceKind::cuda : DeviceKind::cpu, function,
                      std::move(*operands)};
      for (Operand& operand : subject.operands)
        if (operand.is_tensor())
          operand.tensor = std::make_unique<Tensor>(operand.tensor->data(), operand.dtype, operand.layout,
                                                    subject.device, 0);
      INFO(variant.folder << " " << function.name);
      visit(subject);
    }
  }
}

void check_refused(const Subject& subject, std::span<const Value> values, const std::string& what) {
  INFO(subject.function.name << ": " << what);
  const auto result = subject.library.call(subject.function.name, values);
  REQUIRE_FALSE(result);
  CHECK((result.error().kind == "TypeError" || result.error().kind == "ValueError"));
  CHECK(result.error().message.find(subject.function.name) != std::string::npos);
  for (const Operand& operand : subject.operands) {
    if (!operand.is_tensor()) continue;
    bench::Image after(operand.before.size());
    REQUIRE(operand.buffer.read(after));
    CHECK(after == operand.before);
  }
}

/// Replaces argument `index` by a tensor made of the right one.
void check_with_tensor(const Subject& subject, std::size_t index, const std::string& what,
                       const Tensor& tensor) {
  auto values = subject.values();
  values[index] = &tensor;
  check_refused(subject, values, "`" + subject.function.arguments[index].name + "` " + what);
}

void check_bad_tensors(const Subject& subject, std::size_t index) {
  const Operand& right = subject.operands[index];
  const auto& shape = right.spec->shape;
  auto* data = static_cast<char*>(right.tensor->data());
  const auto bad = [&](const std::string& what, char* address, DType type, Layout layout, DeviceKind device) {
    check_with_tensor(subject, index, what, Tensor(address, type, std::move(layout), device, 0));
  };
  const auto bad_layout = [&](const std::string& what, Layout layout) {
    bad(what, data, right.dtype, std::move(layout), subject.device);
  };
  const DeviceKind other = subject.device == DeviceKind::cpu ? DeviceKind::cuda : DeviceKind::cpu;
  bad("of float64", data, DType::float64, right.layout, subject.device);
  // What is alone in having the case's type may have any that the function takes.
  const bool is_alone = std::ranges::count_if(subject.operands, [](const Operand& operand) {
                          return operand.is_tensor() && !operand.spec->dtype;
                        }) == 1;
  const DType strange = is_alone && !right.spec->dtype ? DType::int32 : DType::float16;
  bad("of another type than the rest", data, strange, right.layout, subject.device);
  bad("on another device", data, right.dtype, right.layout, other);
  if (runtime::size_of(right.dtype) > 1)
    bad("not aligned", data + 1, right.dtype, right.layout, subject.device);
  bad("null", nullptr, right.dtype, right.layout, subject.device);
  bad_layout("without dimensions", Layout{});

  Layout layout = right.layout;
  layout.sizes.back() += 1;
  if (is_shared(subject.function, index, shape.back())) bad_layout("one column too wide", layout);
  layout = right.layout;
  layout.sizes.back() = -1;
  bad_layout("of negative size", layout);
  layout = right.layout;
  layout.strides.back() = 2;
  bad_layout("with a gap between elements", layout);
  layout = right.layout;
  layout.sizes.insert(layout.sizes.begin(), 1);
  layout.strides.insert(layout.strides.begin(), 0);
  bad_layout("with another number of dimensions", layout);
  bad_layout("too large to count",
             Layout{{std::int64_t{1} << 62, std::int64_t{1} << 62}, {std::int64_t{1} << 62, 1}});
  layout = right.layout;
  layout.sizes[0] -= 1;
  if (is_shared(subject.function, index, shape.front())) bad_layout("with fewer rows", layout);

  const std::size_t rank = right.layout.sizes.size();
  if (rank < 2) return;
  layout = right.layout;
  layout.strides[rank - 2] = layout.sizes[rank - 1] - 1;
  bad_layout("with rows that overlap", layout);
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    layout = right.layout;
    layout.strides[i] = -layout.strides[i];
    bad_layout("with rows backwards", layout);
    layout = right.layout;
    layout.strides[i] = 0;
    bad_layout("with rows in one place", layout);
    layout = right.layout;
    layout.strides[i] = INT64_MAX / 2;
    if (layout.sizes[i] > 1) bad_layout("with rows beyond all addresses", layout);
  }
}

/// [4, …] as [2, 2, …]; `gap` is added to the outermost stride.
Layout split(const Layout& layout, std::int64_t gap) {
  Layout out = layout;
  out.sizes.insert(out.sizes.begin(), 2);
  out.sizes[1] = 2;
  out.strides.insert(out.strides.begin(), 2 * layout.strides[0] + gap);
  return out;
}

std::vector<Tensor> split_tensors(const Subject& subject, std::vector<Value>& values, std::int64_t gap) {
  std::vector<Tensor> tensors;
  tensors.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Operand& operand = subject.operands[i];
    if (!follows(subject.function, *operand.spec)) continue;
    tensors.emplace_back(operand.tensor->data(), operand.dtype, split(operand.layout, gap), subject.device,
                         0);
    values[i] = &tensors.back();
  }
  CHECK(tensors.size() >= 2);
  return tensors;
}

std::vector<std::vector<std::byte>> contents(const Subject& subject) {
  std::vector<std::vector<std::byte>> all;
  for (const Operand& operand : subject.operands) {
    all.emplace_back(operand.before.size());
    REQUIRE(operand.is_tensor() == (operand.buffer.size() > 0));
    if (operand.is_tensor()) REQUIRE(operand.buffer.read(all.back()));
  }
  return all;
}

}  // namespace

TEST_CASE("kernels: a tensor of the wrong kind is refused and nothing is written", "[kernels]") {
  for_each_function([](const Subject& subject) {
    for (std::size_t i = 0; i < subject.operands.size(); ++i)
      if (subject.operands[i].is_tensor()) check_bad_tensors(subject, i);
  });
}

TEST_CASE("kernels: an argument of another type is refused", "[kernels]") {
  for_each_function([](const Subject& subject) {
    for (std::size_t i = 0; i < subject.operands.size(); ++i) {
      auto values = subject.values();
      values[i] = Value{};
      check_refused(subject, values, "None");
      values[i] = true;
      check_refused(subject, values, "a truth value");
      if (subject.operands[i].is_tensor())
        values[i] = std::int64_t{7};
      else
        values[i] = static_cast<const Tensor*>(subject.operands[0].tensor.get());
      check_refused(subject, values, "number and tensor exchanged");
    }
  });
}

TEST_CASE("kernels: another number of arguments is refused in the words of the tvm-ffi macro", "[kernels]") {
  for_each_function([](const Subject& subject) {
    auto values = subject.values();
    values.emplace_back(std::int64_t{0});
    check_refused(subject, values, "one too many");
    values.resize(values.size() - 2);
    check_refused(subject, values, "one too few");
    check_refused(subject, {}, "none");
    auto signature = subject.library.signature(subject.function.name);
    REQUIRE(signature);
    REQUIRE(signature->arguments.size() == subject.operands.size());
    for (std::size_t i = 0; i < subject.operands.size(); ++i)
      CHECK(signature->arguments[i] == (subject.operands[i].is_tensor() ? "DLTensor*" : "float"));
    CHECK(signature->result == "None");
  });
}

TEST_CASE("kernels: leading dimensions that are not rows are refused", "[kernels]") {
  for_each_function([](const Subject& subject) {
    auto values = subject.values();
    const auto tensors = split_tensors(subject, values, 1);
    check_refused(subject, values, "outer stride does not follow the inner one");
  });
}

TEST_CASE("kernels: leading dimensions that collapse give the same result as rows", "[kernels]") {
  for_each_function([](const Subject& subject) {
    if (subject.device != DeviceKind::cpu) return;
    auto values = subject.values();
    REQUIRE(subject.library.call(subject.function.name, values));
    const auto expected = contents(subject);
    for (const Operand& operand : subject.operands)
      if (operand.is_tensor()) REQUIRE(operand.buffer.write(operand.before, 0));
    const auto tensors = split_tensors(subject, values, 0);
    REQUIRE(subject.library.call(subject.function.name, values));
    CHECK(contents(subject) == expected);
  });
}

TEST_CASE("kernels: a whole number is taken for a float, a negative eps and NaN are not", "[kernels]") {
  for_each_function([](const Subject& subject) {
    for (std::size_t i = 0; i < subject.operands.size(); ++i) {
      if (subject.operands[i].is_tensor()) continue;
      auto values = subject.values();
      values[i] = -1.0;
      check_refused(subject, values, "negative");
      values[i] = std::nan("");
      check_refused(subject, values, "NaN");
      values[i] = std::int64_t{1};
      if (subject.device == DeviceKind::cpu) CHECK(subject.library.call(subject.function.name, values));
    }
  });
}

TEST_CASE("kernels: a borrowed DLTensor, its byte offset and absent strides are honoured", "[kernels]") {
  for (const auto& variant : test::built_variants()) {
    if (variant.cuda || variant.kernel != "activation") continue;
    auto library = runtime::KernelLibrary::open(variant.library, test::provider_path());
    REQUIRE(library);
    void* handle = dlopen(variant.library.c_str(), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(handle != nullptr);
    const auto call = reinterpret_cast<tvm_ffi::SafeCall>(dlsym(handle, "__tvm_ffi_silu_and_mul"));
    REQUIRE(call != nullptr);
    std::array<float, 6> x = {9, 9, 1, 2, 1, 1};
    std::array<float, 4> out = {-1, -1, -1, -1};
    std::array<std::int64_t, 2> x_shape = {1, 4};
    std::array<std::int64_t, 2> out_shape = {1, 2};
    const tvm_ffi::Device cpu{tvm_ffi::kCpu, 0};
    tvm_ffi::Tensor x_view{x.data(), cpu, 2, {tvm_ffi::kFloatingPoint, 32, 1}, x_shape.data(), nullptr, 8};
    tvm_ffi::Tensor out_view{out.data(),       cpu,     2, {tvm_ffi::kFloatingPoint, 32, 1},
                             out_shape.data(), nullptr, 4};
    std::array<tvm_ffi::Any, 2> arguments{};
    arguments[0].type_index = tvm_ffi::kTensorPointer;
    arguments[0].as_pointer = &out_view;
    arguments[1].type_index = tvm_ffi::kTensorPointer;
    arguments[1].as_pointer = &x_view;
    tvm_ffi::Any result{};
    REQUIRE(call(nullptr, arguments.data(), 2, &result) == 0);
    CHECK(result.type_index == tvm_ffi::kNone);
    CHECK(out[0] == -1.0F);
    CHECK(out[1] == kernels::test::Approx(0.7310586F));
    CHECK(out[2] == kernels::test::Approx(1.7615942F));
    CHECK(out[3] == -1.0F);
  }
}
