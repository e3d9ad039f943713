#include <array>
#include <cmath>

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

/// Calls `visit` for each function of each built variant with arguments of three rows and eight columns.
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
      auto operands = bench::make_images(function, {{"rows", 4}, {"cols", 8}}, random,
                                         {DType::float32, bench::Rows::padded, nullptr, 0});
      REQUIRE(operands);
      REQUIRE(bench::place(*operands, {DType::float32, bench::Rows::padded, nullptr, 0}));
      Subject subject{std::move(*library), variant.cuda ? DeviceKind::cuda : DeviceKind::cpu, function,
                      std::move(*operands)};
      for (Operand& operand : subject.operands)
        if (operand.is_tensor())
          operand.tensor = std::make_unique<Tensor>(operand.tensor->data(), DType::float32, operand.layout,
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
  auto* data = static_cast<char*>(right.tensor->data());
  const auto bad = [&](const std::string& what, char* address, DType type, Layout layout, DeviceKind device) {
    check_with_tensor(subject, index, what, Tensor(address, type, std::move(layout), device, 0));
  };
  const DeviceKind other = subject.device == DeviceKind::cpu ? DeviceKind::cuda : DeviceKind::cpu;
  bad("of float64", data, DType::float64, right.layout, subject.device);
  bad("of another type than the rest", data, DType::float16, right.layout, subject.device);
  bad("on another device", data, DType::float32, right.layout, other);
  bad("not aligned", data + 1, DType::float32, right.layout, subject.device);
  bad("null", nullptr, DType::float32, right.layout, subject.device);
  bad("without dimensions", data, DType::float32, Layout{}, subject.device);

  Layout layout = right.layout;
  layout.sizes.back() += 1;
  bad("one column too wide", data, DType::float32, layout, subject.device);
  layout = right.layout;
  layout.sizes.back() = -1;
  bad("of negative size", data, DType::float32, layout, subject.device);
  layout = right.layout;
  layout.strides.back() = 2;
  bad("with a gap between elements", data, DType::float32, layout, subject.device);
  layout = right.layout;
  layout.sizes.insert(layout.sizes.begin(), 1);
  layout.strides.insert(layout.strides.begin(), 0);
  bad("with another number of dimensions", data, DType::float32, layout, subject.device);
  layout = Layout{{std::int64_t{1} << 62, std::int64_t{1} << 62}, {std::int64_t{1} << 62, 1}};
  bad("too large to count", data, DType::float32, layout, subject.device);

  if (right.layout.sizes.size() < 2) return;
  layout = right.layout;
  layout.strides[0] = layout.sizes[1] - 1;
  bad("with rows that overlap", data, DType::float32, layout, subject.device);
  layout = right.layout;
  layout.strides[0] = -layout.strides[0];
  bad("with rows backwards", data, DType::float32, layout, subject.device);
  layout = right.layout;
  layout.sizes[0] -= 1;
  bad("with fewer rows", data, DType::float32, layout, subject.device);
}

/// [4, c] as [2, 2, c]; `gap` is added to the outermost stride.
Layout split(const Layout& layout, std::int64_t gap) {
  return {{2, 2, layout.sizes[1]}, {2 * layout.strides[0] + gap, layout.strides[0], layout.strides[1]}};
}

std::vector<Tensor> split_tensors(const Subject& subject, std::vector<Value>& values, std::int64_t gap) {
  std::vector<Tensor> tensors;
  tensors.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Operand& operand = subject.operands[i];
    if (!operand.is_tensor() || operand.layout.sizes.size() != 2) continue;
    tensors.emplace_back(operand.tensor->data(), DType::float32, split(operand.layout, gap), subject.device,
                         0);
    values[i] = &tensors.back();
  }
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
