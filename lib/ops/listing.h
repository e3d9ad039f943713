#pragma once

// What a repository, the cache or a folder has: revisions, their files, their variants. Not part of the
// public interface.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/hub/api.h"
#include "kernels/hub/http.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/metadata.h"
#include "kernels/ops/query.h"
#include "kernels/resolve/version_variants.h"

namespace kernels::ops {

/// A revision by the names that are needed for it.
struct Named {
  std::optional<std::uint64_t> version;
  std::string name;      ///< to ask with
  std::string revision;  ///< to show
  bool asked = true;     ///< not only listed because the other versions were wanted too
};

/// The files of one revision below `build/`, and the metadata of its variants where it was asked for.
struct Listing {
  Named named;
  Commit commit;
  std::vector<FileEntry> files;
  std::map<std::string, Result<Metadata>> metadata = {};  ///< by variant; only of those that have one
};

/// What to find out besides the files of the revisions that were asked for.
struct ListingScope {
  enum class Versions { asked, all };
  enum class WithMetadata {
    none,
    one,    ///< of the first variant that has some, in the order of the listing
    asked,  ///< of all variants of the revisions that were asked for
    all,
  };
  Versions versions = Versions::asked;
  WithMetadata metadata = WithMetadata::none;
};

/// From the Hub, or offline from the cache; by version, revisions without a number first.
/// Errors  not_found, with what exists; network; access_denied; integrity.
Result<std::vector<Listing>> list_revisions(const QueryInputs& inputs, const RepoId& repo,
                                            const RevisionChoice& choice, const ListingScope& scope,
                                            const std::stop_token& stop);

/// Whether the bytes are what a listing says. Errors  integrity.
Status check_content(const FileEntry& file, std::string_view bytes);

/// The folders directly below `build/`, in the order of the listing.
std::vector<std::string> variant_folders(const std::vector<FileEntry>& files);

/// The variants of a listing whose names parse, with what their metadata declares.
resolve::VersionVariants declared_variants(const Listing& listing);

/// `build/` of a repository, or the folder itself if it holds variants. Errors  invalid_argument.
Result<std::filesystem::path> build_folder(const std::filesystem::path& folder);
/// The names of the folders in it, sorted. Errors  io.
Result<std::vector<std::string>> local_names(const std::filesystem::path& build);
/// As `declared_variants`; metadata that is missing or cannot be read declares nothing. Errors  as above.
Result<resolve::VersionVariants> local_variants(const std::filesystem::path& folder);

}  // namespace kernels::ops
