#include "view_doctor.h"

#include "json_values.h"
#include "text.h"

namespace kernels::app {

using Rows = std::vector<std::vector<std::string>>;

static const char* to_text(ops::Works works) {
  switch (works) {
    case ops::Works::no:
      return "no";
    case ops::Works::yes:
      return "yes";
    case ops::Works::unknown:
      break;
  }
  return "unknown";
}

static const char* to_text(ops::RouteState state) {
  switch (state) {
    case ops::RouteState::ok:
      return "ok";
    case ops::RouteState::refused:
      return "refused";
    case ops::RouteState::failed:
      return "failed";
    case ops::RouteState::not_tried:
      break;
  }
  return "not tried";
}

static const char* to_text(hub::TransferFailure failure) {
  switch (failure) {
    case hub::TransferFailure::none:
      return "";
    case hub::TransferFailure::name:
      return "dns";
    case hub::TransferFailure::proxy:
      return "proxy";
    case hub::TransferFailure::connect:
      return "connect";
    case hub::TransferFailure::tls:
      return "tls";
    case hub::TransferFailure::timeout:
      return "timeout";
    case hub::TransferFailure::other:
      break;
  }
  return "answer";
}

static std::string on_off(std::optional<bool> value) {
  if (!value) return "unknown";
  return *value ? "on" : "off";
}

static std::string or_unknown(const std::string& text) {
  return text.empty() ? "unknown" : text;
}

/// A title and its rows, two blanks in. Nothing without rows.
static std::string section(const std::string& title, Rows rows) {
  if (rows.empty()) return {};
  for (auto& row : rows)
    for (auto& cell : row)
      cell = plain(cell);
  std::string out = title + "\n";
  std::string body = table(rows);
  for (std::size_t begin = 0; begin < body.size();) {
    auto end = body.find('\n', begin);
    out += "  " + body.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return out + "\n";
}

static bool is_of_one_gpu(const machine::Fact& fact) {
  return fact.name.find(" of GPU ") != std::string::npos;
}

static Rows fact_rows(const machine::Detected& machine, machine::Topic topic) {
  Rows rows;
  for (const auto& fact : machine.facts)
    if (fact.topic == topic && !is_of_one_gpu(fact))
      rows.push_back({fact.name, fact.value, to_string(fact.certainty), fact.source});
  return rows;
}

/// How sure the capability is, on which everything depends.
static std::string capability_certainty(const machine::Detected& machine, std::size_t index) {
  auto name = "capability of GPU " + std::to_string(index);
  for (const auto& fact : machine.facts)
    if (fact.name == name) return to_string(fact.certainty);
  return "unknown";
}

static std::string gpu_section(const machine::Detected& machine) {
  std::string out = section("GPUs", fact_rows(machine, machine::Topic::gpu));
  if (machine.gpus.empty())
    return (out.empty() ? "GPUs\n" : out.substr(0, out.size() - 1)) + "  none found\n\n";
  Rows rows = {{"GPU", "NAME", "CAPABILITY", "MEMORY", "MIG", "ECC", "PCI", "UUID", "CAPABILITY IS"}};
  for (const auto& gpu : machine.gpus) {
    auto capability = gpu.capability ? gpu.capability->str() : "unknown";
    rows.push_back({std::to_string(gpu.index), or_unknown(gpu.name),
                    gpu.arch.empty() ? capability : capability + " " + gpu.arch,
                    gpu.memory_bytes ? human_bytes(*gpu.memory_bytes) : "unknown", on_off(gpu.mig),
                    on_off(gpu.ecc), or_unknown(gpu.pci), or_unknown(gpu.uuid),
                    capability_certainty(machine, gpu.index)});
  }
  auto gpus = section("GPUs", rows);
  return out.empty() ? gpus : out + gpus.substr(gpus.find('\n') + 1);
}

static std::string hub_section(const ops::DoctorReport& report) {
  Rows settings;
  for (const auto& setting : report.hub)
    settings.push_back({setting.name, setting.value, to_string(setting.certainty), setting.source});
  Rows routes;
  for (const auto& route : report.routes) {
    std::string result = to_text(route.state);
    if (route.status != 0) result += " " + std::to_string(route.status);
    if (route.state == ops::RouteState::failed) result += std::string(" ") + to_text(route.failure);
    auto time = route.state == ops::RouteState::not_tried ? "-" : human_duration(route.time);
    routes.push_back({"route `" + route.name + "`", result, time, or_unknown(route.host)});
  }
  auto out = section("Hub", settings);
  auto tried = section("", routes);
  return out + (tried.empty() ? "" : tried.substr(1));
}

static std::string cache_section(const ops::CacheReport& cache) {
  return section(
      "Cache",
      {{"folder", cache.folder.string(), cache.source},
       {"state", cache.exists ? "exists" : "not there yet", ""},
       {"writable", to_text(cache.writable), cache.failure},
       {"file system", or_unknown(cache.file_system), "statfs"},
       {"free", cache.free_bytes ? human_bytes(*cache.free_bytes) : "unknown", "statvfs"},
       {"locks", to_text(cache.locks), cache.locks == ops::Works::unknown ? "" : "tried"},
       {"symbolic links", to_text(cache.symlinks), cache.symlinks == ops::Works::unknown ? "" : "tried"},
       {"hard links", to_text(cache.hard_links), cache.hard_links == ops::Works::unknown ? "" : "tried"},
       {"renames", to_text(cache.renames), cache.renames == ops::Works::unknown ? "" : "tried"}});
}

static std::string policy_text(const ops::TrustReport& trust) {
  return trust.policy ? to_string(*trust.policy) : "not to be read";
}

static std::string trust_section(const ops::TrustReport& trust) {
  return section("Trust",
                 {{"signatures", policy_text(trust), trust.policy_source},
                  {"trusted root", "embedded, of " + trust.root_date, "SHA-256 " + trust.root_sha256},
                  {"unpacking bundles", trust.confinement.str(), "tried"}});
}

static std::string findings_section(const std::vector<ops::Finding>& findings) {
  std::string out = "Problems\n";
  bool any = false;
  for (const auto& finding : findings) {
    any |= finding.severity == ops::Severity::problem;
    out += std::string("  ") + (finding.severity == ops::Severity::problem ? "problem: " : "note: ") +
           plain(finding.what) + "\n    fix: " + plain(finding.fix) + "\n";
  }
  if (!any) out += "  none that keeps kernels from working\n";
  return out + "\n";
}

std::string doctor_text(const ops::DoctorReport& report) {
  std::string out = section("Machine", fact_rows(report.machine, machine::Topic::system));
  out += gpu_section(report.machine);
  out += section("Python and frameworks", fact_rows(report.machine, machine::Topic::python));
  out += hub_section(report);
  if (report.cache) out += cache_section(*report.cache);
  if (report.trust) out += trust_section(*report.trust);
  out += findings_section(report.findings);
  return out + "To describe this machine elsewhere:\n  --target " +
         plain(report.machine.target.description()) + "\n";
}

// --- JSON ---

static Json works_json(ops::Works works) {
  return works == ops::Works::unknown ? Json(nullptr) : Json(works == ops::Works::yes);
}

static Json facts_json(const machine::Detected& machine) {
  Json out = Json::array();
  for (const auto& fact : machine.facts)
    out.push_back({{"topic", to_string(fact.topic)},
                   {"name", fact.name},
                   {"value", fact.value},
                   {"source", fact.source},
                   {"certainty", to_string(fact.certainty)}});
  return out;
}

static Json gpus_json(const machine::Detected& machine) {
  Json out = Json::array();
  for (const auto& gpu : machine.gpus)
    out.push_back({{"index", gpu.index},
                   {"vendor", gpu.vendor == machine::GpuVendor::nvidia ? "nvidia" : "amd"},
                   {"name", or_null(gpu.name)},
                   {"arch", or_null(gpu.arch)},
                   {"capability", or_null(gpu.capability)},
                   {"memory_bytes", or_null(gpu.memory_bytes)},
                   {"uuid", or_null(gpu.uuid)},
                   {"mig", or_null(gpu.mig)},
                   {"ecc", or_null(gpu.ecc)},
                   {"pci", or_null(gpu.pci)}});
  return out;
}

static Json target_json(const Target& target) {
  Json capabilities = Json::array();
  for (const auto& capability : target.capabilities)
    capabilities.push_back(capability.str());
  return {{"description", target.description()},
          {"os", target.os},
          {"cpu", target.cpu},
          {"backend", target.backend.name()},
          {"backend_version", or_null(target.backend.version)},
          {"torch", or_null(target.torch)},
          {"cxx11_abi", or_null(target.cxx11_abi)},
          {"tvm_ffi", or_null(target.tvm_ffi)},
          {"capabilities", capabilities},
          {"driver", or_null(target.driver)},
          {"glibc", or_null(target.glibc)},
          {"glibcxx", or_null(target.glibcxx)},
          {"cxxabi", or_null(target.cxxabi)},
          {"macos", or_null(target.macos)},
          {"python", or_null(target.python)},
          {"free_threaded_python", target.free_threaded_python}};
}

static Json cache_json(const std::optional<ops::CacheReport>& cache) {
  if (!cache) return nullptr;
  return {{"folder", cache->folder.string()},
          {"source", cache->source},
          {"exists", cache->exists},
          {"writable", works_json(cache->writable)},
          {"failure", or_null(cache->failure)},
          {"file_system", or_null(cache->file_system)},
          {"free_bytes", or_null(cache->free_bytes)},
          {"locks", works_json(cache->locks)},
          {"symlinks", works_json(cache->symlinks)},
          {"hard_links", works_json(cache->hard_links)},
          {"renames", works_json(cache->renames)}};
}

static Json trust_json(const std::optional<ops::TrustReport>& trust) {
  if (!trust) return nullptr;
  return {
      {"signatures", trust->policy ? Json(to_string(*trust->policy)) : Json(nullptr)},
      {"signatures_source", trust->policy_source},
      {"trusted_root", {{"embedded", true}, {"sha256", trust->root_sha256}, {"date", trust->root_date}}},
      {"confinement", {{"landlock", trust->confinement.landlock}, {"seccomp", trust->confinement.seccomp}}}};
}

static Json route_json(const ops::RouteReport& route) {
  return {
      {"name", route.name},
      {"url", or_null(route.url)},
      {"result", to_text(route.state)},
      {"status", route.status == 0 ? Json(nullptr) : Json(route.status)},
      {"failure", or_null(to_text(route.failure))},
      {"host", or_null(route.host)},
      {"redirected", route.redirected},
      {"milliseconds", route.state == ops::RouteState::not_tried ? Json(nullptr) : Json(route.time.count())},
      {"detail", or_null(route.detail)},
      {"hint", or_null(route.hint)}};
}

std::string doctor_json(const ops::DoctorReport& report) {
  Json out = Json::object();
  out["schema"] = "kernels.doctor/1";
  out["good"] = report.good();
  out["facts"] = facts_json(report.machine);
  out["gpus"] = gpus_json(report.machine);
  out["target"] = target_json(report.machine.target);
  out["hub"] = Json::array();
  for (const auto& setting : report.hub)
    out["hub"].push_back({{"name", setting.name},
                          {"value", setting.value},
                          {"source", setting.source},
                          {"certainty", to_string(setting.certainty)}});
  out["routes"] = Json::array();
  for (const auto& route : report.routes)
    out["routes"].push_back(route_json(route));
  out["cache"] = cache_json(report.cache);
  out["trust"] = trust_json(report.trust);
  out["problems"] = Json::array();
  for (const auto& finding : report.findings)
    out["problems"].push_back({{"severity", finding.severity == ops::Severity::problem ? "problem" : "note"},
                               {"what", finding.what},
                               {"fix", finding.fix}});
  return printed(out);
}

}  // namespace kernels::app
