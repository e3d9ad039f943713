#include "kernels/ops/doctor.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>

#include "doctor_parts.h"

namespace kernels::ops {

namespace {

/// Has kernels of every kind, and is public.
constexpr const char* kUsualRepo = "kernels-community/activation";

/// curl reads the first of these that is set, and takes HTTP_PROXY only in lower case.
constexpr std::array kProxyVariables = {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy",
                                        "ALL_PROXY",   "no_proxy",    "NO_PROXY"};

HubSetting setting(std::string name, std::string value, const std::string& source) {
  return {.name = std::move(name),
          .value = std::move(value),
          .source = source.empty() ? "default" : source,
          .certainty =
              source.empty() || source == "default" ? machine::Certainty::assumed : machine::Certainty::read};
}

std::vector<HubSetting> describe_settings(const hub::Settings& settings,
                                          const machine::Environment& environment) {
  std::vector<HubSetting> out;
  out.push_back(setting("endpoint", settings.endpoint, settings.endpoint_source));
  bool has_token = !settings.token.empty();
  out.push_back(
      setting("token", has_token ? "present" : "none", has_token ? settings.token_source : "none found"));
  out.push_back(setting("offline", settings.offline ? "yes" : "no", settings.offline_source));
  for (const char* name : kProxyVariables)
    if (auto value = environment(name); value && !value->empty())
      out.push_back(setting("proxy", without_user_info(*value), name));
  out.push_back(setting("certificates", settings.ca_file.empty() ? "of the system" : settings.ca_file,
                        settings.ca_source));
  return out;
}

void append(std::vector<Finding>& to, std::vector<Finding> more) {
  std::ranges::move(more, std::back_inserter(to));
}

std::vector<Finding> settings_findings(const hub::Settings& settings) {
  std::error_code code;
  if (settings.ca_file.empty() || std::filesystem::exists(settings.ca_file, code)) return {};
  return {{.severity = Severity::problem,
           .what = "the file with certificates `" + settings.ca_file + "` does not exist",
           .fix = "set `" + settings.ca_source + "` to a file that exists, or unset it"}};
}

Status examine_hub(const DoctorRequest& request, const std::stop_token& stop, DoctorReport& report) {
  const auto& settings = *request.settings;
  report.hub = describe_settings(settings, request.survey.environment);
  append(report.findings, settings_findings(settings));
  report.cache = try_cache(settings);
  append(report.findings, cache_findings(*report.cache));
  if (settings.offline) return {};
  auto repo = request.repo ? *request.repo : *RepoId::parse(kUsualRepo);
  auto routes = try_routes({.settings = settings, .user_agent = request.user_agent, .repo = repo}, stop);
  if (!routes && routes.error().code() == Errc::interrupted) return fail(std::move(routes).error());
  if (!routes) {  // libcurl cannot be had
    report.findings.push_back(
        {.severity = Severity::problem, .what = routes.error().text(), .fix = routes.error().hint()});
    return {};
  }
  report.routes = std::move(*routes);
  append(report.findings, route_findings(report.routes, request.repo ? RepoIs::chosen : RepoIs::usual));
  return {};
}

Status python_exists(const machine::SurveyRequest& survey) {
  if (!survey.python || survey.sysroot.is_file(*survey.python) || survey.sysroot.is_folder(*survey.python))
    return {};
  return fail(Error(Errc::invalid_argument, "there is no Python at `" + survey.python->string() + "`")
                  .with_hint("give an interpreter, or the folder of an environment"));
}

}  // namespace

std::string without_user_info(const std::string& address) {
  auto scheme = address.find("://");
  auto begin = scheme == std::string::npos ? 0 : scheme + 3;
  auto at = address.rfind('@');
  return at == std::string::npos || at < begin ? address : address.substr(0, begin) + address.substr(at + 1);
}

bool DoctorReport::good() const {
  return std::ranges::find(findings, Severity::problem, &Finding::severity) == findings.end();
}

Result<DoctorReport> examine(const DoctorRequest& request, const std::stop_token& stop) {
  if (auto exists = python_exists(request.survey); !exists) return fail(std::move(exists).error());
  DoctorReport report;
  report.machine = machine::survey(request.survey);
  report.findings = machine_findings(report.machine);
  if (request.survey.sysroot.is_here()) {
    report.trust = try_trust(request.survey.environment);
    append(report.findings, trust_findings(*report.trust));
    if (request.settings) {
      if (auto done = examine_hub(request, stop, report); !done) return fail(std::move(done).error());
    } else {
      report.findings.push_back({.severity = Severity::problem,
                                 .what = describe(request.settings.error()),
                                 .fix = request.settings.error().hint()});
    }
  }
  std::ranges::stable_sort(report.findings, std::ranges::greater(), &Finding::severity);
  return report;
}

}  // namespace kernels::ops
