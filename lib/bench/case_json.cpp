#include <nlohmann/json.hpp>

#include "kernels/bench/case.h"

// The JSON form of a request: from this program to its own worker.

namespace kernels::bench {
namespace {

using Message = nlohmann::json;

std::string access_name(Access access) {
  return access == Access::read ? "read" : access == Access::write ? "write" : "read-write";
}
Access access_of(const std::string& name) {
  return name == "read" ? Access::read : name == "write" ? Access::write : Access::read_write;
}

DType dtype_of(const Message& json) {
  const auto type = runtime::dtype_from_name(json.get<std::string>());
  return type ? *type : throw std::out_of_range("data type");
}

Message to_json(const Tolerance& tolerance) {
  return {tolerance.relative, tolerance.absolute};
}
Tolerance tolerance_of(const Message& json) {
  return {json.at(0), json.at(1)};
}

Message products_json(const std::vector<SizeProduct>& products) {
  Message list = Message::array();
  for (const SizeProduct& product : products)
    list.push_back({{"factor", product.factor}, {"names", product.names}});
  return list;
}

std::vector<SizeProduct> products_of(const Message& json) {
  std::vector<SizeProduct> products;
  for (const Message& product : json)
    products.push_back({product.at("factor"), product.at("names")});
  return products;
}

Message to_json(const ArgumentSpec& argument) {
  if (argument.value) return {{"name", argument.name}, {"value", *argument.value}};
  Message json = {{"name", argument.name},
                  {"access", access_name(argument.access)},
                  {"shape", products_json(argument.shape)},
                  {"moved", products_json(argument.moved)}};
  if (argument.dtype) json["dtype"] = runtime::name_of(*argument.dtype);
  if (argument.below) json["below"] = products_json({*argument.below});
  if (argument.tolerance) json["tolerance"] = to_json(*argument.tolerance);
  return json;
}

ArgumentSpec argument_of(const Message& json) {
  ArgumentSpec argument;
  argument.name = json.at("name");
  if (json.contains("value")) {
    argument.value = json.at("value").get<double>();
    return argument;
  }
  argument.access = access_of(json.at("access"));
  argument.shape = products_of(json.at("shape"));
  argument.moved = products_of(json.at("moved"));
  if (json.contains("dtype")) argument.dtype = dtype_of(json.at("dtype"));
  if (json.contains("below")) argument.below = products_of(json.at("below")).at(0);
  if (json.contains("tolerance")) argument.tolerance = tolerance_of(json.at("tolerance"));
  return argument;
}

Message to_json(const FunctionSpec& function) {
  Message json = {{"name", function.name},
                  {"reference", function.reference},
                  {"independent", function.independent},
                  {"baseline", function.baseline},
                  {"flops", products_json(function.flops)}};
  json["arguments"] = Message::array();
  for (const ArgumentSpec& argument : function.arguments)
    json["arguments"].push_back(to_json(argument));
  for (const auto& [type, tolerance] : function.tolerance)
    json["tolerance"][std::string(runtime::name_of(type))] = to_json(tolerance);
  return json;
}

FunctionSpec function_of(const Message& json) {
  FunctionSpec function{.name = json.at("name"),
                        .reference = json.at("reference"),
                        .independent = json.at("independent"),
                        .baseline = json.at("baseline"),
                        .flops = products_of(json.at("flops")),
                        .arguments = {},
                        .tolerance = {}};
  for (const Message& argument : json.at("arguments"))
    function.arguments.push_back(argument_of(argument));
  for (const auto& [name, pair] : json.at("tolerance").items())
    function.tolerance[dtype_of(name)] = tolerance_of(pair);
  return function;
}

CaseRequest request_of(const Message& json) {
  CaseRequest request;
  request.library = json.at("library");
  request.provider = json.at("provider");
  request.torch_lib = json.at("torch_lib");
  request.python_stub = json.at("python_stub");
  request.device = json.at("device") == "cuda" ? runtime::DeviceKind::cuda : runtime::DeviceKind::cpu;
  request.device_index = json.at("device_index");
  request.function = function_of(json.at("function"));
  request.dtype = dtype_of(json.at("dtype"));
  request.checks = json.at("checks").get<std::vector<Sizes>>();
  if (json.contains("timed")) request.timed = json.at("timed").get<Sizes>();
  request.seed = json.at("seed");
  if (json.contains("processor")) request.processor = json.at("processor").get<unsigned>();
  return request;
}

template <class T, class Parse>
Result<T> decode(std::string_view text, Parse parse) {
  try {
    return parse(Message::parse(text));
  } catch (const std::exception& error) {
    return fail(Errc::corrupt, std::string("unreadable message of a worker: ") + error.what());
  }
}

/// Texts of a kernel's errors may hold anything; invalid UTF-8 is replaced.
std::string dump(const Message& json) {
  return json.dump(-1, ' ', false, Message::error_handler_t::replace);
}

}  // namespace

std::string encode(const CaseRequest& request) {
  Message json = {{"library", request.library},
                  {"provider", request.provider},
                  {"torch_lib", request.torch_lib},
                  {"python_stub", request.python_stub},
                  {"device", request.device == runtime::DeviceKind::cuda ? "cuda" : "cpu"},
                  {"device_index", request.device_index},
                  {"function", to_json(request.function)},
                  {"dtype", runtime::name_of(request.dtype)},
                  {"checks", request.checks},
                  {"seed", request.seed}};
  if (request.timed) json["timed"] = *request.timed;
  if (request.processor) json["processor"] = *request.processor;
  return dump(json);
}

Result<CaseRequest> decode_request(std::string_view json) {
  return decode<CaseRequest>(json, request_of);
}

}  // namespace kernels::bench
