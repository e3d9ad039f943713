#pragma once

// Judging what was read of a variant against a target: pure, but for the callback that names functions. Not
// part of the public interface.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "kernels/ops/check.h"
#include "kernels/ops/signatures.h"

#include "variant_digest.h"

namespace kernels::ops {

/// Names of the GPU functions in some containers of a library, at most as many as a person reads.
using NameFunctions = std::function<std::vector<std::string>(const InspectedLibrary& library,
                                                             const std::vector<std::size_t>& containers)>;

struct JudgeInputs {
  const Target& target;
  const Variant& chosen;  ///< for a single library: what it seems to be built for
  const InspectedVariant& inspected;
  SignaturePolicy signatures = SignaturePolicy::warn;
  const verify::VariantVerification* signature = nullptr;  ///< null: signatures are off, or make no sense
  bool are_files_compared = true;                          ///< with the digests that were signed
  /// Folders with the target's Python packages; null if they are not known.
  const std::vector<std::filesystem::path>* python_packages = nullptr;
  NameFunctions name_functions;
};

/// A row with its decisions and the chosen variant. `names`: the folders below `build/`.
CheckRow decide_row(std::string kernel, const std::vector<std::string>& names, const Target& target);

/// Adds what the content of the chosen variant means on the target.
void judge_content(CheckRow& row, const JudgeInputs& inputs);

/// Adds what is known about the files. `where` says how they were compared: `locked`, `their digest`.
void judge_files(CheckRow& row, const std::string& where);

/// Notes what files and digest disagree about.
void apply_digest(CheckRow& row, const DigestFindings& findings);
inline constexpr const char* kTheDigest = "the digest in metadata.json";

/// Sets the verdict, from everything that was added.
void conclude(CheckRow& row);

/// The module that has to be importable for an entry of `python-depends`; empty if none has to. Nothing: an
/// entry that no reader knows, which makes the Python package refuse the kernel. Source  the vocabulary of
/// the Python package `kernels` 0.17.
std::optional<std::string> python_module_of(std::string_view dependency);

}  // namespace kernels::ops
