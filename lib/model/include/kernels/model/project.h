#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/layer.h"
#include "kernels/model/repo.h"
#include "kernels/model/target.h"
#include "kernels/model/version.h"

namespace kernels {

/// What a project asks of a repository: version N (branch `vN`), a PEP 440 set over its tags `v<version>`, or
/// a revision.
class Requirement {
 public:
  static Requirement of_version(std::uint64_t number) { return Requirement(number); }
  static Requirement of_specifier(SpecifierSet set) { return Requirement(std::move(set)); }
  static Requirement of_revision(std::string revision) { return Requirement(std::move(revision)); }

  const std::uint64_t* version() const { return std::get_if<std::uint64_t>(&value_); }
  const SpecifierSet* specifier() const { return std::get_if<SpecifierSet>(&value_); }
  const std::string* revision() const { return std::get_if<std::string>(&value_); }
  /// `version 1`, `>=0.0.3,<0.1`, `revision main`.
  std::string display() const;
  bool operator==(const Requirement& other) const { return display() == other.display(); }

 private:
  using Value = std::variant<std::uint64_t, SpecifierSet, std::string>;
  explicit Requirement(Value value) : value_(std::move(value)) {}
  Value value_;
};

/// A place in a project file, for messages: `kernels.toml:12`.
struct SourceLine {
  std::string file;
  std::uint32_t line = 0;
  std::string str() const { return file + ":" + std::to_string(line); }
};

struct ProjectDependency {
  RepoId repo;
  Requirement requirement;
  bool trust = false;  ///< lock it although the Hub does not mark its publisher as trusted
  SourceLine where;
};

/// One row of a layer mapping.
struct ProjectLayer {
  std::string layer;  ///< the name that the model uses
  DeviceType device = DeviceType::cuda;
  Mode mode = Mode::fallback;
  CapabilityRange capabilities;
  RepoId repo;
  std::string kernel_layer;  ///< the layer's name in the kernel repository
  Requirement requirement;   ///< its own, or that of the dependency of this name, or the branch `main`
  bool trust = false;
  SourceLine where;
};

/// A shape at which a project wants a layer measured, in place of those of the kernels:
/// `[[bench.RMSNorm]]` with `sizes`, and where wanted `name` and `dtypes`.
struct ProjectShape {
  std::string layer;                          ///< one that `layers` maps
  std::string name;                           ///< once in a layer; `cols=4096,rows=1` where none is given
  std::map<std::string, std::int64_t> sizes;  ///< one to eight, from 0 to 2^40
  std::vector<std::string> dtypes;  ///< `float32`, `float16`, `bfloat16`; empty: those that the kernel takes
  SourceLine where;
};

/// What becomes of a kernel without a good signature, the least strict first.
enum class SignaturePolicy { off, warn, require };
std::string to_string(SignaturePolicy policy);
/// `off`, `warn` or `require`. Errors  invalid_argument.
Result<SignaturePolicy> parse_signature_policy(std::string_view text);

struct TrustSettings {
  std::vector<std::string> publishers;
  std::optional<SignaturePolicy> signatures;  ///< nothing: the project does not say
  std::vector<std::string> signers;           ///< workflows, beside those that are trusted anyway
};

/// `kernels.toml`, or the same tables below `[tool.kernels]` of `pyproject.toml`.
struct Project {
  std::string file;
  std::vector<ProjectDependency> dependencies;  ///< in the order of the file
  std::vector<ProjectLayer> layers;             ///< in the order of the file
  std::vector<ProjectShape> shapes;             ///< in the order of the file
  std::map<std::string, Target> targets;
  TrustSettings trust;
  bool has_dependencies_table = false;
};

enum class ProjectFormat { kernels_toml, pyproject };

/// `file` is the name for messages.
/// Errors  invalid_argument, with file and line: not TOML, unknown key (with the nearest), wrong type, bad
/// name,
///         version and revision together, a capability range with min > max, a device with a range it cannot
///         have.
Result<Project> parse_project(std::string_view text, ProjectFormat format, const std::string& file);

}  // namespace kernels
