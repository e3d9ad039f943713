#include "kernels/model/lock.h"

#include <algorithm>
#include <tuple>

#include "json_impl.h"

namespace kernels {

using detail::Json;
using detail::ObjectReader;

std::string to_string(LockForm form) {
  return form == LockForm::v1 ? "v1" : "v2";
}

std::string to_string(TrustSource source) {
  switch (source) {
    case TrustSource::hub:
      return "hub";
    case TrustSource::project:
      return "project";
    case TrustSource::dependency:
      return "dependency";
  }
  return {};
}

// --- kernels.lock, written -------------------------------------------------------------------------------

static Json to_v1_entry(const LockedKernel& kernel) {
  Json variants = Json::object();
  for (const auto& variant : kernel.variants) {
    if (!variant.name.starts_with("torch")) continue;
    variants[variant.name] = {{"hash", variant_hash(variant.files, "build/" + variant.name)},
                              {"hash_type", "git_lfs_concat"}};
  }
  return {{"repo_id", kernel.repo.str()}, {"sha", kernel.commit.str()}, {"variants", variants}};
}

/// The requirement as v2 can say it: a version number or a revision. A specifier becomes the tag that it
/// chose.
static Requirement pinned_requirement(const LockedKernel& kernel) {
  if (kernel.requirement.specifier() != nullptr) return Requirement::of_revision(kernel.ref);
  return kernel.requirement;
}

static Json to_v2_entry(const LockedKernel& kernel) {
  Json dependency = {{"repo-id", kernel.repo.str()}};
  auto requirement = pinned_requirement(kernel);
  if (const auto* number = requirement.version())
    dependency["version"] = *number;
  else
    dependency["revision"] = *requirement.revision();
  return {{"dependency", dependency}, {"lock", {{"commit", kernel.commit.str()}}}};
}

/// By name, then versions by number before revisions by name.
static auto v2_order(const LockedKernel& kernel) {
  auto requirement = pinned_requirement(kernel);
  const auto* number = requirement.version();
  return std::tuple(kernel.repo.str(), number == nullptr, number != nullptr ? *number : 0,
                    number != nullptr ? std::string() : *requirement.revision());
}

std::string render_lock(const Lock& lock, LockForm form) {
  Json out = Json::array();
  if (form == LockForm::v1) {
    for (const auto& kernel : lock.kernels)
      if (kernel.direct) out.push_back(to_v1_entry(kernel));
    // Python's json.dump escapes everything outside ASCII in this form.
    return out.dump(2, ' ', /*ensure_ascii=*/true);
  }
  std::vector<const LockedKernel*> sorted;
  for (const auto& kernel : lock.kernels)
    sorted.push_back(&kernel);
  std::ranges::stable_sort(sorted, {}, [](const auto* kernel) { return v2_order(*kernel); });
  // Two requirements can pin the same entry (`>=1` and the tag it chose); the form refuses duplicates.
  auto twice = std::ranges::unique(sorted, {}, [](const auto* kernel) { return v2_order(*kernel); });
  sorted.erase(twice.begin(), twice.end());
  for (const auto* kernel : sorted)
    out.push_back(to_v2_entry(*kernel));
  return out.dump(2);
}

// --- kernels.lock, read ----------------------------------------------------------------------------------

static Result<LockPin> read_v1_pin(const Json& item, const std::string& what) {
  ObjectReader reader(item, what);
  auto repo = reader.take(RepoId::parse(reader.text("repo_id")));
  auto commit = reader.take(Commit::parse(reader.text("sha")));
  std::vector<std::pair<std::string, std::string>> hashes;
  for (const auto& [name, value] : reader.object("variants").items()) {
    ObjectReader variant(value, "the variant `" + name + "`");
    hashes.emplace_back(name, variant.text("hash"));
    variant.optional_text("hash_type");
    variant.refuse_unknown();
    if (auto status = variant.status(); !status) reader.complain(std::move(status).error());
  }
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return LockPin{
      .repo = *repo, .requirement = std::nullopt, .commit = *commit, .variant_hashes = std::move(hashes)};
}

static std::optional<Requirement> read_requirement(ObjectReader& reader) {
  auto version = reader.optional_number("version");
  auto revision = reader.optional_text("revision");
  auto specifier = reader.optional_text("specifier");
  int given = (version ? 1 : 0) + (revision ? 1 : 0) + (specifier ? 1 : 0);
  if (given != 1) {
    reader.complain(Error(Errc::corrupt, "exactly one of `version` and `revision` is needed"));
    return std::nullopt;
  }
  if (version) return Requirement::of_version(*version);
  if (revision) {
    auto checked = reader.take(parse_revision(*revision));
    if (!checked) return std::nullopt;
    return Requirement::of_revision(*checked);
  }
  auto set = reader.take(SpecifierSet::parse(*specifier));
  if (!set) return std::nullopt;
  return Requirement::of_specifier(std::move(*set));
}

static Result<LockPin> read_v2_pin(const Json& item, const std::string& what) {
  ObjectReader reader(item, what);
  ObjectReader dependency(reader.object("dependency"), "`dependency`");
  auto repo = dependency.take(RepoId::parse(dependency.text("repo-id")));
  auto requirement = read_requirement(dependency);
  if (dependency.has("specifier")) dependency.complain(Error(Errc::corrupt, "unknown key `specifier`"));
  dependency.refuse_unknown();
  ObjectReader lock(reader.object("lock"), "`lock`");
  auto commit = lock.take(Commit::parse(lock.text("commit")));
  lock.refuse_unknown();
  reader.refuse_unknown();
  for (const auto* part : {&dependency, &lock})
    if (auto status = part->status(); !status) reader.complain(std::move(status).error());
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return LockPin{.repo = *repo, .requirement = requirement, .commit = *commit, .variant_hashes = {}};
}

static Status refuse_duplicates(const LockPins& pins, const std::string& what) {
  for (std::size_t i = 0; i < pins.pins.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (pins.pins[i].repo == pins.pins[j].repo && pins.pins[i].requirement == pins.pins[j].requirement)
        return fail(Error(Errc::corrupt, what + " locks `" + pins.pins[i].repo.str() + "` twice")
                        .with_hint("run `kernels lock` to write it anew"));
  return {};
}

Result<LockPins> parse_lock(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  if (!document->is_array())
    return fail(Error(Errc::corrupt, what + " should hold a list of locked kernels")
                    .with_hint("run `kernels lock` to write it anew"));
  LockPins out;
  bool first_is_v1 =
      !document->empty() && document->front().is_object() && document->front().contains("repo_id");
  out.form = first_is_v1 ? LockForm::v1 : LockForm::v2;
  for (std::size_t i = 0; i < document->size(); ++i) {
    std::string place = "entry " + std::to_string(i + 1) + " of " + what;
    auto pin = first_is_v1 ? read_v1_pin(document->at(i), place) : read_v2_pin(document->at(i), place);
    if (!pin) return fail(std::move(pin).error().with_hint("run `kernels lock` to write it anew"));
    out.pins.push_back(std::move(*pin));
  }
  if (auto status = refuse_duplicates(out, what); !status) return fail(std::move(status).error());
  return out;
}

// --- kernels.sum, written --------------------------------------------------------------------------------

static Json to_json(const Requirement& requirement) {
  if (const auto* number = requirement.version()) return {{"version", *number}};
  if (const auto* set = requirement.specifier()) return {{"specifier", set->str()}};
  return {{"revision", *requirement.revision()}};
}

static Json to_json(const Metadata& metadata) {
  Json depends = Json::array();
  for (const auto& dependency : metadata.kernel_depends) {
    Json item = {{"repo_id", dependency.repo.str()}};
    if (const auto* number = std::get_if<std::uint64_t>(&dependency.version))
      item["version"] = *number;
    else
      item["revision"] = std::get<std::string>(dependency.version);
    depends.push_back(std::move(item));
  }
  Json out = {{"name", metadata.name},
              {"id", metadata.id},
              {"version", metadata.version},
              {"license", metadata.license},
              {"backend", metadata.backend},
              {"archs", metadata.archs},
              {"python_depends", metadata.python_depends},
              {"kernel_depends", depends}};
  if (metadata.kernels_minver) out["kernels_minver"] = *metadata.kernels_minver;
  if (metadata.digest_algorithm)
    out["digest"] = *metadata.digest_algorithm == HashAlgorithm::sha512 ? "sha512" : "sha256";
  if (!metadata.missing.empty()) out["missing"] = metadata.missing;
  return out;
}

static std::string render_file(const FileEntry& file) {
  return Json{{"path", file.path.str()},
              {"size", file.size},
              {file.blob.is_sha256() ? "sha256" : "git_sha1", file.blob.str()}}
      .dump();
}

/// `items`, one a line, as the members of an array that stands at `indent`.
static std::string render_lines(const std::vector<std::string>& items, std::size_t indent) {
  if (items.empty()) return "[]";
  std::string pad(indent, ' ');
  std::string out = "[";
  for (std::size_t i = 0; i < items.size(); ++i)
    out += (i == 0 ? "\n" : ",\n") + pad + "  " + items[i];
  return out + "\n" + pad + "]";
}

static std::string render_variant(const LockedVariant& variant) {
  std::vector<std::string> files;
  for (const auto& file : variant.files)
    files.push_back(render_file(file));
  std::string metadata = variant.metadata ? to_json(*variant.metadata).dump() : "null";
  return "{\n          \"name\": " + Json(variant.name).dump() + ",\n          \"metadata\": " + metadata +
         ",\n          \"files\": " + render_lines(files, 10) + "\n        }";
}

static std::string render_kernel(const LockedKernel& kernel) {
  Json facts = Json::object();
  facts["repo_id"] = kernel.repo.str();
  facts["requested"] = to_json(kernel.requirement);
  facts["asked_for"] = kernel.asked_for ? Json(kernel.asked_for->str()) : Json(nullptr);
  facts["hub_name"] = kernel.hub_name.empty() ? Json(nullptr) : Json(kernel.hub_name);
  facts["commit"] = kernel.commit.str();
  facts[kernel.ref_is_tag ? "tag" : "ref"] = kernel.ref;
  facts["direct"] = kernel.direct;
  facts["publisher"] = {{"name", kernel.repo.publisher()}, {"trusted_by", to_string(kernel.trust)}};
  std::string out = "{";
  for (const auto& [key, value] : facts.items())
    out += "\n      " + Json(key).dump() + ": " + value.dump() + ",";
  std::vector<std::string> variants;
  for (const auto& variant : kernel.variants)
    variants.push_back(render_variant(variant));
  return out + "\n      \"variants\": " + render_lines(variants, 6) + "\n    }";
}

template <class T>
static Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

static std::string render_layer(const LockedLayer& layer) {
  Json out = {{"layer", layer.layer},
              {"device", to_string(layer.device)},
              {"mode", layer.mode.str()},
              {"min_capability", layer.capabilities.min},
              {"max_capability", layer.capabilities.max},
              {"repo_id", layer.repo.str()},
              {"commit", layer.commit.str()},
              {"kernel_layer", layer.kernel_layer}};
  if (layer.facts) {
    out["has_backward"] = or_null(layer.facts->has_backward);
    out["can_torch_compile"] = or_null(layer.facts->can_torch_compile);
    out["forward"] = or_null(layer.facts->forward);
  }
  return out.dump();
}

std::string render_sum(const Lock& lock, std::string_view lock_text) {
  std::vector<std::string> kernels;
  std::vector<std::string> layers;
  for (const auto& kernel : lock.kernels)
    kernels.push_back(render_kernel(kernel));
  for (const auto& layer : lock.layers)
    layers.push_back(render_layer(layer));
  return "{\n  \"schema\": \"kernels.sum/1\",\n  \"lock_sha256\": \"" + sha256_hex(lock_text) +
         "\",\n  \"kernels\": " + render_lines(kernels, 2) + ",\n  \"layers\": " + render_lines(layers, 2) +
         "\n}\n";
}

// --- kernels.sum, read -----------------------------------------------------------------------------------

static std::optional<Metadata> read_metadata(ObjectReader& variant) {
  if (!variant.has("metadata") || variant.object_or_empty("metadata").empty()) return std::nullopt;
  ObjectReader reader(variant.object_or_empty("metadata"), "`metadata`");
  Metadata out;
  out.name = reader.text("name");
  out.id = reader.text("id");
  out.version = reader.number("version");
  out.license = reader.text("license");
  out.backend = reader.text("backend");
  out.archs = reader.texts_or_empty("archs");
  out.python_depends = reader.texts_or_empty("python_depends");
  out.kernels_minver = reader.optional_text("kernels_minver");
  out.missing = reader.texts_or_empty("missing");
  auto digest = reader.text_or("digest", "");
  if (!digest.empty())
    out.digest_algorithm = digest == "sha512" ? HashAlgorithm::sha512 : HashAlgorithm::sha256;
  for (const auto& item : reader.array("kernel_depends")) {
    ObjectReader dependency(item, "an entry of `kernel_depends`");
    auto repo = dependency.take(RepoId::parse(dependency.text("repo_id")));
    auto requirement = read_requirement(dependency);
    if (auto status = dependency.status(); !status) {
      reader.complain(std::move(status).error());
      break;
    }
    if (const auto* number = requirement->version())
      out.kernel_depends.push_back({.repo = *repo, .version = *number});
    else
      out.kernel_depends.push_back({.repo = *repo, .version = *requirement->revision()});
  }
  if (auto status = reader.status(); !status) variant.complain(std::move(status).error());
  return out;
}

static Result<FileEntry> read_file_entry(const Json& item, const std::string& folder) {
  ObjectReader reader(item, "an entry of `files`");
  auto path = reader.take(RepoPath::parse(reader.text("path")));
  auto size = reader.number("size");
  bool is_large = reader.has("sha256");
  auto hash = is_large ? reader.text("sha256") : reader.text("git_sha1");
  reader.refuse_unknown();
  if (reader.status() && !is_lower_hex(hash, is_large ? 64 : 40))
    reader.complain(Error(Errc::integrity, "`" + hash.substr(0, 80) + "` is not a hash"));
  if (reader.status() && size > kMaxFileSize)
    reader.complain(Error(Errc::integrity, "a size of " + std::to_string(size) + " bytes is over the limit"));
  if (reader.status() && path->str() != folder && !path->str().starts_with(folder + "/"))
    reader.complain(Error(Errc::integrity, "`" + path->str() + "` is outside its variant `" + folder + "`"));
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  auto blob = is_large ? BlobId::of_sha256(hash) : BlobId::of_git_sha1(hash);
  return FileEntry{.path = std::move(*path), .size = size, .blob = std::move(blob)};
}

static Result<LockedVariant> read_variant(const Json& item) {
  ObjectReader reader(item, "a variant");
  LockedVariant out;
  out.name = reader.text("name");
  if (reader.status() && (out.name.find('/') != std::string::npos || !RepoPath::parse(out.name)))
    reader.complain(Error(Errc::integrity, "`" + out.name + "` is not the name of a variant"));
  out.metadata = read_metadata(reader);
  for (const auto& file : reader.array("files")) {
    auto entry = read_file_entry(file, "build/" + out.name);
    if (!entry) {
      reader.complain(std::move(entry).error().while_doing("reading the variant `" + out.name + "`"));
      break;
    }
    out.files.push_back(std::move(*entry));
  }
  if (auto possible = check_file_set(out.files); !possible) reader.complain(std::move(possible).error());
  reader.refuse_unknown();
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return out;
}

static std::optional<TrustSource> read_trust(ObjectReader& kernel, const std::optional<RepoId>& repo) {
  ObjectReader publisher(kernel.object("publisher"), "`publisher`");
  auto name = publisher.text("name");
  if (kernel.status() && publisher.status() && name != repo->publisher())
    kernel.complain(Error(Errc::integrity, "`" + name + "` is not the publisher of `" + repo->str() + "`"));
  auto word = publisher.text("trusted_by");
  for (auto source : {TrustSource::hub, TrustSource::project, TrustSource::dependency})
    if (word == to_string(source)) return source;
  kernel.complain(Error(Errc::corrupt, "`" + word + "` is not a source of trust"));
  return std::nullopt;
}

static std::optional<RepoId> read_asked_for(ObjectReader& reader) {
  auto text = reader.optional_text("asked_for");
  return text ? reader.take(RepoId::parse(*text)) : std::nullopt;
}

static Result<LockedKernel> read_kernel(const Json& item, const std::string& what) {
  ObjectReader reader(item, what);
  auto repo = reader.take(RepoId::parse(reader.text("repo_id")));
  auto commit = reader.take(Commit::parse(reader.text("commit")));
  ObjectReader requested(reader.object("requested"), "`requested`");
  auto requirement = read_requirement(requested);
  if (auto status = requested.status(); !status) reader.complain(std::move(status).error());
  bool is_tag = reader.has("tag");
  auto ref = reader.take(parse_revision(reader.text(is_tag ? "tag" : "ref")));
  auto asked_for = read_asked_for(reader);
  auto hub_name = reader.text_or("hub_name", "");
  bool direct = reader.flag_or("direct", false);
  auto trust = read_trust(reader, repo);
  std::vector<LockedVariant> variants;
  for (const auto& entry : reader.array("variants")) {
    auto variant = read_variant(entry);
    if (!variant) {
      reader.complain(std::move(variant).error());
      break;
    }
    variants.push_back(std::move(*variant));
  }
  reader.refuse_unknown();
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return LockedKernel{.repo = *repo,
                      .requirement = *requirement,
                      .commit = *commit,
                      .ref = *ref,
                      .ref_is_tag = is_tag,
                      .asked_for = asked_for,
                      .hub_name = hub_name,
                      .direct = direct,
                      .trust = *trust,
                      .variants = std::move(variants)};
}

static std::optional<bool> read_flag(ObjectReader& reader, const char* key) {
  bool value = reader.flag_or(key, false);
  return reader.is_null(key) ? std::nullopt : std::optional(value);
}

/// All three keys or, in the file of an older program, none.
static std::optional<LayerFacts> read_facts(ObjectReader& reader) {
  if (!reader.has("has_backward") && !reader.has("can_torch_compile") && !reader.has("forward"))
    return std::nullopt;
  LayerFacts out;
  out.has_backward = read_flag(reader, "has_backward");
  out.can_torch_compile = read_flag(reader, "can_torch_compile");
  auto forward = reader.texts_or_empty("forward");
  if (!reader.is_null("forward")) out.forward = std::move(forward);
  return out;
}

static Result<LockedLayer> read_layer(const Json& item, const std::string& what) {
  ObjectReader reader(item, what);
  auto layer = reader.text("layer");
  auto device = reader.take(parse_device(reader.text("device")));
  auto mode = reader.take(Mode::parse(reader.text("mode")));
  auto min = reader.number("min_capability");
  auto max = reader.number("max_capability");
  auto repo = reader.take(RepoId::parse(reader.text("repo_id")));
  auto commit = reader.take(Commit::parse(reader.text("commit")));
  auto kernel_layer = reader.text("kernel_layer");
  auto facts = read_facts(reader);
  reader.refuse_unknown();
  if (reader.status() && (min > max || max > 9999))
    reader.complain(Error(Errc::corrupt,
                          "a capability range from " + std::to_string(min) + " to " + std::to_string(max)));
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  CapabilityRange range{.min = static_cast<std::uint32_t>(min), .max = static_cast<std::uint32_t>(max)};
  return LockedLayer{.layer = layer,
                     .device = *device,
                     .mode = *mode,
                     .capabilities = range,
                     .repo = *repo,
                     .commit = *commit,
                     .kernel_layer = kernel_layer,
                     .facts = std::move(facts)};
}

Result<SumFile> parse_sum(std::string_view json, const std::string& what) {
  auto document = detail::parse_json(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  auto schema = reader.text("schema");
  if (reader.status() && schema != "kernels.sum/1")
    return fail(
        Error(Errc::unsupported, what + " has the schema `" + schema + "`, which this program cannot read")
            .with_hint("update `kernels`, or run `kernels lock` to write it anew"));
  SumFile out{.lock_sha256 = reader.text("lock_sha256"), .lock = {}};
  for (const auto& item : reader.array("kernels")) {
    auto kernel = read_kernel(item, "a kernel of " + what);
    if (!kernel) return fail(std::move(kernel).error().with_hint("run `kernels lock` to write it anew"));
    out.lock.kernels.push_back(std::move(*kernel));
  }
  for (const auto& item : reader.array("layers")) {
    auto layer = read_layer(item, "a layer of " + what);
    if (!layer) return fail(std::move(layer).error().with_hint("run `kernels lock` to write it anew"));
    out.lock.layers.push_back(std::move(*layer));
  }
  reader.refuse_unknown();
  if (auto status = reader.status(); !status)
    return fail(std::move(status).error().with_hint("run `kernels lock` to write it anew"));
  return out;
}

// --- differences -----------------------------------------------------------------------------------------

static std::string label(const LockedKernel& kernel) {
  return kernel.repo.str() + " (" + kernel.requirement.display() + ")";
}

static const LockedKernel* find_kernel(const Lock& lock, const LockedKernel& like) {
  auto found = std::ranges::find_if(lock.kernels, [&](const LockedKernel& kernel) {
    return kernel.repo == like.repo && kernel.requirement == like.requirement;
  });
  return found == lock.kernels.end() ? nullptr : &*found;
}

static void diff_variants(const LockedKernel& before, const LockedKernel& after,
                          std::vector<std::string>& out) {
  auto find = [](const LockedKernel& kernel, const std::string& name) {
    return std::ranges::find(kernel.variants, name, &LockedVariant::name);
  };
  for (const auto& variant : after.variants) {
    auto old = find(before, variant.name);
    if (old == before.variants.end())
      out.push_back("  + variant " + variant.name);
    else if (old->files != variant.files)
      out.push_back("  ~ variant " + variant.name + ": its files changed");
  }
  for (const auto& variant : before.variants)
    if (find(after, variant.name) == after.variants.end()) out.push_back("  - variant " + variant.name);
}

static std::string describe_layer(const LockedLayer& layer) {
  std::string range;
  if (layer.capabilities != CapabilityRange{})
    range = " capability " + std::to_string(layer.capabilities.min) + "-" +
            std::to_string(layer.capabilities.max);
  return "layer " + layer.layer + " on " + to_string(layer.device) + " for " + layer.mode.str() + range +
         ": " + layer.kernel_layer + " of " + layer.repo.str() + " at " + layer.commit.abbreviated();
}

/// Facts follow from the commit: a row that only lacks them, from an older program, is the same row.
static bool has_layer(const Lock& lock, LockedLayer layer) {
  return std::ranges::any_of(lock.layers, [&](const LockedLayer& other) {
    layer.facts = other.facts;
    return layer == other;
  });
}

std::vector<std::string> diff_locks(const Lock& before, const Lock& after) {
  std::vector<std::string> out;
  for (const auto& kernel : after.kernels) {
    const auto* old = find_kernel(before, kernel);
    if (old == nullptr) {
      out.push_back("+ " + label(kernel) + " at " + kernel.commit.abbreviated());
      continue;
    }
    if (old->commit != kernel.commit)
      out.push_back("~ " + label(kernel) + ": " + old->commit.abbreviated() + " -> " +
                    kernel.commit.abbreviated());
    if (old->ref != kernel.ref) out.push_back("~ " + label(kernel) + ": " + old->ref + " -> " + kernel.ref);
    if (old->trust != kernel.trust)
      out.push_back("~ " + label(kernel) + ": trusted by " + to_string(old->trust) + " -> " +
                    to_string(kernel.trust));
    diff_variants(*old, kernel, out);
  }
  for (const auto& kernel : before.kernels)
    if (find_kernel(after, kernel) == nullptr) out.push_back("- " + label(kernel));
  for (const auto& layer : after.layers)
    if (!has_layer(before, layer)) out.push_back("+ " + describe_layer(layer));
  for (const auto& layer : before.layers)
    if (!has_layer(after, layer)) out.push_back("- " + describe_layer(layer));
  return out;
}

}  // namespace kernels
