#include <random>

#include "kernels/base/file.h"
#include "kernels/bench/bench.h"
#include "kernels/ops/bench.h"
#include "kernels/ops/project_files.h"

#include "bench_run.h"
#include "commands.h"
#include "view_bench.h"

namespace kernels::app {

namespace {

struct CommandLine {
  std::string what = ".";
  std::string device = "auto";
  std::string workload;
  std::string function;
  std::string dtype;
  bool validate_only = false;
  bool json = false;
  std::optional<std::string> save;
  std::optional<std::uint64_t> seed;
  double budget = 2.0;
  double precision = 0.25;
  double time_limit = 60;
  std::optional<std::string> provider;
};

struct Device {
  runtime::DeviceKind kind = runtime::DeviceKind::cpu;
  int index = 0;
};

/// `auto`, `cpu`, `cuda` or `cuda:1`.
Result<Device> parse_bench_device(const std::string& text, const Target& machine) {
  if (text == "auto") {
    bool has_gpu = machine.backend.kind == BackendKind::cuda && !machine.capabilities.empty();
    return Device{.kind = has_gpu ? runtime::DeviceKind::cuda : runtime::DeviceKind::cpu};
  }
  if (text == "cpu") return Device{};
  auto digits = text.starts_with("cuda:") ? text.substr(5) : text == "cuda" ? "0" : "";
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
    return fail(Error(Errc::invalid_argument, "`" + text + "` is not a device")
                    .with_hint("write `auto`, `cpu`, `cuda` or `cuda:1`"));
  return Device{.kind = runtime::DeviceKind::cuda, .index = std::stoi(digits)};
}

std::optional<bench::DType> parse_dtype(const std::string& text) {
  if (text == "float32" || text == "fp32") return bench::DType::float32;
  if (text == "float16" || text == "fp16") return bench::DType::float16;
  if (text == "bfloat16" || text == "bf16") return bench::DType::bfloat16;
  return std::nullopt;
}

Result<bench::BenchOptions> to_options(const CommandLine& line, Device device) {
  bench::BenchOptions options;
  auto programs = bench::find_programs();
  options.worker = programs.worker;
  options.provider = line.provider.value_or(programs.provider.string());
  if (options.worker.empty() || options.provider.empty())
    return fail(
        Error(Errc::io, "`kernels-worker` or `libtvm_ffi.so` is not beside this program")
            .with_hint("install the whole package; `kernels bench` runs kernels in a process of their own"));
  options.device = device.kind;
  options.device_index = device.index;
  options.workload = line.workload;
  options.function = line.function;
  options.dtype = parse_dtype(line.dtype);
  if (!line.dtype.empty() && !options.dtype)
    return fail(Error(Errc::invalid_argument, "`" + line.dtype + "` is not a data type")
                    .with_hint("write float32, float16 or bfloat16"));
  if (line.validate_only) options.mode = bench::Mode::validate_only;
  options.seed = line.seed.value_or(std::random_device{}());
  options.rule.budget_seconds = line.budget;
  options.rule.precision = line.precision / 100;
  options.time_limit = std::chrono::milliseconds(static_cast<std::int64_t>(line.time_limit * 1000));
  return options;
}

/// What the first argument means: a project with a lock, or a folder with variants.
Result<std::vector<ops::BenchTarget>> find_targets(const CommandLine& line, const Target& target,
                                                   const hub::Settings& settings, App& app) {
  auto files = ops::load_lock_files(line.what);
  if (!files) return fail(std::move(files).error());
  if (*files)
    return ops::locked_bench_targets(cache::Layout(settings.cache, settings.state), **files, target,
                                     app.stop_token());
  std::error_code code;
  if (!std::filesystem::is_directory(line.what, code))
    return fail(Error(Errc::invalid_argument, "there is no folder `" + line.what + "`")
                    .with_hint("give a project with a `kernels.lock`, or a folder with `build/`"));
  if (std::filesystem::exists(std::filesystem::path(line.what) / "kernels.toml", code))
    return fail(Error(Errc::invalid_argument, "there is no `kernels.lock` in `" + line.what + "`")
                    .with_hint("run `kernels lock` and `kernels download` first"));
  auto local = ops::local_bench_target(line.what, target);
  if (!local) return fail(std::move(local).error());
  return std::vector{std::move(*local)};
}

ExitCode run_bench(const CommandLine& line, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto machine = app.machine().target;
  machine.free_threaded_python = false;  // the worker calls kernels without any Python
  auto device = parse_bench_device(line.device, machine);
  if (!device) return app.fail(device.error());
  if (device->kind == runtime::DeviceKind::cpu) machine.backend = {};
  auto options = to_options(line, *device);
  if (!options) return app.fail(options.error());
  auto targets = find_targets(line, machine, *settings, app);
  if (!targets) return app.fail(targets.error());
  auto results = measure_targets(*targets, *options, app);
  if (!results) return app.fail(results.error());
  auto json = bench::encode_results(*results);
  if (line.save)
    if (auto saved = write_file(*line.save, json, Durable::no); !saved) return app.fail(saved.error());
  app.out().result(line.json ? json : bench_text(*results));
  if (app.stop_token().stop_requested()) return app.fail(Error(Errc::interrupted, "stopped"));
  return results->all_right() ? ExitCode::ok : ExitCode::no;
}

Command add_named(CLI::App& root, const std::string& name, const std::string& description) {
  auto line = std::make_shared<CommandLine>();
  auto* command = new_command(root, name, description,
                              "  kernels bench\n"
                              "  kernels bench ./activation --device cuda:0 --workload decode\n"
                              "  kernels bench --validate-only --json\n");
  command->add_option("what", line->what, "A project with a lock, or a folder with `build/`")
      ->type_name("DIR|PATH")
      ->capture_default_str();
  command->add_option("--device", line->device, "auto, cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  command->add_option("--workload", line->workload, "Only workloads whose name contains this")
      ->type_name("NAME");
  command->add_option("--function", line->function, "Only this function")->type_name("NAME");
  command->add_option("--dtype", line->dtype, "Only float32, float16 or bfloat16")->type_name("TYPE");
  command->add_flag("--validate-only", line->validate_only, "Check the results, measure nothing");
  command->add_option("--seed", line->seed, "Seed of the random inputs; default: a fresh one")
      ->type_name("N");
  command
      ->add_option("--precision", line->precision,
                   "Sample until the 95 % interval of the median is this narrow, in percent of it …")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.01, 100.0))
      ->capture_default_str();
  command->add_option("--budget", line->budget, "… or for this many seconds, whichever comes first")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  command
      ->add_option("--time-limit", line->time_limit,
                   "Seconds after which a case that does not answer is killed")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 36000.0))
      ->capture_default_str();
  command->add_option("--tvm-ffi", line->provider, "Another libtvm_ffi.so to give to the kernels")
      ->type_name("FILE");
  command->add_option("--save", line->save, "Also write the JSON to this file")->type_name("FILE");
  command->add_flag("--json", line->json, "Print the result as JSON");
  return {command, [line](App& app) { return run_bench(*line, app); }};
}

}  // namespace

std::vector<Command> add_bench(CLI::App& root) {
  return {add_named(root, "bench", "Is each kernel right, and how fast?"),
          add_named(root, "benchmark", "The same as bench")};
}

}  // namespace kernels::app
