#include <cmath>

#include <nlohmann/json.hpp>

#include "kernels/bench/case.h"

// The JSON forms of a request and a result. JSON has no infinity: null stands for it.

namespace kernels::bench {
namespace {

using Json = nlohmann::json;

std::string access_name(Access access) {
  return access == Access::read ? "read" : access == Access::write ? "write" : "read-write";
}
Access access_of(const std::string& name) {
  return name == "read" ? Access::read : name == "write" ? Access::write : Access::read_write;
}

double number(const Json& json) {
  return json.is_null() ? HUGE_VAL : json.get<double>();
}

DType dtype_of(const Json& json) {
  const auto type = runtime::dtype_from_name(json.get<std::string>());
  return type ? *type : throw std::out_of_range("data type");
}

Json to_json(const ArgumentSpec& argument) {
  if (argument.value) return {{"name", argument.name}, {"value", *argument.value}};
  Json shape = Json::array();
  for (const SizeProduct& product : argument.shape)
    shape.push_back({{"factor", product.factor}, {"names", product.names}});
  return {{"name", argument.name}, {"access", access_name(argument.access)}, {"shape", shape}};
}

ArgumentSpec argument_of(const Json& json) {
  ArgumentSpec argument;
  argument.name = json.at("name");
  if (json.contains("value")) {
    argument.value = json.at("value").get<double>();
    return argument;
  }
  argument.access = access_of(json.at("access"));
  for (const Json& product : json.at("shape"))
    argument.shape.push_back({product.at("factor"), product.at("names")});
  return argument;
}

Json to_json(const FunctionSpec& function) {
  Json json = {
      {"name", function.name}, {"reference", function.reference}, {"independent", function.independent}};
  json["arguments"] = Json::array();
  for (const ArgumentSpec& argument : function.arguments)
    json["arguments"].push_back(to_json(argument));
  for (const auto& [type, tolerance] : function.tolerance)
    json["tolerance"][std::string(runtime::name_of(type))] = {tolerance.relative, tolerance.absolute};
  return json;
}

FunctionSpec function_of(const Json& json) {
  FunctionSpec function{json.at("name"), json.at("reference"), json.at("independent"), {}, {}};
  for (const Json& argument : json.at("arguments"))
    function.arguments.push_back(argument_of(argument));
  for (const auto& [name, pair] : json.at("tolerance").items())
    function.tolerance[dtype_of(name)] = {pair.at(0), pair.at(1)};
  return function;
}

Json to_json(const Summary& s) {
  return {{"samples", s.samples},
          {"median", s.median},
          {"min", s.min},
          {"p95", s.p95},
          {"spread", s.spread},
          {"median_low", s.median_low},
          {"median_high", s.median_high}};
}

Summary summary_of(const Json& json) {
  return {json.at("samples"),
          number(json.at("median")),
          number(json.at("min")),
          number(json.at("p95")),
          number(json.at("spread")),
          number(json.at("median_low")),
          number(json.at("median_high"))};
}

Json to_json(const Timing& t) {
  return {{"kernel", to_json(t.kernel)},
          {"samples", t.samples},
          {"bytes", t.bytes},
          {"gb_per_s", t.gb_per_s},
          {"limit", to_json(t.limit)},
          {"limit_gb_per_s", t.limit_gb_per_s},
          {"share_of_limit", t.share_of_limit},
          {"limit_method", t.limit_method},
          {"method", t.method},
          {"clocks", t.clocks},
          {"unsteady", t.unsteady}};
}

Timing timing_of(const Json& json) {
  Timing timing;
  timing.kernel = summary_of(json.at("kernel"));
  timing.samples = json.at("samples").get<std::vector<double>>();
  timing.bytes = json.at("bytes");
  timing.gb_per_s = number(json.at("gb_per_s"));
  timing.limit = summary_of(json.at("limit"));
  timing.limit_gb_per_s = number(json.at("limit_gb_per_s"));
  timing.share_of_limit = number(json.at("share_of_limit"));
  timing.limit_method = json.at("limit_method");
  timing.method = json.at("method");
  timing.clocks = json.at("clocks");
  timing.unsteady = json.at("unsteady");
  return timing;
}

CaseRequest request_of(const Json& json) {
  CaseRequest request;
  request.library = json.at("library");
  request.provider = json.at("provider");
  request.device = json.at("device") == "cuda" ? runtime::DeviceKind::cuda : runtime::DeviceKind::cpu;
  request.device_index = json.at("device_index");
  request.function = function_of(json.at("function"));
  request.dtype = dtype_of(json.at("dtype"));
  request.checks = json.at("checks").get<std::vector<Sizes>>();
  if (json.contains("timed")) request.timed = json.at("timed").get<Sizes>();
  request.seed = json.at("seed");
  request.budget_seconds = json.at("budget_seconds");
  return request;
}

CaseResult result_of(const Json& json) {
  CaseResult result;
  const std::string verdict = json.at("verdict");
  for (const Verdict one : {Verdict::right, Verdict::wrong, Verdict::raised, Verdict::crashed,
                            Verdict::timed_out, Verdict::out_of_memory})
    if (verdict == name_of(one)) result.verdict = one;
  result.reason = json.at("reason");
  result.max_error = number(json.at("max_error"));
  result.worst_share = number(json.at("worst_share"));
  result.checked = json.at("checked");
  result.seed = json.at("seed");
  result.device = json.at("device");
  if (json.contains("timing")) result.timing = timing_of(json.at("timing"));
  return result;
}

template <class T, class Parse>
Result<T> decode(std::string_view text, Parse parse) {
  try {
    return parse(Json::parse(text));
  } catch (const std::exception& error) {
    return fail(Errc::corrupt, std::string("unreadable message of a worker: ") + error.what());
  }
}

/// Texts of a kernel's errors may hold anything; invalid UTF-8 is replaced.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string encode(const CaseRequest& request) {
  Json json = {{"library", request.library},
               {"provider", request.provider},
               {"device", request.device == runtime::DeviceKind::cuda ? "cuda" : "cpu"},
               {"device_index", request.device_index},
               {"function", to_json(request.function)},
               {"dtype", runtime::name_of(request.dtype)},
               {"checks", request.checks},
               {"seed", request.seed},
               {"budget_seconds", request.budget_seconds}};
  if (request.timed) json["timed"] = *request.timed;
  return dump(json);
}

std::string encode(const CaseResult& result) {
  Json json = {{"verdict", name_of(result.verdict)},
               {"reason", result.reason},
               {"max_error", result.max_error},
               {"worst_share", result.worst_share},
               {"checked", result.checked},
               {"seed", result.seed},
               {"device", result.device}};
  if (result.timing) json["timing"] = to_json(*result.timing);
  return dump(json);
}

Result<CaseRequest> decode_request(std::string_view json) {
  return decode<CaseRequest>(json, request_of);
}
Result<CaseResult> decode_result(std::string_view json) {
  return decode<CaseResult>(json, result_of);
}

}  // namespace kernels::bench
