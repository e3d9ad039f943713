// Two passes. The first looks up, loads and binds a kernel for every extensible layer, and writes down what
// is to be done; the second does it and cannot fail. What a name means (kernel or own forward) is decided
// once for each name: device, capability and mode are the same for the whole model.

#include "kernels/layers/kernelize.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "loaded_layer_impl.h"
#include "mapping_impl.h"

namespace kernels::layers {

namespace {

/// The models that are being kernelized: every module of each.
struct Busy {
  std::mutex mutex;
  std::unordered_set<const Module*> modules;
};

Busy& busy() {
  static Busy all;
  return all;
}

/// Claims modules for the time of one `kernelize`.
class Claim {
 public:
  Claim() = default;
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() {
    std::scoped_lock lock(busy().mutex);
    for (const auto* module : claimed_)
      busy().modules.erase(module);
  }

  Status take(const std::vector<const Module*>& modules) {
    std::scoped_lock lock(busy().mutex);
    for (const auto* module : modules) {
      if (!busy().modules.insert(module).second)
        return fail(Error(Errc::unsupported, "another thread is kernelizing this model")
                        .with_hint("kernelize a model from one thread, before others use it"));
      claimed_.push_back(module);
    }
    return {};
  }

 private:
  std::vector<const Module*> claimed_;
};

struct Found {
  std::string path;
  LayerBase* layer;
};

/// Every module once, in order; of them the layers, and the functions that modules use.
class Walk {
 public:
  explicit Walk(Module& model) { visit(model, ""); }
  std::vector<const Module*> modules;
  std::vector<Found> layers;

 private:
  void visit(Module& module, const std::string& path) {
    if (!seen_.insert(&module).second) return;
    modules.push_back(&module);
    for (const auto& function : module.kernel_functions()) {
      if (!seen_.insert(function.get()).second) continue;
      modules.push_back(function.get());
      const auto* mark = function->mark();
      layers.push_back({join(path, mark == nullptr ? "function" : mark->layer_name), function.get()});
    }
    if (auto* layer = dynamic_cast<LayerBase*>(&module)) layers.push_back({path, layer});
    for (const auto& child : module.children())
      visit(*child.module, join(path, child.name));
  }
  static std::string join(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
  }
  std::unordered_set<const Module*> seen_;
};

/// What a layer name means for this call.
struct Decision {
  LayerReport report;
  std::shared_ptr<const LoadedLayer> loaded;  // null: the layer's own forward
};

struct Step {
  LayerBase* layer;
  std::shared_ptr<const BoundKernel> kernel;
};

bool mapping_is_disabled() {
  const char* text = std::getenv("DISABLE_KERNEL_MAPPING");
  return text != nullptr && std::strtol(text, nullptr, 10) != 0;
}

Result<DeviceType> device_of(const Module& model) {
  const auto* parameter = model.first_parameter();
  if (parameter == nullptr)
    return fail(Error(Errc::invalid_argument, "the model has no parameters that would tell its device")
                    .with_hint("name it: kernelize(model, {.device = \"cuda\"})"));
  // DLPack's numbers.
  switch (parameter->device().type) {
    case 1:
      return DeviceType::cpu;
    case 2:
      return DeviceType::cuda;
    case 8:
      return DeviceType::mps;
    case 10:
      return DeviceType::rocm;
    case 14:
      return DeviceType::xpu;
    default:
      return fail(
          Error(Errc::invalid_argument, "the model's parameters are on a device that is not known (DLPack " +
                                            std::to_string(parameter->device().type) + ")")
              .with_hint("name it: kernelize(model, {.device = \"cuda\"})"));
  }
}

Result<Mode> mode_of(const Module& model, const KernelizeOptions& options) {
  bool is_stated = options.needs_backward || options.needs_torch_compile;
  if (options.mode && is_stated)
    return fail(Errc::invalid_argument,
                "`mode` and `needs_backward` or `needs_torch_compile` exclude each other");
  if (options.mode) return *options.mode;
  auto mode = options.needs_backward.value_or(model.is_training()) ? Mode::training : Mode::inference;
  return options.needs_torch_compile.value_or(false) ? mode | Mode::torch_compile : mode;
}

/// Failures to load that mean "not for this machine, not now"; others are never passed over in silence.
bool is_missing(const Error& error) {
  switch (error.code()) {
    case Errc::not_found:
    case Errc::no_match:
    case Errc::network:
    case Errc::unsupported:
      return true;
    default:
      return false;
  }
}

class Kernelizer {
 public:
  Kernelizer(const KernelizeOptions& options, KernelizeReport& report, std::span<const Mode> order)
      : options_(options),
        report_(report),
        order_(order),
        table_(mapping_in_force()),
        disabled_(mapping_is_disabled()),
        allocate_(options.allocate ? options.allocate : Allocator(allocate_on_cpu)) {}

  Result<std::vector<Step>> plan(const std::vector<Found>& layers) {
    std::vector<Step> steps;
    for (const auto& found : layers) {
      const auto* mark = found.layer->mark();
      if (mark == nullptr) continue;
      if (mark->condition && !mark->condition(*found.layer)) {
        note(found, LayerReport{.path = {},
                                .layer = mark->layer_name,
                                .outcome = Outcome::condition,
                                .reason = "the layer's condition says no"});
        continue;
      }
      auto decision = decide(mark->layer_name);
      if (!decision) return fail(std::move(decision).error());
      auto step = bind(found, **decision);
      if (!step) return fail(std::move(step).error());
      steps.push_back(std::move(*step));
      note(found, (*decision)->report);
    }
    return steps;
  }

 private:
  void note(const Found& found, LayerReport report) {
    report.path = found.path;
    report_.layers.push_back(std::move(report));
  }

  std::string circumstances() const {
    auto out = "device `" + to_string(report_.device) + "`";
    if (report_.capability) out += " with capability " + std::to_string(*report_.capability);
    return out + ", mode `" + report_.mode.str() + "`";
  }

  Result<const Decision*> decide(const std::string& name) {
    auto found = decisions_.find(name);
    if (found != decisions_.end()) return &found->second;
    auto decision = disabled_ ? Decision{.report = {.layer = name,
                                                    .outcome = Outcome::disabled,
                                                    .reason = "DISABLE_KERNEL_MAPPING is set"},
                                         .loaded = nullptr}
                              : look_up(name);
    if (!decision)
      return fail(std::move(decision).error().while_doing("kernelizing the layer `" + name + "` for " +
                                                          circumstances()));
    return &decisions_.emplace(name, std::move(*decision)).first->second;
  }

  /// The layer's own forward, if that is allowed here.
  Result<Decision> fall_back(const std::string& name, Outcome outcome, KernelizeFallback which,
                             std::string reason) {
    if (!options_.use_fallback.has(which))
      return fail(Error(Errc::no_match, reason)
                      .with_hint("add a kernel to the mapping, or allow the layer's own forward with "
                                 "`use_fallback`"));
    return Decision{.report = {.layer = name, .outcome = outcome, .reason = std::move(reason)},
                    .loaded = nullptr};
  }

  Result<Decision> look_up(const std::string& name) {
    auto choice = table_->choose(name, report_.device, report_.capability, order_);
    auto device = "`" + to_string(report_.device) + "`";
    switch (choice.reason) {
      case resolve::FallbackReason::no_layer:
        return fall_back(name, Outcome::no_layer, KernelizeFallback::no_layer, "no mapping for this layer");
      case resolve::FallbackReason::no_device:
        return fall_back(name, Outcome::no_device, KernelizeFallback::no_device,
                         "no kernel for the device " + device);
      case resolve::FallbackReason::no_range:
        return fall_back(name, Outcome::no_compatible_properties, KernelizeFallback::no_compatible_properties,
                         "no range holds the capability " + std::to_string(report_.capability.value_or(0)));
      case resolve::FallbackReason::capability_unknown:
        return fall_back(name, Outcome::no_compatible_properties, KernelizeFallback::no_compatible_properties,
                         "the capability of the device is not known");
      case resolve::FallbackReason::no_mode:
        return fall_back(name, Outcome::no_compatible_mode, KernelizeFallback::no_compatible_mode,
                         "no kernel for the mode `" + report_.mode.str() + "`");
      default:
        return use(name, choice.registered, *choice.value);
    }
  }

  Result<Decision> use(const std::string& name, Mode registered, const Repository& repository) {
    auto loaded = load_layer(repository, report_.device);
    if (!loaded) {
      if (!options_.use_fallback.has(KernelizeFallback::cannot_load) || !is_missing(loaded.error()))
        return fail(std::move(loaded).error());
      auto decision =
          fall_back(name, Outcome::cannot_load, KernelizeFallback::cannot_load, loaded.error().text());
      decision->report.registered_mode = registered;
      decision->report.repository = to_string(repository);
      return decision;
    }
    const auto& declared = (*loaded)->declaration;
    if (auto right = check_registration(registered, declared, (*loaded)->title); !right)
      return fail(std::move(right).error());
    bool lacks_compile = report_.mode.has(Mode::torch_compile) && !declared.can_torch_compile;
    bool lacks_backward = report_.mode.has(Mode::training) && !declared.has_backward;
    if (lacks_compile || lacks_backward)
      return fall_back(name, Outcome::not_supported_by_kernel, KernelizeFallback::no_compatible_mode,
                       (*loaded)->title + (lacks_compile ? " does not support torch.compile"
                                                         : " does not support backward"));
    return Decision{.report = {.layer = name,
                               .outcome = Outcome::kernel,
                               .registered_mode = registered,
                               .repository = to_string(repository),
                               .revision = (*loaded)->place.revision,
                               .variant = (*loaded)->place.variant},
                    .loaded = *loaded};
  }

  /// A kernel that was registered for a mode must support it; one for `fallback` may turn out not to.
  static Status check_registration(Mode registered, const NativeLayer& declared, const std::string& title) {
    const char* lacks = nullptr;
    if (registered.has(Mode::training) && !declared.has_backward) lacks = "backward";
    if (registered.has(Mode::torch_compile) && !declared.can_torch_compile) lacks = "torch.compile";
    if (lacks == nullptr) return {};
    return fail(Error(Errc::invalid_argument, title + " does not support " + lacks +
                                                  ", but was registered for the mode `" + registered.str() +
                                                  "`")
                    .with_hint("register it for the mode `inference`, or without a mode"));
  }

  Result<Step> bind(const Found& found, const Decision& decision) {
    if (!decision.loaded) return Step{.layer = found.layer, .kernel = nullptr};
    if (!options_.allocate && report_.device != DeviceType::cpu &&
        !decision.loaded->declaration.outputs.empty())
      return fail(Error(Errc::invalid_argument, "kernels need memory for their results on the device `" +
                                                    to_string(report_.device) + "`")
                      .with_hint("give the engine's allocator: kernelize(model, {.allocate = …})"));
    auto bound = bind_kernel(decision.loaded, *found.layer, allocate_);
    if (!bound)
      return fail(std::move(bound).error().while_doing(
          "putting " + decision.loaded->title + " in the place of `" +
          (found.path.empty() ? "the model" : found.path) + "`, the layer `" + decision.report.layer +
          "`, for " + circumstances()));
    return Step{.layer = found.layer, .kernel = std::move(*bound)};
  }

  const KernelizeOptions& options_;
  KernelizeReport& report_;
  std::span<const Mode> order_;
  std::shared_ptr<const MappingTable> table_;
  bool disabled_;
  Allocator allocate_;
  std::unordered_map<std::string, Decision> decisions_;
};

Result<KernelizeReport> describe_call(const Module& model, const KernelizeOptions& options) {
  KernelizeReport report;
  auto mode = mode_of(model, options);
  if (!mode) return fail(std::move(mode).error());
  report.mode = *mode;
  auto device = options.device ? parse_device(*options.device) : device_of(model);
  if (!device) return fail(std::move(device).error());
  report.device = *device;
  report.capability = options.capability;
  bool has_capability = *device == DeviceType::cuda || *device == DeviceType::rocm;
  if (options.capability && !has_capability)
    return fail(Errc::invalid_argument, "the device `" + to_string(*device) + "` has no compute capability");
  if (has_capability && !report.capability) report.capability = source_capability(*device);
  return report;
}

}  // namespace

Result<KernelizeReport> kernelize(Module& model, const KernelizeOptions& options) {
  auto report = describe_call(model, options);
  if (!report) return report;
  if (auto valid = report->mode.validate(); !valid) return fail(std::move(valid).error());
  auto order = resolve::lookup_order(report->mode);
  if (!order) return fail(std::move(order).error());
  Walk walk(model);
  Claim claim;
  if (auto claimed = claim.take(walk.modules); !claimed) return fail(std::move(claimed).error());
  auto steps = Kernelizer(options, *report, *order).plan(walk.layers);
  if (!steps) return fail(std::move(steps).error());
  for (auto& step : *steps)
    step.layer->set_kernel(std::move(step.kernel));
  return report;
}

std::string to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::kernel:
      return "kernel";
    case Outcome::no_layer:
      return "no-layer";
    case Outcome::no_device:
      return "no-device";
    case Outcome::no_compatible_properties:
      return "no-compatible-properties";
    case Outcome::no_compatible_mode:
      return "no-compatible-mode";
    case Outcome::not_supported_by_kernel:
      return "not-supported-by-kernel";
    case Outcome::cannot_load:
      return "cannot-load";
    case Outcome::condition:
      return "condition";
    case Outcome::disabled:
      return "disabled";
  }
  return {};
}

std::size_t KernelizeReport::replaced() const {
  return static_cast<std::size_t>(std::ranges::count(layers, Outcome::kernel, &LayerReport::outcome));
}

std::string KernelizeReport::text() const {
  std::size_t path_width = 0;
  std::size_t layer_width = 0;
  for (const auto& row : layers) {
    path_width = std::max(path_width, row.path.size());
    layer_width = std::max(layer_width, row.layer.size());
  }
  std::string out;
  for (const auto& row : layers) {
    out += row.path + std::string(path_width - row.path.size() + 2, ' ');
    out += row.layer + std::string(layer_width - row.layer.size() + 2, ' ');
    if (row.outcome == Outcome::kernel) {
      out += row.repository;
      if (!row.revision.empty()) out += " at " + row.revision.substr(0, 12);
      out += " (" + row.variant + ")";
    } else {
      out += "own forward: " + row.reason;
    }
    out += "\n";
  }
  return out;
}

}  // namespace kernels::layers
