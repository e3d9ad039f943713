#include "kernels/torch/layer.h"

#include <ATen/DLConvertor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace kernels::libtorch {

namespace {

/// Memory that libtorch allocated, as a tensor of ours.
layers::Tensor own(const at::Tensor& tensor) {
  auto view = to_layers(tensor);
  return layers::Tensor::own(
      view.data(),
      {.type = view.type(), .sizes = view.sizes(), .strides = view.strides(), .device = view.device()},
      [tensor] {});
}

at::Device device_of(layers::DlDevice device) {
  if (device.type == tvm_ffi::kCpu) return {at::kCPU};
  return {at::kCUDA, static_cast<at::DeviceIndex>(device.id)};
}

at::ScalarType type_of(layers::DataType type) {
  DLDataType same{};
  same.code = type.code;
  same.bits = type.bits;
  same.lanes = type.lanes;
  return at::toScalarType(same);
}

layers::Tensor allocate(const layers::TensorSpec& spec) {
  std::span<const std::int64_t> sizes = spec.sizes;
  return own(at::empty(at::IntArrayRef(sizes.data(), sizes.size()),
                       at::TensorOptions().dtype(type_of(spec.type)).device(device_of(spec.device))));
}

/// Kernels run where libtorch's operators would.
void follow_stream(at::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl guard(device.type());
  void* stream = guard.getStream(device).native_handle();
  thread_local std::pair<at::DeviceIndex, void*> present{-1, nullptr};
  if (present == std::pair(device.index(), stream)) return;
  auto used = layers::use_stream(device.index(), stream);
  TORCH_CHECK(used.has_value(), used ? "" : describe(used.error()));
  present = {device.index(), stream};
}

/// Every layer of the model, below its path, and the model's first parameter.
class Mirror : public layers::Module {
 public:
  explicit Mirror(::torch::nn::Module& model) {
    if (auto* layer = dynamic_cast<ReplaceableLayer*>(&model)) add("", *layer);
    // With the model itself it would have to be in a shared_ptr, which a model on the stack is not.
    for (const auto& item : model.named_modules("", /*include_self=*/false))
      if (auto* layer = dynamic_cast<ReplaceableLayer*>(item.value().get())) add(item.key(), *layer);
    auto parameters = model.parameters();
    if (!parameters.empty()) {
      tensor_ = parameters.front();
      first_ = to_layers(tensor_);
      register_parameter("first", first_);
    }
    model.is_training() ? train() : eval();
  }

 private:
  void add(const std::string& path, const ReplaceableLayer& layer) { register_module(path, layer.adapter()); }
  at::Tensor tensor_;
  layers::Tensor first_;
};

}  // namespace

layers::Tensor to_layers(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  TORCH_CHECK(tensor.dim() <= static_cast<std::int64_t>(layers::Tensor::kMaxDimensions),
              "kernels take at most 8 dimensions");
  auto type = at::getDLDataType(tensor);
  auto device = at::torchDeviceToDLDevice(tensor.device());
  return layers::Tensor::borrow(
      tensor.data_ptr(), {.type = {static_cast<std::uint8_t>(type.code), type.bits, type.lanes},
                          .sizes = {tensor.sizes().data(), tensor.sizes().size()},
                          .strides = {tensor.strides().data(), tensor.strides().size()},
                          .device = {static_cast<std::int32_t>(device.device_type), device.device_id}});
}

at::Tensor from_layers(layers::Tensor tensor) {
  auto sizes = tensor.sizes();
  auto strides = tensor.strides();
  auto options = at::TensorOptions().dtype(type_of(tensor.type())).device(device_of(tensor.device()));
  void* data = tensor.data();
  return at::from_blob(
      data, at::IntArrayRef(sizes.data(), sizes.size()), at::IntArrayRef(strides.data(), strides.size()),
      [kept = std::move(tensor)](void*) mutable { kept = {}; }, options, options.device());
}

LayerAdapter::LayerAdapter(::torch::nn::Module& module, layers::Signature signature,
                           const std::type_info& layer_class)
    : module_(module), signature_(std::move(signature)), class_(&layer_class) {}

at::Tensor LayerAdapter::member(const std::string& name) const {
  if (const at::Tensor* found = module_.named_parameters(/*recurse=*/false).find(name)) return *found;
  const at::Tensor* buffer = module_.named_buffers(/*recurse=*/false).find(name);
  return buffer != nullptr ? *buffer : at::Tensor();
}

const layers::Tensor* LayerAdapter::parameter(std::string_view name) const {
  std::string text(name);
  auto present = member(text);
  if (!present.defined()) return nullptr;
  auto& [tensor, view] = views_[text];
  tensor = present;
  view = to_layers(present);
  return &view;
}

void LayerAdapter::call(std::span<const layers::Argument> arguments,
                        std::span<layers::Tensor> results) const {
  std::optional<layers::DlDevice> device;
  for (const auto& argument : arguments)
    if (const auto* tensor = std::get_if<const layers::Tensor*>(&argument);
        tensor != nullptr && (*tensor)->defined() && !device)
      device = (*tensor)->device();
  // A parameter or buffer may have been moved to another device, or given other memory.
  for (auto& [name, entry] : views_) {
    auto present = member(name);
    if (present.data_ptr() != entry.second.data()) entry = {present, to_layers(present)};
  }
  at::NoGradGuard no_grad;
  c10::OptionalDeviceGuard guard;
  if (device) {
    guard.reset_device(device_of(*device));
    follow_stream(device_of(*device));
  }
  auto called = kernel()->call(arguments, results);
  TORCH_CHECK(called.has_value(), called ? "" : describe(called.error()));
}

Result<layers::KernelizeReport> kernelize(::torch::nn::Module& model, layers::KernelizeOptions options) {
  Mirror mirror(model);
  if (!options.allocate) options.allocate = allocate;
  return layers::kernelize(mirror, options);
}

}  // namespace kernels::libtorch
