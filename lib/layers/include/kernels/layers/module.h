#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/layers/tensor.h"
#include "kernels/model/native_layers.h"

namespace kernels::layers {

class Module;
class LayerBase;

/// A node of a model: named children, named parameters, train or eval. Models are built by the engine; this
/// is what `kernelize` walks.
///
/// Owned through std::shared_ptr; neither copied nor moved. Threads  as a container: changing it while
/// anybody else uses it is the caller's to prevent.
class Module {
 public:
  /// A number that a layer has as a member, such as the `eps` of a norm. Borrowed from the layer itself.
  using Attribute = std::variant<const double*, const float*, const std::int64_t*, const bool*>;
  struct Child {
    std::string name;
    std::shared_ptr<Module> module;
  };

  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  /// Sets the mode of this module and of all below it; new modules train, as in PyTorch.
  void train();
  void eval();
  bool is_training() const { return training_; }

  const std::vector<Child>& children() const { return children_; }
  /// The functions that are layers and are used by this module (`use_kernelized_func`).
  const std::vector<std::shared_ptr<LayerBase>>& kernel_functions() const { return functions_; }

  /// Null if there is none of that name.
  virtual const Tensor* parameter(std::string_view name) const;
  virtual const Attribute* attribute(std::string_view name) const;
  /// The first parameter of this module or below it, in order; null if there is none.
  const Tensor* first_parameter() const;

  /// Adds a child at run time; the name may not hold a dot. Returns the child.
  template <std::derived_from<Module> M>
  std::shared_ptr<M> register_module(std::string name, std::shared_ptr<M> module) {
    children_.push_back({std::move(name), module});
    return module;
  }

 protected:
  /// Makes a tensor of the class known by name. It may be set later, and again: kernels see the present one.
  void register_parameter(std::string name, const Tensor& member) {
    parameters_.emplace_back(std::move(name), &member);
  }
  template <class Number>
  void register_attribute(std::string name, const Number& member) {
    attributes_.emplace_back(std::move(name), &member);
  }
  /// Makes a function that is a layer visible to `kernelize`, without being a child.
  void use_kernelized_func(std::shared_ptr<LayerBase> function) { functions_.push_back(std::move(function)); }

 private:
  void set_training(bool training);

  bool training_ = true;
  std::vector<Child> children_;
  std::vector<std::pair<std::string, const Tensor*>> parameters_;
  std::vector<std::pair<std::string, Attribute>> attributes_;
  std::vector<std::shared_ptr<LayerBase>> functions_;
};

/// Whether a layer may be replaced; asked for every layer at each `kernelize`. None: it may.
using Condition = std::function<bool(const Module&)>;

/// That a layer is extensible: the name under which mappings know it.
struct Mark {
  std::string layer_name;
  Condition condition;
};

/// What `forward` takes and returns, as far as a kernel must agree with it.
struct Signature {
  std::vector<ValueKind> parameters;
  std::size_t results = 0;  ///< tensors
  bool operator==(const Signature&) const = default;
};
/// `forward(tensor, float) -> tensor`
std::string to_string(const Signature& signature);
Signature signature_of(const NativeLayer& layer);

/// One argument of a call, borrowed for its time.
using Argument = std::variant<const Tensor*, std::int64_t, double, bool>;

/// A kernel that was made ready to stand in for the `forward` of one layer.
class BoundKernel {
 public:
  BoundKernel() = default;
  BoundKernel(const BoundKernel&) = delete;
  BoundKernel& operator=(const BoundKernel&) = delete;
  virtual ~BoundKernel() = default;
  /// `arguments` and `results` are as many as the signature says.
  /// Errors  invalid_argument: what the kernel says of a type, size or device that it does not take.
  virtual Status call(std::span<const Argument> arguments, std::span<Tensor> results) const = 0;
};

/// A layer, whatever its signature: what `kernelize` sees.
class LayerBase : public Module {
 public:
  virtual Signature signature() const = 0;
  /// The class that `replace_kernel_forward_from_hub` means; that of the object, unless it stands for
  /// another.
  virtual const std::type_info& layer_class() const { return typeid(*this); }
  /// How mappings know it; null if it is not extensible. A `replace_kernel_forward_from_hub` for its class
  /// wins.
  const Mark* mark() const;
  /// The kernel that stands in for `forward`; null while the layer's own runs.
  const std::shared_ptr<const BoundKernel>& kernel() const { return kernel_; }
  /// Used by `kernelize`; null restores the layer's own `forward`.
  void set_kernel(std::shared_ptr<const BoundKernel> kernel) { kernel_ = std::move(kernel); }

 protected:
  /// In the constructor of a layer class: its `forward` can be replaced by kernels that are mapped to this
  /// name. Changes no behaviour. A class that is derived from it is extensible too, under this name or its
  /// own.
  void use_kernel_forward_from_hub(std::string layer_name, Condition condition = {}) {
    mark_ = {.layer_name = std::move(layer_name), .condition = std::move(condition)};
  }

 private:
  std::optional<Mark> mark_;
  std::shared_ptr<const BoundKernel> kernel_;
};

/// The same for a class that one does not own; for exactly this class. Errors  invalid_argument: an empty
/// name. Threads  any.
Status replace_kernel_forward_from_hub(std::type_index layer_class, std::string layer_name,
                                       Condition condition = {});
template <std::derived_from<LayerBase> L>
Status replace_kernel_forward_from_hub(std::string layer_name, Condition condition = {}) {
  return replace_kernel_forward_from_hub(typeid(L), std::move(layer_name), std::move(condition));
}

namespace detail {

template <class T>
constexpr ValueKind kind_of() {
  using Plain = std::remove_cvref_t<T>;
  static_assert(std::is_same_v<Plain, Tensor> || std::is_arithmetic_v<Plain>,
                "a layer takes tensors, whole numbers, floating point numbers and bools");
  if constexpr (std::is_same_v<Plain, Tensor>)
    return ValueKind::tensor;
  else if constexpr (std::is_same_v<Plain, bool>)
    return ValueKind::boolean;
  else if constexpr (std::is_floating_point_v<Plain>)
    return ValueKind::number;
  else
    return ValueKind::integer;
}

template <class T>
Argument to_argument(const T& value) {
  if constexpr (kind_of<T>() == ValueKind::tensor)
    return &value;
  else if constexpr (kind_of<T>() == ValueKind::boolean)
    return value;
  else if constexpr (kind_of<T>() == ValueKind::number)
    return static_cast<double>(value);
  else
    return static_cast<std::int64_t>(value);
}

/// What a layer may return: nothing, a tensor, or a tuple (or pair) of tensors.
template <class R>
struct Results {
  static constexpr std::size_t count = std::tuple_size_v<R>;
  static R take(std::array<Tensor, count>&& values) {
    return std::apply([](auto&&... each) { return R{std::move(each)...}; }, std::move(values));
  }
};
template <>
struct Results<Tensor> {
  static constexpr std::size_t count = 1;
  static Tensor take(std::array<Tensor, 1>&& values) { return std::move(values[0]); }
};
template <>
struct Results<void> {
  static constexpr std::size_t count = 0;
};

}  // namespace detail

template <class Function>
class Layer;

/// A layer with a signature known at compile time: `class Silu : public Layer<Tensor(const Tensor&)>`.
///
/// Calling it runs the class's own `forward`, or the kernel that `kernelize` put in its place. Cost of the
/// latter over the kernel itself: tens of nanoseconds and what the allocator takes for outputs.
template <class R, class... A>
class Layer<R(A...)> : public LayerBase {
 public:
  /// Errors  those of `forward`, or of the kernel.
  Result<R> operator()(A... arguments) const {
    if (const BoundKernel* bound = kernel().get()) return call(*bound, arguments...);
    return forward(arguments...);
  }

  Signature signature() const final {
    return {.parameters = {detail::kind_of<A>()...}, .results = detail::Results<R>::count};
  }

  /// What the layer computes where no kernel does.
  virtual Result<R> forward(A... arguments) const = 0;

 private:
  static Result<R> call(const BoundKernel& bound, const std::remove_cvref_t<A>&... arguments) {
    const std::array<Argument, sizeof...(A)> packed{detail::to_argument(arguments)...};
    std::array<Tensor, detail::Results<R>::count> results;
    if (auto done = bound.call(packed, results); !done) return std::unexpected(std::move(done).error());
    if constexpr (std::is_void_v<R>)
      return {};
    else
      return detail::Results<R>::take(std::move(results));
  }
};

/// A function as a layer: what `use_kernel_func_from_hub` makes.
template <class R, class... A>
class FuncLayer final : public Layer<R(A...)> {
 public:
  using Function = std::function<Result<R>(A...)>;
  FuncLayer(std::string name, Function function) : function_(std::move(function)) {
    this->use_kernel_forward_from_hub(std::move(name));
  }
  Result<R> forward(A... arguments) const override { return function_(arguments...); }

 private:
  Function function_;
};

/// Makes a function extensible. Call what is returned instead of the function, and attach it to the module
/// that uses it by `use_kernelized_func`: only then does `kernelize` find it.
template <class R, class... A>
std::shared_ptr<Layer<R(A...)>> use_kernel_func_from_hub(std::string name, Result<R> (*function)(A...)) {
  return std::make_shared<FuncLayer<R, A...>>(std::move(name), function);
}

}  // namespace kernels::layers
