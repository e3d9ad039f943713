#pragma once

// Layers of libtorch models whose `forward` kernels can replace. The namespace is not `torch`, which would
// hide libtorch's own from a program that uses ours.

#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <torch/torch.h>

#include "kernels/layers/kernelize.h"
#include "kernels/layers/module.h"

namespace kernels::libtorch {

/// What stands between a libtorch layer and `kernelize`: its members as tensors of ours, and the kernel that
/// was put in its place.
class LayerAdapter final : public layers::LayerBase {
 public:
  LayerAdapter(::torch::nn::Module& module, layers::Signature signature, const std::type_info& layer_class);

  layers::Signature signature() const override { return signature_; }
  /// The module's own parameter or buffer of that name, as it is now.
  const layers::Tensor* parameter(std::string_view name) const override;
  const std::type_info& layer_class() const override { return *class_; }

  using layers::LayerBase::register_attribute;
  using layers::LayerBase::use_kernel_forward_from_hub;

  /// Calls the kernel on the device and the stream that are current for the first tensor.
  /// Throws c10::Error with the kernel's words, as libtorch's own operators do.
  void call(std::span<const layers::Argument> arguments, std::span<layers::Tensor> results) const;

 private:
  /// The parameter or buffer of that name as it is now; undefined if there is none.
  at::Tensor member(const std::string& name) const;

  ::torch::nn::Module& module_;
  layers::Signature signature_;
  const std::type_info* class_;
  /// Views that were given out; looked at again before each call, because a module may have been moved.
  mutable std::map<std::string, std::pair<at::Tensor, layers::Tensor>, std::less<>> views_;
};

/// Shares the memory; the view is valid while `tensor` lives. Throws c10::Error: more than 8 dimensions, a
/// type that DLPack does not know.
layers::Tensor to_layers(const at::Tensor& tensor);
/// Shares the memory and keeps it alive.
at::Tensor from_layers(layers::Tensor tensor);

/// Lets `kernelize` find a layer among the modules of a model.
class ReplaceableLayer {
 public:
  virtual ~ReplaceableLayer() = default;
  virtual const std::shared_ptr<LayerAdapter>& adapter() const = 0;
};

template <class Own, class Function>
class Layer;

/// The base class of a layer with this signature; the layer has `forward_own` in the place of `forward`:
///
///   struct SiluAndMulImpl : kernels::libtorch::Layer<SiluAndMulImpl, at::Tensor(const at::Tensor&)> {
///     SiluAndMulImpl() { use_kernel_forward_from_hub("SiluAndMul"); }
///     at::Tensor forward_own(const at::Tensor& x) { … }
///   };
///   TORCH_MODULE(SiluAndMul);
///
/// Neither copied nor cloned: kernels know the object by its address.
template <class Own, class R, class... A>
class Layer<Own, R(A...)> : public ::torch::nn::Module, public ReplaceableLayer {
 public:
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  R forward(A... arguments) {
    if (!adapter_->kernel()) return static_cast<Own*>(this)->forward_own(arguments...);
    return call(std::index_sequence_for<A...>(), arguments...);
  }

  const std::shared_ptr<LayerAdapter>& adapter() const override { return adapter_; }

 protected:
  void use_kernel_forward_from_hub(std::string layer_name, layers::Condition condition = {}) {
    adapter_->use_kernel_forward_from_hub(std::move(layer_name), std::move(condition));
  }
  /// Makes a number that is a member of the layer known to kernels; parameters and buffers are known by
  /// themselves.
  template <class Number>
  void register_attribute(std::string name, const Number& member) {
    adapter_->register_attribute(std::move(name), member);
  }

 private:
  template <class T>
  static constexpr bool is_tensor = std::is_same_v<std::remove_cvref_t<T>, at::Tensor>;

  template <class T>
  static constexpr ValueKind kind_of() {
    if constexpr (is_tensor<T>)
      return ValueKind::tensor;
    else
      return layers::detail::kind_of<T>();
  }
  static constexpr std::size_t result_count() {
    if constexpr (std::is_void_v<R>)
      return 0;
    else if constexpr (is_tensor<R>)
      return 1;
    else
      return std::tuple_size_v<R>;
  }
  template <class T>
  static layers::Tensor view_of(const T& value) {
    if constexpr (is_tensor<T>)
      return to_layers(value);
    else
      return {};
  }
  template <class T>
  static layers::Argument argument_of(const T& value, const layers::Tensor& view) {
    if constexpr (is_tensor<T>)
      return &view;
    else
      return layers::detail::to_argument(value);
  }

  template <std::size_t... I>
  R call(std::index_sequence<I...> /*places*/, const std::remove_cvref_t<A>&... arguments) {
    const std::array<layers::Tensor, sizeof...(A)> views{view_of(arguments)...};
    const std::array<layers::Argument, sizeof...(A)> packed{argument_of(arguments, views[I])...};
    std::array<layers::Tensor, result_count()> results;
    adapter_->call(packed, results);
    if constexpr (is_tensor<R>)
      return from_layers(std::move(results[0]));
    else if constexpr (!std::is_void_v<R>)
      return std::apply([](auto&&... each) { return R{from_layers(std::move(each))...}; },
                        std::move(results));
  }

  std::shared_ptr<LayerAdapter> adapter_ = std::make_shared<LayerAdapter>(
      *this, layers::Signature{.parameters = {kind_of<A>()...}, .results = result_count()}, typeid(Own));
};

/// `layers::kernelize` for a libtorch model. Device, training or not, and the memory for results (libtorch's
/// own allocator) come from the model. Errors and threads  as there.
Result<layers::KernelizeReport> kernelize(::torch::nn::Module& model, layers::KernelizeOptions options = {});

}  // namespace kernels::libtorch
