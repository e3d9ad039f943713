#include "kernels/bench/workload.h"

// The header-only form: the worker and the tests then need no shared library for this.
#define TOML_HEADER_ONLY 1
// It asserts some things about a text just before it reports them as errors; the report is what a hostile
// file needs.
#define TOML_ASSERT(expr) static_assert(true)
#include <algorithm>
#include <charconv>

#include <toml++/toml.h>

#include "kernels/base/toml_text.h"

namespace kernels::bench {
namespace {

constexpr std::size_t kMaxWorkloads = 1 << 20;
constexpr std::size_t kMaxEntries = 256;
constexpr std::size_t kMaxArguments = 32;
constexpr std::size_t kMaxDimensions = 8;
constexpr std::size_t kMaxName = 128;
constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 48;

std::unexpected<Error> corrupt(std::string text) {
  return fail(Errc::corrupt, std::move(text));
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxName) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

Result<std::string> name_in(const toml::table& table, std::string_view key) {
  const auto text = table[key].value<std::string>();
  if (!text || !is_name(*text)) return corrupt("expected a name for `" + std::string(key) + "`");
  return *text;
}

Result<SizeProduct> parse_product(std::string_view text) {
  SizeProduct product;
  if (text.size() > kMaxName) return corrupt("a size is too long");
  while (!text.empty()) {
    const auto end = std::min(text.find('*'), text.size());
    const std::string_view factor = text.substr(0, end);
    std::int64_t number = 0;
    const auto [stop, code] = std::from_chars(factor.data(), factor.data() + factor.size(), number);
    if (code == std::errc() && stop == factor.data() + factor.size()) {
      if (number < 0 || number > kMaxElements ||
          __builtin_mul_overflow(product.factor, number, &product.factor))
        return corrupt("a size is too large");
    } else if (is_name(factor) && (factor.front() < '0' || factor.front() > '9')) {
      product.names.emplace_back(factor);
    } else {
      return corrupt("expected a size such as `2*cols`, got `" + std::string(text) + "`");
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return product;
}

Result<std::vector<SizeProduct>> parse_products(const toml::array* list, std::string_view what) {
  std::vector<SizeProduct> products;
  if (list == nullptr || list->empty() || list->size() > kMaxDimensions)
    return corrupt(std::string(what) + " needs 1 to 8 sizes such as `2*cols`");
  for (const auto& entry : *list) {
    auto product = parse_product(entry.value_or(std::string("?")));
    if (!product)
      return std::unexpected(std::move(product).error().while_doing("reading " + std::string(what)));
    products.push_back(std::move(*product));
  }
  return products;
}

Result<Tolerance> parse_tolerance(const toml::table& table) {
  const Tolerance tolerance{table["relative"].value_or(-1.0), table["absolute"].value_or(-1.0)};
  // A tolerance that lets everything pass is no test.
  const bool sensible = tolerance.relative >= 0 && tolerance.relative <= 0.25 && tolerance.absolute >= 0 &&
                        tolerance.absolute <= 1;
  if (!sensible) return corrupt("a tolerance needs `relative` in [0, 0.25] and `absolute` in [0, 1]");
  return tolerance;
}

/// What only tensors have that need not be of the case's type.
Status parse_type(const toml::table& table, ArgumentSpec& argument) {
  const auto wrong = [&](const std::string& text) { return corrupt("`" + argument.name + "` " + text); };
  if (table.contains("dtype")) {
    argument.dtype = runtime::dtype_from_name(table["dtype"].value_or(std::string()));
    if (!argument.dtype) return wrong("has an unknown data type");
  }
  const bool is_whole = argument.dtype && !runtime::is_floating(*argument.dtype);
  const bool needs_limit = is_whole && argument.access != Access::write;
  if (needs_limit != table.contains("below"))
    return wrong("needs `below` if it is read and of whole numbers, and only then");
  if (needs_limit) {
    auto below = parse_product(table["below"].value_or(std::string("?")));
    if (!below)
      return std::unexpected(std::move(below).error().while_doing("reading `" + argument.name + "`"));
    argument.below = std::move(*below);
  }
  const bool needs_tolerance = argument.dtype && argument.access != Access::read;
  if (needs_tolerance != table.contains("tolerance"))
    return wrong("needs a tolerance of its own if it has a `dtype` and is written, and only then");
  if (!needs_tolerance) return {};
  const auto* entry = table["tolerance"].as_table();
  if (entry == nullptr) return wrong("needs a tolerance such as {relative = 0.0, absolute = 0.0}");
  auto tolerance = parse_tolerance(*entry);
  if (!tolerance)
    return std::unexpected(std::move(tolerance).error().while_doing("reading `" + argument.name + "`"));
  argument.tolerance = *tolerance;
  return {};
}

Result<ArgumentSpec> parse_argument(const toml::table& table) {
  ArgumentSpec argument;
  auto name = name_in(table, "name");
  if (!name) return std::unexpected(std::move(name).error());
  argument.name = std::move(*name);
  argument.value = table["value"].value<double>();
  if (argument.value) return argument;
  const auto access = table["access"].value_or(std::string());
  if (access == "write")
    argument.access = Access::write;
  else if (access == "read-write")
    argument.access = Access::read_write;
  else if (access != "read")
    return corrupt("`" + argument.name + "` needs an access: read, write or read-write");
  auto shape = parse_products(table["shape"].as_array(), "the shape of `" + argument.name + "`");
  if (!shape) return std::unexpected(std::move(shape).error());
  argument.shape = std::move(*shape);
  if (table.contains("moved")) {
    auto moved = parse_products(table["moved"].as_array(), "`moved` of `" + argument.name + "`");
    if (!moved) return std::unexpected(std::move(moved).error());
    argument.moved = std::move(*moved);
  }
  if (auto done = parse_type(table, argument); !done) return std::unexpected(std::move(done).error());
  return argument;
}

/// The type of a case: what has no `dtype` is filled with random numbers of it, so it is not one of whole
/// ones.
std::optional<DType> case_type(std::string_view name) {
  const auto type = runtime::dtype_from_name(name);
  return type && runtime::is_floating(*type) ? type : std::nullopt;
}

Result<std::map<DType, Tolerance>> parse_tolerances(const toml::table* table) {
  std::map<DType, Tolerance> result;
  if (table == nullptr || table->empty()) return corrupt("expected a tolerance per data type");
  for (const auto& [key, node] : *table) {
    const auto type = case_type(key.str());
    const auto* entry = node.as_table();
    if (!type || entry == nullptr)
      return corrupt("expected a data type, got `" + std::string(key.str()) + "`");
    auto tolerance = parse_tolerance(*entry);
    if (!tolerance) return std::unexpected(std::move(tolerance).error());
    result[*type] = *tolerance;
  }
  return result;
}

Result<std::vector<SizeProduct>> parse_flops(const toml::table& table) {
  if (!table.contains("flops")) return std::vector<SizeProduct>();
  return parse_products(table["flops"].as_array(), "`flops`");
}

Result<FunctionSpec> parse_function(const toml::table& table) {
  FunctionSpec function;
  auto name = name_in(table, "name");
  if (!name) return std::unexpected(std::move(name).error());
  function.name = std::move(*name);
  auto reference = name_in(table, "reference");
  if (!reference) return std::unexpected(std::move(reference).error());
  function.reference = std::move(*reference);
  function.independent = table["independent"].value_or(std::string());
  if (table.contains("baseline")) {
    auto baseline = name_in(table, "baseline");
    if (!baseline) return std::unexpected(std::move(baseline).error());
    function.baseline = std::move(*baseline);
  }
  auto flops = parse_flops(table);
  if (!flops) return std::unexpected(std::move(flops).error());
  function.flops = std::move(*flops);
  auto tolerance = parse_tolerances(table["tolerance"].as_table());
  if (!tolerance) return std::unexpected(std::move(tolerance).error());
  function.tolerance = std::move(*tolerance);
  const auto* arguments = table["arguments"].as_array();
  if (arguments == nullptr || arguments->empty() || arguments->size() > kMaxArguments)
    return corrupt("expected 1 to 32 arguments");
  for (const auto& entry : *arguments) {
    if (!entry.is_table()) return corrupt("an argument is not a table");
    auto argument = parse_argument(*entry.as_table());
    if (!argument) return std::unexpected(std::move(argument).error());
    function.arguments.push_back(std::move(*argument));
  }
  const bool writes = std::ranges::any_of(function.arguments, [](const ArgumentSpec& argument) {
    return !argument.value && argument.access != Access::read;
  });
  if (!writes) return corrupt("no argument is written: there would be nothing to check");
  return function;
}

Result<Sizes> parse_sizes(const toml::table* table) {
  Sizes sizes;
  if (table == nullptr || table->empty() || table->size() > kMaxDimensions)
    return corrupt("expected 1 to 8 sizes");
  for (const auto& [key, node] : *table) {
    const auto value = node.value<std::int64_t>();
    if (!value || *value < 0 || *value > kMaxElements)
      return corrupt("`" + std::string(key.str()) + "` is no size from 0 to 2^40");
    sizes[std::string(key.str())] = *value;
  }
  return sizes;
}

Result<Workload> parse_workload(const toml::table& table) {
  Workload workload;
  auto name = name_in(table, "name");
  if (!name) return std::unexpected(std::move(name).error());
  workload.name = std::move(*name);
  workload.origin = table["origin"].value_or(std::string()).substr(0, 512);
  auto sizes = parse_sizes(table["sizes"].as_table());
  if (!sizes) return std::unexpected(std::move(sizes).error().while_doing("reading `" + workload.name + "`"));
  workload.sizes = std::move(*sizes);
  const auto* dtypes = table["dtypes"].as_array();
  if (dtypes == nullptr || dtypes->empty() || dtypes->size() > kMaxDimensions)
    return corrupt("`" + workload.name + "` needs a list of data types");
  for (const auto& entry : *dtypes) {
    const auto type = case_type(entry.value_or(std::string()));
    if (!type) return corrupt("`" + workload.name + "` names an unknown data type");
    workload.dtypes.push_back(*type);
  }
  if (const auto* functions = table["functions"].as_array())
    for (const auto& entry : *functions)
      workload.functions.push_back(entry.value_or(std::string()));
  if (workload.functions.size() > kMaxEntries)
    return corrupt("`" + workload.name + "` names too many functions");
  return workload;
}

/// Reads an array of tables through `parse`, entry by entry.
template <class T, class Parse>
Status parse_list(const toml::table& document, std::string_view key, std::vector<T>& out, Parse parse) {
  const auto* list = document[key].as_array();
  if (list == nullptr) return {};
  if (list->size() > kMaxEntries) return corrupt("more than 256 entries in `" + std::string(key) + "`");
  for (const auto& entry : *list) {
    if (!entry.is_table()) return corrupt("`" + std::string(key) + "` is no list of tables");
    auto value = parse(*entry.as_table());
    if (!value)
      return std::unexpected(std::move(value).error().while_doing("reading `" + std::string(key) + "`"));
    out.push_back(std::move(*value));
  }
  return {};
}

Result<WorkloadFile> read_document(const toml::table& document) {
  if (document["schema"].value_or(std::int64_t{0}) != 1)
    return fail(Errc::unsupported, "workloads.toml has a schema other than 1");
  WorkloadFile file;
  if (auto done = parse_list(document, "functions", file.functions, parse_function); !done)
    return std::unexpected(std::move(done).error());
  if (auto done = parse_list(document, "probes", file.probes,
                             [](const toml::table& table) { return parse_sizes(table["sizes"].as_table()); });
      !done)
    return std::unexpected(std::move(done).error());
  if (auto done = parse_list(document, "workloads", file.workloads, parse_workload); !done)
    return std::unexpected(std::move(done).error());
  if (file.functions.empty()) return corrupt("no functions");
  return file;
}

Result<std::vector<std::int64_t>> sizes_of(const ArgumentSpec& argument,
                                           const std::vector<SizeProduct>& products, const Sizes& sizes) {
  std::vector<std::int64_t> shape;
  std::int64_t elements = 1;
  for (const SizeProduct& product : products) {
    std::int64_t size = product.factor;
    for (const std::string& name : product.names) {
      const auto found = sizes.find(name);
      if (found == sizes.end())
        return corrupt("`" + argument.name + "` uses the unknown size `" + name + "`");
      if (__builtin_mul_overflow(size, found->second, &size))
        return corrupt("`" + argument.name + "` is too large");
    }
    if (__builtin_mul_overflow(elements, std::max<std::int64_t>(size, 1), &elements) ||
        elements > kMaxElements)
      return corrupt("`" + argument.name + "` has more than 2^40 elements");
    shape.push_back(size);
  }
  return shape;
}

}  // namespace

Result<WorkloadFile> parse_workloads(std::string_view text) {
  if (text.size() > kMaxWorkloads) return corrupt("workloads.toml is larger than 1 MiB");
  if (auto flaw = find_non_ascii(text))
    return corrupt("workloads.toml, line " + std::to_string(flaw->line) + ": " + flaw->text);
  try {
    auto file = read_document(toml::parse(text));
    if (!file) return std::unexpected(std::move(file).error().while_doing("reading workloads.toml"));
    return file;
  } catch (const toml::parse_error& error) {
    return corrupt("workloads.toml, line " + std::to_string(error.source().begin.line) + ": " +
                   std::string(error.description()));
  }
}

Result<std::vector<std::int64_t>> shape_of(const ArgumentSpec& argument, const Sizes& sizes) {
  return sizes_of(argument, argument.shape, sizes);
}

Result<std::uint64_t> limit_of(const ArgumentSpec& argument, const Sizes& sizes) {
  auto limit = sizes_of(argument, {*argument.below}, sizes);
  if (!limit) return std::unexpected(std::move(limit).error());
  constexpr std::int64_t kMostInt32 = std::int64_t{1} << 31;
  if (argument.dtype == DType::int32 && limit->front() > kMostInt32)
    return corrupt("`" + argument.name + "` would hold numbers that an int32 does not have");
  return static_cast<std::uint64_t>(std::max<std::int64_t>(limit->front(), 1));
}

Result<std::uint64_t> bytes_moved(const ArgumentSpec& argument, const Sizes& sizes, DType type) {
  auto shape = shape_of(argument, sizes);
  if (!shape) return std::unexpected(std::move(shape).error());
  auto elements = runtime::Layout::dense(std::move(*shape)).elements();
  if (!argument.moved.empty()) {
    auto moved = sizes_of(argument, argument.moved, sizes);
    if (!moved) return std::unexpected(std::move(moved).error());
    elements = std::min(elements, runtime::Layout::dense(std::move(*moved)).elements());
  }
  return elements * runtime::size_of(dtype_of(argument, type));
}

Result<std::uint64_t> bytes_moved(const FunctionSpec& function, const Sizes& sizes, DType type) {
  std::uint64_t bytes = 0;
  for (const ArgumentSpec& argument : function.arguments) {
    if (argument.value) continue;
    auto once = bytes_moved(argument, sizes, type);
    if (!once) return once;
    bytes += *once * (argument.access == Access::read_write ? 2 : 1);
    if (bytes > kMaxBytes) return corrupt("`" + function.name + "` would move more than 2^48 bytes");
  }
  return bytes;
}

Result<std::uint64_t> operand_bytes(const FunctionSpec& function, const Sizes& sizes, DType type) {
  std::uint64_t bytes = 0;
  for (const ArgumentSpec& argument : function.arguments) {
    if (argument.value) continue;
    auto shape = shape_of(argument, sizes);
    if (!shape) return std::unexpected(std::move(shape).error());
    bytes +=
        runtime::Layout::dense(std::move(*shape)).elements() * runtime::size_of(dtype_of(argument, type));
  }
  return bytes;
}

Result<std::uint64_t> flops_of(const FunctionSpec& function, const Sizes& sizes) {
  constexpr std::int64_t kMost = std::int64_t{1} << 60;
  std::int64_t sum = 0;
  for (const SizeProduct& product : function.flops) {
    std::int64_t term = product.factor;
    for (const std::string& name : product.names) {
      const auto found = sizes.find(name);
      if (found == sizes.end()) return corrupt("`flops` uses the unknown size `" + name + "`");
      if (__builtin_mul_overflow(term, found->second, &term)) return corrupt("`flops` is too large");
    }
    if (__builtin_add_overflow(sum, term, &sum) || sum > kMost) return corrupt("`flops` is too large");
  }
  return static_cast<std::uint64_t>(sum);
}

std::string describe(const Sizes& sizes) {
  std::string text;
  for (const auto& [name, size] : sizes)
    text += (text.empty() ? "" : " ") + name + "=" + std::to_string(size);
  return text;
}

}  // namespace kernels::bench
