#include "kernels/model/project.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>

#include "kernels/base/nearest.h"
#include "kernels/base/toml_text.h"

#include "project_toml_impl.h"

namespace kernels {

std::string Requirement::display() const {
  if (const auto* number = version()) return "version " + std::to_string(*number);
  if (const auto* set = specifier()) return set->str().empty() ? "any version" : set->str();
  return "revision " + *revision();
}

namespace {

constexpr std::array<std::string_view, 3> kShapeTypes = {"float32", "float16", "bfloat16"};

/// Names of shapes and of their sizes, as a kernel's `workloads.toml` has them.
bool is_shape_name(std::string_view text) {
  constexpr std::size_t kMost = 128;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  return !text.empty() && text.size() <= kMost && text.find_first_not_of(kLetters) == std::string_view::npos;
}

/// Reads the tables of one file. The first problem ends the reading: a person fixes one and runs again.
class ProjectReader {
 public:
  explicit ProjectReader(std::string file) { project_.file = std::move(file); }

  Result<Project> read(const toml::table& root) {
    if (auto status =
            refuse_unknown(root, {"dependencies", "layers", "bench", "targets", "trust"}, "the project file");
        !status)
      return fail(std::move(status).error());
    for (auto step : {&ProjectReader::dependencies, &ProjectReader::layers, &ProjectReader::shapes,
                      &ProjectReader::targets, &ProjectReader::trust})
      if (auto status = (this->*step)(root); !status) return fail(std::move(status).error());
    return std::move(project_);
  }

 private:
  SourceLine where(const toml::node& node) const {
    return {.file = project_.file, .line = static_cast<std::uint32_t>(node.source().begin.line)};
  }
  Error at(const toml::node& node, Error error) const { return std::move(error).at(where(node).str()); }
  std::unexpected<Error> bad(const toml::node& node, std::string text, std::string hint = {}) const {
    return fail(at(node, Error(Errc::invalid_argument, std::move(text)).with_hint(std::move(hint))));
  }
  /// toml++ sorts keys; people read files from the top.
  static std::vector<std::pair<std::string, const toml::node*>> in_file_order(const toml::table& table) {
    std::vector<std::pair<std::string, const toml::node*>> out;
    for (const auto& [key, node] : table)
      out.emplace_back(std::string(key.str()), &node);
    auto position = [](const auto& item) {
      auto begin = item.second->source().begin;
      return std::pair(begin.line, begin.column);
    };
    std::ranges::stable_sort(out, {}, position);
    return out;
  }
  Status refuse_unknown(const toml::table& table, const std::vector<std::string>& known,
                        const std::string& place) const {
    for (const auto& [key, node] : in_file_order(table)) {
      if (std::ranges::find(known, key) != known.end()) continue;
      auto guess = nearest(key, known);
      std::string all;
      for (const auto& name : known)
        all += (all.empty() ? "`" : ", `") + name + "`";
      return bad(*node, "unknown key `" + key + "` in " + place,
                 guess ? "did you mean `" + *guess + "`?" : "known keys are " + all);
    }
    return {};
  }
  Result<const toml::table*> table_in(const toml::table& parent, std::string_view key) const {
    static const toml::table empty;
    const auto* node = parent.get(key);
    if (node == nullptr) return &empty;
    if (const auto* table = node->as_table()) return table;
    return bad(*node, "`" + std::string(key) + "` should be a table");
  }
  Result<std::optional<std::string>> text(const toml::table& table, std::string_view key) const {
    const auto* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* value = node->as_string()) return value->get();
    return bad(*node, "`" + std::string(key) + "` should be a string");
  }
  Result<bool> flag(const toml::table& table, std::string_view key) const {
    const auto* node = table.get(key);
    if (node == nullptr) return false;
    if (const auto* value = node->as_boolean()) return value->get();
    return bad(*node, "`" + std::string(key) + "` should be true or false");
  }

  /// A version in either spelling: the integer N, or a text with specifiers.
  Result<Requirement> version_of(const toml::node& node) const {
    if (const auto* number = node.as_integer()) {
      if (number->get() < 0) return bad(node, "a version cannot be negative");
      return Requirement::of_version(static_cast<std::uint64_t>(number->get()));
    }
    const auto* words = node.as_string();
    if (words == nullptr)
      return bad(node, "a version should be a number or a text of specifiers",
                 "write for example `1` or `\">=0.0.3,<0.1\"`");
    auto set = SpecifierSet::parse(words->get());
    if (!set) return fail(at(node, std::move(set).error()));
    return Requirement::of_specifier(std::move(*set));
  }
  /// `version` xor `revision` of a table; nothing if it has neither.
  Result<std::optional<Requirement>> requirement_in(const toml::table& table) const {
    const auto* version = table.get("version");
    const auto* revision = table.get("revision");
    if (version != nullptr && revision != nullptr)
      return bad(*revision, "both `version` and `revision` are given", "keep one of them");
    if (version != nullptr) {
      auto requirement = version_of(*version);
      if (!requirement) return fail(std::move(requirement).error());
      return *requirement;
    }
    if (revision == nullptr) return std::nullopt;
    auto name = text(table, "revision");
    if (!name) return fail(std::move(name).error());
    auto checked = parse_revision(**name);
    if (!checked) return fail(at(*revision, std::move(checked).error()));
    return Requirement::of_revision(*checked);
  }

  Result<ProjectDependency> dependency(const std::string& key, const toml::node& node) const {
    auto repo = RepoId::parse(key);
    if (!repo) return fail(at(node, std::move(repo).error()));
    ProjectDependency out{
        .repo = *repo, .requirement = Requirement::of_version(0), .trust = false, .where = where(node)};
    const auto* table = node.as_table();
    if (table == nullptr) {
      auto requirement = version_of(node);
      if (!requirement) return fail(std::move(requirement).error());
      out.requirement = *requirement;
      return out;
    }
    if (auto known = refuse_unknown(*table, {"version", "revision", "trust"}, "the dependency `" + key + "`");
        !known)
      return fail(std::move(known).error());
    auto requirement = requirement_in(*table);
    if (!requirement) return fail(std::move(requirement).error());
    if (!*requirement)
      return bad(node, "the dependency `" + key + "` has neither `version` nor `revision`",
                 "write for example `\"" + key + "\" = 1`");
    auto trust = flag(*table, "trust");
    if (!trust) return fail(std::move(trust).error());
    out.requirement = **requirement;
    out.trust = *trust;
    return out;
  }

  Status dependencies(const toml::table& root) {
    project_.has_dependencies_table = root.contains("dependencies");
    auto table = table_in(root, "dependencies");
    if (!table) return fail(std::move(table).error());
    for (const auto& [key, node] : in_file_order(**table)) {
      auto item = dependency(key, *node);
      if (!item) return fail(std::move(item).error());
      project_.dependencies.push_back(std::move(*item));
    }
    return {};
  }

  Result<CapabilityRange> capabilities(const toml::table& table, DeviceType device) const {
    CapabilityRange range;
    bool has_range = false;
    for (auto [key, slot] :
         {std::pair{"min-capability", &range.min}, std::pair{"max-capability", &range.max}}) {
      const auto* node = table.get(key);
      if (node == nullptr) continue;
      const auto* number = node->as_integer();
      if (number == nullptr || number->get() < 0 || number->get() > 9999)
        return bad(*node, std::string("`") + key + "` should be a number such as 90 for 9.0");
      *slot = static_cast<std::uint32_t>(number->get());
      has_range = true;
    }
    if (range.min > range.max)
      return bad(table, "`min-capability` " + std::to_string(range.min) + " is above `max-capability` " +
                            std::to_string(range.max));
    if (has_range && device != DeviceType::cuda && device != DeviceType::rocm)
      return bad(table, "a capability range does not apply to the device `" + to_string(device) + "`",
                 "remove it, or use `cuda` or `rocm`");
    return range;
  }

  struct OwnRequirement {
    std::optional<Requirement> own;
    bool trust = false;
  };
  /// The layer's own requirement, or that of the dependency of the same name, or the branch main.
  std::pair<Requirement, bool> requirement_for(const RepoId& repo, const OwnRequirement& given) const {
    auto found = std::ranges::find(project_.dependencies, repo, &ProjectDependency::repo);
    bool trusted = given.trust || (found != project_.dependencies.end() && found->trust);
    if (given.own) return {*given.own, trusted};
    if (found != project_.dependencies.end()) return {found->requirement, trusted};
    return {Requirement::of_revision("main"), trusted};
  }

  Status layer_row(const std::string& layer, DeviceType device, const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr) return bad(node, "a layer's entry should be a table with `repo`");
    std::string place = "the layer `" + layer + "`";
    if (auto known = refuse_unknown(
            *table,
            {"repo", "layer", "mode", "min-capability", "max-capability", "version", "revision", "trust"},
            place);
        !known)
      return known;
    auto repo_text = text(*table, "repo");
    auto name = text(*table, "layer");
    auto mode_text = text(*table, "mode");
    auto requirement = requirement_in(*table);
    auto trust = flag(*table, "trust");
    auto range = capabilities(*table, device);
    if (!repo_text) return fail(std::move(repo_text).error());
    if (!name) return fail(std::move(name).error());
    if (!mode_text) return fail(std::move(mode_text).error());
    if (!requirement) return fail(std::move(requirement).error());
    if (!trust) return fail(std::move(trust).error());
    if (!range) return fail(std::move(range).error());
    if (!*repo_text) return bad(node, place + " has no `repo`");
    if ((layer + name->value_or("")).find('?') != std::string::npos)
      return bad(node, "the name of a layer holds `?` or a letter outside ASCII");
    auto repo = RepoId::parse(**repo_text);
    if (!repo) return fail(at(*table->get("repo"), std::move(repo).error()));
    auto mode = Mode::parse(mode_text->value_or("fallback"));
    if (!mode) return fail(at(*table->get("mode"), std::move(mode).error()));
    auto [wanted, trusted] = requirement_for(*repo, {.own = *requirement, .trust = *trust});
    project_.layers.push_back({.layer = layer,
                               .device = device,
                               .mode = *mode,
                               .capabilities = *range,
                               .repo = *repo,
                               .kernel_layer = name->value_or(layer),
                               .requirement = wanted,
                               .trust = trusted,
                               .where = where(node)});
    return {};
  }

  Status layer_device(const std::string& layer, const std::string& key, const toml::node& node) {
    auto device = parse_device(key);
    if (!device) return fail(at(node, std::move(device).error()));
    const auto* rows = node.as_array();
    if (rows == nullptr) return layer_row(layer, *device, node);
    if (rows->empty()) return bad(node, "the layer `" + layer + "` has an empty list for `" + key + "`");
    for (const auto& row : *rows)
      if (auto status = layer_row(layer, *device, row); !status) return status;
    return {};
  }

  Status layers(const toml::table& root) {
    auto table = table_in(root, "layers");
    if (!table) return fail(std::move(table).error());
    for (const auto& [layer, node] : in_file_order(**table)) {
      const auto* devices = node->as_table();
      if (devices == nullptr || devices->empty())
        return bad(*node, "the layer `" + layer + "` should be a table from devices to kernels");
      for (const auto& [device, rows] : in_file_order(*devices))
        if (auto status = layer_device(layer, device, *rows); !status) return status;
    }
    return {};
  }

  /// Numbers such as 13.0 lose digits as floats (8.10 is 8.1), so versions are texts.
  Status target_value(Target& target, const std::string& key, const toml::node& node) const {
    std::string value;
    if (const auto* words = node.as_string())
      value = words->get();
    else if (const auto* boolean = node.as_boolean())
      value = boolean->get() ? "true" : "false";
    else
      return bad(node, "`" + key + "` should be a string",
                 "write the version in quotes: `" + key + " = \"13.0\"`");
    auto set = set_target_key(target, key, value);
    if (!set) return fail(at(node, std::move(set).error()));
    return {};
  }

  Status targets(const toml::table& root) {
    auto table = table_in(root, "targets");
    if (!table) return fail(std::move(table).error());
    for (const auto& [name, node] : in_file_order(**table)) {
      const auto* keys = node->as_table();
      if (keys == nullptr) return bad(*node, "the target `" + name + "` should be a table");
      Target target;
      target.name = name;
      for (const auto& [key, value] : in_file_order(*keys)) {
        const auto* list = value->as_array();
        if (list == nullptr || key != "capability") {
          if (auto status = target_value(target, key, *value); !status) return status;
          continue;
        }
        for (const auto& item : *list)
          if (auto status = target_value(target, key, item); !status) return status;
      }
      complete_target(target);
      project_.targets.emplace(name, std::move(target));
    }
    return {};
  }

  Result<std::vector<std::string>> texts(const toml::table& table, std::string_view key) const {
    std::vector<std::string> out;
    const auto* node = table.get(key);
    if (node == nullptr) return out;
    const auto* items = node->as_array();
    if (items == nullptr) return bad(*node, "`" + std::string(key) + "` should be a list of strings");
    for (const auto& item : *items) {
      const auto* value = item.as_string();
      if (value == nullptr) return bad(item, "`" + std::string(key) + "` should be a list of strings");
      out.push_back(value->get());
    }
    return out;
  }

  Result<std::map<std::string, std::int64_t>> sizes_of(const toml::table& table) const {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    constexpr std::size_t kMostSizes = 8;
    const auto* node = table.get("sizes");
    const auto* sizes = node == nullptr ? nullptr : node->as_table();
    if (sizes == nullptr || sizes->empty() || sizes->size() > kMostSizes)
      return bad(node == nullptr ? table : *node, "a shape needs one to eight `sizes`",
                 "write for example `sizes = { rows = 4096, cols = 8192 }`");
    std::map<std::string, std::int64_t> out;
    for (const auto& [key, value] : in_file_order(*sizes)) {
      const auto* number = value->as_integer();
      if (number == nullptr || number->get() < 0 || number->get() > kMost)
        return bad(*value, "`" + key + "` should be a number from 0 to 2^40");
      if (!is_shape_name(key)) return bad(*value, "`" + key + "` is no name of a size");
      out.emplace(key, number->get());
    }
    return out;
  }

  Status shape(const std::string& layer, const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr) return bad(node, "a shape should be a table with `sizes`");
    if (auto known = refuse_unknown(*table, {"name", "sizes", "dtypes"}, "a shape of `" + layer + "`");
        !known)
      return known;
    auto name = text(*table, "name");
    auto sizes = sizes_of(*table);
    auto dtypes = texts(*table, "dtypes");
    if (!name) return fail(std::move(name).error());
    if (!sizes) return fail(std::move(sizes).error());
    if (!dtypes) return fail(std::move(dtypes).error());
    ProjectShape out{
        .layer = layer, .name = {}, .sizes = std::move(*sizes), .dtypes = {}, .where = where(node)};
    for (const auto& [size, value] : out.sizes)
      out.name += (out.name.empty() ? "" : ",") + size + "=" + std::to_string(value);
    if (*name && !is_shape_name(**name))
      return bad(*table->get("name"), "the name of a shape should be letters, digits, `-`, `_` and `.`");
    if (*name) out.name = std::move(**name);
    out.dtypes = std::move(*dtypes);
    for (const auto& dtype : out.dtypes)
      if (std::ranges::find(kShapeTypes, dtype) == kShapeTypes.end())
        return bad(*table->get("dtypes"), "`" + dtype + "` is not a data type that can be measured",
                   "write float32, float16 or bfloat16");
    auto is_same = [&](const auto& other) { return other.layer == layer && other.name == out.name; };
    if (std::ranges::any_of(project_.shapes, is_same))
      return bad(node, "the shape `" + out.name + "` of `" + layer + "` is there twice");
    project_.shapes.push_back(std::move(out));
    return {};
  }

  Status shapes(const toml::table& root) {
    constexpr std::size_t kMostShapes = 256;
    auto table = table_in(root, "bench");
    if (!table) return fail(std::move(table).error());
    std::vector<std::string> mapped;
    for (const auto& row : project_.layers)
      mapped.push_back(row.layer);
    for (const auto& [layer, node] : in_file_order(**table)) {
      const auto* list = node->as_array();
      if (list == nullptr)
        return bad(*node, "the shapes of `" + layer + "` should be a list",
                   "write `[[bench." + layer + "]]`, one for each shape");
      if (std::ranges::find(mapped, layer) == mapped.end()) {
        auto guess = nearest(layer, mapped);
        return bad(*node, "`bench` has shapes of `" + layer + "`, which `layers` does not map",
                   guess ? "did you mean `" + *guess + "`?" : "");
      }
      if (list->size() > kMostShapes) return bad(*node, "more than 256 shapes of `" + layer + "`");
      for (const auto& item : *list)
        if (auto status = shape(layer, item); !status) return status;
    }
    return {};
  }

  Status trust(const toml::table& root) {
    auto table = table_in(root, "trust");
    if (!table) return fail(std::move(table).error());
    if (auto known = refuse_unknown(**table, {"publishers", "signatures", "signers"}, "`[trust]`"); !known)
      return known;
    auto publishers = texts(**table, "publishers");
    auto signers = texts(**table, "signers");
    auto policy = text(**table, "signatures");
    if (!publishers) return fail(std::move(publishers).error());
    if (!signers) return fail(std::move(signers).error());
    if (!policy) return fail(std::move(policy).error());
    project_.trust.publishers = std::move(*publishers);
    project_.trust.signers = std::move(*signers);
    if (!*policy) return {};
    auto parsed = parse_signature_policy(**policy);
    if (!parsed) return bad(*(*table)->get("signatures"), parsed.error().text(), parsed.error().hint());
    project_.trust.signatures = *parsed;
    return {};
  }

  Project project_;
};

}  // namespace

namespace detail {

Result<const toml::table*> own_tables(const toml::table& root, ProjectFormat format,
                                      const std::string& file) {
  static const toml::table empty;
  if (format == ProjectFormat::kernels_toml) return &root;
  const auto* tool = root.get_as<toml::table>("tool");
  const auto* node = tool == nullptr ? nullptr : tool->get("kernels");
  if (node == nullptr) return &empty;
  if (const auto* table = node->as_table()) return table;
  return fail(Errc::invalid_argument, file + ": `tool.kernels` should be a table");
}

}  // namespace detail

/// toml++ 3.3 has undefined behaviour for some bytes outside ASCII. Nothing that this program reads from a
/// project file has any, so they are blotted out; what a name of ours would be made of them is refused where
/// it is read.
static std::string blot_out_non_ascii(std::string_view text) {
  std::string out(text);
  if (out.starts_with("\xEF\xBB\xBF")) out.replace(0, 3, "   ");  // a byte order mark
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  return out;
}

std::string to_string(SignaturePolicy policy) {
  switch (policy) {
    case SignaturePolicy::off:
      return "off";
    case SignaturePolicy::warn:
      return "warn";
    case SignaturePolicy::require:
      return "require";
  }
  return "";
}

Result<SignaturePolicy> parse_signature_policy(std::string_view text) {
  for (auto policy : {SignaturePolicy::off, SignaturePolicy::warn, SignaturePolicy::require})
    if (text == to_string(policy)) return policy;
  return fail(Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a signature policy")
                  .with_hint("write `off`, `warn` or `require`"));
}

Result<toml::table> detail::parse_project_toml(std::string_view text, const std::string& file) {
  auto bad = [&](auto line, auto column, std::string_view why) {
    return fail(Errc::invalid_argument, file + ":" + std::to_string(line) + ":" + std::to_string(column) +
                                            ": not valid TOML: " + std::string(why));
  };
  if (auto flaw = find_toml_flaw(text)) return bad(flaw->line, flaw->column, flaw->text);
  try {
    return toml::parse(blot_out_non_ascii(text), file);
  } catch (const toml::parse_error& error) {
    return bad(error.source().begin.line, error.source().begin.column, error.description());
  }
}

Result<Project> parse_project(std::string_view text, ProjectFormat format, const std::string& file) {
  auto root = detail::parse_project_toml(text, file);
  if (!root) return fail(std::move(root).error());
  auto tables = detail::own_tables(*root, format, file);
  if (!tables) return fail(std::move(tables).error());
  return ProjectReader(file).read(**tables);
}

}  // namespace kernels
