#include "layer_checks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/base/nearest.h"
#include "kernels/model/variant.h"

#include "inspect_variant.h"

namespace kernels::ops {

namespace {

constexpr std::uint64_t kMaxSourceSize = std::uint64_t{1} << 20;
constexpr std::size_t kMaxSources = 8;
constexpr std::size_t kMaxListed = 20;

/// The word for a device in variant names.
std::string backend_word(DeviceType device) {
  if (device == DeviceType::mps) return "metal";
  return to_string(device);
}

bool can_use(DeviceType device, const std::string& variant_name) {
  auto variant = parse_variant(variant_name);
  if (!variant || variant->name() != variant_name) return false;
  auto wanted = backend_word(device);
  if (variant->framework == Framework::noarch)
    return variant->noarch_name == wanted || variant->noarch_name == "universal";
  return variant->backend.name() == (device == DeviceType::npu ? "cann" : wanted);
}

const FileEntry* find_file(const LockedVariant& variant, const std::string& path) {
  auto full = "build/" + variant.name + "/" + path;
  auto found = std::ranges::find(variant.files, full, [](const FileEntry& file) { return file.path.str(); });
  return found == variant.files.end() ? nullptr : &*found;
}

/// The file that Python would import as the kernel's `layers`: a package goes before a module, and the older
/// layout counts only where the newer one is not.
const FileEntry* python_source(const LockedVariant& variant, const RepoId& repo) {
  auto module = module_of(repo);
  bool newer = find_file(variant, "__init__.py") != nullptr;
  for (const char* path : {"layers/__init__.py", "layers.py"})
    if (const auto* file = find_file(variant, newer ? path : module + "/" + path)) return file;
  return nullptr;
}

std::string quoted(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxListed); ++i)
    out += (i == 0 ? "`" : ", `") + names[i] + "`";
  if (names.size() > kMaxListed) out += " and " + std::to_string(names.size() - kMaxListed) + " more";
  return out;
}

/// What the sources of all usable variants say together.
struct Summary {
  std::vector<inspect::LayerDescription> descriptions;
  std::vector<std::string> names;          ///< of the layers that exist
  std::string cannot_tell;                 ///< why not every source could be read; else empty
  std::vector<const NativeLayer*> native;  ///< one for each native declaration; null where it is not in it
  bool all(inspect::LayerPresence presence) const {
    return cannot_tell.empty() && !descriptions.empty() &&
           std::ranges::all_of(descriptions, [&](const auto& item) { return item.presence == presence; });
  }
  bool all_native(bool declared) const {
    return cannot_tell.empty() && !native.empty() &&
           std::ranges::all_of(native, [&](const auto* item) { return (item != nullptr) == declared; });
  }
  /// Neither Python nor C++ would find it.
  bool is_missing() const {
    bool not_in_python = descriptions.empty() || all(inspect::LayerPresence::absent);
    bool not_declared = native.empty() || all_native(false);
    return cannot_tell.empty() && descriptions.size() + native.size() > 0 && not_in_python && not_declared;
  }
};

void add_name(std::string name, Summary& out) {
  if (std::ranges::find(out.names, name) == out.names.end()) out.names.push_back(std::move(name));
}

void summarise_native(const ProjectLayer& layer, const LayerFiles& files, const LayerSources& sources,
                      Summary& out) {
  for (const auto& file : files.native) {
    const auto* declared = sources.find_native(file.blob);
    if (declared == nullptr) continue;
    if (!*declared) {
      out.cannot_tell = declared->error().text();
      continue;
    }
    out.native.push_back((*declared)->find(layer.kernel_layer));
    for (auto& name : (*declared)->names())
      add_name(std::move(name), out);
  }
}

Summary summarise(const ProjectLayer& layer, const LayerFiles& files, const LayerSources& sources) {
  Summary out;
  out.cannot_tell = files.cannot_be_read;
  for (const auto& file : files.python) {
    const auto* source = sources.find(file.blob);
    if (source == nullptr) continue;
    if (!*source) {
      out.cannot_tell = "`" + file.path.str() + "`: " + source->error().text();
      continue;
    }
    out.descriptions.push_back(inspect::describe_layer(**source, layer.kernel_layer));
    for (auto& name : inspect::layer_names(**source))
      add_name(std::move(name), out);
  }
  summarise_native(layer, files, sources, out);
  if (!out.cannot_tell.empty()) return out;
  if (!files.any_variant)
    out.cannot_tell = "it has no variant for the device `" + to_string(layer.device) + "`";
  else if (files.python.empty() && files.native.empty())
    out.cannot_tell =
        "its variants have no layer source (`layers.py`, `layers/__init__.py` or `layers.toml`)";
  return out;
}

LayerFacts facts_of(const inspect::LayerDescription& description) {
  LayerFacts out;
  out.has_backward = description.has_backward;
  out.can_torch_compile = description.can_torch_compile;
  if (description.forward) out.forward = inspect::names_of(*description.forward);
  return out;
}

LayerFacts facts_of(const NativeLayer& declared) {
  LayerFacts out{.has_backward = declared.has_backward,
                 .can_torch_compile = declared.can_torch_compile,
                 .forward = std::vector<std::string>{"self"}};
  for (const auto& value : declared.forward)
    out.forward->push_back(value.name);
  return out;
}

/// A layer that only C++ has; of several declarations the first, as they come from one build.
bool is_native_only(const Summary& summary) {
  return summary.all_native(true) &&
         (summary.descriptions.empty() || summary.all(inspect::LayerPresence::absent));
}

/// Facts are known where every source says the same.
LayerFacts common_facts(const Summary& summary) {
  LayerFacts out;
  if (is_native_only(summary)) return facts_of(*summary.native.front());
  if (!summary.all(inspect::LayerPresence::defined)) return out;
  out = facts_of(summary.descriptions.front());
  for (const auto& description : summary.descriptions) {
    auto other = facts_of(description);
    if (out.has_backward != other.has_backward) out.has_backward.reset();
    if (out.can_torch_compile != other.can_torch_compile) out.can_torch_compile.reset();
    if (out.forward != other.forward) out.forward.reset();
  }
  return out;
}

std::string place_of(const ProjectLayer& layer) {
  return "layer `" + layer.layer + "` on " + to_string(layer.device);
}

Error no_such_layer(const ProjectLayer& layer, const RepoId& repo, const std::vector<std::string>& names) {
  auto guess = nearest(layer.kernel_layer, names);
  std::string existing = names.empty() ? "its layer source defines none" : "its layers are " + quoted(names);
  return Error(Errc::not_found, "`" + repo.str() + "` (" + layer.requirement.display() + ") has no layer `" +
                                    layer.kernel_layer + "`; " + existing)
      .at(layer.where.str())
      .with_hint(guess ? "did you mean `" + *guess + "`?"
                       : "name one with `layer = …`, or another version of the repository")
      .while_doing("checking the " + place_of(layer));
}

/// A layer must be pure; what is not is refused when Python kernelizes with it.
void warn_if_impure(const std::string& label, const Summary& summary, std::vector<std::string>& warnings) {
  bool init = false;
  std::vector<std::string> members;
  for (const auto& item : summary.descriptions) {
    init |= item.defines_init;
    for (const auto& name : item.extra_members)
      if (std::ranges::find(members, name) == members.end()) members.push_back(name);
  }
  if (init)
    warnings.push_back(label +
                       " defines `__init__`; layers must be pure, and the Python package refuses this one");
  if (!members.empty())
    warnings.push_back(label + " has members of its own, " + quoted(members) +
                       "; layers must be pure, and the Python package refuses this one");
}

bool lacks_facts(const ProjectLayer& layer, const LayerFacts& facts) {
  return (layer.mode.has(Mode::training) && !facts.has_backward) ||
         (layer.mode.has(Mode::torch_compile) && !facts.can_torch_compile);
}

Error unsupported_mode(const ProjectLayer& layer, const RepoId& repo, const std::string& what) {
  return Error(Errc::invalid_argument, "the layer `" + layer.kernel_layer + "` of `" + repo.str() +
                                           "` does not support " + what + ", was registered for `" +
                                           layer.layer + "` on " + to_string(layer.device) + " with mode `" +
                                           layer.mode.str() + "`")
      .at(layer.where.str());
}

}  // namespace

static void add_source(const FileEntry* file, std::vector<FileEntry>& list, LayerFiles& out) {
  if (file == nullptr || std::ranges::find(list, file->blob, &FileEntry::blob) != list.end()) return;
  if (file->size > kMaxSourceSize)
    out.cannot_be_read =
        "`" + file->path.str() + "` is longer than " + std::to_string(kMaxSourceSize) + " bytes";
  else if (list.size() == kMaxSources)
    out.cannot_be_read =
        "its variants have more than " + std::to_string(kMaxSources) + " different layer sources";
  else
    list.push_back(*file);
}

LayerFiles find_layer_files(const std::vector<LockedVariant>& variants, const RepoId& repo,
                            DeviceType device) {
  std::vector<const LockedVariant*> usable;
  for (const auto& variant : variants)
    if (can_use(device, variant.name)) usable.push_back(&variant);
  std::ranges::sort(usable, {}, [](const LockedVariant* variant) { return variant->name; });
  LayerFiles out;
  out.any_variant = !usable.empty();
  for (const auto* variant : usable) {
    add_source(find_file(*variant, "layers.toml"), out.native, out);
    add_source(python_source(*variant, repo), out.python, out);
  }
  return out;
}

void LayerSources::add(const FileEntry& file, std::string_view text) {
  if (file.path.filename() == "layers.toml")
    native_.try_emplace(file.blob, parse_native_layers(text, "`" + file.path.str() + "`"));
  else if (!sources_.contains(file.blob))
    sources_.emplace(file.blob, inspect::read_layer_source(text));
}

const Result<NativeLayers>* LayerSources::find_native(const BlobId& blob) const {
  auto found = native_.find(blob);
  return found == native_.end() ? nullptr : &found->second;
}

const Result<inspect::LayerSource>* LayerSources::find(const BlobId& blob) const {
  auto found = sources_.find(blob);
  return found == sources_.end() ? nullptr : &found->second;
}

static const std::vector<std::string>* counted_forward(const LockedLayer& layer) {
  if (!layer.facts || !layer.facts->forward) return nullptr;
  const auto& names = *layer.facts->forward;
  bool takes_any = std::ranges::any_of(names, [](const std::string& name) { return name.starts_with("*"); });
  return takes_any ? nullptr : &names;
}

static std::string signature_of(const LockedLayer& layer) {
  std::string out = "`" + layer.kernel_layer + "` of `" + layer.repo.str() + "` has `forward(";
  const auto& names = *layer.facts->forward;
  for (const auto& name : names)
    out += (&name == names.data() ? "" : ", ") + name;
  return out + ")`";
}

Status check_same_forward(const std::vector<ProjectLayer>& layers, const std::vector<LockedLayer>& locked) {
  std::map<std::string, const LockedLayer*> first;
  for (std::size_t i = 0; i < locked.size(); ++i) {
    const auto* names = counted_forward(locked[i]);
    if (names == nullptr) continue;
    const auto* other = first.try_emplace(locked[i].layer, &locked[i]).first->second;
    if (counted_forward(*other)->size() == names->size()) continue;
    return fail(
        Error(Errc::invalid_argument, "the kernels for the layer `" + locked[i].layer +
                                          "` take different arguments: " + signature_of(*other) + ", but " +
                                          signature_of(locked[i]))
            .at(layers[i].where.str())
            .with_hint("a kernel takes what the layer takes that it replaces; name another layer for one of "
                       "them with `layer = …`"));
  }
  return {};
}

Status check_layer_mode(const ProjectLayer& layer, const LayerFacts& facts, const RepoId& repo) {
  if (layer.mode.has(Mode::training) && facts.has_backward == false)
    return fail(unsupported_mode(layer, repo, "backward").with_hint("register it for the mode `inference`"));
  if (layer.mode.has(Mode::torch_compile) && facts.can_torch_compile == false)
    return fail(unsupported_mode(layer, repo, "torch.compile")
                    .with_hint("register it for a mode without `torch-compile`"));
  return {};
}

Result<CheckedLayer> check_layer(const ProjectLayer& layer, const std::vector<LockedVariant>& variants,
                                 const RepoId& repo, const LayerSources& sources) {
  auto files = find_layer_files(variants, repo, layer.device);
  auto summary = summarise(layer, files, sources);
  if (summary.is_missing()) return fail(no_such_layer(layer, repo, summary.names));
  CheckedLayer out;
  out.facts = common_facts(summary);
  if (auto fits = check_layer_mode(layer, out.facts, repo); !fits) return fail(std::move(fits).error());
  std::string label = "the layer `" + layer.kernel_layer + "` of `" + repo.str() + "`";
  warn_if_impure(label, summary, out.warnings);
  if (!summary.cannot_tell.empty())
    out.warnings.push_back(label + " was not checked: " + summary.cannot_tell);
  else if (lacks_facts(layer, out.facts))
    out.warnings.push_back("whether " + label + " supports the mode `" + layer.mode.str() +
                           "` shows only when it is used: its layer source does not tell");
  return out;
}

}  // namespace kernels::ops
