#include "bench_run.h"

#include <algorithm>
#include <array>
#include <ctime>

#include <unistd.h>

#include "kernels/bench/python_runner.h"

#include "version.h"

namespace kernels::app {

namespace {

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// Which job of a scheduler this is, by the variables that it sets.
std::string job_name(const hub::Environment& environment) {
  auto value = [&](const char* name) { return environment(name).value_or(""); };
  auto id = value("SLURM_JOB_ID");
  if (id.empty()) return {};
  if (auto array = value("SLURM_ARRAY_JOB_ID"); !array.empty())
    id = array + "_" + value("SLURM_ARRAY_TASK_ID");
  auto node = value("SLURMD_NODENAME");
  return "slurm " + id + (node.empty() ? "" : " on " + node);
}

bench::Results new_results(const bench::BenchOptions& options, App& app) {
  bench::Results results{.program = std::string("kernels ") + kVersion,
                         .started = now_text(),
                         .host = host_name(),
                         .job = job_name(hub::process_environment()),
                         .settings = {.seed = options.seed,
                                      .precision = options.rule.precision,
                                      .budget_seconds = options.rule.budget_seconds},
                         .machine = {},
                         .devices = {},
                         .subjects = {},
                         .rows = {}};
  for (const auto& fact : app.machine().facts)
    results.machine.push_back({.name = fact.name, .value = fact.value, .source = fact.source});
  return results;
}

/// The index of the device in the results, which it joins if it is new. Runners know more or less of a
/// device.
std::uint32_t index_of(bench::Results& results, const bench::DeviceRecord& device) {
  auto found = std::ranges::find_if(results.devices, [&](const auto& known) {
    return known.kind == device.kind && known.index == device.index;
  });
  if (found == results.devices.end()) found = results.devices.insert(found, device);
  return static_cast<std::uint32_t>(found - results.devices.begin());
}

std::uint32_t add_subject(bench::Results& results, const ops::BenchTarget& target,
                          const std::string& fingerprint, const std::string& runner) {
  results.subjects.push_back({.kernel = target.kernel,
                              .commit = target.commit,
                              .variant = target.variant,
                              .variant_sha256 = fingerprint,
                              .library = {},
                              .runner = runner,
                              .layer = {}});
  return static_cast<std::uint32_t>(results.subjects.size() - 1);
}

void add(bench::Results& results, std::uint32_t subject, bench::BenchReport report,
         const bench::BenchOptions& options) {
  results.subjects[subject].library = report.library;
  if (!report.runner.empty()) results.subjects[subject].runner = report.runner;
  bench::DeviceRecord unknown{.kind = options.device == runtime::DeviceKind::cuda ? "cuda" : "cpu",
                              .index = static_cast<std::uint32_t>(options.device_index),
                              .name = "a device that no case could open"};
  auto device = index_of(results, report.device.value_or(unknown));
  for (auto& row : report.rows) {
    row.subject = subject;
    row.device = device;
    results.rows.push_back(std::move(row));
  }
}

/// One runner of a target: what measures it, and where its rows go.
struct Run {
  const ops::BenchTarget* target;
  std::uint32_t subject;
  bool is_script;
};

/// Kernels by their workloads.toml, repositories by their scripts; what has neither is said to lack the
/// first.
Result<std::vector<Run>> runs_of(bench::Results& results, const std::vector<ops::BenchTarget>& targets,
                                 const bench::BenchOptions& options) {
  std::vector<Run> out;
  for (const auto& target : targets) {
    auto fingerprint = ops::variant_fingerprint(target.folder);
    if (!fingerprint) return fail(std::move(fingerprint).error());
    std::error_code code;
    // A script chooses its shapes itself.
    bool has_scripts =
        !target.scripts.empty() && !options.by_hand && !bench::benchmark_scripts(target.scripts).empty();
    if (!has_scripts || std::filesystem::exists(target.folder / "workloads.toml", code))
      out.push_back({&target, add_subject(results, target, *fingerprint, "tvm-ffi"), false});
    if (has_scripts) out.push_back({&target, add_subject(results, target, *fingerprint, "python"), true});
  }
  return out;
}

Result<bench::BenchReport> measure(const Run& run, const bench::BenchOptions& options, App& app) {
  const auto& target = *run.target;
  const auto progress = [&](const bench::BenchProgress& step) {
    app.out().show_step(target.kernel + " " + std::to_string(step.done + 1) + "/" +
                        std::to_string(step.total) + "  " + step.what);
  };
  if (!run.is_script) return bench::bench_variant(target.folder, options, progress, app.stop_token());
  return bench::bench_scripts({.repository = target.scripts,
                               .variant = target.folder,
                               .kernel = target.kernel,
                               .needs = target.needs},
                              options, progress, app.stop_token());
}

}  // namespace

Result<bench::Results> measure_targets(const std::vector<ops::BenchTarget>& targets,
                                       const std::vector<Device>& devices, bench::BenchOptions options,
                                       App& app) {
  auto results = new_results(options, app);
  auto runs = runs_of(results, targets, options);
  if (!runs) return fail(std::move(runs).error());
  std::optional<Error> nothing;
  for (const auto& run : *runs) {
    for (const auto& device : devices) {
      if (app.stop_token().stop_requested()) return results;
      options.device = device.kind;
      options.device_index = device.index;
      auto report = measure(run, options, app);
      if (report) {
        add(results, run.subject, std::move(*report), options);
        continue;
      }
      auto error = std::move(report).error().while_doing("measuring `" + run.target->kernel + "`");
      // Filters may be meant for one runner of several.
      if (error.code() != Errc::no_match || runs->size() == 1) return fail(std::move(error));
      nothing = std::move(error);
    }
  }
  if (results.rows.empty() && nothing) return fail(std::move(*nothing));
  return results;
}

bench::Results empty_results(const bench::BenchOptions& options, App& app) {
  return new_results(options, app);
}

Status add_report(bench::Results& results, const ops::BenchTarget& target, const std::string& layer,
                  bench::BenchReport report, const bench::BenchOptions& options) {
  auto found = std::ranges::find_if(results.subjects, [&](const bench::Subject& subject) {
    return subject.kernel == target.kernel && subject.commit == target.commit &&
           subject.variant == target.variant && subject.layer == layer;
  });
  auto index = static_cast<std::uint32_t>(found - results.subjects.begin());
  if (found == results.subjects.end()) {
    auto fingerprint = ops::variant_fingerprint(target.folder);
    if (!fingerprint) return fail(std::move(fingerprint).error());
    index = add_subject(results, target, *fingerprint, report.runner);
    results.subjects[index].layer = layer;
  }
  add(results, index, std::move(report), options);
  return {};
}

void append(bench::Results& results, bench::Results more) {
  auto first = static_cast<std::uint32_t>(results.subjects.size());
  for (auto& subject : more.subjects)
    results.subjects.push_back(std::move(subject));
  std::vector<std::uint32_t> devices;
  for (const auto& device : more.devices)
    devices.push_back(index_of(results, device));
  for (auto& row : more.rows) {
    row.subject += first;
    row.device = devices[row.device];
    results.rows.push_back(std::move(row));
  }
}

}  // namespace kernels::app
