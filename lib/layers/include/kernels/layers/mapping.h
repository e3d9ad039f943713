#pragma once

#include <compare>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/layer.h"
#include "kernels/model/lock.h"

namespace kernels::layers {

// --- where a kernel comes from ---------------------------------------------------------------------------

/// Which version of a repository: a number, a specifier such as ">=0.0.3,<0.1", or none.
class VersionRequest {
 public:
  VersionRequest() = default;
  VersionRequest(int number) : value_(std::to_string(number)), is_number_(true) {}
  VersionRequest(const char* specifier) : value_(specifier) {}
  VersionRequest(std::string specifier) : value_(std::move(specifier)) {}
  bool given() const { return !value_.empty(); }
  bool is_number() const { return is_number_; }
  const std::string& text() const { return value_; }
  auto operator<=>(const VersionRequest&) const = default;

 private:
  std::string value_;
  bool is_number_ = false;
};

/// A layer of a repository on the Hub. Without version and revision: the branch `main`.
struct LayerRepository {
  std::string repo_id;
  std::string layer_name;
  VersionRequest version = {};
  std::string revision = {};       ///< branch, tag or commit; not together with `version`
  bool trust_remote_code = false;  ///< also from a publisher that the Hub does not mark as trusted
  auto operator<=>(const LayerRepository&) const = default;
};

/// A layer of a repository in a folder: one with `build/`, or a variant itself.
struct LocalLayerRepository {
  std::filesystem::path repo_path;
  std::string layer_name;
  auto operator<=>(const LocalLayerRepository&) const = default;
};

/// A layer of a repository at the commit, and with the bytes, that a project has locked.
struct LockedLayerRepository {
  std::string repo_id;
  std::string layer_name;
  std::filesystem::path lockfile;  ///< `kernels.lock`; `kernels.sum` lies beside it
  std::string commit = {};         ///< which of several pins of this repository; empty: there is one
  auto operator<=>(const LockedLayerRepository&) const = default;
};

/// The same three for a function that stands in for a layer made by `use_kernel_func_from_hub`.
struct FuncRepository {
  std::string repo_id;
  std::string func_name;
  VersionRequest version = {};
  std::string revision = {};
  bool trust_remote_code = false;
  auto operator<=>(const FuncRepository&) const = default;
};
struct LocalFuncRepository {
  std::filesystem::path repo_path;
  std::string func_name;
  auto operator<=>(const LocalFuncRepository&) const = default;
};
struct LockedFuncRepository {
  std::string repo_id;
  std::string func_name;
  std::filesystem::path lockfile;
  auto operator<=>(const LockedFuncRepository&) const = default;
};

using Repository = std::variant<LayerRepository, LocalLayerRepository, LockedLayerRepository, FuncRepository,
                                LocalFuncRepository, LockedFuncRepository>;
/// "`kernels-community/activation` (version 1), layer `SiluAndMul`"
std::string to_string(const Repository& repository);
/// The layer or function that is asked for, and which of the two it is.
const std::string& name_in(const Repository& repository);
bool is_function(const Repository& repository);
/// Errors  invalid_argument: no repository name, no layer name, a version and a revision together, a
/// specifier or
///         revision that cannot be read.
Status validate(const Repository& repository);

// --- for which device and mode ---------------------------------------------------------------------------

/// Compute capabilities, both included, as 10·major + minor.
struct CudaProperties {
  std::uint32_t min_capability = 0;
  std::uint32_t max_capability = 9999;
  auto operator<=>(const CudaProperties&) const = default;
};
struct RocmProperties {
  std::uint32_t min_capability = 0;
  std::uint32_t max_capability = 9999;
  auto operator<=>(const RocmProperties&) const = default;
};

/// A kind of device, for CUDA and ROCm optionally with a range of capabilities.
struct Device {
  using Properties = std::variant<std::monostate, CudaProperties, RocmProperties>;
  Device(const char* device_type) : type(device_type) {}
  Device(std::string device_type, Properties device_properties = {})
      : type(std::move(device_type)), properties(device_properties) {}

  std::string type;
  Properties properties;
};

/// The kernels for one device: one for each mode, or one for any mode (registered as `fallback`).
struct ModeRepositories {
  template <class R>
    requires std::constructible_from<Repository, R>
  ModeRepositories(R repository) : by_mode{{Mode::fallback, std::move(repository)}} {}
  ModeRepositories(std::initializer_list<std::pair<const Mode, Repository>> modes)
      : by_mode(modes.begin(), modes.end()) {}
  explicit ModeRepositories(std::vector<std::pair<Mode, Repository>> modes)
      : by_mode(modes.begin(), modes.end()) {}

  std::vector<std::pair<Mode, Repository>> by_mode;
};

/// layer name → device → kernels, as the Python package writes it:
///
///   KernelMapping mapping = {
///       {"SiluAndMul", {{"cuda", LayerRepository{.repo_id = "kernels-community/activation",
///                                                .layer_name = "SiluAndMul", .version = 1}}}}};
using KernelMapping = std::vector<std::pair<std::string, std::vector<std::pair<Device, ModeRepositories>>>>;

enum class InheritMapping { yes, no };

/// Adds kernels to the mapping in force: inside a `use_kernel_mapping` scope of this thread to that scope's,
/// otherwise to the one of the process. `InheritMapping::no` erases what was there first. Equal layer, device
/// and range replace. Makes no request.
///
/// Errors  invalid_argument: see `validate`; an unknown device; properties of another device; min above max;
/// modes
///         that exclude each other; a layer without devices, a device without kernels, nothing at all (unless
///         it erases). Then nothing of it is registered.
/// Threads  any.
Status register_kernel_mapping(const KernelMapping& mapping, InheritMapping inherit = InheritMapping::yes);

/// A mapping for a scope of this thread: in force until the object is destroyed, however the scope is left.
/// Scopes nest and end in the reverse order; a scope that is destroyed on another thread would be a broken
/// invariant and ends the program.
///
///   auto scope = use_kernel_mapping(mapping);
///   if (!scope) …
class [[nodiscard]] KernelMappingScope {
 public:
  KernelMappingScope(KernelMappingScope&& other) noexcept;
  KernelMappingScope& operator=(KernelMappingScope&&) = delete;
  ~KernelMappingScope();

 private:
  friend Result<KernelMappingScope> use_kernel_mapping(const KernelMapping& mapping, InheritMapping inherit);
  explicit KernelMappingScope(std::size_t depth) : depth_(depth) {}
  std::size_t depth_;  // of this scope in its thread; 0 when it was moved from
};
/// Errors  as `register_kernel_mapping`; then the mapping in force is as before.
Result<KernelMappingScope> use_kernel_mapping(const KernelMapping& mapping,
                                              InheritMapping inherit = InheritMapping::yes);

/// The layers of a lock as a mapping to LockedLayerRepository. `lockfile` is where its `kernels.lock` lies.
KernelMapping mapping_from_lock(const Lock& lock, const std::filesystem::path& lockfile);

}  // namespace kernels::layers
