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
