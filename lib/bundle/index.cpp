#include "kernels/bundle/index.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "kernels/bundle/rules.h"

#include "tar_header.h"

namespace kernels::bundle {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSchema = "kernels.bundle/1";
constexpr std::string_view kSchemaName = "kernels.bundle/";
constexpr int kDeepest = 5;

std::string json_text(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string render_entry(const Entry& entry) {
  return R"({"path": )" + json_text(entry.path) + R"(, "size": )" + std::to_string(entry.size) +
         R"(, "sha256": )" + json_text(entry.sha256) + "}";
}

std::string render_file(const File& file) {
  return R"({"path": )" + json_text(file.entry.path.str()) + R"(, "size": )" +
         std::to_string(file.entry.size) + R"(, "sha256": )" + json_text(file.sha256) + R"(, "blob": )" +
         json_text(file.entry.blob.str()) + "}";
}

/// `items`, one a line, as the members of an array that stands at `indent`.
template <class Item>
std::string render_lines(const std::vector<Item>& items, std::string (*render)(const Item&),
                         std::size_t indent) {
  if (items.empty()) return "[]";
  std::string pad(indent, ' ');
  std::string out = "[";
  for (const auto& item : items)
    out += (out.size() == 1 ? "\n" : ",\n") + pad + "  " + render(item);
  return out + "\n" + pad + "]";
}

std::string render_kernel(const Kernel& kernel) {
  return "{\n      \"repo_id\": " + json_text(kernel.repo.str()) +
         ",\n      \"commit\": " + json_text(kernel.commit.str()) +
         ",\n      \"ref\": " + json_text(kernel.ref) +
         ",\n      \"files\": " + render_lines(kernel.files, render_file, 6) + "\n    }";
}

// What is missing or of another type reads as nothing here, and shows when the values are written again.

std::string text_of(const Json& object, const char* key) {
  auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const Json& object, const char* key) {
  auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

const Json& items_of(const Json& object, const char* key) {
  static const Json kNone = Json::array();
  auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_array() ? *found : kNone;
}

std::unexpected<Error> bad_name(const std::string& where, const std::string& expected,
                                const std::string& found) {
  return refuse({.rule = "index-names", .where = where, .expected = expected, .found = in_ticks(found)});
}

Result<File> parse_file(const Json& item, const std::string& where) {
  auto path = RepoPath::parse(text_of(item, "path"));
  if (!path) return bad_name(where, "the path of a file in a repository", text_of(item, "path"));
  auto blob = BlobId::parse(text_of(item, "blob"));
  if (!blob) return bad_name(where, "the name of a blob", text_of(item, "blob"));
  return File{.entry = {.path = *path, .size = number_of(item, "size"), .blob = *blob},
              .sha256 = text_of(item, "sha256")};
}

Result<Kernel> read_kernel(const Json& item, const std::string& where) {
  auto repo = RepoId::parse(text_of(item, "repo_id"));
  if (!repo) return bad_name(where, "a repository ORG/NAME", text_of(item, "repo_id"));
  auto commit = Commit::parse(text_of(item, "commit"));
  if (!commit) return bad_name(where, "a commit", text_of(item, "commit"));
  auto ref = parse_revision(text_of(item, "ref"));
  if (!ref) return bad_name(where, "a branch, tag or commit", text_of(item, "ref"));
  Kernel out{.repo = *repo, .commit = *commit, .ref = *ref, .files = {}};
  for (const auto& entry : items_of(item, "files")) {
    auto file = parse_file(entry, where);
    if (!file) return fail(std::move(file).error());
    out.files.push_back(std::move(*file));
  }
  return out;
}

Status check_entry(const Entry& entry, std::size_t place, const std::string& where) {
  constexpr std::array kFixed = {kLockName, kSumName, kRootName};
  bool is_fixed = place < kFixed.size();
  auto name = is_fixed ? std::string(kFixed.at(place)) : std::string(kBlobFolder) + entry.sha256;
  if (entry.path != name || !is_lower_hex(entry.sha256, 64))
    return refuse({.rule = "index-entries",
                   .where = where,
                   .expected = "entry " + std::to_string(place + 1) + " to be `" +
                               (is_fixed ? name : std::string("blobs/<its sha256>")) + "`",
                   .found = in_ticks(entry.path)});
  auto limit = is_fixed ? kMaxTextBytes : kMaxEntryBytes;
  if (entry.size > limit)
    return refuse({.rule = "index-size",
                   .where = where,
                   .expected = in_ticks(entry.path) + " of at most " + std::to_string(limit) + " bytes",
                   .found = std::to_string(entry.size)});
  return {};
}

using BlobSizes = std::map<std::string_view, std::uint64_t>;

Result<BlobSizes> check_entries(const Index& index, const std::string& where) {
  if (index.entries.size() < 3 || index.entries.size() > kMaxEntries)
    return refuse({.rule = "index-entries",
                   .where = where,
                   .expected = "3 to " + std::to_string(kMaxEntries) + " entries",
                   .found = std::to_string(index.entries.size())});
  BlobSizes blobs;
  for (std::size_t i = 0; i < index.entries.size(); ++i) {
    const auto& entry = index.entries[i];
    if (auto good = check_entry(entry, i, where); !good) return fail(std::move(good).error());
    if (i >= 3 && !blobs.emplace(entry.sha256, entry.size).second)
      return refuse({.rule = "index-entries",
                     .where = where,
                     .expected = "each blob once",
                     .found = in_ticks(entry.path) + " twice"});
  }
  return blobs;
}

/// `paths` are sorted by segment, so that a folder stands right before what is in it.
Status check_places(std::vector<std::string> paths, const std::string& where) {
  for (auto& path : paths)
    std::ranges::replace(path, '/', '\1');
  std::ranges::sort(paths);
  for (std::size_t i = 1; i < paths.size(); ++i) {
    if (paths[i] != paths[i - 1] && !paths[i].starts_with(paths[i - 1] + '\1')) continue;
    std::ranges::replace(paths[i], '\1', '/');
    return refuse({.rule = "index-files",
                   .where = where,
                   .expected = "each place once, as a file or as a folder",
                   .found = in_ticks(paths[i]) + " in a place that is taken"});
  }
  return {};
}

Status check_file(const File& file, const BlobSizes& blobs, const std::string& where) {
  auto found = blobs.find(file.sha256);
  auto refusal = [&](const std::string& expected, const std::string& seen) {
    return refuse({.rule = "index-files",
                   .where = where,
                   .expected = expected + " for " + in_ticks(file.entry.path.str()),
                   .found = seen});
  };
  if (found == blobs.end()) return refusal("an entry", "none with the hash " + in_ticks(file.sha256));
  if (found->second != file.entry.size)
    return refusal(std::to_string(file.entry.size) + " bytes",
                   "an entry of " + std::to_string(found->second));
  if (file.entry.blob.is_sha256() && file.entry.blob.str() != file.sha256)
    return refusal("the hash " + file.sha256, in_ticks(file.entry.blob.str()));
  return {};
}

Status check_files(const Index& index, const BlobSizes& blobs, const std::string& where) {
  std::set<std::string_view> used;
  std::set<std::string> places;
  for (const auto& kernel : index.kernels) {
    if (!places.insert(kernel.repo.str() + "@" + kernel.commit.str() + "@" + kernel.ref).second)
      return refuse({.rule = "index-files",
                     .where = where,
                     .expected = "each commit once under a name",
                     .found = in_ticks(kernel.repo.str()) + " twice"});
    std::vector<std::string> paths;
    for (const auto& file : kernel.files) {
      if (auto good = check_file(file, blobs, where); !good) return good;
      used.insert(file.sha256);
      paths.push_back(file.entry.path.str());
    }
    if (auto good = check_places(std::move(paths), where); !good) return good;
  }
  if (used.size() == blobs.size()) return {};
  auto unused = std::ranges::find_if(blobs, [&](const auto& blob) { return !used.contains(blob.first); });
  return refuse({.rule = "index-entries",
                 .where = where,
                 .expected = "every blob to be the content of a file",
                 .found = "none for `blobs/" + std::string(unused->first) + "`"});
}

Status check_totals(const Json& document, const Index& index, const std::string& where) {
  auto count = number_of(document, "entries");
  auto bytes = number_of(document, "bytes");
  if (count == index.entries.size() && bytes == index.bytes()) return {};
  return refuse({.rule = "index-totals",
                 .where = where,
                 .expected = std::to_string(count) + " entries of " + std::to_string(bytes) + " bytes",
                 .found = std::to_string(index.entries.size()) + " of " + std::to_string(index.bytes())});
}

Result<Json> read_document(std::string_view text, const std::string& where) {
  if (text.size() > kMaxIndexBytes)
    return refuse({.rule = "index-size",
                   .where = where,
                   .expected = "at most " + std::to_string(kMaxIndexBytes) + " bytes",
                   .found = std::to_string(text.size())});
  // What lies deeper than the format goes is dropped while it is read, so that nesting takes no memory.
  auto shallow = [](int depth, Json::parse_event_t, const Json&) { return depth <= kDeepest; };
  auto document = Json::parse(text, shallow, false);
  auto schema = text_of(document, "schema");
  if (document.is_object() && schema == kSchema) return document;
  if (schema.starts_with(kSchemaName))
    return fail(Error(Errc::unsupported, where + ": " + in_ticks(schema) +
                                             " is the format of a newer program; " + "this one reads `" +
                                             std::string(kSchema) + "`")
                    .with_hint("update `kernels`, or make the bundle with this version"));
  return refuse({.rule = "index-form",
                 .where = where,
                 .expected = "JSON with the schema `" + std::string(kSchema) + "`",
                 .found = schema.empty() ? "none" : in_ticks(schema)});
}

}  // namespace

std::uint64_t Index::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& entry : entries)
    sum += entry.size;
  return sum;
}

std::string render_index(const Index& index) {
  return "{\n  \"schema\": \"" + std::string(kSchema) +
         "\",\n  \"entries\": " + std::to_string(index.entries.size()) +
         ",\n  \"bytes\": " + std::to_string(index.bytes()) +
         ",\n  \"archive\": " + render_lines(index.entries, render_entry, 2) +
         ",\n  \"kernels\": " + render_lines(index.kernels, render_kernel, 2) + "\n}\n";
}

Result<Index> parse_index(std::string_view text, const std::string& where) {
  auto document = read_document(text, where);
  if (!document) return fail(std::move(document).error());
  Index out;
  for (const auto& item : items_of(*document, "archive"))
    out.entries.push_back(
        {.path = text_of(item, "path"), .size = number_of(item, "size"), .sha256 = text_of(item, "sha256")});
  for (const auto& item : items_of(*document, "kernels")) {
    auto kernel = read_kernel(item, where);
    if (!kernel) return fail(std::move(kernel).error());
    out.kernels.push_back(std::move(*kernel));
  }
  auto blobs = check_entries(out, where);
  if (!blobs) return fail(std::move(blobs).error());
  if (auto good = check_files(out, *blobs, where); !good) return fail(std::move(good).error());
  if (auto good = check_totals(*document, out, where); !good) return fail(std::move(good).error());
  auto again = render_index(out);
  if (again == text) return out;
  auto differs = std::ranges::mismatch(again, text).in1 - again.begin();
  return refuse({.rule = "index-form",
                 .where = where,
                 .expected = "the text that `kernels` writes for these values",
                 .found = "another from byte " + std::to_string(differs) + " on"});
}

std::uint64_t archive_bytes(const Index& index, std::uint64_t index_text_bytes) {
  auto sum = kEndBytes + entry_bytes(index_text_bytes);
  for (const auto& entry : index.entries)
    sum += entry_bytes(entry.size);
  return sum;
}

}  // namespace kernels::bundle
