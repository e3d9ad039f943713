#include <cmath>
#include <utility>

#include "measurement_json_impl.h"

namespace kernels::bench {

namespace {

/// The lowest temperature that there is; what a sensor tells may be below 0 °C.
constexpr double kAbsoluteZero = -273.15;

Result<Range> range_from(const Json& json, const std::string& where, double lowest) {
  MeasureReader reader(json, where);
  Range range = {.low = reader.real("low", lowest), .high = reader.real("high", lowest)};
  if (range.low > range.high) reader.complain(Error(Errc::corrupt, "`low` is above `high`"));
  if (auto status = reader.status(); !status) return fail(status.error());
  return range;
}

std::optional<Range> optional_range(MeasureReader& reader, const char* key, double lowest = 0) {
  if (reader.is_null(key)) return std::nullopt;
  return reader.take(range_from(reader.object(key), key, lowest));
}

Json range_json(const std::optional<Range>& range) {
  if (!range) return nullptr;
  return {{"low", real_json(range->low)}, {"high", real_json(range->high)}};
}

Json dimensions_json(const std::array<std::uint32_t, 3>& size) {
  return Json::array({size[0], size[1], size[2]});
}

std::array<std::uint32_t, 3> dimensions(MeasureReader& reader, const char* key) {
  std::array<std::uint32_t, 3> out = {};
  const Json& json = reader.array(key);
  bool is_good = json.size() == out.size();
  for (std::size_t i = 0; is_good && i < out.size(); ++i) {
    is_good = json[i].is_number_unsigned() &&
              json[i].get<std::uint64_t>() <= std::numeric_limits<std::uint32_t>::max();
    if (is_good) out[i] = json[i].get<std::uint32_t>();
  }
  if (!is_good)
    reader.complain(Error(Errc::corrupt, "`" + std::string(key) + "` should be three whole numbers"));
  return out;
}

}  // namespace

Json to_json(const Launch& launch) {
  return {{"name", launch.name},
          {"grid", dimensions_json(launch.grid)},
          {"block", dimensions_json(launch.block)},
          {"shared_bytes", launch.shared_bytes},
          {"registers", launch.registers},
          {"local_bytes", launch.local_bytes},
          {"binary_version", launch.binary_version},
          {"ptx_version", launch.ptx_version}};
}

Result<Launch> launch_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(Launch{.name = reader.text("name"),
                              .grid = dimensions(reader, "grid"),
                              .block = dimensions(reader, "block"),
                              .shared_bytes = reader.small("shared_bytes"),
                              .registers = reader.attribute("registers"),
                              .local_bytes = reader.attribute("local_bytes"),
                              .binary_version = reader.attribute("binary_version"),
                              .ptx_version = reader.attribute("ptx_version")});
}

Json to_json(const Probe& probe) {
  Json launches = Json::array();
  for (const auto& launch : probe.launches)
    launches.push_back(to_json(launch));
  return {{"launches", std::move(launches)},
          {"copies", probe.copies},
          {"is_recordable", probe.is_recordable},
          {"faults", probe.faults}};
}

Result<Probe> probe_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(Probe{.launches = reader.list<Launch>("launches", kMaxRows, launch_from),
                             .copies = reader.small("copies"),
                             .is_recordable = reader.flag_or("is_recordable", false),
                             .faults = reader.texts_or_empty("faults")});
}

Json to_json(const Numerics& numerics) {
  return {{"max_error", real_json(numerics.max_error)},
          {"worst_share", real_json(numerics.worst_share)},
          {"checked", numerics.checked}};
}

Result<Numerics> numerics_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(Numerics{.max_error = reader.real_or_infinity("max_error"),
                                .worst_share = reader.real_or_infinity("worst_share"),
                                .checked = reader.number("checked")});
}

Json to_json(const Series& series) {
  Json samples = Json::array();
  samples.get_ref<Json::array_t&>().reserve(series.samples.size());
  for (double sample : series.samples)
    samples.push_back(real_json(sample));
  return {{"summary", to_json(series.summary())}, {"samples_ns", std::move(samples)}};
}

Result<Series> series_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  Series series;
  const Json& samples = reader.array("samples_ns");
  if (samples.size() > kMaxSamples) reader.too_many("samples_ns", kMaxSamples);
  if (reader.status()) series.samples.reserve(samples.size());
  for (std::size_t i = 0; i < samples.size() && reader.status(); ++i) {
    const double value = samples[i].is_number() ? samples[i].get<double>() : -1;
    if (value >= 0 && value <= kMaxTime)
      series.samples.push_back(value + 0.0);  // no negative zero
    else
      reader.complain(Error(Errc::corrupt, "`samples_ns[" + std::to_string(i) +
                                               "]` should be a time in nanoseconds, but is " +
                                               samples[i].dump(-1, ' ', true).substr(0, 40)));
  }
  return reader.finish(std::move(series));
}

Json to_json(const Conditions& conditions) {
  Json dropped = Json::object();
  for (const auto& [reason, number] : conditions.dropped)
    dropped[reason] = number;
  return {{"clock_mhz", range_json(conditions.clock_mhz)},
          {"memory_mhz", range_json(conditions.memory_mhz)},
          {"power_w", range_json(conditions.power_w)},
          {"temperature_c", range_json(conditions.temperature_c)},
          {"cycles", range_json(conditions.cycles)},
          {"instructions", range_json(conditions.instructions)},
          {"slowed_by", conditions.slowed_by},
          {"other_processes", conditions.other_processes},
          {"memory_errors", conditions.memory_errors},
          {"dropped", std::move(dropped)}};
}

Result<Conditions> conditions_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(Conditions{.clock_mhz = optional_range(reader, "clock_mhz"),
                                  .memory_mhz = optional_range(reader, "memory_mhz"),
                                  .power_w = optional_range(reader, "power_w"),
                                  .temperature_c = optional_range(reader, "temperature_c", kAbsoluteZero),
                                  .cycles = optional_range(reader, "cycles"),
                                  .instructions = optional_range(reader, "instructions"),
                                  .slowed_by = reader.texts_or_empty("slowed_by"),
                                  .other_processes = reader.small("other_processes"),
                                  .memory_errors = reader.number("memory_errors"),
                                  .dropped = reader.counts<std::uint64_t>("dropped")});
}

Json to_json(const Timing& timing) {
  Json series = Json::object();
  for (const auto& [kind, one] : timing.series)
    series[std::string(name_of(kind))] = to_json(one);
  return {{"bytes", timing.bytes},
          {"flops", timing.flops == 0 ? Json(nullptr) : Json(timing.flops)},
          {"gb_per_s", real_json(timing.gb_per_s())},
          {"tflop_per_s", timing.flops == 0 ? Json(nullptr) : real_json(timing.tflop_per_s())},
          {"stopped", name_of(timing.stopped)},
          {"method", timing.method},
          {"limit_method", timing.limit_method},
          {"conditions", to_json(timing.conditions)},
          {"series", std::move(series)}};
}

Result<Timing> timing_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  Timing timing;
  timing.bytes = reader.number("bytes");
  timing.flops = reader.optional_number("flops").value_or(0);
  timing.stopped = reader.named("stopped", stopped_from_name);
  timing.method = reader.text("method");
  timing.limit_method = reader.text("limit_method");
  if (auto conditions = reader.take(conditions_from(reader.object("conditions"), "conditions")))
    timing.conditions = std::move(*conditions);
  for (const auto& [name, series] : reader.object("series").items()) {
    const auto kind = series_kind_from_name(name);
    if (!kind || !reader.status()) continue;
    if (auto one = reader.take(series_from(series, name))) timing.series[*kind] = std::move(*one);
  }
  if (timing.find(SeriesKind::cold) == nullptr)
    reader.complain(Error(Errc::corrupt, "`series` has no samples of `cold`"));
  return reader.finish(std::move(timing));
}

Json to_json(const CaseResult& result) {
  Json json = {{"verdict", name_of(result.verdict)},
               {"reason", text_json(result.reason)},
               {"probe", to_json(result.probe)},
               {"numerics", to_json(result.numerics)},
               {"share_of_limit", nullptr},
               {"speedup", nullptr},
               {"timing", nullptr}};
  if (const auto share = result.share_of_limit()) json["share_of_limit"] = to_json(*share);
  if (const auto speedup = result.speedup()) json["speedup"] = to_json(*speedup);
  if (result.timing) json["timing"] = to_json(*result.timing);
  return json;
}

Result<CaseResult> case_result_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  CaseResult result;
  result.verdict = reader.named("verdict", verdict_from_name);
  result.reason = reader.text_or("reason", "");
  if (auto probe = reader.take(probe_from(reader.object("probe"), "probe"))) result.probe = std::move(*probe);
  if (auto numerics = reader.take(numerics_from(reader.object("numerics"), "numerics")))
    result.numerics = *numerics;
  if (!reader.is_null("timing")) {
    result.timing = reader.take(timing_from(reader.object("timing"), "timing"));
    if (!may_have_time(result.verdict))
      reader.complain(
          Error(Errc::corrupt, "a `timing` of what is `" + std::string(name_of(result.verdict)) + "`"));
  }
  return reader.finish(std::move(result));
}

}  // namespace kernels::bench
