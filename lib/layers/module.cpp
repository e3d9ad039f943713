#include "kernels/layers/module.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace kernels::layers {

void Module::train() {
  set_training(true);
}

void Module::eval() {
  set_training(false);
}

void Module::set_training(bool training) {
  training_ = training;
  for (const auto& child : children_)
    child.module->set_training(training);
}

const Tensor* Module::parameter(std::string_view name) const {
  auto found =
      std::ranges::find(parameters_, name, [](const auto& item) -> std::string_view { return item.first; });
  return found == parameters_.end() ? nullptr : found->second;
}

const Module::Attribute* Module::attribute(std::string_view name) const {
  auto found =
      std::ranges::find(attributes_, name, [](const auto& item) -> std::string_view { return item.first; });
  return found == attributes_.end() ? nullptr : &found->second;
}

const Tensor* Module::first_parameter() const {
  for (const auto& [name, tensor] : parameters_)
    if (tensor->defined()) return tensor;
  for (const auto& child : children_)
    if (const auto* found = child.module->first_parameter()) return found;
  return nullptr;
}

std::string to_string(const Signature& signature) {
  std::string out = "forward(";
  for (std::size_t i = 0; i < signature.parameters.size(); ++i)
    out += (i == 0 ? "" : ", ") + to_string(signature.parameters[i]);
  out += ") -> ";
  if (signature.results == 0) return out + "nothing";
  for (std::size_t i = 0; i < signature.results; ++i)
    out += i == 0 ? "tensor" : ", tensor";
  return out;
}

Signature signature_of(const NativeLayer& layer) {
  Signature out{.parameters = {}, .results = layer.returns.size()};
  for (const auto& value : layer.forward)
    out.parameters.push_back(value.kind);
  return out;
}

namespace {

/// Classes that were made extensible from outside. A mark that was given out stays valid: marks are only
/// added or replaced by new ones, never removed.
struct ForeignMarks {
  std::mutex mutex;
  std::map<std::type_index, std::shared_ptr<const Mark>> by_class;
  std::vector<std::shared_ptr<const Mark>> replaced;
};

ForeignMarks& foreign_marks() {
  static ForeignMarks marks;
  return marks;
}

}  // namespace

const Mark* LayerBase::mark() const {
  auto& marks = foreign_marks();
  std::scoped_lock lock(marks.mutex);
  if (auto found = marks.by_class.find(layer_class()); found != marks.by_class.end())
    return found->second.get();
  return mark_ ? &*mark_ : nullptr;
}

Status replace_kernel_forward_from_hub(std::type_index layer_class, std::string layer_name,
                                       Condition condition) {
  if (layer_name.empty()) return fail(Errc::invalid_argument, "the name of the layer is missing");
  auto& marks = foreign_marks();
  std::scoped_lock lock(marks.mutex);
  auto& mark = marks.by_class[layer_class];
  if (mark) marks.replaced.push_back(std::move(mark));
  mark = std::make_shared<const Mark>(
      Mark{.layer_name = std::move(layer_name), .condition = std::move(condition)});
  return {};
}

}  // namespace kernels::layers
