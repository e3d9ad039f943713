#pragma once

#include <string_view>

namespace kernels::fuzz {

/// Parsers of what decides about trust; see `Target`.
void sigstore_bundle(std::string_view bytes);
void trusted_root(std::string_view bytes);
void certificate(std::string_view bytes);
void timestamp(std::string_view bytes);
void checkpoint(std::string_view bytes);
void receipts(std::string_view bytes);
/// Edits to the decoded fields of a bundle that is good. Each takes six bytes: which field, where in it
/// (three bytes), what to do, and with which value.
void verification(std::string_view bytes);

}  // namespace kernels::fuzz
