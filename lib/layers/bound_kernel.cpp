// How a call of a layer becomes a call of a kernel. What can be decided once is decided when the kernel is
// bound: for each argument of the function, where its value lies. A call then allocates the outputs, packs
// the arguments into an array on the stack, and looks at one result.

#include <array>

#include "loaded_layer_impl.h"

namespace kernels::layers {

namespace {

constexpr std::size_t kMaxArguments = 32;  // as the declaration allows
constexpr std::size_t kMaxOutputs = 8;

/// Where an argument of the function comes from.
struct Slot {
  enum class From { parameter, output, member, attribute };
  From from = From::parameter;
  std::size_t index = 0;  // of the parameter or output
  ValueKind kind = ValueKind::tensor;
  const Tensor* member = nullptr;
  Module::Attribute attribute{};
};

struct Output {
  std::size_t like = 0;  // index of the parameter
  std::int64_t divide_last = 1;
};

/// What `forward` returns: an output, or a parameter that was changed in place.
struct Returned {
  bool is_output = true;
  std::size_t index = 0;
};

tvm_ffi::Any pack(const Tensor& tensor) {
  tvm_ffi::Any any{};
  any.type_index = tvm_ffi::kTensor;
  any.as_pointer = tensor.object();
  return any;
}

tvm_ffi::Any pack(ValueKind kind, double number) {
  tvm_ffi::Any any{};
  if (kind == ValueKind::number) {
    any.type_index = tvm_ffi::kFloat;
    any.as_float = number;
  } else {
    any.type_index = kind == ValueKind::boolean ? tvm_ffi::kBool : tvm_ffi::kInt;
    any.as_int = static_cast<std::int64_t>(number);
  }
  return any;
}

tvm_ffi::Any pack(ValueKind kind, const Argument& argument) {
  if (const auto* whole = std::get_if<std::int64_t>(&argument)) {
    tvm_ffi::Any any{};
    any.type_index = tvm_ffi::kInt;
    any.as_int = *whole;  // whole: a double would lose its last bits
    return any;
  }
  if (const auto* truth = std::get_if<bool>(&argument)) return pack(kind, *truth ? 1.0 : 0.0);
  return pack(kind, std::get<double>(argument));
}

tvm_ffi::Any pack(ValueKind kind, const Module::Attribute& attribute) {
  return std::visit([&](const auto* value) { return pack(kind, static_cast<double>(*value)); }, attribute);
}

/// Native kernels exist for these two.
std::int32_t dlpack_type(DeviceType device) {
  return device == DeviceType::cpu ? tvm_ffi::kCpu : tvm_ffi::kCuda;
}

class NativeKernel final : public BoundKernel {
 public:
  NativeKernel(std::shared_ptr<const LoadedLayer> loaded, Allocator allocate)
      : loaded_(std::move(loaded)),
        allocate_(std::move(allocate)),
        device_type_(dlpack_type(loaded_->device)),
        parameter_count_(loaded_->declaration.forward.size()) {}

  Status bind(const LayerBase& layer) {
    const auto& declared = loaded_->declaration;
    if (declared.outputs.size() > kMaxOutputs)
      return fail(Errc::unsupported, "the kernel has more than " + std::to_string(kMaxOutputs) + " outputs");
    for (const auto& output : declared.outputs)
      outputs_.push_back({.like = parameter_index(output.like), .divide_last = output.divide_last});
    for (const auto& name : declared.arguments)
      if (auto added = add_slot(name, layer); !added) return added;
    for (const auto& name : declared.returns) {
      const auto* output = declared.output(name);
      returned_.push_back({.is_output = output != nullptr,
                           .index = output != nullptr
                                        ? static_cast<std::size_t>(output - declared.outputs.data())
                                        : parameter_index(name)});
    }
    return {};
  }

  Status call(std::span<const Argument> arguments, std::span<Tensor> results) const override {
    std::array<Tensor, kMaxOutputs> made;
    std::array<tvm_ffi::Any, kMaxArguments> packed;
    if (arguments.size() != parameter_count_ || results.size() != returned_.size())
      return fail(refused("a call with another number of values than the layer has"));
    if (auto same = check_devices(arguments); !same) return same;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      if (auto done = make_output(outputs_[i], arguments, made[i]); !done) return done;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (!is_ready(slots_[i], arguments)) return fail(refused("a tensor that is not defined"));
      packed[i] = value_of(slots_[i], arguments, made);
    }
    auto called = loaded_->function({packed.data(), slots_.size()});
    if (!called) return fail(refused(called.error().kind + ": " + called.error().message));
    for (std::size_t i = 0; i < returned_.size(); ++i)
      results[i] = returned_[i].is_output ? made[returned_[i].index]
                                          : *std::get<const Tensor*>(arguments[returned_[i].index]);
    return {};
  }

 private:
  std::size_t parameter_index(const std::string& name) const {
    return static_cast<std::size_t>(loaded_->declaration.parameter(name) -
                                    loaded_->declaration.forward.data());
  }

  Error refused(const std::string& text) const {
    return Error(Errc::invalid_argument, text)
        .while_doing("calling `" + loaded_->declaration.function + "` of " + loaded_->title + " (" +
                     loaded_->place.variant + ")");
  }

  Status add_slot(const std::string& name, const LayerBase& layer) {
    const auto& declared = loaded_->declaration;
    Slot slot;
    if (const auto* parameter = declared.parameter(name)) {
      slot.index = parameter_index(name);
      slot.kind = parameter->kind;
    } else if (const auto* output = declared.output(name)) {
      slot.from = Slot::From::output;
      slot.index = static_cast<std::size_t>(output - declared.outputs.data());
    } else if (auto found = find_member(*declared.member(name), layer, slot); !found) {
      return found;
    }
    slots_.push_back(slot);
    return {};
  }

  /// The first of the names that the layer has.
  Status find_member(const NativeValue& wanted, const LayerBase& layer, Slot& slot) const {
    slot.kind = wanted.kind;
    std::string names;
    for (const auto& name : wanted.members) {
      if (wanted.kind == ValueKind::tensor) {
        slot.from = Slot::From::member;
        slot.member = layer.parameter(name);
        if (slot.member != nullptr) return {};
      } else if (const auto* attribute = layer.attribute(name)) {
        slot.from = Slot::From::attribute;
        slot.attribute = *attribute;
        return {};
      }
      names += (names.empty() ? "`" : " or `") + name + "`";
    }
    return fail(Error(Errc::invalid_argument, "the kernel needs the layer's " + to_string(wanted.kind) +
                                                  " member " + names + ", which it does not have")
                    .with_hint("register it in the layer's constructor with `register_parameter` or "
                               "`register_attribute`"));
  }

  Status check_devices(std::span<const Argument> arguments) const {
    for (const auto& argument : arguments) {
      const auto* tensor = std::get_if<const Tensor*>(&argument);
      if (tensor == nullptr || !(*tensor)->defined()) continue;
      if ((*tensor)->device().type != device_type_)
        return fail(refused("a tensor on another device than the kernel's, which is `" +
                            to_string(loaded_->device) + "`"));
    }
    return {};
  }

  static bool is_ready(const Slot& slot, std::span<const Argument> arguments) {
    if (slot.kind != ValueKind::tensor) return true;
    if (slot.from == Slot::From::member) return slot.member->defined();
    if (slot.from == Slot::From::parameter) return std::get<const Tensor*>(arguments[slot.index])->defined();
    return true;
  }

  Status make_output(const Output& output, std::span<const Argument> arguments, Tensor& made) const {
    const auto& like = *std::get<const Tensor*>(arguments[output.like]);
    if (!like.defined()) return fail(refused("a tensor that is not defined"));
    auto spec = like.spec();
    if (spec.sizes.empty() && output.divide_last != 1) return fail(refused("a tensor without dimensions"));
    if (!spec.sizes.empty()) {
      if (spec.sizes.back() % output.divide_last != 0)
        return fail(refused("a last dimension of " + std::to_string(spec.sizes.back()) +
                            ", which is no multiple of " + std::to_string(output.divide_last)));
      spec.sizes.back() /= output.divide_last;
    }
    made = allocate_(spec);
    if (!made.defined()) return fail(Error(Errc::io, "no memory for the result of a kernel"));
    return {};
  }

  static tvm_ffi::Any value_of(const Slot& slot, std::span<const Argument> arguments,
                               std::span<const Tensor> made) {
    switch (slot.from) {
      case Slot::From::output:
        return pack(made[slot.index]);
      case Slot::From::member:
        return pack(*slot.member);
      case Slot::From::attribute:
        return pack(slot.kind, slot.attribute);
      case Slot::From::parameter:
        break;
    }
    const auto& argument = arguments[slot.index];
    if (const auto* tensor = std::get_if<const Tensor*>(&argument)) return pack(**tensor);
    return pack(slot.kind, argument);
  }

  std::shared_ptr<const LoadedLayer> loaded_;
  Allocator allocate_;
  std::int32_t device_type_;
  std::size_t parameter_count_;
  std::vector<Slot> slots_;
  std::vector<Output> outputs_;
  std::vector<Returned> returned_;
};

}  // namespace

Result<std::shared_ptr<const BoundKernel>> bind_kernel(std::shared_ptr<const LoadedLayer> loaded,
                                                       const LayerBase& layer, const Allocator& allocate) {
  auto own = layer.signature();
  if (own != loaded->signature)
    return fail(Errc::invalid_argument, "the layer has `" + to_string(own) + "`, but the kernel has `" +
                                            loaded->declaration.signature() + "`");
  auto bound = std::make_shared<NativeKernel>(std::move(loaded), allocate);
  if (auto done = bound->bind(layer); !done) return fail(std::move(done).error());
  return bound;
}

}  // namespace kernels::layers
