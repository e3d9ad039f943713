#pragma once

// JSON of what was measured, for files of results and for the answers of the worker. Both may be hostile.
//
// A reader names the member that is wrong; `where` names the value that it reads, such as `rows[3]`. It
// leaves members alone that it does not know. Errors  corrupt, nothing else. Nothing here throws. Infinity is
// null. A text that is not UTF-8 is written with U+FFFD in its place.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/bench/measurement.h"
#include "kernels/bench/results.h"

#include "json_impl.h"

namespace kernels::bench {

using detail::Json;

/// How much of a file or an answer is read.
constexpr std::size_t kMaxRows = 100'000;  ///< and devices, subjects, facts
constexpr std::size_t kMaxSamples = 100'000;
constexpr detail::JsonLimits kJsonLimits = {.levels = 16, .members = 1000, .values = 12'000'000};
/// A longer time is not one: 31 years in nanoseconds.
constexpr double kMaxTime = 1e18;

/// ObjectReader for numbers that must lie within bounds.
class MeasureReader : public detail::ObjectReader {
 public:
  MeasureReader(const Json& object, std::string what)
      : ObjectReader(object, std::move(what)), json_(object) {}

  /// A number that is finite and within the bounds, both included.
  double real(const char* key, double low = 0, double high = std::numeric_limits<double>::max());
  /// The same for a member where null stands for infinity.
  double real_or_infinity(const char* key);
  std::uint32_t small(const char* key, std::uint32_t high = std::numeric_limits<std::uint32_t>::max());
  /// Absent or null is 0.
  std::uint32_t small_or_zero(const char* key);
  /// Not negative and within int32, as the driver's attributes are.
  std::int32_t attribute(const char* key);
  /// One of the values that `from_name` knows.
  template <class T>
  T named(const char* key, std::optional<T> (*from_name)(std::string_view)) {
    const auto name = text(key);
    if (const auto value = from_name(name)) return *value;
    complain(Error(Errc::corrupt, "`" + std::string(key) + "` cannot be `" + name + "`"));
    return {};
  }
  /// An array of at most `most` objects, each read by `read`.
  template <class T>
  std::vector<T> list(const char* key, std::size_t most, Result<T> (*read)(const Json&, const std::string&)) {
    std::vector<T> out;
    const Json& items = array(key);
    if (items.size() > most) too_many(key, most);
    for (std::size_t i = 0; i < items.size() && status(); ++i)
      if (auto item = take(read(items[i], std::string(key) + "[" + std::to_string(i) + "]")))
        out.push_back(std::move(*item));
    return out;
  }
  /// An object of whole numbers that are not negative, by name.
  template <class T>
  std::map<std::string, T> counts(const char* key) {
    std::map<std::string, T> out;
    for (const auto& [name, value] : object(key).items())
      out[name] = static_cast<T>(count(key, name, value, std::numeric_limits<T>::max()));
    return out;
  }
  void too_many(const char* key, std::size_t most);
  /// The value, or the first complaint.
  template <class T>
  Result<T> finish(T value) const {
    if (auto status = this->status(); !status) return fail(std::move(status).error());
    return value;
  }

 private:
  std::uint64_t count(const char* key, const std::string& name, const Json& value, std::uint64_t most);
  const Json& json_;
};

/// null for infinity and what is not a number.
Json real_json(double value);
/// null for an empty text.
Json text_json(const std::string& text);

Json to_json(const Summary& summary);  ///< for people and scripts; there is no reader: the samples say it
Json to_json(const Ratio& ratio);      ///< the same

Json to_json(const Launch& launch);
Result<Launch> launch_from(const Json& json, const std::string& where);
Json to_json(const Probe& probe);
Result<Probe> probe_from(const Json& json, const std::string& where);
Json to_json(const Numerics& numerics);
Result<Numerics> numerics_from(const Json& json, const std::string& where);
/// Samples must be finite, not negative and not above kMaxTime to be read again.
Json to_json(const Series& series);
Result<Series> series_from(const Json& json, const std::string& where);
Json to_json(const Conditions& conditions);
Result<Conditions> conditions_from(const Json& json, const std::string& where);
Json to_json(const Timing& timing);
/// Series of kinds that are not known are left alone; without samples of `cold` it is no timing.
Result<Timing> timing_from(const Json& json, const std::string& where);
Json to_json(const CaseResult& result);
/// Only what is right may have a timing.
Result<CaseResult> case_result_from(const Json& json, const std::string& where);

Json to_json(const DeviceRecord& device);
Result<DeviceRecord> device_from(const Json& json, const std::string& where);
Json sizes_json(const Sizes& sizes);

/// The text of a document, two blanks deep, with a line feed at its end; lists without lists and objects in
/// them stand on one line.
std::string dump_json(const Json& json);

}  // namespace kernels::bench
