#pragma once

// The files of one variant, wherever they are: a folder, the cache, the Hub. Not part of the public
// interface.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/byte_source.h"
#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/hub/api.h"
#include "kernels/hub/http.h"
#include "kernels/hub/range_source.h"
#include "kernels/hub/settings.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/lock.h"
#include "kernels/model/repo.h"

namespace kernels::ops {

/// A file by its path relative to the variant's folder.
struct ContentFile {
  std::string path;
  std::uint64_t size = 0;
};

/// Threads  for one thread at a time.
class VariantContent {
 public:
  virtual ~VariantContent() = default;

  /// Sorted by path, without bytecode.
  const std::vector<ContentFile>& files() const { return files_; }
  /// What is there beside files and folders, sorted: links to folders or to nothing, FIFOs, devices, names
  /// that no repository may have. Nothing of it is read or followed, and no digest covers it.
  const std::vector<std::string>& strange() const { return strange_; }
  const ContentFile* find(std::string_view path) const;

  /// Opens one of `files`. Errors  as of the place where it is.
  virtual Result<std::unique_ptr<ByteSource>> open(const std::string& path) = 0;
  /// Fetches small files that will be read soon, all at once, where that is worth it. What fails is told by
  /// whoever reads the file.
  virtual void announce(const std::vector<std::string>& paths);
  /// The whole of a small file. Errors  as of `open`; unsupported: longer than 1 MiB.
  virtual Result<std::string> text(const std::string& path);

 protected:
  std::vector<ContentFile> files_;
  std::vector<std::string> strange_;
};

/// A folder. Links to files are followed; folders that are links are not, and count as strange.
/// Errors  io: it cannot be listed.
Result<std::unique_ptr<VariantContent>> folder_content(const std::filesystem::path& folder);

/// The files of a variant as blobs of the cache, where no snapshot has them yet.
std::unique_ptr<VariantContent> blob_content(const cache::Layout& layout, const RepoId& repo,
                                             const LockedVariant& variant);

/// Files that lie elsewhere under other names, by their path in the variant.
struct PlacedFile {
  std::filesystem::path place;
  std::uint64_t size = 0;
};
std::unique_ptr<VariantContent> placed_content(std::map<std::string, PlacedFile> files);

/// One file as if it were alone in a variant. Errors  as of `open_file_source`.
Result<std::unique_ptr<VariantContent>> file_content(const std::filesystem::path& file);

/// The client for a repository on the Hub, shared by its variants.
struct HubSession {
  HubSession(const hub::Settings& settings, const std::string& user_agent, std::stop_token stop);
  std::string endpoint;
  std::unique_ptr<hub::HttpClient> client;
  hub::Api api;
  std::stop_token stop;
  hub::RangeCounters counters;
};

/// Files at a commit on the Hub, read by range requests; only what is asked for is fetched. `files`: those of
/// the whole listing. Nothing is verified but texts that are read whole. `session` must outlive it.
std::unique_ptr<VariantContent> hub_content(HubSession& session, const RepoId& repo, const Commit& commit,
                                            const std::vector<FileEntry>& files, const std::string& variant);

/// Whether the cache has every file of a variant at a commit.
bool is_cached(const cache::Layout& layout, const RepoId& repo, const Commit& commit,
               const std::vector<FileEntry>& files, const std::string& variant);

/// The name of a folder whose files are those of one variant: it has metadata, a package or a library, and no
/// `build/`. Empty for other folders.
std::string variant_folder_name(const std::filesystem::path& folder);

}  // namespace kernels::ops
