#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/bundle/index.h"

namespace kernels::bundle {

/// A file to pack and where its content lies.
struct Source {
  FileEntry entry;
  std::filesystem::path content;
};

struct SourceKernel {
  RepoId repo;
  Commit commit;
  std::string ref;
  std::vector<Source> files;
};

/// Everything that goes into a bundle. Equal contents give equal bytes, whatever the order of `kernels` and
/// `files`, the paths of the contents, the number of processors, the time and the user.
struct PackRequest {
  std::filesystem::path output;
  std::string lock_text;
  std::string sum_text;
  std::string trusted_root;
  std::vector<SourceKernel> kernels;
  Durable durable = Durable::yes;
};

struct PackReport {
  Index index;
  std::uint64_t file_bytes = 0;    ///< of all files, each as often as it occurs
  std::uint64_t bundle_bytes = 0;  ///< of the bundle on disk
};

/// Writes a bundle beside `output`, flushes it and renames it. Every byte is hashed while it is packed, and
/// must be what its blob's name says.
///
/// Errors  not_found: a content that is not there; integrity: one that is not what its name says;
///         unsupported: more than a bundle can hold (a file of 8 GiB, a million entries); io; interrupted.
///         What was at `output` is then still there.
/// Cost    the size of the contents, once through SHA-256 and zstd on three threads; about 500 MB of memory
/// at
///         most.
Result<PackReport> write_bundle(const PackRequest& request, const std::stop_token& stop);

}  // namespace kernels::bundle
