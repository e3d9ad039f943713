#pragma once

// What is in one variant. Not part of the public interface.

#include <string>

#include "kernels/ops/inspect.h"

#include "variant_content.h"

namespace kernels::ops {

enum class WithFunctions { no, yes };

/// Reads metadata, layer sources and every library of a variant. What cannot be read is told in the result.
/// `folder_name` names the variant; empty for a single file. `module`: the folder of the package in the older
/// layout, `build/<variant>/<module>/`; empty if it is not known.
InspectedVariant inspect_variant(VariantContent& content, const std::string& folder_name,
                                 const std::string& module, WithFunctions functions);

/// What a person reads of them, and what is worth unpacking for that.
inline constexpr std::size_t kMostFunctions = 8;
inline constexpr std::uint64_t kMostImageBytes = 1 << 20;

/// Short names of the functions in some containers of a library, each once, at most `limit`. Images that are
/// longer than `max_bytes` are passed over.
std::vector<std::string> functions_in(VariantContent& content, const InspectedLibrary& library,
                                      const std::vector<std::size_t>& containers, std::size_t limit,
                                      std::uint64_t max_bytes);

/// The folder of the package in the older layout: `flash_attn` for `acme/flash-attn`.
std::string module_of(const RepoId& repo);

}  // namespace kernels::ops
