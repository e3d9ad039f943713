#include "kernels/layers/mapping.h"

#include <exception>
#include <mutex>

#include "kernels/model/repo.h"
#include "kernels/model/version.h"

#include "mapping_impl.h"

namespace kernels::layers {

namespace {

std::unexpected<Error> invalid(std::string text) {
  return fail(Errc::invalid_argument, std::move(text));
}

template <class R>
constexpr bool is_hub = requires(const R& r) { r.version; };
template <class R>
constexpr bool is_local = requires(const R& r) { r.repo_path; };
template <class R>
constexpr bool names_function = requires(const R& r) { r.func_name; };

template <class R>
std::string place_of(const R& repository) {
  if constexpr (is_local<R>)
    return "`" + repository.repo_path.string() + "`";
  else if constexpr (is_hub<R>) {
    auto out = "`" + repository.repo_id + "`";
    if (repository.version.given()) return out + " (version " + repository.version.text() + ")";
    return out + " (revision " + (repository.revision.empty() ? "main" : repository.revision) + ")";
  } else {
    return "`" + repository.repo_id + "` (locked in `" + repository.lockfile.string() + "`)";
  }
}

template <class R>
const std::string& name_of(const R& repository) {
  if constexpr (names_function<R>)
    return repository.func_name;
  else
    return repository.layer_name;
}

template <class R>
Status check_revision(const R& repository) {
  if (repository.version.given() && !repository.revision.empty())
    return invalid("a version and a revision exclude each other");
  if (!repository.revision.empty())
    if (auto revision = parse_revision(repository.revision); !revision)
      return fail(std::move(revision).error());
  if (repository.version.is_number() && repository.version.text().starts_with("-"))
    return invalid("`" + repository.version.text() + "` is not a version");
  if (repository.version.given() && !repository.version.is_number())
    if (auto set = SpecifierSet::parse(repository.version.text()); !set) return fail(std::move(set).error());
  return {};
}

template <class R>
Status check(const R& repository) {
  if (name_of(repository).empty())
    return invalid(std::string("the name of the ") + (names_function<R> ? "function" : "layer") +
                   " is missing");
  if constexpr (is_local<R>) {
    if (repository.repo_path.empty()) return invalid("the path of the repository is missing");
  } else {
    if (auto repo = RepoId::parse(repository.repo_id); !repo) return fail(std::move(repo).error());
    if constexpr (is_hub<R>) return check_revision(repository);
    if constexpr (!is_hub<R>)
      if (repository.lockfile.empty()) return invalid("the path of the lock file is missing");
  }
  return {};
}

Result<CapabilityRange> range_of(const Device& device, DeviceType type) {
  CapabilityRange range;
  const char* needs = nullptr;
  if (const auto* cuda = std::get_if<CudaProperties>(&device.properties)) {
    range = {.min = cuda->min_capability, .max = cuda->max_capability};
    if (type != DeviceType::cuda) needs = "CudaProperties are only for `cuda`";
  }
  if (const auto* rocm = std::get_if<RocmProperties>(&device.properties)) {
    range = {.min = rocm->min_capability, .max = rocm->max_capability};
    if (type != DeviceType::rocm) needs = "RocmProperties are only for `rocm`";
  }
  if (needs != nullptr) return invalid(std::string(needs) + ", not for `" + device.type + "`");
  if (range.min > range.max)
    return invalid("the capability range from " + std::to_string(range.min) + " to " +
                   std::to_string(range.max) + " is empty");
  return range;
}

Status add_kernels(const ModeRepositories& kernels, MappingTable::ByMode& out) {
  if (kernels.by_mode.empty()) return invalid("there is no kernel for any mode");
  for (const auto& [mode, repository] : kernels.by_mode) {
    if (auto valid = mode.validate(); !valid) return valid;
    if (auto valid = validate(repository); !valid)
      return fail(
          std::move(valid).error().while_doing("reading the entry for the mode `" + mode.str() + "`"));
    out.insert_or_assign(mode, repository);
  }
  return {};
}

Status add_layer(const std::string& layer, const std::vector<std::pair<Device, ModeRepositories>>& devices,
                 MappingTable& out) {
  if (devices.empty()) return invalid("there is no device");
  for (const auto& [device, kernels] : devices) {
    auto step = [&](Error error) {
      return fail(std::move(error).while_doing("reading the entry for the device `" + device.type + "`"));
    };
    auto type = parse_device(device.type);
    if (!type) return fail(std::move(type).error());
    auto range = range_of(device, *type);
    if (!range) return step(std::move(range).error());
    MappingTable::ByMode by_mode;
    if (auto added = add_kernels(kernels, by_mode); !added) return step(std::move(added).error());
    out.insert(layer, *type, *range, std::move(by_mode));
  }
  return {};
}

Result<std::shared_ptr<const MappingTable>> extend(const MappingTable& table, const KernelMapping& mapping) {
  auto out = std::make_shared<MappingTable>(table);
  for (const auto& [layer, devices] : mapping) {
    if (layer.empty()) return invalid("a mapping has an entry without the name of a layer");
    if (auto added = add_layer(layer, devices, *out); !added)
      return fail(std::move(added).error().while_doing("registering kernels for the layer `" + layer + "`"));
  }
  return out;
}

using TablePointer = std::shared_ptr<const MappingTable>;

std::mutex process_mutex;

TablePointer& process_table() {
  static TablePointer table = std::make_shared<MappingTable>();
  return table;
}

std::vector<TablePointer>& thread_scopes() {
  thread_local std::vector<TablePointer> scopes;
  return scopes;
}

}  // namespace

std::string to_string(const Repository& repository) {
  return std::visit(
      [](const auto& each) {
        using R = std::remove_cvref_t<decltype(each)>;
        return place_of(each) + (names_function<R> ? ", function `" : ", layer `") + name_of(each) + "`";
      },
      repository);
}

const std::string& name_in(const Repository& repository) {
  return std::visit([](const auto& each) -> const std::string& { return name_of(each); }, repository);
}

bool is_function(const Repository& repository) {
  return std::visit([](const auto& each) { return names_function<std::remove_cvref_t<decltype(each)>>; },
                    repository);
}

Status validate(const Repository& repository) {
  return std::visit([](const auto& each) { return check(each); }, repository);
}

std::shared_ptr<const MappingTable> mapping_in_force() {
  if (!thread_scopes().empty()) return thread_scopes().back();
  std::scoped_lock lock(process_mutex);
  return process_table();
}

static Status refuse_nothing(const KernelMapping& mapping, InheritMapping inherit) {
  if (!mapping.empty() || inherit == InheritMapping::no) return {};
  return fail(Error(Errc::invalid_argument, "the mapping is empty")
                  .with_hint("to erase what is registered, say InheritMapping::no"));
}

Status register_kernel_mapping(const KernelMapping& mapping, InheritMapping inherit) {
  if (auto sensible = refuse_nothing(mapping, inherit); !sensible) return sensible;
  auto base = [&](const TablePointer& present) {
    return inherit == InheritMapping::yes ? present : std::make_shared<MappingTable>();
  };
  if (auto& scopes = thread_scopes(); !scopes.empty()) {
    auto extended = extend(*base(scopes.back()), mapping);
    if (!extended) return fail(std::move(extended).error());
    scopes.back() = std::move(*extended);
    return {};
  }
  std::scoped_lock lock(process_mutex);
  auto extended = extend(*base(process_table()), mapping);
  if (!extended) return fail(std::move(extended).error());
  process_table() = std::move(*extended);
  return {};
}

Result<KernelMappingScope> use_kernel_mapping(const KernelMapping& mapping, InheritMapping inherit) {
  if (auto sensible = refuse_nothing(mapping, inherit); !sensible) return fail(std::move(sensible).error());
  auto base = inherit == InheritMapping::yes ? mapping_in_force() : std::make_shared<MappingTable>();
  auto extended = extend(*base, mapping);
  if (!extended) return fail(std::move(extended).error());
  thread_scopes().push_back(std::move(*extended));
  return KernelMappingScope(thread_scopes().size());
}

KernelMappingScope::KernelMappingScope(KernelMappingScope&& other) noexcept
    : depth_(std::exchange(other.depth_, 0)) {}

KernelMappingScope::~KernelMappingScope() {
  if (depth_ == 0) return;
  // Another order, or another thread, would leave a mapping in force that nobody asked for.
  if (thread_scopes().size() != depth_) std::terminate();
  thread_scopes().pop_back();
}

KernelMapping mapping_from_lock(const Lock& lock, const std::filesystem::path& lockfile) {
  struct Entry {
    DeviceType device;
    CapabilityRange range;
    std::vector<std::pair<Mode, Repository>> kernels;
  };
  std::map<std::string, std::vector<Entry>> layers;
  for (const auto& layer : lock.layers) {
    auto& entries = layers[layer.layer];
    auto same = std::ranges::find_if(entries, [&](const Entry& entry) {
      return entry.device == layer.device && entry.range == layer.capabilities;
    });
    if (same == entries.end())
      same =
          entries.insert(entries.end(), {.device = layer.device, .range = layer.capabilities, .kernels = {}});
    same->kernels.emplace_back(layer.mode, LockedLayerRepository{.repo_id = layer.repo.str(),
                                                                 .layer_name = layer.kernel_layer,
                                                                 .lockfile = lockfile,
                                                                 .commit = layer.commit.str()});
  }
  KernelMapping out;
  for (auto& [layer, entries] : layers) {
    std::vector<std::pair<Device, ModeRepositories>> devices;
    for (auto& entry : entries) {
      Device device(to_string(entry.device));
      if (entry.device == DeviceType::cuda)
        device.properties =
            CudaProperties{.min_capability = entry.range.min, .max_capability = entry.range.max};
      if (entry.device == DeviceType::rocm)
        device.properties =
            RocmProperties{.min_capability = entry.range.min, .max_capability = entry.range.max};
      devices.emplace_back(std::move(device), ModeRepositories(std::move(entry.kernels)));
    }
    out.emplace_back(layer, std::move(devices));
  }
  return out;
}

}  // namespace kernels::layers
