#include "kernels/bench/results.h"

#include <algorithm>

#include "measurement_json_impl.h"

namespace kernels::bench {

namespace {

constexpr std::string_view kSchema = "kernels.bench/1";
constexpr std::size_t kMaxResults = std::size_t{64} << 20;

Json to_json(const MachineFact& fact) {
  return {{"name", fact.name}, {"value", fact.value}, {"source", fact.source}};
}

Result<MachineFact> fact_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(MachineFact{
      .name = reader.text("name"), .value = reader.text("value"), .source = reader.text("source")});
}

Json to_json(const Subject& subject) {
  return {{"kernel", subject.kernel},         {"commit", text_json(subject.commit)},
          {"variant", subject.variant},       {"variant_sha256", subject.variant_sha256},
          {"library", subject.library},       {"runner", subject.runner},
          {"layer", text_json(subject.layer)}};
}

Result<Subject> subject_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(Subject{.kernel = reader.text("kernel"),
                               .commit = reader.text_or("commit", ""),
                               .variant = reader.text("variant"),
                               .variant_sha256 = reader.text("variant_sha256"),
                               .library = reader.text("library"),
                               .runner = reader.text("runner"),
                               .layer = reader.text_or("layer", "")});
}

Json to_json(const Tolerance& tolerance) {
  return {{"relative", real_json(tolerance.relative)}, {"absolute", real_json(tolerance.absolute)}};
}

Result<Tolerance> tolerance_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(Tolerance{.relative = reader.real("relative"), .absolute = reader.real("absolute")});
}

Json to_json(const ResultRow& row) {
  return {{"device", row.device},
          {"subject", row.subject},
          {"function", row.function},
          {"workload", row.workload},
          {"dtype", row.dtype ? Json(runtime::name_of(*row.dtype)) : Json(nullptr)},
          {"sizes", sizes_json(row.sizes)},
          {"tolerance", to_json(row.tolerance)},
          {"result", to_json(row.result)}};
}

Result<ResultRow> row_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  ResultRow row;
  row.device = reader.small("device");
  row.subject = reader.small("subject");
  row.function = reader.text("function");
  row.workload = reader.text("workload");
  if (reader.is_null("dtype"))
    row.dtype.reset();
  else
    row.dtype = reader.named("dtype", runtime::dtype_from_name);
  row.sizes = reader.counts<std::int64_t>("sizes");
  if (auto tolerance = reader.take(tolerance_from(reader.object("tolerance"), "tolerance")))
    row.tolerance = *tolerance;
  if (auto result = reader.take(case_result_from(reader.object("result"), "result")))
    row.result = std::move(*result);
  return reader.finish(std::move(row));
}

Json to_json(const RunSettings& settings) {
  return {{"seed", settings.seed},
          {"precision", real_json(settings.precision)},
          {"budget_seconds", real_json(settings.budget_seconds)}};
}

Result<RunSettings> settings_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  return reader.finish(RunSettings{.seed = reader.number("seed"),
                                   .precision = reader.real("precision"),
                                   .budget_seconds = reader.real("budget_seconds")});
}

template <class T>
Json list_json(const std::vector<T>& items) {
  Json out = Json::array();
  for (const auto& item : items)
    out.push_back(to_json(item));
  return out;
}

Status refuse_wrong_indices(const Results& results) {
  for (std::size_t i = 0; i < results.rows.size(); ++i) {
    const auto& row = results.rows[i];
    const std::string where = "`rows[" + std::to_string(i) + "]` ";
    if (row.device >= results.devices.size())
      return fail(Errc::corrupt, where + "is of device " + std::to_string(row.device) + " of " +
                                     std::to_string(results.devices.size()));
    if (row.subject >= results.subjects.size())
      return fail(Errc::corrupt, where + "is of subject " + std::to_string(row.subject) + " of " +
                                     std::to_string(results.subjects.size()));
  }
  return {};
}

Status refuse_other_schema(const Json& document, const std::string& what) {
  MeasureReader reader(document, what);
  const auto schema = reader.text("schema");
  if (auto status = reader.status(); !status) return status;
  if (schema == kSchema) return {};
  return fail(
      Error(Errc::unsupported, what + " has the schema `" + schema + "`, not `" + std::string(kSchema) + "`")
          .with_hint("measure again with this program"));
}

}  // namespace

bool Results::all_right() const {
  return std::ranges::all_of(rows, [](const auto& row) { return may_have_time(row.result.verdict); });
}

Json to_json(const DeviceRecord& device) {
  auto told = [](const auto& number) { return number == 0 ? Json(nullptr) : Json(number); };
  return {{"kind", device.kind},
          {"index", device.index},
          {"name", device.name},
          {"uuid", text_json(device.uuid)},
          {"driver", text_json(device.driver)},
          {"capability", text_json(device.capability)},
          {"multiprocessors", device.multiprocessors},
          {"memory_bytes", device.memory_bytes},
          {"cache_bytes", device.cache_bytes},
          {"ecc", device.ecc ? Json(*device.ecc) : Json(nullptr)},
          {"max_clock_mhz", told(device.max_clock_mhz)},
          {"max_memory_mhz", told(device.max_memory_mhz)},
          {"power_limit_w", told(device.power_limit_w)}};
}

Result<DeviceRecord> device_from(const Json& json, const std::string& where) {
  MeasureReader reader(json, where);
  DeviceRecord device;
  device.kind = reader.text("kind");
  if (device.kind != "cuda" && device.kind != "cpu")
    reader.complain(Error(Errc::corrupt, "`kind` should be `cuda` or `cpu`, but is `" + device.kind + "`"));
  device.index = reader.small("index");
  device.name = reader.text("name");
  device.uuid = reader.text_or("uuid", "");
  device.driver = reader.text_or("driver", "");
  device.capability = reader.text_or("capability", "");
  device.multiprocessors = reader.small("multiprocessors");
  device.memory_bytes = reader.number("memory_bytes");
  device.cache_bytes = reader.number("cache_bytes");
  if (!reader.is_null("ecc")) device.ecc = reader.flag_or("ecc", false);
  device.max_clock_mhz = reader.small_or_zero("max_clock_mhz");
  device.max_memory_mhz = reader.small_or_zero("max_memory_mhz");
  if (!reader.is_null("power_limit_w")) device.power_limit_w = reader.real("power_limit_w");
  return reader.finish(std::move(device));
}

std::string encode_results(const Results& results) {
  return dump_json({{"schema", kSchema},
                    {"program", results.program},
                    {"started", results.started},
                    {"host", results.host},
                    {"job", text_json(results.job)},
                    {"settings", to_json(results.settings)},
                    {"machine", list_json(results.machine)},
                    {"devices", list_json(results.devices)},
                    {"subjects", list_json(results.subjects)},
                    {"rows", list_json(results.rows)}});
}

Result<Results> parse_results(std::string_view json, const std::string& what) {
  if (json.size() > kMaxResults) return fail(Errc::corrupt, what + " has more than 64 MiB");
  auto document = detail::parse_json(json, what, kJsonLimits);
  if (!document) return fail(std::move(document).error());
  if (auto schema = refuse_other_schema(*document, what); !schema) return fail(schema.error());
  MeasureReader reader(*document, what);
  Results results;
  results.program = reader.text("program");
  results.started = reader.text("started");
  results.host = reader.text("host");
  results.job = reader.text_or("job", "");
  if (auto settings = reader.take(settings_from(reader.object("settings"), "settings")))
    results.settings = *settings;
  results.machine = reader.list<MachineFact>("machine", kMaxRows, fact_from);
  results.devices = reader.list<DeviceRecord>("devices", kMaxRows, device_from);
  results.subjects = reader.list<Subject>("subjects", kMaxRows, subject_from);
  results.rows = reader.list<ResultRow>("rows", kMaxRows, row_from);
  if (reader.status())
    if (auto status = refuse_wrong_indices(results); !status) reader.complain(status.error());
  return reader.finish(std::move(results));
}

}  // namespace kernels::bench
