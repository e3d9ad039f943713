#include "kernels/model/native_layers.h"

// It asserts some things about a text just before it reports them as errors; the report is what a hostile
// file needs.
#define TOML_ASSERT(expr) static_assert(true)
#include <algorithm>
#include <set>

#include <toml++/toml.h>

#include "kernels/base/nearest.h"
#include "kernels/base/toml_text.h"

namespace kernels {

namespace {

constexpr std::size_t kMaxText = 1 << 20;
constexpr std::size_t kMaxLayers = 256;
constexpr std::size_t kMaxValues = 32;
constexpr std::size_t kMaxName = 128;
constexpr std::int64_t kMaxDivisor = 1 << 16;

std::unexpected<Error> corrupt(std::string text) {
  return fail(Errc::corrupt, std::move(text));
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxName || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// One table, read key by key; keys that nobody asked for are an error, because a misspelt `has_backward`
/// would be believed otherwise.
class Table {
 public:
  explicit Table(const toml::table& table) : table_(table) {}

  Result<std::string> name(const char* key) {
    known_.insert(key);
    auto text = table_[key].value<std::string>();
    if (!text || !is_name(*text)) return corrupt("expected a name for `" + std::string(key) + "`");
    return *text;
  }

  Result<bool> flag(const char* key, std::optional<bool> otherwise) {
    known_.insert(key);
    if (!table_.contains(key) && otherwise) return *otherwise;
    auto value = table_[key].value_exact<bool>();
    if (!value) return corrupt("expected true or false for `" + std::string(key) + "`");
    return *value;
  }

  Result<std::vector<std::string>> names(const char* key) {
    std::vector<std::string> out;
    const auto* array = take_array(key);
    if (array == nullptr) return corrupt("expected a list of names for `" + std::string(key) + "`");
    for (const auto& node : *array) {
      auto text = node.value<std::string>();
      if (!text || !is_name(*text)) return corrupt("expected a list of names for `" + std::string(key) + "`");
      out.push_back(std::move(*text));
    }
    return out;
  }

  /// The tables in the list of that name; nothing if there is no such key.
  Result<std::vector<const toml::table*>> tables(const char* key) {
    std::vector<const toml::table*> out;
    if (!table_.contains(key)) {
      known_.insert(key);
      return out;
    }
    const auto* array = take_array(key);
    if (array == nullptr) return corrupt("expected a list of tables for `" + std::string(key) + "`");
    for (const auto& node : *array) {
      if (!node.is_table()) return corrupt("expected a list of tables for `" + std::string(key) + "`");
      out.push_back(node.as_table());
    }
    return out;
  }

  const toml::node* node(const char* key) {
    known_.insert(key);
    return table_.get(key);
  }

  Status refuse_unknown() const {
    for (const auto& [key, value] : table_) {
      if (known_.contains(key.str())) continue;
      std::vector<std::string> known(known_.begin(), known_.end());
      auto guess = nearest(key.str(), known);
      auto error = Error(Errc::corrupt, "unknown key `" + std::string(key.str()) + "`");
      return fail(guess ? std::move(error).with_hint("did you mean `" + *guess + "`?") : std::move(error));
    }
    return {};
  }

 private:
  const toml::array* take_array(const char* key) {
    known_.insert(key);
    const auto* array = table_[key].as_array();
    return array != nullptr && array->size() <= kMaxValues ? array : nullptr;
  }

  const toml::table& table_;
  std::set<std::string, std::less<>> known_;
};

Result<ValueKind> read_kind(const toml::node* node) {
  if (node == nullptr) return ValueKind::tensor;
  auto word = node->value<std::string>().value_or("");
  for (auto kind : {ValueKind::tensor, ValueKind::integer, ValueKind::number, ValueKind::boolean})
    if (word == to_string(kind)) return kind;
  return corrupt("`" + word.substr(0, kMaxName) + "` is not a type: tensor, int, float or bool");
}

Result<NativeValue> read_value(const toml::table& table, bool is_member) {
  Table reader(table);
  NativeValue out;
  auto name = reader.name("name");
  if (!name) return fail(std::move(name).error());
  out.name = *name;
  auto kind = read_kind(reader.node("type"));
  if (!kind) return fail(std::move(kind).error());
  out.kind = *kind;
  if (is_member && table.contains("members")) {
    auto names = reader.names("members");
    if (!names) return fail(std::move(names).error());
    out.members = std::move(*names);
  }
  if (is_member && out.members.empty()) out.members = {out.name};
  if (auto known = reader.refuse_unknown(); !known) return fail(std::move(known).error());
  return out;
}

Result<NativeOutput> read_output(const toml::table& table) {
  Table reader(table);
  auto name = reader.name("name");
  if (!name) return fail(std::move(name).error());
  auto like = reader.name("like");
  if (!like) return fail(std::move(like).error());
  NativeOutput out{.name = *name, .like = *like};
  if (const auto* node = reader.node("divide_last")) {
    out.divide_last = node->value_exact<std::int64_t>().value_or(0);
    if (out.divide_last < 1 || out.divide_last > kMaxDivisor)
      return corrupt("`divide_last` should be a whole number from 1 to 65536");
  }
  if (auto known = reader.refuse_unknown(); !known) return fail(std::move(known).error());
  return out;
}

Status read_values(Table& reader, const char* key, bool is_member, std::vector<NativeValue>& out) {
  auto tables = reader.tables(key);
  if (!tables) return fail(std::move(tables).error());
  for (const auto* table : *tables) {
    auto value = read_value(*table, is_member);
    if (!value) return fail(std::move(value).error().while_doing("reading `" + std::string(key) + "`"));
    out.push_back(std::move(*value));
  }
  return {};
}

Status read_outputs(Table& reader, std::vector<NativeOutput>& out) {
  auto tables = reader.tables("outputs");
  if (!tables) return fail(std::move(tables).error());
  for (const auto* table : *tables) {
    auto output = read_output(*table);
    if (!output) return fail(std::move(output).error().while_doing("reading `outputs`"));
    out.push_back(std::move(*output));
  }
  return {};
}

Status read_tolerance(Table& reader, std::map<std::string, NativeTolerance>& out) {
  const auto* node = reader.node("tolerance");
  const auto* table = node == nullptr ? nullptr : node->as_table();
  if (table == nullptr || table->empty() || table->size() > kMaxValues)
    return corrupt("expected a tolerance for each data type");
  for (const auto& [key, value] : *table) {
    const auto* entry = value.as_table();
    if (entry == nullptr || !is_name(key.str())) return corrupt("expected a tolerance for each data type");
    NativeTolerance tolerance{.relative = (*entry)["relative"].value_or(-1.0),
                              .absolute = (*entry)["absolute"].value_or(-1.0)};
    // A tolerance that lets everything pass is no test.
    const bool sensible = tolerance.relative >= 0 && tolerance.relative <= 0.25 && tolerance.absolute >= 0 &&
                          tolerance.absolute <= 1;
    if (!sensible) return corrupt("a tolerance needs `relative` in [0, 0.25] and `absolute` in [0, 1]");
    out[std::string(key.str())] = tolerance;
  }
  return {};
}

/// Every name is defined once; what is used is defined; every output is filled.
Status check_names(const NativeLayer& layer) {
  std::set<std::string> defined;
  auto define = [&](const std::string& name) -> Status {
    if (defined.insert(name).second) return {};
    return corrupt("the name `" + name + "` is defined twice");
  };
  for (const auto* values : {&layer.forward, &layer.members})
    for (const auto& value : *values)
      if (auto done = define(value.name); !done) return done;
  for (const auto& output : layer.outputs) {
    if (auto done = define(output.name); !done) return done;
    const auto* like = layer.parameter(output.like);
    if (like == nullptr || like->kind != ValueKind::tensor)
      return corrupt("the output `" + output.name + "` is like `" + output.like +
                     "`, which is no tensor of `forward`");
    if (std::ranges::count(layer.arguments, output.name) != 1)
      return corrupt("the output `" + output.name + "` should be one of `arguments`, once");
  }
  for (const auto& name : layer.arguments)
    if (!defined.contains(name)) return corrupt("the argument `" + name + "` is not defined");
  for (const auto& name : layer.returns) {
    const auto* parameter = layer.parameter(name);
    bool is_tensor = parameter != nullptr && parameter->kind == ValueKind::tensor;
    if (!is_tensor && layer.output(name) == nullptr)
      return corrupt("`returns` names `" + name + "`, which is neither an output nor a tensor of `forward`");
  }
  return {};
}

Result<NativeLayer> read_layer(const toml::table& table) {
  Table reader(table);
  NativeLayer out;
  auto name = reader.name("name");
  if (!name) return fail(std::move(name).error());
  out.name = *name;
  auto function = reader.name("function");
  if (!function) return fail(std::move(function).error());
  out.function = *function;
  if (auto done = read_values(reader, "forward", false, out.forward); !done) return fail(done.error());
  if (auto done = read_values(reader, "members", true, out.members); !done) return fail(done.error());
  if (auto done = read_outputs(reader, out.outputs); !done) return fail(done.error());
  auto arguments = reader.names("arguments");
  if (!arguments) return fail(std::move(arguments).error());
  out.arguments = std::move(*arguments);
  auto returns = reader.names("returns");
  if (!returns) return fail(std::move(returns).error());
  out.returns = std::move(*returns);
  auto backward = reader.flag("has_backward", true);
  if (!backward) return fail(std::move(backward).error());
  out.has_backward = *backward;
  auto compile = reader.flag("can_torch_compile", false);
  if (!compile) return fail(std::move(compile).error());
  out.can_torch_compile = *compile;
  if (auto done = read_tolerance(reader, out.tolerance); !done) return fail(done.error());
  if (auto known = reader.refuse_unknown(); !known) return fail(std::move(known).error());
  if (auto checked = check_names(out); !checked) return fail(std::move(checked).error());
  return out;
}

template <class Items>
auto* find_named(const Items& items, std::string_view name) {
  auto found = std::ranges::find_if(items, [&](const auto& item) { return item.name == name; });
  return found == items.end() ? nullptr : &*found;
}

}  // namespace

std::string to_string(ValueKind kind) {
  switch (kind) {
    case ValueKind::tensor:
      return "tensor";
    case ValueKind::integer:
      return "int";
    case ValueKind::number:
      return "float";
    case ValueKind::boolean:
      return "bool";
  }
  return {};
}

const NativeValue* NativeLayer::parameter(std::string_view value) const {
  return find_named(forward, value);
}
const NativeValue* NativeLayer::member(std::string_view value) const {
  return find_named(members, value);
}
const NativeOutput* NativeLayer::output(std::string_view value) const {
  return find_named(outputs, value);
}

std::string NativeLayer::signature() const {
  std::string out = name + ".forward(";
  for (const auto& value : forward)
    out += (&value == forward.data() ? "" : ", ") + value.name + ": " + to_string(value.kind);
  out += ") -> ";
  if (returns.empty()) return out + "nothing";
  for (std::size_t i = 0; i < returns.size(); ++i)
    out += i == 0 ? "tensor" : ", tensor";
  return out;
}

const NativeLayer* NativeLayers::find(std::string_view name) const {
  return find_named(layers, name);
}

const NativeLayer* NativeLayers::find_function(std::string_view name) const {
  if (const auto* named = find(name)) return named;
  auto found = std::ranges::find_if(
      layers, [&](const NativeLayer& layer) { return layer.function == name && layer.members.empty(); });
  return found == layers.end() ? nullptr : &*found;
}

std::vector<std::string> NativeLayers::names() const {
  std::vector<std::string> out;
  for (const auto& layer : layers)
    out.push_back(layer.name);
  return out;
}

Result<NativeLayers> parse_native_layers(std::string_view text, const std::string& what) {
  if (text.size() > kMaxText) return corrupt(what + " is longer than 1 MiB");
  if (auto flaw = find_non_ascii(text))
    return corrupt(what + ":" + std::to_string(flaw->line) + ": " + flaw->text);
  NativeLayers out;
  try {
    auto root = toml::parse(text);
    Table reader(root);
    const auto* schema = reader.node("schema");
    if (schema == nullptr || schema->value_exact<std::int64_t>() != 1)
      return fail(Error(Errc::corrupt, what + ": expected `schema = 1`")
                      .with_hint("a newer `kernels` may know this form"));
    const auto* list = root["layers"].as_array();
    if (list == nullptr || list->size() > kMaxLayers) return corrupt(what + ": expected tables `[[layers]]`");
    for (const auto& node : *list) {
      if (!node.is_table()) return corrupt(what + ": expected tables `[[layers]]`");
      auto layer = read_layer(*node.as_table());
      auto place = what + ":" + std::to_string(node.source().begin.line);
      if (!layer) return fail(std::move(layer).error().at(place));
      if (out.find(layer->name) != nullptr)
        return corrupt(place + ": the layer `" + layer->name + "` is declared twice");
      out.layers.push_back(std::move(*layer));
    }
  } catch (const toml::parse_error& error) {
    return corrupt(what + ":" + std::to_string(error.source().begin.line) + ": " +
                   std::string(error.description()));
  }
  return out;
}

}  // namespace kernels
