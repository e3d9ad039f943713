#include "kernels/model/hub_answers.h"

#include <algorithm>

#include "json_impl.h"

namespace kernels {

using detail::Json;
using detail::ObjectReader;

static Result<std::vector<GitRef>> read_refs(const Json& items, const std::string& what) {
  std::vector<GitRef> out;
  for (const auto& item : items) {
    ObjectReader reader(item, "a reference of " + what);
    auto name = reader.text("name");
    auto commit = reader.take(Commit::parse(reader.text("targetCommit")));
    if (auto status = reader.status(); !status) return fail(Errc::corrupt, describe(status.error()));
    // A name that could not be a file below `refs/` cannot be asked for either.
    if (parse_revision(name)) out.push_back({.name = std::move(name), .commit = *commit});
  }
  return out;
}

Result<RepositoryRefs> parse_refs(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  auto branches = read_refs(reader.array("branches"), what);
  auto tags = read_refs(reader.array("tags"), what);
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  if (!branches) return fail(std::move(branches).error());
  if (!tags) return fail(std::move(tags).error());
  return RepositoryRefs{.branches = std::move(*branches), .tags = std::move(*tags)};
}

Result<RevisionInfo> parse_revision_info(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  auto commit = reader.take(Commit::parse(reader.text("sha")));
  auto id = reader.text_or("id", "");
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return RevisionInfo{.commit = *commit, .id = std::move(id)};
}

static Result<std::optional<FileEntry>> read_tree_entry(const Json& item, const std::string& what) {
  ObjectReader reader(item, "an entry of " + what);
  if (reader.text("type") != "file" && reader.status()) return std::nullopt;
  auto path = reader.take(RepoPath::parse(reader.text("path")));
  auto size = reader.number("size");
  auto oid = reader.text("oid");
  bool is_large = reader.has("lfs") && !item.at("lfs").is_null();
  if (is_large) {
    ObjectReader lfs(reader.object("lfs"), "`lfs`");
    // Some mirrors write the Python objects' spelling of the same value.
    oid = lfs.has("oid") ? lfs.text("oid") : lfs.text("sha256");
    size = lfs.optional_number("size").value_or(size);
    if (auto status = lfs.status(); !status) reader.complain(std::move(status).error());
  }
  if (reader.status() && !is_lower_hex(oid, is_large ? 64 : 40))
    reader.complain(Error(Errc::integrity, "`" + oid.substr(0, 80) + "` is not a hash"));
  if (reader.status() && size > kMaxFileSize)
    reader.complain(Error(Errc::integrity, "a size of " + std::to_string(size) + " bytes is over the limit"));
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  auto blob = is_large ? BlobId::of_sha256(oid) : BlobId::of_git_sha1(oid);
  return FileEntry{.path = std::move(*path), .size = size, .blob = std::move(blob)};
}

Result<std::vector<FileEntry>> parse_tree_page(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  if (!document->is_array()) return fail(Errc::corrupt, what + " should be an array");
  std::vector<FileEntry> out;
  for (const auto& item : *document) {
    auto entry = read_tree_entry(item, what);
    if (!entry) return fail(std::move(entry).error());
    if (*entry) out.push_back(std::move(**entry));
  }
  return out;
}

Result<bool> parse_trusted_publisher(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  bool trusted = reader.flag_or("trustedKernelPublisher", false);
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return trusted;
}

static std::optional<std::string> first_message(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array() && !value.empty()) return first_message(value.front());
  if (value.is_object() && value.contains("message")) return first_message(value.at("message"));
  return std::nullopt;
}

std::optional<std::string> parse_error_body(std::string_view body) {
  auto document = detail::parse_json(body.substr(0, 1 << 16), "the answer");
  if (document && document->is_object())
    for (const char* key : {"error_description", "error", "errors", "message"})
      if (document->contains(key))
        if (auto text = first_message(document->at(key))) return text->substr(0, 500);
  bool is_text =
      !body.empty() && body.size() < 500 && !body.starts_with('<') &&
      std::ranges::all_of(body, [](char c) { return c == '\n' || static_cast<unsigned char>(c) >= 0x20; });
  if (!document && is_text) return std::string(body);
  return std::nullopt;
}

}  // namespace kernels
