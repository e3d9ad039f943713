#include "kernels/model/metadata.h"

#include "kernels/base/toml_text.h"

#include "json_impl.h"
#include "toml_impl.h"

namespace kernels {

using detail::Json;
using detail::ObjectReader;

std::string KernelDependency::display() const {
  const auto* number = std::get_if<std::uint64_t>(&version);
  return repo.str() + "@" + (number != nullptr ? std::to_string(*number) : std::get<std::string>(version));
}

static void read_kernel_depends(ObjectReader& reader, Metadata& out) {
  for (const auto& item : reader.array_or_empty("kernel-depends")) {
    ObjectReader dependency(item, "an entry of `kernel-depends`");
    auto repo = dependency.take(RepoId::parse(dependency.text("repo-id")));
    auto version = dependency.optional_number("version");
    auto revision = dependency.optional_text("revision");
    dependency.refuse_unknown();
    if (version.has_value() == revision.has_value())
      dependency.complain(Error(Errc::corrupt, "exactly one of `version` and `revision` is needed"));
    if (revision && !parse_revision(*revision))
      dependency.complain(Error(Errc::corrupt, "`" + *revision + "` is not a revision"));
    if (auto status = dependency.status(); !status) return reader.complain(std::move(status).error());
    if (version)
      out.kernel_depends.push_back({.repo = *repo, .version = *version});
    else
      out.kernel_depends.push_back({.repo = *repo, .version = *revision});
  }
}

static void read_digest(ObjectReader& reader, Metadata& out) {
  if (!reader.has("digest")) return;
  ObjectReader digest(reader.object_or_empty("digest"), "`digest`");
  auto algorithm = digest.text("algorithm");
  if (algorithm == "sha256") out.digest_algorithm = HashAlgorithm::sha256;
  if (algorithm == "sha512") out.digest_algorithm = HashAlgorithm::sha512;
  if (!out.digest_algorithm)
    digest.complain(Error(Errc::corrupt, "`" + algorithm + "` is not a digest algorithm: sha256 or sha512"));
  for (const auto& [path, hash] : digest.object("files").items()) {
    if (hash.is_string())
      out.digest_files.emplace(path, hash.get<std::string>());
    else
      digest.complain(Error(Errc::corrupt, "the digest of `" + path + "` should be a string"));
  }
  if (auto status = digest.status(); !status) reader.complain(std::move(status).error());
}

static void read_backend(ObjectReader& reader, Metadata& out) {
  if (!reader.has("backend")) return;
  ObjectReader backend(reader.object_or_empty("backend"), "`backend`");
  out.backend = backend.text("type");
  out.archs = backend.texts_or_empty("archs");
  if (auto status = backend.status(); !status) reader.complain(std::move(status).error());
}

Result<Metadata> parse_metadata(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  Metadata out;
  for (const char* key : {"name", "id", "version", "license", "python-depends", "backend"})
    if (!reader.has(key)) out.missing.emplace_back(key);
  out.name = reader.text_or("name", "");
  out.id = reader.text_or("id", "");
  out.version = reader.optional_number("version").value_or(0);
  out.license = reader.text_or("license", "");
  out.upstream = reader.optional_text("upstream");
  out.source = reader.optional_text("source");
  out.kernels_minver = reader.optional_text("kernels-minver");
  out.python_depends = reader.texts_or_empty("python-depends");
  read_kernel_depends(reader, out);
  read_backend(reader, out);
  read_digest(reader, out);
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return out;
}

Result<Redirect> parse_kernel_status(std::string_view toml, const std::string& what) {
  auto bad = [&](const std::string& why) { return fail(Errc::corrupt, what + ": " + why); };
  if (auto flaw = find_non_ascii(toml)) return bad("line " + std::to_string(flaw->line) + ": " + flaw->text);
  toml::table table;
  try {
    table = toml::parse(toml);
  } catch (const toml::parse_error& error) {
    return bad("line " + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
  }
  auto kind = table["kind"].value<std::string>();
  if (!kind) return bad("`kind` is missing");
  if (*kind != "redirect") return bad("unknown kind `" + *kind + "`");
  auto destination = table["destination"].value<std::string>();
  if (!destination) return bad("`destination` is missing");
  auto repo = RepoId::parse(*destination);
  if (!repo) return fail(std::move(repo).error().while_doing("reading " + what).as(Errc::corrupt));
  const auto* node = table.get("revision");
  auto revision = node == nullptr ? std::optional<std::string>("main") : node->value<std::string>();
  if (!revision || !parse_revision(*revision)) return bad("`revision` is not a revision");
  return Redirect{.destination = *repo, .revision = *revision};
}

}  // namespace kernels
