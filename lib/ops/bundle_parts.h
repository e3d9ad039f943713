#pragma once

#include <filesystem>
#include <string>

#include "kernels/ops/bundle.h"

namespace kernels::ops {

BundleContents contents_of(const bundle::Bundle& bundle, const std::filesystem::path& file);

/// The variant that a file belongs to: what follows `build/`.
std::string variant_of(const RepoPath& path);

/// A refusal with the next action.
Error with_advice(Error error, const std::string& advice);

/// Tells how far the reading of a bundle is.
class BundleMeter {
 public:
  BundleMeter(const BundleContents& contents, const EventSink& events);
  void add_bytes(std::uint64_t bytes);
  void add_file() { ++progress_.files_done; }

 private:
  Progress progress_;
  const EventSink& events_;
};

}  // namespace kernels::ops
