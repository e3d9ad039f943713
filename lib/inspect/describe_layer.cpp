#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <utility>

#include "kernels/inspect/layer_source.h"

namespace kernels::inspect {

namespace {

/// What `torch.nn.Module` has: binding these is no extra member. Each name stands between blanks.
constexpr std::string_view kMembersOfModule =
    " T_destination _apply _backward_hooks _backward_pre_hooks _buffers _call_impl _compiled_call_impl "
    "_forward_hooks _forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks "
    "_forward_pre_hooks_with_kwargs _get_backward_hooks _get_backward_pre_hooks _get_name "
    "_is_full_backward_hook _load_from_state_dict _load_state_dict_post_hooks "
    "_load_state_dict_pre_hooks _maybe_warn_non_full_backward_hook _modules _named_members "
    "_non_persistent_buffers_set _parameters _register_load_state_dict_pre_hook "
    "_register_state_dict_hook _replicate_for_data_parallel _save_to_state_dict _slow_forward "
    "_state_dict_hooks _state_dict_pre_hooks _version _wrapped_call_impl add_module apply bfloat16 "
    "buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr float "
    "forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules "
    "mtia named_buffers named_children named_modules named_parameters parameters "
    "register_backward_hook register_buffer register_forward_hook register_forward_pre_hook "
    "register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook "
    "register_load_state_dict_pre_hook register_module register_parameter "
    "register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state "
    "set_submodule share_memory state_dict to to_empty train training type xpu zero_grad ";

bool is_member_of_module(std::string_view name) {
  // Names with two underscores at both ends are Python's own, and most of them are there.
  if (name.starts_with("__") && name.ends_with("__")) return true;
  return kMembersOfModule.find(" " + std::string(name) + " ") != std::string_view::npos;
}

template <class T>
void merge(std::optional<T>& into, const std::optional<T>& other) {
  if (into != other) into = std::nullopt;
}

/// Hostile texts can have any number of members and bases; people read the first few.
constexpr std::size_t kMaxMembers = 20;
constexpr std::size_t kMaxBases = 16;

void merge_names(std::vector<std::string>& into, const std::vector<std::string>& names) {
  for (const auto& name : names)
    if (into.size() < kMaxMembers && std::ranges::find(into, name) == into.end()) into.push_back(name);
}

/// A description, and whether what stands in the body of the class holds: a metaclass, a decorator or a base
/// class from elsewhere can change it when the class is made.
struct Facts {
  LayerDescription layer;
  bool sure = true;
};

Facts of_presence(LayerPresence presence) {
  Facts out;
  out.layer.presence = presence;
  return out;
}

Facts unknown_class() {
  auto out = of_presence(LayerPresence::defined);
  out.sure = false;
  return out;
}

/// `torch.nn.Module` and `object`: the defaults hold.
Facts root_class() {
  auto out = of_presence(LayerPresence::defined);
  out.layer.has_backward = true;
  out.layer.can_torch_compile = false;
  return out;
}

/// Several classes of one name, or several bases: what they agree about.
void merge(Facts& into, const Facts& other) {
  into.sure &= other.sure;
  merge(into.layer.has_backward, other.layer.has_backward);
  merge(into.layer.can_torch_compile, other.layer.can_torch_compile);
  merge(into.layer.forward, other.layer.forward);
  into.layer.defines_init |= other.layer.defines_init;
  merge_names(into.layer.extra_members, other.layer.extra_members);
}

void forget_unsure(Facts& out) {
  if (out.sure) return;
  out.layer.has_backward = out.layer.can_torch_compile = std::nullopt;
  out.layer.forward = std::nullopt;
}

std::optional<bool> of_flag(LayerFlag flag, const std::optional<bool>& inherited) {
  if (flag == LayerFlag::absent) return inherited;
  if (flag == LayerFlag::unknown) return std::nullopt;
  return flag == LayerFlag::yes;
}

/// Describes classes by name and remembers what it found, so that a text with many base classes costs no more
/// than its length.
class Describer {
 public:
  explicit Describer(const LayerSource& source) : source_(source) {
    for (const auto& item : source.classes)
      classes_[item.name].push_back(&item);
  }

  LayerDescription describe(const std::string& name) {
    if (classes_.contains(name)) return named(name, 0).layer;
    bool may_be = source_.open || is_bound(name) || source_.set_to_none.contains(name);
    return of_presence(may_be ? LayerPresence::elsewhere : LayerPresence::absent).layer;
  }

 private:
  bool is_bound(const std::string& name) const {
    return source_.imported.contains(name) || source_.assigned.contains(name);
  }

  Facts named(const std::string& name, int depth) {
    // A class below itself (`class A(A)`) or below a hundred others: the text does not tell.
    if (depth > 100) return unknown_class();
    auto [known, is_new] = known_.emplace(name, unknown_class());
    if (!is_new) return known->second;
    const auto& classes = classes_.at(name);
    auto out = of_class(*classes.front(), depth);
    for (const auto* other : std::span(classes).subspan(1))
      merge(out, of_class(*other, depth));
    // `import *` and `globals()` can also replace what the text spells.
    if (source_.open || is_bound(name)) out.sure = false;
    forget_unsure(out);
    return known_[name] = out;
  }

  Facts of_class(const LayerClass& item, int depth) {
    auto out = of_bases(item, depth);
    out.sure &= item.certain;
    out.layer.has_backward = of_flag(item.has_backward, out.layer.has_backward);
    out.layer.can_torch_compile = of_flag(item.can_torch_compile, out.layer.can_torch_compile);
    if (item.forward == ForwardText::unknown) out.layer.forward = std::nullopt;
    if (item.forward == ForwardText::known) out.layer.forward = item.parameters;
    out.layer.defines_init |= item.defines_init;
    for (const auto& name : item.members)
      if (!is_member_of_module(name)) merge_names(out.layer.extra_members, {name});
    return out;
  }

  /// Where all bases agree, the order in which Python asks them does not matter.
  Facts of_bases(const LayerClass& item, int depth) {
    if (item.bases.empty()) return root_class();
    if (item.bases.size() > kMaxBases) return unknown_class();
    auto out = of_base(item.bases.front(), depth + 1);
    for (const auto& base : std::span(item.bases).subspan(1))
      merge(out, of_base(base, depth + 1));
    return out;
  }

  Facts of_base(const std::string& text, int depth) {
    static constexpr std::array<std::string_view, 4> roots = {
        "object", "torch.nn.Module", "torch.nn.modules.Module", "torch.nn.modules.module.Module"};
    if (!classes_.contains(text))
      return std::ranges::find(roots, origin_of(text)) != roots.end() ? root_class() : unknown_class();
    auto out = named(text, depth);
    // Code of a base class that runs when a class below it is made.
    for (const auto* item : classes_.at(text))
      if (std::ranges::find(item->members, "__init_subclass__") != item->members.end()) out.sure = false;
    return out;
  }

  /// `nn.Module` with what `nn` was imported as; empty if that is not sure.
  std::string origin_of(const std::string& text) const {
    auto dot = std::min(text.find('.'), text.size());
    auto first = text.substr(0, dot);
    if (source_.assigned.contains(first) || classes_.contains(first)) return {};
    // A name that is also set to None, after a failed import, is no class then.
    auto found = source_.imported.find(first);
    if (found != source_.imported.end())
      return found->second.empty() ? std::string() : found->second + text.substr(dot);
    return text == "object" ? text : std::string();  // a builtin
  }

  const LayerSource& source_;
  std::map<std::string, std::vector<const LayerClass*>> classes_;
  std::map<std::string, Facts> known_;
};

}  // namespace

LayerDescription describe_layer(const LayerSource& source, std::string_view name) {
  return Describer(source).describe(std::string(name));
}

std::vector<std::string> layer_names(const LayerSource& source) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const auto& item : source.classes)
    if (!item.name.starts_with('_') && seen.insert(item.name).second) out.push_back(item.name);
  return out;
}

std::vector<std::string> names_of(const std::vector<LayerParameter>& parameters) {
  std::vector<std::string> out;
  for (const auto& parameter : parameters) {
    const char* stars = parameter.kind == ParameterKind::var_positional ? "*"
                        : parameter.kind == ParameterKind::var_keyword  ? "**"
                                                                        : "";
    out.push_back(stars + parameter.name);
  }
  return out;
}

}  // namespace kernels::inspect
