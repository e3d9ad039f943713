#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/repo.h"

namespace kernels {

/// Answers of the Hub's API, read from their JSON. Unknown keys are ignored: the Hub may add some.
/// `what` names the answer in errors, normally its URL. Errors of all: corrupt; integrity for hostile names.

/// A branch or tag.
struct GitRef {
  std::string name;
  Commit commit;
};

struct RepositoryRefs {
  std::vector<GitRef> branches;
  std::vector<GitRef> tags;
  std::string renamed_to = {};  ///< the repository's present name, if the Hub redirected to another one
};
Result<RepositoryRefs> parse_refs(std::string_view json, const std::string& what);

/// The commit of a revision, and the repository's present name (another one after a rename).
struct RevisionInfo {
  Commit commit;
  std::string id;
};
Result<RevisionInfo> parse_revision_info(std::string_view json, const std::string& what);

/// One page of a recursive listing. Folders and unknown kinds of entries are left out.
Result<std::vector<FileEntry>> parse_tree_page(std::string_view json, const std::string& what);

/// Whether the Hub marks an organisation as a trusted publisher of kernels.
Result<bool> parse_trusted_publisher(std::string_view json, const std::string& what);

/// The text of an error answer's body, if it has one of the forms that the Hub uses; HTML and binary give
/// nothing.
std::optional<std::string> parse_error_body(std::string_view body);

}  // namespace kernels
