#include <algorithm>
#include <cmath>

#include "measurement_json_impl.h"

// What all JSON of this module shares: numbers within bounds, and the text of a document.

namespace kernels::bench {

double MeasureReader::real(const char* key, double low, double high) {
  const auto complain_that = [&](const std::string& text) {
    complain(Error(Errc::corrupt, "`" + std::string(key) + "` " + text));
    return 0.0;
  };
  if (!has(key)) return complain_that("should be a number, but is missing");
  const Json& json = json_.at(key);
  if (!json.is_number()) return complain_that(std::string("should be a number, but is ") + json.type_name());
  const auto value = json.get<double>();
  if (!(value >= low) || !(value <= high)) return complain_that("is out of range: " + json.dump());
  return value + 0.0;  // no negative zero
}

double MeasureReader::real_or_infinity(const char* key) {
  if (has(key) && json_.at(key).is_null()) return std::numeric_limits<double>::infinity();
  return real(key);
}

std::uint32_t MeasureReader::small(const char* key, std::uint32_t high) {
  const auto value = number(key);
  if (value <= high) return static_cast<std::uint32_t>(value);
  complain(Error(Errc::corrupt, "`" + std::string(key) + "` is too large: " + std::to_string(value)));
  return 0;
}

std::uint32_t MeasureReader::small_or_zero(const char* key) {
  return is_null(key) ? 0 : small(key);
}

std::int32_t MeasureReader::attribute(const char* key) {
  return static_cast<std::int32_t>(small(key, std::numeric_limits<std::int32_t>::max()));
}

void MeasureReader::too_many(const char* key, std::size_t most) {
  complain(
      Error(Errc::corrupt, "`" + std::string(key) + "` has more than " + std::to_string(most) + " entries"));
}

std::uint64_t MeasureReader::count(const char* key, const std::string& name, const Json& value,
                                   std::uint64_t most) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() <= most) return value.get<std::uint64_t>();
  complain(Error(Errc::corrupt, "`" + name + "` in `" + key +
                                    "` should be a whole number that is not negative" +
                                    (value.is_number_unsigned() ? " and not too large" : "")));
  return 0;
}

Json real_json(double value) {
  return std::isfinite(value) ? Json(value + 0.0) : Json(nullptr);
}

Json text_json(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json to_json(const Summary& summary) {
  return {{"samples", summary.samples},
          {"median_ns", real_json(summary.median)},
          {"median_low_ns", real_json(summary.median_low)},
          {"median_high_ns", real_json(summary.median_high)},
          {"min_ns", real_json(summary.min)},
          {"p95_ns", real_json(summary.p95)},
          {"spread", real_json(summary.spread)}};
}

Json to_json(const Ratio& ratio) {
  return {{"value", real_json(ratio.value)}, {"low", real_json(ratio.low)}, {"high", real_json(ratio.high)}};
}

Json sizes_json(const Sizes& sizes) {
  Json out = Json::object();
  for (const auto& [name, size] : sizes)
    out[name] = size;
  return out;
}

namespace {

std::string dump_scalar(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void append(std::string& out, const Json& json, std::size_t depth);

/// Thousands of samples are one line, not thousands.
void append_line(std::string& out, const Json& list) {
  out += '[';
  for (std::size_t i = 0; i < list.size(); ++i)
    out += (i == 0 ? "" : ", ") + dump_scalar(list[i]);
  out += ']';
}

void append_block(std::string& out, const Json& json, std::size_t depth) {
  const bool is_object = json.is_object();
  out += is_object ? '{' : '[';
  const char* comma = "\n";
  for (const auto& [key, value] : json.items()) {
    out += comma + std::string(2 * (depth + 1), ' ');
    if (is_object) out += dump_scalar(key) + ": ";
    append(out, value, depth + 1);
    comma = ",\n";
  }
  out += "\n" + std::string(2 * depth, ' ');
  out += is_object ? '}' : ']';
}

void append(std::string& out, const Json& json, std::size_t depth) {
  auto is_scalar = [](const Json& item) { return !item.is_structured(); };
  if (!json.is_structured() || json.empty())
    out += dump_scalar(json);
  else if (json.is_array() && std::ranges::all_of(json, is_scalar))
    append_line(out, json);
  else
    append_block(out, json, depth);
}

}  // namespace

std::string dump_json(const Json& json) {
  std::string out;
  append(out, json, 0);
  return out + "\n";
}

}  // namespace kernels::bench
