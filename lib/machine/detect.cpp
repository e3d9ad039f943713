#include "kernels/machine/detect.h"

#include "findings.h"

namespace kernels::machine {

const char* to_string(Certainty certainty) {
  switch (certainty) {
    case Certainty::asked:
      return "asked";
    case Certainty::read:
      return "read";
    case Certainty::inferred:
      return "inferred";
    case Certainty::assumed:
      return "assumed";
  }
  return "";
}

const char* to_string(Topic topic) {
  switch (topic) {
    case Topic::system:
      return "machine";
    case Topic::gpu:
      return "gpus";
    case Topic::python:
      return "python";
  }
  return "";
}

static Detected run(Findings findings, const std::optional<std::filesystem::path>& python) {
  find_system(findings);
  find_python(findings, python);
  find_cxx_runtime(findings);
  find_nvidia(findings);
  find_amd(findings);
  complete_target(findings.out.target);
  return std::move(findings.out);
}

Detected detect(const Environment& environment, const std::optional<std::filesystem::path>& python) {
  Sysroot here;
  return run({.sysroot = here, .environment = environment, .depth = Depth::target}, python);
}

Detected survey(const SurveyRequest& request) {
  static const Environment kUnknown = [](const char*) { return std::nullopt; };
  const auto& environment = request.sysroot.is_here() ? request.environment : kUnknown;
  return run({.sysroot = request.sysroot, .environment = environment, .depth = Depth::everything},
             request.python);
}

}  // namespace kernels::machine
