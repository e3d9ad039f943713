// Decides about variants, one JSON document a line from standard input, for the comparison with the Python
// package in tests/interop/variants_differential.py:
//     {"names": ["torch-cpu", …], "target": "os=linux,cuda=13.0", "free_threaded": false}
// and prints for each {"accepted": [in order], "refused": {name: why}, "invalid": [names]}.

#include <iostream>

#include <nlohmann/json.hpp>

#include "kernels/model/target.h"
#include "kernels/resolve/variants.h"

using namespace kernels;
using nlohmann::json;

namespace {

/// The words of the comparison, by the test that failed.
const char* text_of(resolve::Refusal refusal) {
  using R = resolve::Refusal;
  switch (refusal) {
    case R::none:
      return "";
    case R::free_threaded:
      return "free-threaded";
    case R::cpu:
      return "cpu";
    case R::os:
      return "os";
    case R::torch_missing:
      return "torch missing";
    case R::torch_version:
      return "torch version";
    case R::torch_too_old:
      return "torch too old";
    case R::cxx11_abi:
      return "cxx11 abi";
    case R::tvm_ffi:
      return "tvm-ffi";
    case R::cuda_version:
      return "cuda version";
    case R::backend:
      return "backend";
    case R::macos:
      return "macos";
  }
  return "";
}

json answer(const json& question) {
  auto target = parse_target(question.at("target").get<std::string>());
  if (!target) return {{"error", describe(target.error())}};
  target->free_threaded_python = question.at("free_threaded").get<bool>();
  auto names = resolve::parse_variant_names(question.at("names").get<std::vector<std::string>>());
  json out = {{"accepted", json::array()}, {"refused", json::object()}, {"invalid", names.invalid}};
  for (const auto& decision : resolve::decide(names.valid, *target)) {
    if (decision.accepted())
      out["accepted"].push_back(decision.variant.name());
    else
      out["refused"][decision.variant.name()] = text_of(decision.refusal);
  }
  return out;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << answer(json::parse(line)).dump() << "\n";
  return 0;
}
