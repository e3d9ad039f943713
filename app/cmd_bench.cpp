#include <random>

#include "kernels/base/file.h"
#include "kernels/bench/bench.h"
#include "kernels/ops/bench.h"
#include "kernels/ops/project_files.h"

#include "bench_devices.h"
#include "bench_files.h"
#include "bench_layers.h"
#include "bench_locks.h"
#include "bench_repository.h"
#include "bench_run.h"
#include "bench_visual.h"
#include "commands.h"
#include "rasterizer.h"
#include "torch_files.h"
#include "view_bench.h"
#include "view_bench_ci.h"
#include "view_bench_compare.h"
#include "view_bench_html.h"
#include "view_bench_layers.h"

namespace kernels::app {

namespace {

struct CommandLine {
  std::string what = ".";
  std::string layer;
  bool select = false;
  std::string device = "auto";
  std::string workload;
  std::string function;
  std::string dtype;
  bool validate_only = false;
  bool json = false;
  std::optional<std::string> save;
  std::vector<std::string> compare;
  std::optional<std::string> merge;
  std::optional<std::string> markdown;
  std::optional<std::string> junit;
  std::optional<std::string> report;
  std::optional<std::string> visual;
  bool rasterized = false;
  std::optional<double> fail_on_regression;
  std::optional<double> threshold;
  bool despite_differences = false;
  std::optional<std::uint64_t> seed;
  double budget = 2.0;
  std::optional<double> precision;
  double time_limit = 60;
  std::optional<std::string> provider;
  std::optional<std::string> torch_lib;
  std::optional<std::string> python;
  RevisionFlags revision;
  std::size_t iterations = 0;
  std::size_t warmup = 0;
};

Result<bench::BenchOptions> to_options(const CommandLine& line, const std::optional<bench::Results>& before,
                                       App& app) {
  bench::BenchOptions options;
  auto programs = bench::find_programs();
  options.worker = programs.worker;
  options.provider = line.provider.value_or(programs.provider.string());
  options.python_stub = programs.python_stub;
  options.torch_lib = line.torch_lib ? std::filesystem::path(*line.torch_lib) : torch_folder(app.machine());
  if (options.worker.empty() || options.provider.empty())
    return fail(
        Error(Errc::io, "`kernels-worker` or `libtvm_ffi.so` is not beside this program")
            .with_hint("install the whole package; `kernels bench` runs kernels in a process of their own"));
  options.function = line.function;
  options.dtype = bench::dtype_from_text(line.dtype);
  if (!line.dtype.empty() && !options.dtype)
    return fail(Error(Errc::invalid_argument, "`" + line.dtype + "` is not a data type")
                    .with_hint("write float32, float16 or bfloat16"));
  if (line.workload.find('=') == std::string::npos) {
    options.workload = line.workload;
  } else {
    auto by_hand = bench::parse_hand_workload(line.workload);
    if (!by_hand) return fail(std::move(by_hand).error());
    options.by_hand = std::move(*by_hand);
  }
  if (line.validate_only) options.mode = bench::Mode::validate_only;
  // Runs that are to be compared have the same inputs.
  options.seed = line.seed.value_or(before ? before->settings.seed : std::random_device{}());
  options.rule.budget_seconds = line.budget;
  if (line.iterations > 0) {
    options.rule.most = line.iterations;
    options.rule.least = std::min(options.rule.least, options.rule.most);
  }
  options.rule.precision = line.precision ? *line.precision / 100
                           : before       ? before->settings.precision
                                          : bench::StoppingRule{}.precision;
  options.time_limit = std::chrono::milliseconds(static_cast<std::int64_t>(line.time_limit * 1000));
  return options;
}

/// What is no folder may be a repository.
Result<std::vector<ops::BenchTarget>> find_elsewhere(const CommandLine& line, const Target& target,
                                                     const hub::Settings& settings, App& app) {
  auto repository = parse_repository(line.what, line.revision);
  if (!repository) return fail(std::move(repository).error());
  if (!*repository)
    return fail(
        Error(Errc::invalid_argument, "there is no folder `" + line.what + "`")
            .with_hint("give a project with a `kernels.lock`, a folder with `build/`, or a repository as "
                       "`organisation/name`"));
  auto found = find_repository(**repository, target, settings, app);
  if (!found) return fail(std::move(found).error());
  return std::vector{std::move(*found)};
}

/// What the first argument means: a project with a lock, a folder with variants, or a repository.
Result<std::vector<ops::BenchTarget>> find_targets(const CommandLine& line, const Target& target,
                                                   const hub::Settings& settings, App& app) {
  std::error_code code;
  if (!std::filesystem::is_directory(line.what, code)) return find_elsewhere(line, target, settings, app);
  if (line.revision.any())
    return fail(Error(Errc::invalid_argument, "a folder has no versions or revisions")
                    .with_hint("leave out `--version` and `--revision`"));
  auto files = ops::load_lock_files(line.what);
  if (!files) return fail(std::move(files).error());
  if (*files) return find_locked(**files, target, settings, app);
  if (std::filesystem::exists(std::filesystem::path(line.what) / "kernels.toml", code))
    return fail(Error(Errc::invalid_argument, "there is no `kernels.lock` in `" + line.what + "`")
                    .with_hint("run `kernels lock` and `kernels download` first"));
  auto local = ops::local_bench_target(line.what, target);
  if (!local) return fail(std::move(local).error());
  return std::vector{std::move(*local)};
}

/// How this machine will measure.
struct Setup {
  hub::Settings settings;
  Target machine;
  std::vector<Device> devices;
  bench::BenchOptions options;
};

/// `before`: what it will be compared with.
Result<Setup> set_up(const CommandLine& line, const std::optional<bench::Results>& before, App& app) {
  auto settings = app.settings();
  if (!settings) return fail(std::move(settings).error());
  if (line.python) app.use_python(*line.python);
  auto machine = app.machine().target;
  machine.free_threaded_python = false;  // the worker calls kernels without any Python
  auto devices = parse_bench_devices(line.device, app.machine());
  if (!devices) return fail(std::move(devices).error());
  if (devices->front().kind == runtime::DeviceKind::cpu) machine.backend = {};
  if (line.torch_lib)
    if (auto set = set_torch(machine, *line.torch_lib); !set) return fail(std::move(set).error());
  auto options = to_options(line, before, app);
  if (!options) return fail(std::move(options).error());
  options->python = app.machine().interpreter;
  return Setup{.settings = std::move(*settings),
               .machine = std::move(machine),
               .devices = std::move(*devices),
               .options = std::move(*options)};
}

/// What this machine's kernels are, measured: for the layers of a project where its lock has any, else as
/// they are.
Result<MeasuredLayers> measure(const CommandLine& line, const Setup& setup, App& app) {
  auto files = ops::load_lock_files(line.what);
  if (!files) return fail(std::move(files).error());
  if (*files && (*files)->sum && !(*files)->sum->layers.empty())
    return measure_project(**files, setup.machine, setup.devices,
                           {.layer = line.layer, .will_select = line.select}, setup.options, app);
  if (!line.layer.empty() || line.select)
    return fail(Error(Errc::invalid_argument, "`" + line.what + "` is no project whose lock has layers")
                    .with_hint("map some in the project file and run `kernels lock`"));
  if (*files && !(*files)->sum)
    if (auto project = ops::find_project(line.what); project && *project && !(*project)->layers.empty())
      app.out().warning(
          "there is no `kernels.sum`: kernels are measured without the project's layers; "
          "`kernels lock` writes one");
  auto targets = find_targets(line, setup.machine, setup.settings, app);
  if (!targets) return fail(std::move(targets).error());
  auto results = measure_targets(*targets, setup.devices, setup.options, app);
  if (!results) return fail(std::move(results).error());
  return MeasuredLayers{.results = std::move(*results), .contests = {}};
}

bench::CompareRules rules_of(const CommandLine& line) {
  bench::CompareRules rules{.despite_differences = line.despite_differences};
  if (line.threshold) rules.threshold = *line.threshold / 100;
  if (line.fail_on_regression) rules.threshold = *line.fail_on_regression / 100;
  return rules;
}

/// Writes the files that were asked for beside the terminal's text.
/// `comparison`: null where nothing is compared.
Status write_beside(const CommandLine& line, const bench::Results& results, const std::string& markdown,
                    const std::string& junit, App& app, const bench::Comparison* comparison = nullptr) {
  if (line.report)
    if (auto saved = write_file(*line.report, results_html(results, comparison), Durable::no); !saved)
      return saved;
  if (line.markdown)
    if (auto saved = write_file(*line.markdown, markdown, Durable::no); !saved) return saved;
  if (line.junit)
    if (auto saved = write_file(*line.junit, junit, Durable::no); !saved) return saved;
  return line.visual ? save_pictures(*line.visual, results, line.rasterized, app.out()) : Status();
}

ExitCode say_comparison(const CommandLine& line, const bench::Results& before, const bench::Results& after,
                        App& app) {
  auto comparison = bench::compare(before, after, rules_of(line));
  if (!comparison) return app.fail(comparison.error());
  auto written = write_beside(line, after, comparison_markdown(*comparison), comparison_junit(*comparison),
                              app, &*comparison);
  if (!written) return app.fail(written.error());
  app.out().result(line.json ? comparison_json(*comparison) : comparison_text(*comparison));
  bool slower = comparison->count(bench::Change::slower) > 0;
  return line.fail_on_regression && slower ? ExitCode::no : ExitCode::ok;
}

ExitCode run_merge(const CommandLine& line, App& app) {
  auto runs = read_results_folder(*line.merge);
  if (!runs) return app.fail(runs.error());
  auto fleet = bench::merge(*runs, rules_of(line).threshold);
  if (!fleet) return app.fail(fleet.error());
  if (line.save)
    if (auto saved = save_results(*line.save, fleet->merged); !saved) return app.fail(saved.error());
  auto written =
      write_beside(line, fleet->merged, results_markdown(fleet->merged), results_junit(fleet->merged), app);
  if (!written) return app.fail(written.error());
  app.out().result(line.json ? fleet_json(*fleet) : fleet_text(*fleet));
  return fleet->outliers.empty() ? ExitCode::ok : ExitCode::no;
}

/// `selected`: null where nothing was to be selected.
ExitCode say_results(const CommandLine& line, const bench::Results& results,
                     const std::vector<ops::SelectedLayer>* selected, App& app) {
  auto written = write_beside(line, results, results_markdown(results), results_junit(results), app);
  if (!written) return app.fail(written.error());
  auto text = line.json ? bench::encode_results(results) : bench_text(results);
  if (line.json && selected != nullptr) text = with_selection_json(text, *selected);
  app.out().result(text);
  return ExitCode::ok;
}

/// What an update costs: each kernel that changed, in both versions.
ExitCode run_locks(const CommandLine& line, const LockPair& locks, App& app) {
  auto setup = set_up(line, std::nullopt, app);
  if (!setup) return app.fail(setup.error());
  auto measured = measure_locks(locks, setup->machine, setup->devices, setup->options, app);
  if (!measured) return app.fail(measured.error());
  if (line.save)
    if (auto saved = save_results(*line.save, measured->after); !saved) return app.fail(saved.error());
  // Both are of one run, in turns: what differs between them is no accident.
  auto rules = rules_of(line);
  rules.despite_differences = true;
  auto comparison = bench::compare(measured->before, measured->after, rules);
  if (!comparison) return app.fail(comparison.error());
  auto written = write_beside(line, measured->after, comparison_markdown(*comparison),
                              comparison_junit(*comparison), app, &*comparison);
  if (!written) return app.fail(written.error());
  app.out().result(line.json ? with_changes_json(comparison_json(*comparison), measured->changes)
                             : changes_text(measured->changes) + comparison_text(*comparison));
  if (app.stop_token().stop_requested()) return app.fail(Error(Errc::interrupted, "stopped"));
  bool slower = line.fail_on_regression && comparison->count(bench::Change::slower) > 0;
  return slower || !measured->after.all_right() ? ExitCode::no : ExitCode::ok;
}

/// Says what was measured, with what was selected by it.
ExitCode say_measured(const CommandLine& line, const std::optional<bench::Results>& before,
                      const bench::Results& results, const std::vector<ops::SelectedLayer>* selected,
                      const std::string& file, App& app) {
  auto said =
      before ? say_comparison(line, *before, results, app) : say_results(line, results, selected, app);
  if (selected != nullptr && !line.json) app.out().result(selection_text(*selected, file));
  return said;
}

ExitCode run_measuring(const CommandLine& line, const std::optional<bench::Results>& before, App& app) {
  SelectionFile place;
  if (line.select) {
    auto opened = open_selection(line.what);
    if (!opened) return app.fail(opened.error());
    place = std::move(*opened);
  }
  auto setup = set_up(line, before, app);
  if (!setup) return app.fail(setup.error());
  auto measured = measure(line, *setup, app);
  if (!measured) return app.fail(measured.error());
  const auto& results = measured->results;
  // Also of a run that was interrupted: what was measured is kept.
  if (line.save)
    if (auto saved = save_results(*line.save, results); !saved) return app.fail(saved.error());
  bool is_stopped = app.stop_token().stop_requested();
  Result<std::vector<ops::SelectedLayer>> selected;
  bool selects = line.select && !is_stopped;
  if (selects)
    selected =
        ops::select_layers(place.file, place.text, measured->contests, results, rules_of(line).threshold);
  auto said = say_measured(line, before, results, selects && selected ? &*selected : nullptr,
                           place.file.string(), app);
  if (is_stopped) return app.fail(Error(Errc::interrupted, "stopped"));
  if (!selected) return app.fail(selected.error());
  if (said != ExitCode::ok) return said;
  return results.all_right() && !results.rows.empty() ? ExitCode::ok : ExitCode::no;
}

ExitCode run_bench(const CommandLine& line, App& app) {
  // Said before anything is measured for it.
  if (line.rasterized)
    if (auto found = Rasterizer::find(); !found) return app.fail(found.error());
  if ((line.select || !line.layer.empty()) && (line.merge || line.compare.size() == 2))
    return app.fail(Error(Errc::invalid_argument, "`--layer` and `--select` are for the layers of a project")
                        .with_hint("leave them out, or measure a project"));
  if (line.merge) return run_merge(line, app);
  auto locks = open_locks(line.compare);
  if (!locks) return app.fail(locks.error());
  if (*locks) return run_locks(line, **locks, app);
  std::vector<bench::Results> files;
  for (const auto& name : line.compare) {
    auto results = read_results(name);
    if (!results) return app.fail(results.error());
    files.push_back(std::move(*results));
  }
  if (files.size() == 2) return say_comparison(line, files.front(), files.back(), app);
  std::optional<bench::Results> before;
  if (!files.empty()) before = std::move(files.front());
  return run_measuring(line, before, app);
}

void add_comparing(CLI::App& command, CommandLine& line) {
  auto* compare = command
                      .add_option("--compare", line.compare,
                                  "Measure, and compare with this saved run; or compare two saved runs; or "
                                  "two locks, by measuring what changed between them in turns")
                      ->type_name("OLD [NEW]")
                      ->expected(1, 2);
  command
      .add_option("--fail-on-regression", line.fail_on_regression,
                  "End with status 1 if a row is slower by more than this for certain")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.0, 99.0))
      ->needs(compare);
  command
      .add_option("--threshold", line.threshold,
                  "What runs may differ by without meaning anything (default: 1)")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.0, 99.0));
  command
      .add_flag("--despite-differences", line.despite_differences,
                "Compare although devices, drivers, clocks or inputs are not the same")
      ->needs(compare);
  command
      .add_option("--merge", line.merge,
                  "Put the saved runs of a folder together, and find devices that are slower than the others")
      ->type_name("DIR")
      ->excludes(compare);
}

void add_output(CLI::App& command, CommandLine& line) {
  command
      .add_option("--save,--output", line.save,
                  "Also write every sample to this file; in a folder it is named after job and host")
      ->type_name("FILE|DIR/");
  command.add_option("--report", line.report, "Also write a page with charts that needs nothing else")
      ->type_name("FILE.html");
  command.add_option("--markdown", line.markdown, "Also write tables for a page")->type_name("FILE");
  command.add_option("--junit", line.junit, "Also write test results for a CI server")->type_name("FILE");
  command.add_flag("--json", line.json, "Print the result as JSON");
}

void add_choice(CLI::App& command, CommandLine& line) {
  command
      .add_option("what", line.what,
                  "A project with a lock, a folder with `build/`, or a repository: org/name, org/name@v1")
      ->type_name("DIR|REPO|PATH")
      ->capture_default_str();
  command.add_option("--device", line.device, "auto, all (every GPU), cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  command
      .add_option("--workload", line.workload,
                  "Only workloads whose name contains this; or sizes: T=4096,hidden=8192,dtype=bf16")
      ->type_name("NAME|SIZES");
  command
      .add_option("--layer", line.layer,
                  "Only this layer of the project, and the kernels that could serve it")
      ->type_name("NAME");
  command.add_option("--function", line.function, "Only this function")->type_name("NAME");
  command.add_option("--dtype", line.dtype, "Only float32, float16 or bfloat16")->type_name("TYPE");
  auto* validate_only =
      command.add_flag("--validate-only", line.validate_only, "Check the results, measure nothing");
  command
      .add_flag(
          "--select", line.select,
          "Write into the project file which kernel serves each layer fastest on this device, where that "
          "is certain (by more than --threshold)")
      ->excludes(validate_only);
}

void add_measuring(CLI::App& command, CommandLine& line) {
  command
      .add_option("--seed", line.seed,
                  "Seed of the random inputs; default: that of the run that is compared, or a fresh one")
      ->type_name("N");
  command
      .add_option("--precision", line.precision,
                  "Sample until the 95 % interval of the median is this narrow, in percent of it (default: "
                  "0.25) …")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.01, 100.0));
  command.add_option("--budget", line.budget, "… or for this many seconds, whichever comes first")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  command
      .add_option("--time-limit", line.time_limit,
                  "Seconds after which a case that does not answer is killed")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 36000.0))
      ->capture_default_str();
  command.add_option("--tvm-ffi", line.provider, "Another libtvm_ffi.so to give to the kernels")
      ->type_name("FILE");
  command
      .add_option("--torch-lib", line.torch_lib,
                  "`torch/lib` of a PyTorch for torch variants (default: that of the active environment)")
      ->type_name("DIR");
}

/// What the Python program of this name takes, where it means something here.
void add_python_arguments(CLI::App& command, CommandLine& line) {
  add_revision_flags(command, line.revision);
  command.add_option("--branch", line.revision.revision, "The same as --revision")
      ->type_name("R")
      ->excludes("--version")
      ->excludes("--revision");
  command
      .add_option("--python", line.python,
                  "The interpreter, or the folder of an environment, for benchmark scripts (default: the "
                  "active one)")
      ->type_name("PATH");
  command.add_option("--iterations", line.iterations, "Samples at most")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000));
  command
      .add_option("--warmup", line.warmup,
                  "For scripts of the Python program: warm-up is as long as it takes")
      ->type_name("N");
  auto* visual =
      command
          .add_option(
              "--visual", line.visual,
              "Also draw each row beside its reference or limit: media/NAME_{light,dark}_{latency,throughput,"
              "animation}.svg")
          ->type_name("NAME");
  command.add_flag("--rasterized", line.rasterized, "Also write those pictures as PNG, the animation as GIF")
      ->needs(visual);
}

Command add_named(CLI::App& root, const std::string& name, const std::string& description) {
  auto line = std::make_shared<CommandLine>();
  auto* command =
      new_command(root, name, description,
                  "  kernels bench\n"
                  "  kernels bench kernels-community/activation@v1\n"
                  "  kernels bench ./activation --device cuda:0 --workload decode\n"
                  "  kernels bench ./activation --device all --workload T=4096,hidden=8192,dtype=bf16\n"
                  "  kernels bench --validate-only --json\n"
                  "  kernels bench --save before.json\n"
                  "  kernels bench --compare before.json --fail-on-regression 2\n"
                  "  kernels bench --compare before.json after.json\n"
                  "  kernels bench --compare old.lock kernels.lock --fail-on-regression 2\n"
                  "  kernels bench --layer RMSNorm --select\n"
                  "  kernels bench --merge results/\n");
  add_choice(*command, *line);
  add_python_arguments(*command, *line);
  add_measuring(*command, *line);
  add_comparing(*command, *line);
  add_output(*command, *line);
  return {command, [line](App& app) { return run_bench(*line, app); }};
}

}  // namespace

std::vector<Command> add_bench(CLI::App& root) {
  return {add_named(root, "bench", "Is each kernel right, and how fast?"),
          add_named(root, "benchmark", "The same as bench")};
}

}  // namespace kernels::app
