#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/hub/range_source.h"
#include "kernels/inspect/judge.h"
#include "kernels/inspect/library.h"
#include "kernels/model/metadata.h"
#include "kernels/model/repo.h"
#include "kernels/model/target.h"
#include "kernels/model/variant.h"
#include "kernels/ops/query.h"

namespace kernels::ops {

/// One library of a variant, read without loading it.
struct InspectedLibrary {
  std::string path;  ///< relative to the variant's folder
  std::uint64_t size = 0;
  std::optional<inspect::LibraryFacts> facts;  ///< nothing if it could not be read
  std::string failure;                         ///< why not
  std::string policy;                          ///< `manylinux_2_17`; empty if none holds
  std::vector<inspect::Finding> findings;
  /// Names of GPU functions for each container, where they were asked for; empty where they cannot be told.
  std::vector<std::vector<std::string>> functions;
};

/// A layer that a variant offers, as far as its text tells.
struct InspectedLayer {
  std::string name;
  bool in_python = false;
  bool in_native = false;  ///< declared in `layers.toml`
  std::optional<bool> has_backward;
  std::optional<bool> can_torch_compile;
  std::optional<std::vector<std::string>> forward;  ///< parameters, `self` included
};

/// What one variant holds.
struct InspectedVariant {
  std::string name;                ///< its folder; empty for a single file
  std::optional<Variant> variant;  ///< nothing if the name does not parse
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::optional<Metadata> metadata;
  std::string metadata_failure;  ///< why the metadata cannot be read; empty if it can, or is not there
  bool is_signed = false;        ///< there is a signature, which was not looked at
  std::vector<InspectedLibrary> libraries;
  std::vector<std::string> python_functions;  ///< public names of the package's text
  std::vector<InspectedLayer> layers;
  /// Compilers that its Python text uses at run time: `triton`, `cutlass`, …
  std::vector<std::string> run_time_compilers;
  std::vector<inspect::Finding> findings;  ///< about the variant as a whole

  /// Whether any library holds GPU code, of whatever kind.
  bool has_gpu_code() const;
};

struct InspectReport {
  std::string repo_id;   ///< empty for a path
  std::string path;      ///< empty for a repository
  std::string revision;  ///< short form, `v1`
  std::string commit;
  std::vector<InspectedVariant> variants;
  std::vector<std::string> left_out;  ///< names of variants that were not asked for
  hub::RangeCounters fetched;         ///< from the Hub; zero for local files
};

/// Which variants to look into.
struct InspectChoice {
  std::vector<std::string> variants;  ///< by name; empty: the one that `target` prefers
  bool all_variants = false;
  bool functions = false;  ///< list the GPU functions of every container
};

/// A repository on the Hub, by range requests, or in the cache where it is offline or already there.
/// Errors  as of `list_variants`; no_match: no such variant, with those that exist.
Result<InspectReport> inspect_repository(const QueryInputs& inputs, const RepoId& repo,
                                         const RevisionChoice& revision, const InspectChoice& choice,
                                         const Target& target, const std::stop_token& stop);

/// A folder with `build/` or with variants, the folder of one variant, or a single file.
/// Errors  not_found, io; no_match.
Result<InspectReport> inspect_path(const std::filesystem::path& path, const InspectChoice& choice);

}  // namespace kernels::ops
