#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/hash.h"
#include "kernels/model/repo.h"

namespace kernels {

/// A kernel that another kernel needs: a repository, and a version branch number or a revision.
struct KernelDependency {
  RepoId repo;
  std::variant<std::uint64_t, std::string> version;
  auto operator<=>(const KernelDependency&) const = default;

  /// `acme/relu@1`, `acme/relu@main`.
  std::string display() const;
};

/// `metadata.json` of one variant, as far as decisions need it; further keys are ignored.
struct Metadata {
  std::string name;
  std::string id;  ///< Python module name, unique per build
  std::uint64_t version = 0;
  std::string license;
  std::optional<std::string> upstream;
  std::optional<std::string> source;
  std::optional<std::string> kernels_minver;
  std::vector<std::string> python_depends;
  std::vector<KernelDependency> kernel_depends;
  std::string backend;             ///< `cuda`, `cpu`, …; empty if the file does not say
  std::vector<std::string> archs;  ///< e.g. `9.0`, `9.0a`, `10.0+PTX`, `gfx90a`; empty if it does not say
  std::optional<HashAlgorithm> digest_algorithm;
  std::map<std::string, std::string> digest_files;  ///< path in the variant → base64 of the raw hash

  /// Keys that today's readers require and this file lacks: a repository from before `metadata.json` was
  /// complete. Empty for a complete file.
  std::vector<std::string> missing;
};

/// Reads a file that may be partial: what is there must be well formed, what lacks is listed in `missing`.
/// `what` names the file in errors.
/// Errors  corrupt.
Result<Metadata> parse_metadata(std::string_view json, const std::string& what);

/// `kernel-status.toml` at the root of a repository: the kernel has moved.
struct Redirect {
  RepoId destination;
  std::string revision;  ///< `main` if the file does not say
};
/// Errors  corrupt: not TOML, an unknown `kind`, no `destination`.
Result<Redirect> parse_kernel_status(std::string_view toml, const std::string& what);

}  // namespace kernels
