#include "kernels/bench/case.h"

#include "measurement_json_impl.h"

// What a worker answers. Machine code of others runs there, so that it is read like a file of a stranger.

namespace kernels::bench {

namespace {

constexpr const char* kWhat = "the answer of a worker";

Json plan_json(const Timing& plan) {
  Json kinds = Json::array();
  for (const auto& [kind, series] : plan.series)
    kinds.push_back(name_of(kind));
  return {{"series", kinds},
          {"bytes", plan.bytes},
          {"flops", plan.flops},
          {"method", plan.method},
          {"limit_method", plan.limit_method}};
}

Result<Timing> plan_from(const Json& json) {
  MeasureReader reader(json, "plan");
  Timing plan;
  plan.bytes = reader.number("bytes");
  plan.flops = reader.number("flops");
  plan.method = reader.text("method");
  plan.limit_method = reader.text("limit_method");
  for (const auto& name : reader.texts_or_empty("series"))
    if (auto kind = series_kind_from_name(name)) plan.series[*kind];
  if (auto status = reader.status(); !status) return fail(status.error());
  return plan;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string encode(const CaseResult& result) {
  return text_of(to_json(result));
}

std::string encode(const CaseAnswer& answer) {
  Json json = {{"result", to_json(answer.result)},
               {"device", nullptr},
               {"plan", nullptr},
               {"dtype", nullptr},
               {"processor", nullptr}};
  if (!answer.device.kind.empty()) json["device"] = to_json(answer.device);
  if (answer.plan) json["plan"] = plan_json(*answer.plan);
  if (answer.dtype) json["dtype"] = runtime::name_of(*answer.dtype);
  if (answer.processor) json["processor"] = *answer.processor;
  return text_of(json);
}

std::string encode(const SampleBatch& batch) {
  Json samples = Json::object();
  for (const auto& [kind, values] : batch.samples)
    samples[std::string(name_of(kind))] = to_json(Series{.samples = values});
  return text_of(
      {{"samples", samples}, {"conditions", to_json(batch.conditions)}, {"disturbed", batch.disturbed}});
}

Result<CaseResult> decode_result(std::string_view text) {
  auto json = detail::parse_json(text, kWhat, kJsonLimits);
  if (!json) return fail(std::move(json).error());
  return case_result_from(*json, kWhat);
}

Result<CaseAnswer> decode_answer(std::string_view text) {
  auto json = detail::parse_json(text, kWhat, kJsonLimits);
  if (!json) return fail(std::move(json).error());
  MeasureReader reader(*json, kWhat);
  CaseAnswer answer;
  if (auto result = reader.take(case_result_from(reader.object("result"), "result")))
    answer.result = std::move(*result);
  if (!reader.is_null("device"))
    if (auto device = reader.take(device_from(reader.object("device"), "device")))
      answer.device = std::move(*device);
  if (!reader.is_null("plan")) answer.plan = reader.take(plan_from(reader.object("plan")));
  if (!reader.is_null("processor")) answer.processor = static_cast<unsigned>(reader.number("processor"));
  if (!reader.is_null("dtype")) answer.dtype = reader.named("dtype", runtime::dtype_from_name);
  if (auto status = reader.status(); !status) return fail(status.error());
  return answer;
}

Result<SampleBatch> decode_batch(std::string_view text) {
  auto json = detail::parse_json(text, kWhat, kJsonLimits);
  if (!json) return fail(std::move(json).error());
  MeasureReader reader(*json, kWhat);
  SampleBatch batch;
  batch.disturbed = reader.text_or("disturbed", "");
  if (auto conditions = reader.take(conditions_from(reader.object("conditions"), "conditions")))
    batch.conditions = std::move(*conditions);
  for (const auto& [name, series] : reader.object("samples").items()) {
    const auto kind = series_kind_from_name(name);
    if (!kind) continue;
    if (auto one = reader.take(series_from(series, name))) batch.samples[*kind] = std::move(one->samples);
  }
  if (auto status = reader.status(); !status) return fail(status.error());
  return batch;
}

}  // namespace kernels::bench
