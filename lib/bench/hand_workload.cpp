#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "kernels/bench/workload.h"

namespace kernels::bench {

namespace {

constexpr std::int64_t kMostSize = std::int64_t{1} << 40;

struct Alias {
  std::string_view name;
  std::string_view size;
};
constexpr std::array kAliases = {Alias{"T", "rows"}, Alias{"tokens", "rows"}, Alias{"hidden", "cols"}};

Error bad_text(std::string_view text, const std::string& why) {
  return Error(Errc::invalid_argument, "`" + std::string(text) + "` is no workload: " + why)
      .with_hint("write sizes by their names, such as `rows=4096,cols=8192,dtype=bf16`");
}

Result<std::int64_t> parse_size(std::string_view whole, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 0 || value > kMostSize)
    return fail(bad_text(whole, "`" + std::string(text) + "` is not a size"));
  return value;
}

Status take(HandWorkload& out, std::string_view whole, std::string_view name, std::string_view value) {
  if (name == "dtype") {
    if (out.dtype) return fail(bad_text(whole, "`dtype` is there twice"));
    out.dtype = dtype_from_text(value);
    if (!out.dtype) return fail(bad_text(whole, "`" + std::string(value) + "` is not a data type"));
    return {};
  }
  auto size = parse_size(whole, value);
  if (!size) return fail(std::move(size).error());
  if (!out.sizes.emplace(name, *size).second)
    return fail(bad_text(whole, "`" + std::string(name) + "` is there twice"));
  return {};
}

std::set<std::string> names_of(const FunctionSpec& function) {
  std::set<std::string> names;
  const auto add = [&names](const SizeProduct& product) {
    names.insert(product.names.begin(), product.names.end());
  };
  for (const auto& argument : function.arguments) {
    std::ranges::for_each(argument.shape, add);
    std::ranges::for_each(argument.moved, add);
    if (argument.below) add(*argument.below);
  }
  return names;
}

std::string listed(const std::set<std::string>& names) {
  std::string out;
  for (const auto& name : names)
    out += (out.empty() ? "`" : ", `") + name + "`";
  return out;
}

/// The name by which the file knows a size; empty if it knows none.
std::string known_name(const std::string& name, const std::set<std::string>& names) {
  if (names.contains(name)) return name;
  for (const auto& alias : kAliases)
    if (alias.name == name && names.contains(std::string(alias.size))) return std::string(alias.size);
  return {};
}

}  // namespace

std::optional<DType> dtype_from_text(std::string_view text) {
  if (text == "float32" || text == "fp32") return DType::float32;
  if (text == "float16" || text == "fp16" || text == "half") return DType::float16;
  if (text == "bfloat16" || text == "bf16") return DType::bfloat16;
  return std::nullopt;
}

Result<HandWorkload> parse_hand_workload(std::string_view text) {
  HandWorkload out;
  for (auto rest = text; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto item = rest.substr(0, comma);
    const auto equals = item.find('=');
    if (equals == 0 || equals == std::string_view::npos)
      return fail(bad_text(text, "`" + std::string(item) + "` is not a name and a size"));
    if (auto taken = take(out, text, item.substr(0, equals), item.substr(equals + 1)); !taken)
      return fail(std::move(taken).error());
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (out.sizes.empty()) return fail(bad_text(text, "it has no sizes"));
  return out;
}

Result<Workload> to_workload(const HandWorkload& hand, const WorkloadFile& file) {
  std::set<std::string> names;
  std::set<DType> dtypes;
  for (const auto& function : file.functions) {
    names.merge(names_of(function));
    for (const auto& [dtype, tolerance] : function.tolerance)
      dtypes.insert(dtype);
  }
  Workload out{.name = "by-hand", .origin = "the command line", .sizes = {}, .dtypes = {}, .functions = {}};
  for (const auto& [name, size] : hand.sizes) {
    const auto known = known_name(name, names);
    if (known.empty())
      return fail(Error(Errc::invalid_argument, "no function of this kernel has a size `" + name + "`")
                      .with_hint("its sizes are " + listed(names)));
    if (!out.sizes.emplace(known, size).second)
      return fail(
          Error(Errc::invalid_argument, "`" + name + "` is the size `" + known + "`, which is there too"));
  }
  if (hand.dtype && !dtypes.contains(*hand.dtype))
    return fail(Error(Errc::invalid_argument,
                      "no function of this kernel takes " + std::string(runtime::name_of(*hand.dtype))));
  out.dtypes = hand.dtype ? std::vector{*hand.dtype} : std::vector(dtypes.begin(), dtypes.end());
  for (const auto& function : file.functions)
    if (std::ranges::all_of(names_of(function), [&](const auto& name) { return out.sizes.contains(name); }))
      out.functions.push_back(function.name);
  if (out.functions.empty())
    return fail(Error(Errc::invalid_argument, "every function of this kernel needs more sizes than these")
                    .with_hint("its sizes are " + listed(names)));
  return out;
}

}  // namespace kernels::bench
