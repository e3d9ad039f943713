#include "kernels/model/file_entry.h"

#include <algorithm>
#include <utility>

namespace kernels {

Result<BlobId> BlobId::parse(std::string_view text) {
  if (!is_lower_hex(text, 40) && !is_lower_hex(text, 64))
    return fail(Errc::integrity,
                "`" + std::string(text.substr(0, 80)) + "` is not a hash of 40 or 64 hexadecimal digits");
  return BlobId(std::string(text));
}

Hasher BlobId::hasher(std::uint64_t size) const {
  return is_sha256() ? Hasher(HashAlgorithm::sha256) : Hasher::git_blob(size);
}

/// ASCII letters in lower case, and `/` before everything else, so that what lies in a folder follows it.
static std::string folded(std::string_view path) {
  std::string out(path);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '/') c = '\x01';
  }
  return out;
}

Status check_file_set(const std::vector<FileEntry>& files) {
  std::vector<std::pair<std::string, std::string_view>> sorted;
  sorted.reserve(files.size());
  for (const auto& file : files)
    sorted.emplace_back(folded(file.path.str()), file.path.str());
  std::ranges::sort(sorted);
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const auto& [before, before_path] = sorted[i - 1];
    const auto& [after, after_path] = sorted[i];
    bool is_folder =
        after.starts_with(before) && after.size() > before.size() && after[before.size()] == '\x01';
    if (before != after && !is_folder) continue;
    std::string names = "`" + std::string(before_path) + "` and `" + std::string(after_path) + "`";
    return fail(
        Error(Errc::integrity, names + (is_folder ? " cannot both be there: one is a folder of the other"
                                                  : " would be the same file on some machines"))
            .with_hint("report it to the publisher"));
  }
  return {};
}

std::string variant_hash(const std::vector<FileEntry>& files, std::string_view variant_folder) {
  std::vector<std::pair<std::string_view, const BlobId*>> sorted;
  for (const auto& file : files) {
    if (file.path.is_bytecode()) continue;
    std::string_view path = file.path.str();
    // A file in place of the folder hashes under the name that Python gives to an empty relative path.
    sorted.emplace_back(path == variant_folder ? "." : path.substr(variant_folder.size() + 1), &file.blob);
  }
  std::ranges::sort(sorted, {}, [](const auto& item) { return item.first; });
  Hasher hasher(HashAlgorithm::sha256);
  for (const auto& [path, blob] : sorted) {
    hasher.update(path);
    hasher.update(*from_hex(blob->str()));
  }
  return "sha256-" + hasher.finish_hex();
}

}  // namespace kernels
